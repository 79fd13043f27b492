//! Programs of two versions work with one registry: the later one has added to its schema.

use std::time::Duration;

use super::{Bed, TIMEOUT, active, beat, node, registration, starting};
use crate::{
    domain::{NodeStatus, Shadow, State, Wanted, shadow::Outcome},
    store::{Report, SessionFilter, Store},
};

/// Whatever a daemon asks of its registry again and again.
async fn a_day(store: &dyn Store) {
    let id = store.register(&registration("a")).await.unwrap();
    assert!(store.heartbeat(id, &beat(0.5)).await.unwrap().is_some());
    assert_eq!(node(store, id).await.status, NodeStatus::Online);
    let waiting = starting(store, id).await;
    let beaten = store.heartbeat(id, &beat(0.5)).await.unwrap().expect("it is a member");
    assert!(beaten.pending.iter().any(|session| session.id == waiting.id));
    assert!(store.waiting().await.unwrap().contains(&(id, waiting.id)));
    let session = active(store, id).await;
    assert_eq!(store.session(session.id).await.unwrap().expect("it is there").state, State::Active);
    assert!(store.routes().await.unwrap().iter().any(|route| route.id == session.id && route.peer.name == "a"));
    assert!(!store.sessions(&SessionFilter { node: Some(id), ..SessionFilter::default() }).await.unwrap().is_empty());
    assert_eq!(store.rename(session.id, "other").await.unwrap().expect("it is there").name, "other");
    let placements = store.placements(Some(session.id), None, 9).await.unwrap();
    let placement = store.placement(placements[0].id).await.unwrap().expect("it is on record");
    let shadow = Shadow {
        balancer: "second".to_owned(),
        digest: None,
        duration: Duration::from_micros(1),
        outcome: Outcome::Chose { candidates: vec![id], scores: None, reason: None },
        compared_with: None,
    };
    assert!(store.note_shadow(session.id, session.epoch, &shadow, 9).await.unwrap());
    assert_eq!(store.shadowed(None).await.unwrap()[0].id, placement.id);
    assert_eq!(store.want(waiting.id, Wanted::Ended, None).await.unwrap().expect("it is there").state, State::Ended);
    assert!(!store.want_all("ada", Wanted::Ended).await.unwrap().is_empty());
    store.report(session.id, session.epoch, &Report::Ended).await.unwrap();
    assert!(store.set_cordoned(id, true).await.unwrap());
    assert!(store.set_cordoned(id, false).await.unwrap());
    store.leave(id).await.unwrap();
    assert!(store.expire(TIMEOUT).await.unwrap().is_empty());
}

pub(crate) async fn a_program_works_on_while_a_later_one_adds_to_the_schema(bed: &impl Bed) {
    let store = bed.open().await;
    a_day(&*store).await;
    bed.add_to_schema().await;
    // More than once: a statement that is kept is another one from its second use on.
    for _ in 0..3 {
        a_day(&*store).await;
    }
}

pub(crate) async fn a_program_starts_on_a_schema_that_a_later_one_has_added_to(bed: &impl Bed) {
    a_day(&*bed.open().await).await;
    bed.add_to_schema().await;
    let store = bed.open().await;
    bed.pass(Duration::from_secs(1)).await;
    a_day(&*store).await;
}
