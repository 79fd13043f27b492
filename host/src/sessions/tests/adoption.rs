//! A daemon that returns finds its programs again.

use crate::{
    domain::{Epoch, NodeId, SessionId, State},
    launcher::Exit,
    sessions::fixtures::{Cluster, eventually, new_session},
    store::Store,
};

#[tokio::test]
async fn programs_outlive_the_daemon_and_are_watched_again() {
    let mut cluster = Cluster::start(1).await;
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    cluster.restart(0, async |programs| assert_eq!(programs.alive(), [(session.id, Epoch(1))])).await;
    assert_eq!(cluster.row(session.id).await.state, State::Active);
    cluster.daemons[0].programs.exit(session.id, &Exit::Status(0));
    cluster.reaches(session.id, State::Ended).await;
    assert_eq!(cluster.starts(session.id), 1);
}

#[tokio::test]
async fn a_program_that_was_not_ready_yet_becomes_active_after_the_restart() {
    let mut cluster = Cluster::start(1).await;
    cluster.daemons[0].programs.slow_down();
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    eventually("its program runs", async || cluster.row(session.id).await.pid.is_some()).await;
    cluster.restart(0, async |programs| programs.all_ready()).await;
    cluster.reaches(session.id, State::Active).await;
    assert_eq!(cluster.starts(session.id), 1);
}

#[tokio::test]
async fn what_ended_while_the_daemon_was_away_is_reported_as_it_ended() {
    let mut cluster = Cluster::start(1).await;
    let sessions = &cluster.daemons[0].sessions;
    let well = sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(well.id, State::Active).await;
    cluster.restart(0, async |programs| programs.exit(well.id, &Exit::Status(0))).await;
    cluster.reaches(well.id, State::Ended).await;

    let gone = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(gone.id, State::Active).await;
    cluster.restart(0, async |programs| programs.lose_all()).await;
    let failure = cluster.reaches(gone.id, State::Failed).await.failure.unwrap_or_default();
    assert!(failure.starts_with("its program was gone when the daemon returned; the last lines"), "{failure}");
}

#[tokio::test]
async fn a_claimed_start_whose_program_is_gone_is_tried_elsewhere() {
    let mut cluster = Cluster::start(2).await;
    cluster.daemons[0].programs.slow_down();
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    eventually("its program runs", async || cluster.row(session.id).await.pid.is_some()).await;
    cluster.restart(0, async |programs| programs.lose_all()).await;
    let active = cluster.reaches(session.id, State::Active).await;
    assert_eq!((active.node, active.epoch), (NodeId(2), Epoch(2)));
}

#[tokio::test]
async fn what_was_wanted_while_the_daemon_was_away_is_done() {
    let mut cluster = Cluster::start(2).await;
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    let store = cluster.store.clone();
    let wanted = async |_: &_| drop(store.want(session.id, crate::domain::Wanted::Ended).await);
    cluster.restart(0, wanted).await;
    cluster.reaches(session.id, State::Ended).await;
    assert!(cluster.daemons[0].programs.alive().is_empty());
}

#[tokio::test]
async fn programs_that_were_superseded_or_that_nobody_knows_are_stopped() {
    let mut cluster = Cluster::start(1).await;
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    cluster.daemons[0].sessions.suspend(session.id).await.expect("a suspension");
    cluster.reaches(session.id, State::Suspended).await;
    cluster.daemons[0].sessions.resume(session.id).await.expect("a resumption");
    cluster.reaches(session.id, State::Active).await;
    let unknown: SessionId = "00000000".parse().expect("an id");
    let strays = async |programs: &crate::sessions::fixtures::Programs| {
        programs.insert(session.id, Epoch(1));
        programs.insert(unknown, Epoch(1));
    };
    cluster.restart(0, strays).await;
    let programs = cluster.daemons[0].programs.clone();
    eventually("only the present start runs", async || programs.alive() == [(session.id, Epoch(2))]).await;
    assert_eq!(cluster.row(session.id).await.state, State::Active);
}

#[tokio::test]
async fn a_session_thought_lost_is_active_again_when_its_node_returns() {
    let mut cluster = Cluster::start(1).await;
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    let store = cluster.store.clone();
    let lost = async |_: &_| {
        store.leave(NodeId(1)).await.expect("the store answers");
        let deleted = store.delete_node(NodeId(1)).await.expect("the store answers");
        assert_eq!(deleted, crate::store::NodeDeletion::Deleted(vec![session.id]));
        let again = crate::sessions::fixtures::registration("node1", "jupyterlab");
        let id = store.register(&crate::store::Registration { id: Some(NodeId(1)), ..again }).await;
        assert_eq!(id.expect("a registration"), NodeId(1));
        let row = store.session(session.id).await.expect("the store answers");
        assert_eq!(row.map(|row| row.state), Some(State::Lost));
    };
    cluster.restart(0, lost).await;
    cluster.reaches(session.id, State::Active).await;
    assert_eq!(cluster.starts(session.id), 1);
}
