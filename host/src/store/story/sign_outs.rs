//! Sign-ins that were ended before their time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Bed, revision};
use crate::domain::SignOut;

fn sign_out(number: u8, now: Timestamp, seconds: i64) -> SignOut {
    // Whole milliseconds, as every store keeps them.
    let until = Timestamp::from_millisecond(now.as_millisecond()).unwrap() + SignedDuration::from_secs(seconds);
    SignOut { sign_in: [number; 16], until }
}

pub(crate) async fn what_was_ended_by_one_daemon_is_read_by_the_others_once(bed: &impl Bed) {
    let (one, other) = (bed.open().await, bed.open().await);
    let now = one.now().await.unwrap();
    let before = revision(&*one).await;
    let ended = [sign_out(1, now, 600), sign_out(2, now, 600)];
    one.sign_out(&ended).await.unwrap();
    one.sign_out(&ended[..1]).await.unwrap();
    let read = other.sign_outs(0).await.unwrap();
    assert_eq!(read.sign_outs, ended);
    one.sign_out(&[sign_out(3, now, 600)]).await.unwrap();
    let next = other.sign_outs(read.seen).await.unwrap();
    assert_eq!(next.sign_outs, [sign_out(3, now, 600)]);
    let none = other.sign_outs(next.seen).await.unwrap();
    assert_eq!((none.sign_outs.len(), none.seen), (0, next.seen));
    assert_eq!(other.sign_outs(0).await.unwrap().sign_outs.len(), 3);
    assert_eq!(revision(&*one).await, before);
}

pub(crate) async fn what_would_be_over_anyway_is_let_go_and_its_number_is_no_others(bed: &impl Bed) {
    let store = bed.open().await;
    let now = store.now().await.unwrap();
    store.sign_out(&[sign_out(1, now, 60)]).await.unwrap();
    let seen = store.sign_outs(0).await.unwrap().seen;
    bed.pass(Duration::from_secs(61)).await;
    assert_eq!(store.sign_outs(0).await.unwrap().sign_outs, []);
    store.sign_out(&[]).await.unwrap();
    store.sign_out(&[sign_out(2, now, 600)]).await.unwrap();
    assert_eq!(store.sign_outs(seen).await.unwrap().sign_outs, [sign_out(2, now, 600)]);
}
