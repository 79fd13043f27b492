//! What administrators order of nodes, and what a node leaves behind that stops for good.

use std::{collections::BTreeMap, time::Duration};

use super::{Bed, TIMEOUT, active, beat, node, read, registration, revision};
use crate::{
    domain::{DrainOrder, NodeId, OverridesChange, State},
    store::{Registration, Report, Store},
};

const HOUR: Duration = Duration::from_secs(3600);

async fn drained(store: &dyn Store, id: NodeId) -> crate::domain::Drain {
    node(store, id).await.drain.expect("it is being emptied")
}

pub(crate) async fn a_drain_cordons_and_has_its_deadline_by_the_stores_clock(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    let before = revision(&*store).await;
    let order = DrainOrder { within: Some(HOUR), end: true, maintenance: false };
    assert!(store.drain(id, &order).await.unwrap());
    assert_eq!(revision(&*store).await, before + 1);
    assert!(node(&*store, id).await.cordoned);
    let drain = drained(&*store, id).await;
    assert_eq!(drain.deadline.expect("a deadline").duration_since(drain.since).as_secs(), 3600);
    assert!(drain.end && !drain.maintenance);
    assert!(!drain.is_due(store.now().await.unwrap()));
    assert!(!store.drain(NodeId(id.0 + 1), &order).await.unwrap());
}

pub(crate) async fn a_drain_is_changed_and_keeps_its_beginning(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    store.drain(id, &DrainOrder { within: Some(HOUR), end: true, maintenance: false }).await.unwrap();
    let first = drained(&*store, id).await;
    store.drain(id, &DrainOrder::default()).await.unwrap();
    let second = drained(&*store, id).await;
    assert_eq!((second.since, second.deadline, second.end), (first.since, None, false));
    store.drain(id, &DrainOrder::MAINTENANCE).await.unwrap();
    let third = drained(&*store, id).await;
    assert!(third.maintenance && third.is_due(store.now().await.unwrap()), "{third:?}");
}

pub(crate) async fn to_uncordon_lifts_a_drain_and_to_cordon_leaves_it(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    store.drain(id, &DrainOrder { within: Some(HOUR), end: true, maintenance: true }).await.unwrap();
    let order = drained(&*store, id).await;
    store.set_cordoned(id, true).await.unwrap();
    assert_eq!(drained(&*store, id).await, order);
    store.set_cordoned(id, false).await.unwrap();
    assert_eq!(node(&*store, id).await.drain, None);
    assert!(!node(&*store, id).await.cordoned);
    store.drain(id, &DrainOrder::default()).await.unwrap();
    let again = drained(&*store, id).await;
    assert!(!again.end && !again.maintenance && again.deadline.is_none());
}

pub(crate) async fn heartbeats_tell_a_node_of_its_drain_also_after_it_registered_again(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    let told = async || store.heartbeat(id, &beat(0.0)).await.unwrap().expect("a member").drain;
    assert_eq!(told().await, None);
    store.drain(id, &DrainOrder { within: Some(HOUR), end: false, maintenance: false }).await.unwrap();
    let order = drained(&*store, id).await;
    assert_eq!(told().await.as_ref(), Some(&order));
    store.leave(id).await.unwrap();
    store.register(&Registration { id: Some(id), ..registration("a") }).await.unwrap();
    assert_eq!(told().await.as_ref(), Some(&order));
    bed.pass(HOUR).await;
    store.register(&Registration { id: Some(id), ..registration("a") }).await.unwrap();
    let beat = store.heartbeat(id, &beat(0.0)).await.unwrap().expect("a member");
    assert!(beat.drain.expect("still").is_due(beat.now));
}

pub(crate) async fn what_is_set_of_a_node_goes_before_its_own_and_survives_registration(bed: &impl Bed) {
    let store = bed.open().await;
    let own = Registration {
        weight: 70,
        capacity: Some(9),
        labels: BTreeMap::from([("gpu".to_owned(), "t4".to_owned())]),
        ..registration("a")
    };
    let id = store.register(&own).await.unwrap();
    let before = revision(&*store).await;
    let label = |key: &str, value: Option<&str>| (key.to_owned(), value.map(ToOwned::to_owned));
    let change = OverridesChange {
        weight: Some(Some(30)),
        capacity: Some(Some(u32::MAX)),
        labels: [label("gpu", Some("broken")), label("team", Some("x \"y\""))].into(),
    };
    assert!(store.set_overrides(id, &change).await.unwrap());
    assert_eq!(revision(&*store).await, before + 1);
    store.register(&Registration { id: Some(id), ..own.clone() }).await.unwrap();
    let read = node(&*store, id).await;
    assert_eq!((read.weight, read.capacity), (30, None));
    assert_eq!((read.labels["gpu"].as_str(), read.labels["team"].as_str()), ("broken", "x \"y\""));
    assert_eq!(read.overrides.weight, Some(30));
    assert_eq!(store.snapshot().await.unwrap().nodes, [read]);
    let unset = OverridesChange {
        weight: Some(None),
        capacity: Some(None),
        labels: [label("gpu", None), label("team", None)].into(),
    };
    store.set_overrides(id, &unset).await.unwrap();
    let read = node(&*store, id).await;
    assert_eq!((read.weight, read.capacity, read.labels), (70, Some(9), own.labels));
    assert!(!store.set_overrides(NodeId(id.0 + 1), &unset).await.unwrap());
}

pub(crate) async fn a_node_that_leaves_for_good_is_forgotten_once_nothing_runs_on_it(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let session = active(&*store, b).await;
    store.leave_for_good(b).await.unwrap();
    // Its program goes on, and the row tells where.
    assert_eq!(store.nodes().await.unwrap().len(), 2);
    assert_eq!(read(&*store, session.id).await.state, State::Active);
    let again = Registration { id: Some(b), ..registration("b") };
    assert_eq!(store.register(&again).await.unwrap(), b);
    assert_eq!(store.report(session.id, session.epoch, &Report::Ended).await.unwrap(), Some(State::Ended));
    bed.pass(TIMEOUT + Duration::from_secs(1)).await;
    store.heartbeat(a, &beat(0.0)).await.unwrap().expect("a member");
    bed.pass(TIMEOUT / 2).await;
    store.heartbeat(a, &beat(0.0)).await.unwrap().expect("a member");
    bed.pass(TIMEOUT / 2 + Duration::from_secs(1)).await;
    store.heartbeat(a, &beat(0.0)).await.unwrap().expect("a member");
    store.expire(TIMEOUT).await.unwrap();
    assert_eq!(store.nodes().await.unwrap().len(), 2, "it is back and leaves no more");
    store.leave_for_good(b).await.unwrap();
    assert_eq!(store.nodes().await.unwrap().iter().map(|node| node.id).collect::<Vec<_>>(), [a]);
}

pub(crate) async fn what_still_ran_on_a_node_that_left_for_good_is_lost_in_its_time_and_taken_up_again(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let session = active(&*store, b).await;
    store.leave_for_good(b).await.unwrap();
    for _ in 0..3 {
        bed.pass(TIMEOUT / 2 + Duration::from_secs(1)).await;
        store.heartbeat(a, &beat(0.0)).await.unwrap().expect("a member");
    }
    let before = revision(&*store).await;
    assert_eq!(store.expire(TIMEOUT).await.unwrap(), [session.id]);
    assert_eq!(revision(&*store).await, before + 1);
    assert_eq!(store.nodes().await.unwrap().iter().map(|node| node.id).collect::<Vec<_>>(), [a]);
    // It returns after all, under the id that its data directory has kept.
    let again = Registration { id: Some(b), ..registration("b") };
    assert_eq!(store.register(&again).await.unwrap(), b);
    assert_eq!(store.report(session.id, session.epoch, &Report::Active).await.unwrap(), Some(State::Active));
}
