//! A session from its start to its end.

use crate::{
    domain::{Epoch, NodeId, State, Wanted},
    launcher::{Exit, Launcher},
    sessions::{
        SessionError,
        fixtures::{Cluster, KIND, START_LIMIT, eventually, new_session, registration},
    },
    store::Store,
};

#[tokio::test]
async fn a_session_on_another_node_starts_by_a_nudge_without_any_heartbeat() {
    let cluster = Cluster::start(2).await;
    let here = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    let there = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    assert_eq!((here.node, there.node), (NodeId(1), NodeId(2)));
    assert!(cluster.reaches(here.id, State::Active).await.pid.is_some());
    assert!(cluster.reaches(there.id, State::Active).await.pid.is_some());
}

#[tokio::test]
async fn a_session_starts_by_the_heartbeat_where_the_nudge_is_lost() {
    let cluster = Cluster::start(2).await;
    cluster.network.cut();
    let sessions = &cluster.daemons[0].sessions;
    sessions.start(new_session("ada")).await.expect("a start");
    let there = sessions.start(new_session("ada")).await.expect("a start");
    cluster.daemons[1].heartbeat(cluster.store.as_ref()).await;
    cluster.reaches(there.id, State::Active).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nudges_and_heartbeats_at_once_start_one_program() {
    let cluster = Cluster::start(1).await;
    let daemon = &cluster.daemons[0];
    for _ in 0..20 {
        let session = daemon.sessions.start(new_session("ada")).await.expect("a start");
        let nudges = (0..4).map(|_| daemon.sessions.nudged(session.id));
        let (_, nudges) =
            tokio::join!(daemon.heartbeat(cluster.store.as_ref()), futures_util::future::join_all(nudges));
        nudges.into_iter().for_each(|nudged| nudged.expect("a nudge"));
        cluster.reaches(session.id, State::Active).await;
        assert_eq!(daemon.programs.starts().iter().filter(|start| start.0 == session.id).count(), 1);
    }
}

#[tokio::test]
async fn what_is_ended_from_any_node_is_stopped_and_over() {
    let cluster = Cluster::start(2).await;
    for (asker, node) in [(0, 0), (1, 1), (1, 0), (0, 1)] {
        let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
        assert_eq!(session.node, cluster.daemons[node].node);
        cluster.reaches(session.id, State::Active).await;
        let before = cluster.daemons[asker].sessions.end(session.id).await.expect("an end");
        assert_eq!((before.state, before.wanted), (State::Active, Some(Wanted::Ended)));
        cluster.reaches(session.id, State::Ended).await;
        assert!(cluster.daemons[node].programs.alive().iter().all(|(id, _)| *id != session.id));
        // Keeps the next session off this node.
        cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    }
}

#[tokio::test]
async fn a_session_that_is_still_starting_can_be_ended_and_is_not_started_elsewhere() {
    let cluster = Cluster::start(2).await;
    let daemon = &cluster.daemons[0];
    daemon.programs.slow_down();
    let session = daemon.sessions.start(new_session("ada")).await.expect("a start");
    eventually("its program runs", async || cluster.row(session.id).await.pid.is_some()).await;
    daemon.sessions.end(session.id).await.expect("an end");
    cluster.reaches(session.id, State::Ended).await;
    assert_eq!(cluster.starts(session.id), 1);
    assert!(daemon.programs.alive().is_empty());
}

#[tokio::test]
async fn a_suspended_session_is_resumed_under_the_next_epoch() {
    let cluster = Cluster::start(1).await;
    let sessions = &cluster.daemons[0].sessions;
    let session = sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    let error = sessions.resume(session.id, false).await.expect_err("it runs");
    assert!(matches!(error, SessionError::State { state: State::Active, .. }), "{error}");
    sessions.suspend(session.id).await.expect("a suspension");
    cluster.reaches(session.id, State::Suspended).await;
    assert!(cluster.daemons[0].programs.alive().is_empty());
    let resumed = sessions.resume(session.id, false).await.expect("a resumption");
    assert_eq!((resumed.epoch, resumed.created), (Epoch(2), session.created));
    cluster.reaches(session.id, State::Active).await;
    assert_eq!(cluster.daemons[0].programs.alive(), [(session.id, Epoch(2))]);
    sessions.end(session.id).await.expect("an end");
    cluster.reaches(session.id, State::Ended).await;
    let error = sessions.suspend(session.id).await.expect_err("it is over");
    assert!(error.to_string().ends_with("is ended: start a new session instead"), "{error}");
}

#[tokio::test]
async fn a_program_that_ends_by_itself_is_ended_or_failed_by_its_status() {
    let cluster = Cluster::start(1).await;
    let daemon = &cluster.daemons[0];
    let well = daemon.sessions.start(new_session("ada")).await.expect("a start");
    let ill = daemon.sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(well.id, State::Active).await;
    cluster.reaches(ill.id, State::Active).await;
    daemon.programs.exit(well.id, &Exit::Status(0));
    daemon.programs.exit(ill.id, &Exit::Signal(9));
    assert_eq!(cluster.reaches(well.id, State::Ended).await.failure, None);
    assert_eq!(
        cluster.reaches(ill.id, State::Failed).await.failure.as_deref(),
        Some("the program ended: killed by SIGKILL; the last lines of its log:\nstarting\nserving\nno memory")
    );
}

#[tokio::test]
async fn a_session_of_an_offline_node_is_ended_when_that_returns_and_the_asker_is_told() {
    let cluster = Cluster::start(2).await;
    let sessions = &cluster.daemons[0].sessions;
    sessions.start(new_session("ada")).await.expect("a start");
    let there = sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(there.id, State::Active).await;
    cluster.network.cut();
    cluster.store.leave(NodeId(2)).await.expect("the store answers");
    let error = sessions.end(there.id).await.expect_err("its node is offline").to_string();
    assert!(error.contains("its node is offline"), "{error}");
    assert_eq!(cluster.row(there.id).await.wanted, Some(Wanted::Ended));
    let again = registration("node2", KIND);
    cluster.store.register(&again).await.expect("a registration");
    cluster.daemons[1].heartbeat(cluster.store.as_ref()).await;
    cluster.reaches(there.id, State::Ended).await;
}

#[tokio::test]
async fn the_log_comes_from_the_node_that_has_it() {
    let cluster = Cluster::start(2).await;
    let sessions = &cluster.daemons[0].sessions;
    for _ in 0..2 {
        let session = sessions.start(new_session("ada")).await.expect("a start");
        assert_eq!(sessions.log(session.id, 2).await.expect("a log"), "starting\nserving\n");
    }
    cluster.network.cut();
    let there = sessions.list(&Default::default()).await.expect("a list").remove(0);
    let error = sessions.log(there.id, 2).await.expect_err("cut off").to_string();
    assert_eq!(error, "node 2: node2:8787 does not answer: connection refused");
}

#[tokio::test]
async fn starts_at_once_are_bounded_and_all_have_their_turn() {
    let cluster = Cluster::start(1).await;
    let daemon = &cluster.daemons[0];
    let most = START_LIMIT;
    daemon.programs.slow_down();
    for _ in 0..most + 3 {
        daemon.sessions.start(new_session("ada")).await.expect("a start");
    }
    eventually("as many run as may start at once", async || daemon.programs.alive().len() >= most).await;
    daemon.heartbeat(cluster.store.as_ref()).await;
    assert_eq!(daemon.programs.starts().len(), most);
    eventually("all are active", async || {
        daemon.programs.all_ready();
        let all = daemon.sessions.list(&Default::default()).await.expect("a list");
        all.iter().all(|session| session.state == State::Active)
    })
    .await;
    assert_eq!(daemon.programs.starts().len(), most + 3);
}

#[tokio::test]
async fn what_is_suspended_by_its_programs_own_end_keeps_its_log() {
    let cluster = Cluster::start(1).await;
    let daemon = &cluster.daemons[0];
    let session = daemon.sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    let traffic = daemon.sessions.owner.traffic.clone();
    eventually("it is watched", async || traffic.meter(session.id).is_some()).await;
    // Another node wrote the wish, and the nudge has not come when the program ends.
    cluster.store.want(session.id, Wanted::Suspended, None).await.expect("the store answers");
    daemon.programs.exit(session.id, &Exit::Status(0));
    cluster.reaches(session.id, State::Suspended).await;
    eventually("its end is dealt with", async || traffic.meter(session.id).is_none()).await;
    assert_eq!(daemon.programs.kept().await.expect("a list"), [session.id]);

    daemon.sessions.end(session.id).await.expect("an end");
    eventually("it is forgotten", async || daemon.programs.kept().await.expect("a list").is_empty()).await;
}
