//! Nodes come, beat, go and are removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Bed, TIMEOUT, active, beat, node, read, reading, registration, revision, starting};
use crate::{
    domain::{NodeId, NodeStatus, State},
    store::{NodeDeletion, RegisterError, Registration},
};

pub(crate) async fn a_node_that_registers_again_keeps_its_id(bed: &impl Bed) {
    let store = bed.open().await;
    let first = store.register(&registration("a")).await.unwrap();
    let before = revision(&*store).await;
    let again = Registration { id: Some(first), address: "a:9000".to_owned(), ..registration("a") };
    assert_eq!(store.register(&again).await.unwrap(), first);
    assert_eq!(node(&*store, first).await.address, "a:9000");
    assert_eq!(store.nodes().await.unwrap().len(), 1);
    assert_eq!(revision(&*store).await, before + 1);
}

pub(crate) async fn a_node_keeps_its_id_under_a_new_name(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    store.leave(id).await.unwrap();
    let renamed = Registration { id: Some(id), ..registration("b") };
    assert_eq!(store.register(&renamed).await.unwrap(), id);
    assert_eq!(node(&*store, id).await.name, "b");
}

pub(crate) async fn a_new_node_takes_up_the_row_of_an_offline_one_of_its_name(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    bed.pass(TIMEOUT).await;
    assert_eq!(store.register(&registration("a")).await.unwrap(), id);
    assert_eq!(node(&*store, id).await.status, NodeStatus::Online);
}

pub(crate) async fn a_name_is_refused_while_a_node_is_online_under_it(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    let before = revision(&*store).await;
    let error = store.register(&registration("a")).await.unwrap_err();
    assert!(matches!(&error, RegisterError::NameTaken { id: holder, .. } if *holder == id), "{error}");
    assert!(error.to_string().contains("a:8787"), "{error}");
    assert_eq!(revision(&*store).await, before);
}

pub(crate) async fn the_name_of_another_offline_node_is_refused_to_a_node_with_an_id(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    store.leave(a).await.unwrap();
    store.leave(b).await.unwrap();
    let error = store.register(&Registration { id: Some(a), ..registration("b") }).await.unwrap_err();
    assert!(matches!(error, RegisterError::NameHeld { id, .. } if id == b), "{error}");
}

pub(crate) async fn a_copied_data_directory_is_refused_while_its_node_is_online(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let copy = Registration { id: Some(a), ..registration("b") };
    let error = store.register(&copy).await.unwrap_err();
    assert!(matches!(error, RegisterError::IdTaken { id, .. } if id == a), "{error}");
    assert_eq!(node(&*store, a).await.name, "a");
}

pub(crate) async fn an_id_that_this_store_never_gave_is_not_taken_up(bed: &impl Bed) {
    let store = bed.open().await;
    let first = store.register(&registration("a")).await.unwrap();
    for (name, id) in [("b", i64::MAX), ("c", first.0 + 1000), ("d", 0), ("e", -1)] {
        let strange = Registration { id: Some(NodeId(id)), ..registration(name) };
        assert_ne!(store.register(&strange).await.unwrap(), NodeId(id));
    }
}

pub(crate) async fn a_node_reads_back_as_it_registered(bed: &impl Bed) {
    let store = bed.open().await;
    let full = Registration {
        ip: Some("2001:db8::7".parse().unwrap()),
        balancer_digest: Some("ff00".to_owned()),
        certificate: Some("00ff".to_owned()),
        capacity: Some(7),
        promise_cpus: Some(6.5),
        promise_memory: Some(9 << 30),
        labels: BTreeMap::from([("gpu".to_owned(), "a \"big\" one; ünïcode".to_owned())]),
        kinds: vec!["jupyterlab".to_owned(), "echo".to_owned()],
        metrics: BTreeMap::from([("free{kind=\"a\\\\b\"}".to_owned(), 0.1)]),
        ..registration("a")
    };
    let id = store.register(&full).await.unwrap();
    let read = node(&*store, id).await;
    assert_eq!(read.name, full.name);
    assert_eq!(read.ip, full.ip);
    assert_eq!(read.version, full.version);
    assert_eq!(read.balancer_digest, full.balancer_digest);
    assert_eq!(read.certificate, full.certificate);
    assert_eq!((read.cores, read.memory_total, read.weight), (4, 8 << 30, 100));
    assert_eq!(read.capacity, Some(7));
    assert_eq!((read.promise_cpus, read.promise_memory), (Some(6.5), Some(9 << 30)));
    assert_eq!(read.labels, full.labels);
    assert_eq!(read.kinds, BTreeSet::from(["echo".to_owned(), "jupyterlab".to_owned()]));
    assert_eq!(read.reading, full.reading);
    assert_eq!(read.metrics, full.metrics);
    assert!(!read.cordoned);
    assert_eq!(read.status, NodeStatus::Online);
}

pub(crate) async fn a_balancer_that_is_replaced_is_known_and_leaves_the_revision(bed: &impl Bed) {
    let store = bed.open().await;
    let [id, other] = [registration("a"), registration("b")].map(async |one| store.register(&one).await.unwrap());
    let (id, other) = (id.await, other.await);
    let before = revision(&*store).await;
    for digest in [Some("ff00"), None, Some("00ff")] {
        store.set_balancer_digest(id, digest).await.unwrap();
        assert_eq!(node(&*store, id).await.balancer_digest.as_deref(), digest);
    }
    assert_eq!(node(&*store, other).await.balancer_digest, None);
    assert_eq!(revision(&*store).await, before);
}

pub(crate) async fn a_certificate_that_is_replaced_is_known_and_leads_to_its_sessions(bed: &impl Bed) {
    let store = bed.open().await;
    let [id, other] = [registration("a"), registration("b")].map(async |one| store.register(&one).await.unwrap());
    let (id, other) = (id.await, other.await);
    starting(&*store, id).await;
    let before = revision(&*store).await;
    for certificate in ["00ff", "00ff ff00", "ff00"] {
        store.set_certificate(id, certificate).await.unwrap();
        assert_eq!(node(&*store, id).await.certificate.as_deref(), Some(certificate));
        let routes = store.routes().await.unwrap();
        assert_eq!(routes[0].peer, node(&*store, id).await.peer());
    }
    assert_eq!(node(&*store, other).await.certificate, None);
    assert_eq!(revision(&*store).await, before);
    store.register(&Registration { id: Some(id), ..registration("a") }).await.unwrap();
    assert_eq!(node(&*store, id).await.certificate, None, "it takes no TLS any more");
}

pub(crate) async fn numbers_that_are_published_are_known_and_leave_the_revision(bed: &impl Bed) {
    let store = bed.open().await;
    let [id, other] = [registration("a"), registration("b")].map(async |one| store.register(&one).await.unwrap());
    let (id, other) = (id.await, other.await);
    let before = revision(&*store).await;
    let numbers = [("free".to_owned(), 1e300), ("größe".to_owned(), -2.5)];
    for metrics in [BTreeMap::from(numbers), BTreeMap::from([("free".to_owned(), 0.0)])] {
        store.set_metrics(id, &metrics).await.unwrap();
        store.heartbeat(id, &beat(1.0)).await.unwrap().expect("known");
        assert_eq!(node(&*store, id).await.metrics, metrics);
    }
    assert_eq!(node(&*store, other).await.metrics, BTreeMap::new());
    assert_eq!(revision(&*store).await, before);
    let not_a_number = BTreeMap::from([("free".to_owned(), f64::NAN)]);
    assert!(store.set_metrics(id, &not_a_number).await.is_err());
    // A node that starts anew publishes what it then has.
    store.register(&Registration { id: Some(id), ..registration("a") }).await.unwrap();
    assert_eq!(node(&*store, id).await.metrics, BTreeMap::new());
}

pub(crate) async fn kinds_that_are_found_later_are_offered_and_raise_the_revision(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    let before = revision(&*store).await;
    let versions = BTreeMap::from([("echo".to_owned(), "1.0".to_owned())]);
    store.set_kinds(id, &["echo".to_owned()], &versions).await.unwrap();
    assert_eq!((node(&*store, id).await.kind_versions, revision(&*store).await), (versions.clone(), before));
    store.set_kinds(id, &["echo".to_owned(), "job".to_owned()], &versions).await.unwrap();
    let kinds: Vec<_> = node(&*store, id).await.kinds.into_iter().collect();
    assert_eq!((kinds, revision(&*store).await), (vec!["echo".to_owned(), "job".to_owned()], before + 1));
    // What it offers is what it said last, and versions are told anew.
    store.register(&Registration { id: Some(id), ..registration("a") }).await.unwrap();
    let again = node(&*store, id).await;
    assert_eq!((again.kinds.len(), again.kind_versions), (1, BTreeMap::new()));
}

pub(crate) async fn a_heartbeat_brings_the_reading_and_leaves_the_revision(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    let session = starting(&*store, id).await;
    let (before, seen) = (revision(&*store).await, node(&*store, id).await.last_seen);
    let beat = store.heartbeat(id, &beat(2.0)).await.unwrap().expect("known");
    assert_eq!(beat.pending, [session]);
    assert!(beat.now >= seen);
    assert_eq!(node(&*store, id).await.reading, reading(2.0));
    assert_eq!(node(&*store, id).await.last_seen, beat.now);
    assert_eq!(revision(&*store).await, before);
}

pub(crate) async fn a_heartbeat_of_an_offline_node_raises_the_revision(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    bed.pass(TIMEOUT).await;
    assert_eq!(node(&*store, id).await.status, NodeStatus::Offline);
    let before = revision(&*store).await;
    store.heartbeat(id, &beat(0.0)).await.unwrap().expect("known");
    assert_eq!(node(&*store, id).await.status, NodeStatus::Online);
    assert_eq!(revision(&*store).await, before + 1);
}

pub(crate) async fn a_heartbeat_of_a_removed_node_asks_for_registration_which_gives_the_id_back(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    store.leave(id).await.unwrap();
    assert_eq!(store.delete_node(id).await.unwrap(), NodeDeletion::Deleted(vec![]));
    assert!(store.heartbeat(id, &beat(0.0)).await.unwrap().is_none());
    let other = store.register(&registration("b")).await.unwrap();
    assert_ne!(other, id);
    let again = Registration { id: Some(id), ..registration("a") };
    assert_eq!(store.register(&again).await.unwrap(), id);
}

pub(crate) async fn a_node_that_left_is_offline_at_once_and_must_register(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    let before = revision(&*store).await;
    store.leave(id).await.unwrap();
    assert_eq!(node(&*store, id).await.status, NodeStatus::Offline);
    assert_eq!(revision(&*store).await, before + 1);
    assert!(store.heartbeat(id, &beat(0.0)).await.unwrap().is_none());
    assert_eq!(node(&*store, id).await.status, NodeStatus::Offline);
    store.register(&Registration { id: Some(id), ..registration("a") }).await.unwrap();
    assert_eq!(node(&*store, id).await.status, NodeStatus::Online);
}

pub(crate) async fn a_node_that_is_silent_for_the_time_out_is_offline(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    bed.pass(TIMEOUT / 2).await;
    assert_eq!(node(&*store, id).await.status, NodeStatus::Online);
    bed.pass(TIMEOUT / 2).await;
    assert_eq!(node(&*store, id).await.status, NodeStatus::Offline);
    assert_eq!(store.snapshot().await.unwrap().nodes[0].status, NodeStatus::Offline);
}

pub(crate) async fn a_cordon_survives_registration(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    let before = revision(&*store).await;
    assert!(store.set_cordoned(id, true).await.unwrap());
    assert_eq!(revision(&*store).await, before + 1);
    store.register(&Registration { id: Some(id), ..registration("a") }).await.unwrap();
    assert!(node(&*store, id).await.cordoned);
    assert!(store.set_cordoned(id, false).await.unwrap());
    assert!(!node(&*store, id).await.cordoned);
    assert!(!store.set_cordoned(NodeId(id.0 + 1), true).await.unwrap());
}

pub(crate) async fn a_reading_that_is_no_number_is_refused(bed: &impl Bed) {
    let store = bed.open().await;
    let id = store.register(&registration("a")).await.unwrap();
    for load in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(store.heartbeat(id, &beat(load)).await.is_err(), "{load}");
    }
    assert_eq!(node(&*store, id).await.reading, registration("a").reading);
}

pub(crate) async fn removing_a_node_needs_it_offline_and_loses_its_sessions(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let (on_a, on_b) = (active(&*store, a).await, active(&*store, b).await);
    assert_eq!(store.delete_node(a).await.unwrap(), NodeDeletion::Online);
    bed.pass(TIMEOUT + Duration::from_secs(1)).await;
    store.heartbeat(b, &beat(0.0)).await.unwrap().expect("known");
    let before = revision(&*store).await;
    assert_eq!(store.delete_node(a).await.unwrap(), NodeDeletion::Deleted(vec![on_a.id]));
    assert_eq!(revision(&*store).await, before + 1);
    assert_eq!(store.delete_node(a).await.unwrap(), NodeDeletion::Missing);
    let lost = read(&*store, on_a.id).await;
    assert_eq!(lost.state, State::Lost);
    assert!(lost.failure.expect("says why").contains("node a"));
    assert_eq!(read(&*store, on_b.id).await.state, State::Active);
    assert_eq!(store.nodes().await.unwrap().len(), 1);
}
