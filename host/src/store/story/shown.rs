//! What balancers were shown.

use super::{Bed, registration, starting};
use crate::{
    domain::Session,
    store::{ShownBatch, Store},
};

fn batch(sessions: &[&Session], digest: &str, size: usize) -> ShownBatch {
    ShownBatch {
        placements: sessions.iter().map(|session| (session.id, session.epoch)).collect(),
        digests: [digest.to_owned()].into(),
        content: vec![7; size],
    }
}

/// The position in what is kept of a session's placement; none where nothing is.
async fn position(store: &dyn Store, session: &Session) -> Option<usize> {
    let placement = store.placements(Some(session.id), None, 1).await.unwrap().remove(0);
    store.shown(placement.id).await.unwrap().map(|shown| shown.position)
}

pub(crate) async fn what_was_shown_is_found_by_placement(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let (one, two, other) = (starting(&*store, a).await, starting(&*store, a).await, starting(&*store, a).await);
    assert!(store.keep_shown(&batch(&[&one, &two], "aa", 10), 100).await.unwrap());
    assert_eq!(position(&*store, &one).await, Some(0));
    assert_eq!(position(&*store, &two).await, Some(1));
    assert_eq!(position(&*store, &other).await, None);
    let placement = store.placements(Some(two.id), None, 1).await.unwrap().remove(0);
    assert_eq!(store.shown(placement.id).await.unwrap().unwrap().content, [7; 10]);
}

pub(crate) async fn the_oldest_of_what_was_shown_goes_first_whoever_writes(bed: &impl Bed) {
    let stores = [bed.open().await, bed.open().await];
    let a = stores[0].register(&registration("a")).await.unwrap();
    let mut sessions = vec![];
    for index in 0..5_usize {
        let session = starting(&*stores[0], a).await;
        let digest = format!("{index}{index}");
        assert!(stores[index % 2].keep_shown(&batch(&[&session], &digest, 30), 100).await.unwrap());
        sessions.push(session);
    }
    let mut kept = vec![];
    for session in &sessions {
        kept.push(position(&*stores[0], session).await.is_some());
    }
    assert_eq!(kept, [false, false, true, true, true]);
    let digests = stores[1].shown_digests().await.unwrap();
    assert_eq!(digests.into_iter().collect::<Vec<_>>(), ["22", "33", "44"]);
    // What is larger than all may be is not kept, and displaces nothing.
    assert!(!stores[0].keep_shown(&batch(&[&sessions[0]], "55", 101), 100).await.unwrap());
    assert_eq!(stores[0].shown_digests().await.unwrap().len(), 3);
    stores[1].trim_shown(60).await.unwrap();
    assert_eq!(stores[0].shown_digests().await.unwrap().len(), 2);
    stores[1].trim_shown(0).await.unwrap();
    assert!(stores[0].shown_digests().await.unwrap().is_empty());
    assert!(stores[0].keep_shown(&batch(&[&sessions[0]], "66", 100), 100).await.unwrap());
    assert_eq!(position(&*stores[0], &sessions[0]).await, Some(0));
}
