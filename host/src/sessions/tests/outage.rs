//! The store goes away and returns.

use std::time::Duration;

use crate::{
    domain::{SessionId, State},
    launcher::Exit,
    sessions::fixtures::{Cluster, eventually, new_session},
};

#[tokio::test]
async fn no_report_is_lost_while_the_store_is_away() {
    let cluster = Cluster::start(1).await;
    let daemon = &cluster.daemons[0];
    daemon.programs.slow_down();
    let starting = daemon.sessions.start(new_session("ada")).await.expect("a start");
    eventually("its program runs", async || cluster.row(starting.id).await.pid.is_some()).await;
    daemon.programs.all_ready();
    let ready = cluster.reaches(starting.id, State::Active).await;
    let slow = daemon.sessions.start(new_session("ada")).await.expect("a start");
    eventually("its program runs", async || cluster.row(slow.id).await.pid.is_some()).await;

    cluster.store.go_away();
    let refused = cluster.store.refused();
    daemon.programs.all_ready();
    daemon.programs.exit(ready.id, &Exit::Status(0));
    eventually("both reports have been refused", async || cluster.store.refused() >= refused + 4).await;
    let error = daemon.sessions.start(new_session("ada")).await.expect_err("nothing can be reserved");
    assert!(matches!(error, crate::sessions::SessionError::Store(_)), "{error}");
    cluster.store.return_();

    cluster.reaches(slow.id, State::Active).await;
    cluster.reaches(ready.id, State::Ended).await;
}

#[tokio::test]
async fn routes_stay_while_the_store_is_away_and_change_when_it_returns() {
    let cluster = Cluster::start(2).await;
    let (one, other) = (&cluster.daemons[0], &cluster.daemons[1]);
    let session = one.sessions.start(new_session("ada")).await.expect("a start");
    assert!(one.mirror.route(session.id).is_some(), "who placed it knows at once");
    let active = async |daemon: &crate::sessions::fixtures::Daemon| {
        daemon.mirror.route(session.id).is_some_and(|route| route.state == State::Active)
    };
    eventually("the owner routes it", async || active(one).await).await;
    eventually("the other node does too", async || active(other).await).await;

    cluster.store.go_away();
    let refused = cluster.store.refused();
    other.mirror.refresh(session.id).await.expect_err("the store is away");
    eventually("reads have failed", async || cluster.store.refused() > refused + 2).await;
    let route = other.mirror.route(session.id).expect("still there");
    assert_eq!((route.peer.name.as_str(), route.epoch), ("node1", session.epoch));

    let mut changes = other.mirror.subscribe();
    one.programs.exit(session.id, &Exit::Status(0));
    cluster.store.return_();
    let wait = tokio::time::timeout(Duration::from_secs(20), changes.changed());
    wait.await.expect("in time").expect("the mirror is there");
    eventually("the route is gone", async || other.mirror.route(session.id).is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_for_a_fresh_route_at_once_cost_few_reads() {
    let cluster = Cluster::start(1).await;
    let mirror = &cluster.daemons[0].mirror;
    let unknown: SessionId = "00000000".parse().expect("an id");
    mirror.refresh(unknown).await.expect("the store answers");
    let reads = cluster.store.reads();
    let answers = futures_util::future::join_all((0..500).map(|_| mirror.refresh(unknown))).await;
    assert!(answers.into_iter().all(|answer| matches!(answer, Ok(None))));
    assert!(cluster.store.reads() <= reads + 4, "{} reads", cluster.store.reads() - reads);
}
