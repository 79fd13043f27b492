//! What silence means: of one node, and of all.

use std::time::Duration;

use super::{Bed, TIMEOUT, active, beat, node, read, registration, reservation, revision, starting};
use crate::{
    domain::{DrainOrder, NodeId, NodeStatus, Session, State, Wanted},
    store::{NodeDeletion, Registration, Report, Snapshot, Store},
};

const SECOND: Duration = Duration::from_secs(1);

/// Lets time pass while one node beats.
async fn pass_beating(bed: &impl Bed, store: &dyn Store, beating: NodeId, time: Duration) {
    const STEP: Duration = Duration::from_secs(TIMEOUT.as_secs() / 4);
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(STEP);
        bed.pass(step).await;
        store.heartbeat(beating, &beat(0.0)).await.expect("heartbeat").expect("known");
        left -= step;
    }
}

/// Two nodes of a cluster that has been in use for longer than a time-out.
async fn settled(bed: &impl Bed, store: &dyn Store) -> (NodeId, NodeId) {
    let a = store.register(&registration("a")).await.expect("register");
    pass_beating(bed, store, a, TIMEOUT * 2).await;
    let b = store.register(&registration("b")).await.expect("register");
    (a, b)
}

pub(crate) async fn sessions_of_a_node_that_stays_silent_are_lost(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let (on_a, on_b) = (active(&*store, a).await, active(&*store, b).await);
    let claimed = starting(&*store, b).await;
    assert!(store.claim(claimed.id, claimed.epoch, b).await.unwrap());
    pass_beating(bed, &*store, a, TIMEOUT / 2).await;
    assert!(store.expire(TIMEOUT).await.unwrap().is_empty());
    pass_beating(bed, &*store, a, TIMEOUT / 2 + SECOND).await;
    let before = revision(&*store).await;
    let mut lost = store.expire(TIMEOUT).await.unwrap();
    lost.sort();
    assert_eq!(lost, [on_b.id, claimed.id]);
    assert_eq!(revision(&*store).await, before + 1);
    let gone = read(&*store, on_b.id).await;
    assert_eq!((gone.state, gone.node, gone.epoch), (State::Lost, b, on_b.epoch));
    assert_eq!(gone.failure.as_deref(), Some("its node b is offline"));
    assert_eq!(read(&*store, on_a.id).await.state, State::Active);
    assert!(store.expire(TIMEOUT).await.unwrap().is_empty());
    assert_eq!(revision(&*store).await, before + 1);
}

pub(crate) async fn a_stopped_node_keeps_its_sessions_for_the_time_given(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let session = active(&*store, b).await;
    store.leave(b).await.unwrap();
    pass_beating(bed, &*store, a, TIMEOUT / 2).await;
    assert!(store.expire(TIMEOUT).await.unwrap().is_empty());
    assert_eq!(read(&*store, session.id).await.state, State::Active);
    pass_beating(bed, &*store, a, TIMEOUT / 2 + SECOND).await;
    assert_eq!(store.expire(TIMEOUT).await.unwrap(), [session.id]);
}

pub(crate) async fn a_session_that_was_to_end_ends_with_its_node(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let session = active(&*store, b).await;
    store.want(session.id, Wanted::Ended, None).await.unwrap();
    pass_beating(bed, &*store, a, TIMEOUT + SECOND).await;
    assert!(store.expire(TIMEOUT).await.unwrap().is_empty());
    assert_eq!(read(&*store, session.id).await.state, State::Ended);
}

pub(crate) async fn a_session_cut_off_while_it_was_to_be_suspended_is_lost_since_it_may_still_run(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let (first, second) = (active(&*store, b).await, active(&*store, b).await);
    for session in [&first, &second] {
        store.want(session.id, Wanted::Suspended, None).await.unwrap();
    }
    pass_beating(bed, &*store, a, TIMEOUT + SECOND).await;
    let mut lost = store.expire(TIMEOUT).await.unwrap();
    lost.sort();
    assert_eq!(lost, [first.id, second.id]);
    let row = read(&*store, first.id).await;
    assert_eq!((row.state, row.wanted), (State::Lost, None));
    assert_eq!(row.failure.as_deref(), Some("its node b is offline"));
    // Its node heard the wish and returns.
    assert_eq!(store.report(second.id, second.epoch, &Report::Suspended).await.unwrap(), Some(State::Suspended));

    let third = active(&*store, b).await;
    store.want(third.id, Wanted::Suspended, None).await.unwrap();
    assert_eq!(store.delete_node(b).await.unwrap(), NodeDeletion::Deleted(vec![third.id]));
    let row = read(&*store, third.id).await;
    assert_eq!((row.state, row.failure.as_deref()), (State::Lost, Some("its node b was removed from the cluster")));
}

pub(crate) async fn nobody_is_lost_for_a_time_out_after_all_were_away(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let (on_a, on_b) = (active(&*store, a).await, active(&*store, b).await);
    bed.pass(TIMEOUT * 6).await;
    let again = Registration { id: Some(a), ..registration("a") };
    store.register(&again).await.unwrap();
    assert_eq!(node(&*store, b).await.status, NodeStatus::Offline);
    assert!(store.expire(TIMEOUT).await.unwrap().is_empty());
    pass_beating(bed, &*store, a, TIMEOUT - SECOND * 60).await;
    assert!(store.expire(TIMEOUT).await.unwrap().is_empty());
    pass_beating(bed, &*store, a, SECOND * 61).await;
    assert_eq!(store.expire(TIMEOUT).await.unwrap(), [on_b.id]);
    assert_eq!(read(&*store, on_a.id).await.state, State::Active);
}

pub(crate) async fn nobody_judges_while_nobody_writes(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    active(&*store, a).await;
    active(&*store, b).await;
    bed.pass(TIMEOUT * 6).await;
    assert!(store.expire(TIMEOUT).await.unwrap().is_empty());
}

pub(crate) async fn a_node_that_returns_takes_its_lost_sessions_up_again(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let (first, second, third) = (active(&*store, b).await, active(&*store, b).await, active(&*store, b).await);
    pass_beating(bed, &*store, a, TIMEOUT + SECOND).await;
    assert_eq!(store.expire(TIMEOUT).await.unwrap().len(), 3);
    store.register(&Registration { id: Some(b), ..registration("b") }).await.unwrap();
    let before = revision(&*store).await;
    assert!(store.report(first.id, first.epoch, &Report::Active).await.unwrap().is_some());
    assert_eq!(revision(&*store).await, before + 1);
    let back = read(&*store, first.id).await;
    assert_eq!((back.state, back.pid, back.failure), (State::Active, Some(42), None));
    assert_eq!(store.routes().await.unwrap().len(), 1);
    // One that was still to answer, one that died meanwhile, and one that never was its.
    assert!(store.report(second.id, second.epoch, &Report::Started { pid: 43 }).await.unwrap().is_some());
    assert_eq!(read(&*store, second.id).await.state, State::Starting);
    assert!(
        store.report(third.id, third.epoch, &Report::Failed { failure: "died".to_owned() }).await.unwrap().is_some()
    );
    assert_eq!(read(&*store, third.id).await.state, State::Failed);
}

pub(crate) async fn a_start_that_nobody_has_claimed_is_not_lost_with_its_node_but_stranded(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let (first, second) = (starting(&*store, b).await, starting(&*store, b).await);
    let elsewhere = starting(&*store, a).await;
    let stranded =
        async || -> Vec<_> { store.stranded(TIMEOUT).await.unwrap().into_iter().map(|session| session.id).collect() };
    pass_beating(bed, &*store, a, TIMEOUT / 2).await;
    assert!(stranded().await.is_empty(), "its node may claim it yet");
    pass_beating(bed, &*store, a, TIMEOUT / 2 + SECOND).await;
    assert!(store.expire(TIMEOUT).await.unwrap().is_empty());
    assert_eq!(stranded().await, [first.id, second.id]);
    assert_eq!(read(&*store, first.id).await.state, State::Starting);
    // Its node returns, and is faster.
    store.register(&Registration { id: Some(b), ..registration("b") }).await.unwrap();
    assert!(stranded().await.is_empty());
    store.leave(b).await.unwrap();
    assert_eq!(store.delete_node(b).await.unwrap(), NodeDeletion::Deleted(Vec::new()));
    assert_eq!(stranded().await, [first.id, second.id]);
    assert!(store.want(second.id, Wanted::Ended, None).await.unwrap().is_some());
    assert_eq!(stranded().await, [first.id], "it is over");
    assert_eq!(read(&*store, elsewhere.id).await.state, State::Starting);
}

pub(crate) async fn a_start_that_waits_on_a_node_which_is_drained_is_stranded_and_on_one_that_is_cordoned_it_waits(
    bed: &impl Bed,
) {
    let store = bed.open().await;
    let (_, b) = settled(bed, &*store).await;
    let (waiting, claimed) = (starting(&*store, b).await, starting(&*store, b).await);
    assert!(store.claim(claimed.id, claimed.epoch, b).await.unwrap());
    assert!(store.set_cordoned(b, true).await.unwrap());
    assert!(store.stranded(TIMEOUT).await.unwrap().is_empty());
    let order = DrainOrder { within: None, end: false, maintenance: false };
    assert!(store.drain(b, &order).await.unwrap());
    let stranded: Vec<_> = store.stranded(TIMEOUT).await.unwrap().into_iter().map(|session| session.id).collect();
    assert_eq!(stranded, [waiting.id]);
}

pub(crate) async fn whoever_claims_and_whoever_places_again_exclude_each_other(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let again = async |session: &Session, node| {
        let Snapshot { revision, now, .. } = store.snapshot().await.unwrap();
        let mut moved = reservation(now, node, "ada");
        moved.session = Session { node, epoch: session.epoch.next(), ..session.clone() };
        moved.new = false;
        store.reserve(revision, &[moved]).await.unwrap()
    };
    let claimed = starting(&*store, b).await;
    assert!(store.claim(claimed.id, claimed.epoch, b).await.unwrap());
    assert!(!again(&claimed, a).await, "it is about to run there");
    let moved = starting(&*store, b).await;
    assert!(again(&moved, a).await);
    assert!(!store.claim(moved.id, moved.epoch, b).await.unwrap());
    assert!(store.claim(moved.id, moved.epoch.next(), a).await.unwrap());
}

pub(crate) async fn nobody_is_stranded_for_a_time_out_after_all_were_away(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    starting(&*store, b).await;
    bed.pass(TIMEOUT * 6).await;
    assert!(store.stranded(TIMEOUT).await.unwrap().is_empty(), "nobody writes");
    store.register(&Registration { id: Some(a), ..registration("a") }).await.unwrap();
    assert!(store.stranded(TIMEOUT).await.unwrap().is_empty());
    pass_beating(bed, &*store, a, TIMEOUT + SECOND).await;
    assert_eq!(store.stranded(TIMEOUT).await.unwrap().len(), 1);
}

pub(crate) async fn a_session_ended_while_lost_is_not_taken_up_again(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let session = active(&*store, b).await;
    pass_beating(bed, &*store, a, TIMEOUT + SECOND).await;
    assert_eq!(store.expire(TIMEOUT).await.unwrap(), [session.id]);
    assert_eq!(store.want(session.id, Wanted::Ended, None).await.unwrap().expect("known").state, State::Ended);
    assert!(store.report(session.id, session.epoch, &Report::Active).await.unwrap().is_none());
    assert_eq!(read(&*store, session.id).await.state, State::Ended);
}

pub(crate) async fn the_first_heartbeat_of_a_node_that_returns_brings_its_lost_sessions(bed: &impl Bed) {
    let store = bed.open().await;
    let (a, b) = settled(bed, &*store).await;
    let session = active(&*store, b).await;
    pass_beating(bed, &*store, a, TIMEOUT + SECOND).await;
    assert_eq!(store.expire(TIMEOUT).await.unwrap().len(), 1);
    let pending = store.heartbeat(b, &beat(0.0)).await.unwrap().expect("known").pending;
    assert_eq!(
        pending.iter().map(|session| (session.id, session.state)).collect::<Vec<_>>(),
        [(session.id, State::Lost)]
    );
    assert!(store.heartbeat(b, &beat(0.0)).await.unwrap().expect("known").pending.is_empty());
}
