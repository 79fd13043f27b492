//! Where sessions go.

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    balancer::{
        Fallback, builtin,
        wasm::{Engine, Limits},
    },
    domain::{NodeId, State},
    sessions::{
        NewSession, SessionError,
        fixtures::{Cluster, Fewest, new_session},
        placement::{Order, Queue},
    },
    store::{SessionFilter, Store},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_starts_at_once_from_three_nodes_are_spread_evenly() {
    let engine = Engine::new().expect("an engine");
    let selected = builtin::select("sessions", BTreeMap::new(), &engine, Limits::default()).expect("a balancer");
    // A machine under load may take longer than the deadline; counts are the same under the one that stands in.
    let other = builtin::stand_in("sessions", BTreeMap::new(), &engine).expect("a balancer");
    let cluster = Cluster::start_under(Arc::new(Fallback::new(selected, Some(other))), 3).await;
    let starts = (0..200).map(|number| {
        let sessions = cluster.daemons[number % 3].sessions.clone();
        tokio::spawn(async move { sessions.start(new_session(&format!("user{}", number % 7))).await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.expect("no panic").expect("a start");
    }
    let mut counts: BTreeMap<NodeId, usize> = BTreeMap::new();
    let all = cluster.store.sessions(&SessionFilter::default()).await.expect("the store answers");
    assert_eq!(all.len(), 200);
    for session in &all {
        *counts.entry(session.node).or_default() += 1;
    }
    let (fewest, most) = (counts.values().min().copied(), counts.values().max().copied());
    assert!(counts.len() == 3 && most <= fewest.map(|fewest| fewest + 1), "{counts:?}");
    let placements = cluster.store.placements(Some(all[0].id), None, 1).await.expect("the store answers");
    assert_eq!(placements[0].decision.balancer, "sessions");
    assert!(placements[0].decision.digest.is_some());
    for session in all {
        cluster.reaches(session.id, State::Active).await;
        assert_eq!(cluster.starts(session.id), 1);
    }
}

#[tokio::test]
async fn the_decision_is_on_record_with_its_candidates_in_order() {
    let cluster = Cluster::start(3).await;
    let first = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    let second = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    assert_eq!((first.node, second.node), (NodeId(1), NodeId(2)));
    assert_eq!(second.candidates, [NodeId(3), NodeId(1)]);
    assert_eq!((second.name.as_str(), second.state), ("JupyterLab", State::Starting));
    let placements = cluster.store.placements(Some(second.id), None, 10).await.expect("the store answers");
    let [placement] = placements.as_slice() else { panic!("{placements:?}") };
    assert_eq!(placement.decision.balancer, "fewest");
    assert_eq!(placement.decision.candidates, [NodeId(2), NodeId(3), NodeId(1)]);
    assert_eq!(placement.decision.scores, Some(vec![0.0, 0.0, -1.0]));
    assert_eq!((placement.decision.eligible, placement.decision.fallback.as_deref()), (3, None));
}

#[tokio::test]
async fn what_cannot_be_placed_is_refused_with_the_reason() {
    let cluster = Cluster::start(2).await;
    let sessions = &cluster.daemons[0].sessions;
    let vscode = NewSession { kind: "vscode".to_owned(), ..new_session("ada") };
    let error = sessions.start(vscode).await.expect_err("no node knows it").to_string();
    assert_eq!(error, "there is no kind vscode; there are: jupyterlab");
    let gpu = BTreeMap::from([("gpu".to_owned(), "yes".to_owned())]);
    let labelled = NewSession { labels: gpu, ..new_session("ada") };
    let error = sessions.start(labelled).await.expect_err("no node has it").to_string();
    assert_eq!(error, "no node can take the session: 2 nodes: 2 do not have gpu=yes");
    cluster.store.set_cordoned(NodeId(1), true).await.expect("the store answers");
    cluster.store.leave(NodeId(2)).await.expect("the store answers");
    let error = sessions.start(new_session("ada")).await.expect_err("none is left").to_string();
    assert_eq!(error, "no node can take the session: 2 nodes: 1 offline, 1 cordoned");
    cluster.store.set_cordoned(NodeId(1), false).await.expect("the store answers");
    let error = sessions.start(new_session("unwelcome")).await.expect_err("declined");
    assert!(matches!(&error, SessionError::Declined(reason) if reason == "no sessions for you"), "{error}");
    assert!(sessions.start(new_session("ada")).await.is_ok());
}

#[tokio::test]
async fn an_id_that_is_taken_is_drawn_again() {
    let cluster = Cluster::start(1).await;
    let sessions = &cluster.daemons[0].sessions;
    let first = sessions.start(new_session("ada")).await.expect("a start");
    cluster.entropy.repeat();
    let second = sessions.start(new_session("bob")).await.expect("a start");
    assert_ne!(first.id, second.id);
    let all = cluster.store.sessions(&SessionFilter::default()).await.expect("the store answers");
    assert_eq!(all.len(), 2);
}

#[tokio::test]
async fn two_orders_for_one_session_in_one_batch_start_it_once() {
    let cluster = Cluster::start(1).await;
    let sessions = &cluster.daemons[0].sessions;
    let id = sessions.start(new_session("ada")).await.expect("a start").id;
    cluster.reaches(id, State::Active).await;
    sessions.suspend(id).await.expect("it can be suspended");
    let epoch = cluster.reaches(id, State::Suspended).await.epoch;

    let policy = Arc::new(Fallback::new(Arc::new(Fewest), None));
    let (placer, mut queue) = Queue::new(cluster.store.clone(), policy, cluster.entropy.clone());
    let stop = CancellationToken::new();
    let orders = async {
        let resume = || placer.place(Order::Resume { id, epoch, may_run_twice: false }, Vec::new());
        let new = placer.place(Order::New(new_session("bob")), Vec::new());
        let (first, second, other) = tokio::join!(resume(), resume(), new);
        stop.cancel();
        assert_eq!(first.expect("a start").session.epoch, epoch.next());
        assert!(matches!(second, Err(SessionError::State { .. })), "{second:?}");
        other.expect("it is not held up");
    };
    // The orders wait together before the queue looks.
    tokio::join!(biased; orders, queue.run(&stop));
}

#[test]
fn an_unknown_kind_is_told_with_those_there_are_or_that_there_are_none() {
    let unknown = |offered: &[&str]| {
        let offered = offered.iter().map(ToString::to_string).collect();
        SessionError::UnknownKind { kind: "jupiter".to_owned(), offered }.to_string()
    };
    assert_eq!(unknown(&["echo", "jupyterlab"]), "there is no kind jupiter; there are: echo, jupyterlab");
    assert!(unknown(&[]).starts_with("there is no kind jupiter; no node offers any"));
}
