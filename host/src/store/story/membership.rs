//! Who belongs to the cluster, and who stays out.

use std::time::Duration;

use jiff::SignedDuration;

use super::{Bed, TIMEOUT, active, beat, charter, node, read, registration, revision};
use crate::{
    domain::{Charter, Exclusion, NodeId, NodeStatus, OtherKey, PROTOCOL, State},
    store::{Beat, RegisterError, Registration, Reset, Store},
};

fn with_key(name: &str, key: &str) -> Registration {
    Registration { charter: charter(key), ..registration(name) }
}

fn at(name: &str, id: Option<NodeId>, place: &str) -> Registration {
    Registration { id, place: place.to_owned(), ..registration(name) }
}

/// What keeps a node out, and its id.
async fn refused(store: &dyn Store, registration: &Registration) -> (NodeId, Exclusion) {
    match store.register(registration).await.unwrap_err() {
        RegisterError::Excluded { id, why } => (id, why),
        other => panic!("{other}"),
    }
}

pub(crate) async fn the_first_node_lays_down_the_charter(bed: &impl Bed) {
    let store = bed.open().await;
    assert_eq!(store.charter().await.unwrap(), None);
    store.register(&with_key("a", "one")).await.unwrap();
    assert_eq!(store.charter().await.unwrap(), Some(charter("one")));
    store.register(&with_key("b", "one")).await.unwrap();
    assert_eq!(bed.open().await.charter().await.unwrap(), Some(charter("one")));
}

pub(crate) async fn whether_a_cluster_has_begun_is_told_without_a_write(bed: &impl Bed) {
    assert_eq!(bed.begun().await, None, "there is nothing yet");
    let store = bed.open().await;
    assert_eq!(bed.begun().await, None, "there is a store, and no node");
    store.register(&with_key("a", "one")).await.unwrap();
    bed.pass(Duration::from_secs(1)).await;
    store.register(&with_key("b", "one")).await.unwrap();
    refused(&*store, &with_key("c", "two")).await;
    let members = bed.begun().await.expect("it has begun");
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["b", "a"], "who has the key, the one seen last first");
    assert_eq!(members[0].address, registration("b").address);
    store.reset_cluster(true).await.unwrap();
    assert_eq!(bed.begun().await, None, "the next node lays down another charter");
}

pub(crate) async fn of_many_first_nodes_with_keys_of_their_own_one_lays_down_the_charter(bed: &impl Bed) {
    let tasks: Vec<_> = futures_util::future::join_all((0..5).map(|_| bed.open()))
        .await
        .into_iter()
        .enumerate()
        .map(|(number, store)| {
            let own = with_key(&format!("n{number}"), &format!("key {number}"));
            tokio::spawn(async move { store.register(&own).await.map(|_| own.charter) })
        })
        .collect();
    let mut members = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(own) => members.push(own),
            Err(RegisterError::Excluded { why: Exclusion::Key, .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(members.len(), 1);
    assert_eq!(bed.open().await.charter().await.unwrap().as_ref(), members.first());
}

pub(crate) async fn a_node_that_does_not_fit_is_known_and_no_member(bed: &impl Bed) {
    let store = bed.open().await;
    store.register(&with_key("a", "one")).await.unwrap();
    let other_protocol = Charter { protocol: PROTOCOL + 1, ..charter("one") };
    let odd = Registration { version: "7.7.0".to_owned(), ..with_key("d", "one") };
    for (own, why, status) in [
        (with_key("b", "two"), Exclusion::Key, NodeStatus::InvalidKey),
        (
            Registration { charter: other_protocol, ..registration("c") },
            Exclusion::Protocol,
            NodeStatus::InvalidProtocol,
        ),
        (odd, Exclusion::Version, NodeStatus::IncompatibleVersion),
    ] {
        let (id, refused) = refused(&*store, &own).await;
        assert_eq!(refused, why);
        assert_eq!(node(&*store, id).await.status, status);
        assert!(store.heartbeat(id, &beat(1.0)).await.unwrap().is_none(), "it is no member: {why:?}");
        assert_eq!(node(&*store, id).await.status, status);
    }
    assert_eq!(store.charter().await.unwrap(), Some(charter("one")));
    let (id, _) = refused(&*store, &with_key("b", "two")).await;
    let mended = Registration { id: Some(id), ..with_key("b", "one") };
    assert_eq!(store.register(&mended).await.unwrap(), id);
    assert_eq!(node(&*store, id).await.status, NodeStatus::Online);
    assert!(store.heartbeat(id, &beat(1.0)).await.unwrap().is_some());
}

pub(crate) async fn a_node_that_stays_out_tries_again_without_raising_the_revision(bed: &impl Bed) {
    let store = bed.open().await;
    store.register(&with_key("a", "one")).await.unwrap();
    let (id, _) = refused(&*store, &with_key("b", "two")).await;
    let before = (revision(&*store).await, node(&*store, id).await.last_seen);
    bed.pass(Duration::from_secs(5)).await;
    let again = Registration { id: Some(id), ..with_key("b", "two") };
    assert_eq!(refused(&*store, &again).await, (id, Exclusion::Key));
    assert_eq!(revision(&*store).await, before.0);
    assert!(node(&*store, id).await.last_seen >= before.1);
}

pub(crate) async fn a_node_that_stays_out_and_tries_no_more_is_offline(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&with_key("a", "one")).await.unwrap();
    let (left, _) = refused(&*store, &with_key("b", "two")).await;
    let (silent, _) = refused(&*store, &with_key("c", "two")).await;
    store.leave(left).await.unwrap();
    assert_eq!(node(&*store, left).await.status, NodeStatus::Offline);
    bed.pass(TIMEOUT).await;
    assert_eq!(node(&*store, silent).await.status, NodeStatus::Offline);
    // Nor is it the life of the cluster.
    let _ = refused(&*store, &with_key("c", "two")).await;
    assert_eq!(node(&*store, silent).await.status, NodeStatus::InvalidKey);
    assert_eq!(node(&*store, a).await.status, NodeStatus::Offline);
}

pub(crate) async fn a_version_must_work_beside_those_online_only(bed: &impl Bed) {
    let store = bed.open().await;
    let of = |name: &str, version: &str| Registration { version: version.to_owned(), ..registration(name) };
    let old = store.register(&of("a", "0.1.0")).await.unwrap();
    let middle = store.register(&of("b", "0.2.0")).await.unwrap();
    assert_eq!(refused(&*store, &of("c", "0.3.0")).await.1, Exclusion::Version);
    store.leave(old).await.unwrap();
    store.register(&of("c", "0.3.0")).await.unwrap();
    assert_eq!(refused(&*store, &of("a", "0.1.0")).await, (old, Exclusion::Version));
    assert_eq!(node(&*store, middle).await.status, NodeStatus::Online);
    // Its own row says nothing against a node.
    let upgraded = Registration { id: Some(middle), place: "here".to_owned(), ..of("b", "0.4.0") };
    store.register(&upgraded).await.unwrap();
}

pub(crate) async fn sessions_of_a_member_that_returns_with_another_key_are_lost_in_their_time(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let session = active(&*store, b).await;
    let wrong = Registration { id: Some(b), ..with_key("b", "two") };
    assert_eq!(refused(&*store, &wrong).await, (b, Exclusion::Key));
    // So that the store is seen to be in use all along.
    for _ in 0..3 {
        bed.pass(TIMEOUT / 2).await;
        store.heartbeat(a, &beat(0.0)).await.unwrap().expect("a member");
        assert_eq!(refused(&*store, &wrong).await, (b, Exclusion::Key));
    }
    assert_eq!(store.expire(TIMEOUT).await.unwrap(), [session.id]);
    assert_eq!(read(&*store, session.id).await.state, State::Lost);
}

pub(crate) async fn a_cluster_is_reset_while_nobody_is_online_or_by_force(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&with_key("a", "one")).await.unwrap();
    let _ = refused(&*store, &with_key("b", "two")).await;
    assert_eq!(store.reset_cluster(false).await.unwrap(), Reset::Online(vec!["a".to_owned()]));
    assert_eq!(store.charter().await.unwrap(), Some(charter("one")));
    store.leave(a).await.unwrap();
    assert_eq!(store.reset_cluster(false).await.unwrap(), Reset::Done);
    assert_eq!(store.charter().await.unwrap(), None);
    store.register(&with_key("b", "two")).await.unwrap();
    assert_eq!(refused(&*store, &with_key("a", "one")).await, (a, Exclusion::Key));
    assert_eq!(store.reset_cluster(true).await.unwrap(), Reset::Done);
    store.register(&with_key("a", "one")).await.unwrap();
}

pub(crate) async fn members_register_again_after_a_reset(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&with_key("a", "one")).await.unwrap();
    store.reset_cluster(true).await.unwrap();
    assert!(store.heartbeat(a, &beat(0.0)).await.unwrap().is_none());
    store.register(&with_key("b", "two")).await.unwrap();
    assert!(store.heartbeat(a, &beat(0.0)).await.unwrap().is_none(), "its key is not the cluster's any more");
    let again = Registration { id: Some(a), ..with_key("a", "one") };
    assert_eq!(refused(&*store, &again).await, (a, Exclusion::Key));
}

pub(crate) async fn a_key_is_replaced_while_members_are_online(bed: &impl Bed) {
    let store = bed.open().await;
    let knows = |name: &str, key: &str, other: Option<(&str, bool)>| {
        let other = other.map(|(key, is_previous)| OtherKey { key_hash: key.to_owned(), is_previous });
        Registration { other_key: other, ..with_key(name, key) }
    };
    let a = store.register(&with_key("a", "old")).await.unwrap();
    let b = store.register(&with_key("b", "old")).await.unwrap();
    // The next key is made known on every node, and changes nothing.
    let known = |name: &str, node, key: &str, other| Registration { id: Some(node), ..knows(name, key, other) };
    store.register(&known("a", a, "old", Some(("new", false)))).await.unwrap();
    store.register(&known("b", b, "old", Some(("new", false)))).await.unwrap();
    assert_eq!(store.charter().await.unwrap(), Some(charter("old")));
    // It signs on the first: the cluster goes by it from now on.
    store.register(&known("a", a, "new", Some(("old", true)))).await.unwrap();
    assert_eq!(store.charter().await.unwrap(), Some(charter("new")));
    assert!(store.heartbeat(b, &beat(0.0)).await.unwrap().is_none(), "the other registers again");
    store.register(&known("b", b, "old", Some(("new", false)))).await.unwrap();
    assert!(store.heartbeat(b, &beat(0.0)).await.unwrap().is_some());
    assert_eq!(store.charter().await.unwrap(), Some(charter("new")), "and does not take it back");
    // The old one goes.
    store.register(&known("b", b, "new", None)).await.unwrap();
    assert!(store.heartbeat(b, &beat(0.0)).await.unwrap().is_some());
    assert_eq!(refused(&*store, &with_key("c", "old")).await.1, Exclusion::Key);
}

pub(crate) async fn an_id_that_is_online_at_another_place_is_refused_until_it_is_silent(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&at("a", None, "here")).await.unwrap();
    let error = store.register(&at("a", Some(id), "there")).await.unwrap_err();
    assert!(matches!(error, RegisterError::IdTaken { id: taken, .. } if taken == id), "{error}");
    bed.pass(TIMEOUT).await;
    assert_eq!(store.register(&at("a", Some(id), "there")).await.unwrap(), id);
}

pub(crate) async fn a_daemon_at_the_same_place_comes_after_the_one_before(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&at("a", None, "here")).await.unwrap();
    // Killed, so that it did not leave.
    assert_eq!(store.register(&at("a", Some(id), "here")).await.unwrap(), id);
    assert_eq!(store.register(&at("b", Some(id), "here")).await.unwrap(), id, "renamed meanwhile");
}

pub(crate) async fn whose_id_was_taken_over_must_register_and_is_refused(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&at("a", None, "here")).await.unwrap();
    bed.pass(TIMEOUT).await;
    store.register(&at("a", Some(id), "there")).await.unwrap();
    let beat = |place: &str| Beat { place: place.to_owned(), ..beat(0.0) };
    assert!(store.heartbeat(id, &beat("here")).await.unwrap().is_none());
    assert!(store.register(&at("a", Some(id), "here")).await.is_err());
    assert!(store.heartbeat(id, &beat("there")).await.unwrap().is_some());
}

pub(crate) async fn what_a_clock_is_ahead_by_is_known_until_it_is_measured_again(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    assert_eq!(node(&*store, id).await.clock_ahead, None);
    for (told, known) in [(Some(-65_001), -65_001), (None, -65_001), (Some(12), 12)] {
        let told = Beat { clock_ahead: told.map(SignedDuration::from_millis), ..beat(0.0) };
        store.heartbeat(id, &told).await.unwrap().expect("known");
        assert_eq!(node(&*store, id).await.clock_ahead, Some(SignedDuration::from_millis(known)));
    }
}
