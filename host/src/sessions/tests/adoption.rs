//! A daemon that returns finds its programs again.

use crate::{
    domain::{Epoch, NodeId, SessionId, State, Wanted},
    launcher::{Exit, Launcher},
    sessions::fixtures::{Cluster, Programs, eventually, new_session},
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
async fn what_ended_with_the_machine_is_told_so_and_what_is_gone_later_is_not() {
    let mut cluster = Cluster::start(1).await;
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    cluster.restart(0, async |programs| programs.restart_machine()).await;
    let failure = cluster.reaches(session.id, State::Failed).await.failure.unwrap_or_default();
    assert!(failure.starts_with("its node was restarted, and the program ended with it"), "{failure}");

    let later = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(later.id, State::Active).await;
    cluster.restart(0, async |programs| programs.lose_all()).await;
    let failure = cluster.reaches(later.id, State::Failed).await.failure.unwrap_or_default();
    assert!(failure.starts_with("its program was gone when the daemon returned"), "{failure}");
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
async fn a_start_that_the_daemon_did_not_survive_is_made_again() {
    let mut cluster = Cluster::start(1).await;
    cluster.daemons[0].programs.hang(true);
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    eventually("it is claimed", async || cluster.row(session.id).await.claimed).await;
    cluster.restart(0, async |programs| programs.hang(false)).await;
    let active = cluster.reaches(session.id, State::Active).await;
    assert_eq!((active.epoch, active.failed_nodes), (Epoch(2), vec![NodeId(1)]));
}

#[tokio::test]
async fn a_start_that_stops_the_daemon_again_and_again_fails() {
    let mut cluster = Cluster::start(1).await;
    cluster.daemons[0].programs.hang(true);
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    for epoch in [Epoch(1), Epoch(2)] {
        let claimed = async || {
            let row = cluster.row(session.id).await;
            row.claimed && row.epoch == epoch
        };
        eventually("it is claimed", claimed).await;
        cluster.restart(0, async |_| {}).await;
    }
    cluster.reaches(session.id, State::Failed).await;
    let placements = cluster.store.placements(Some(session.id), None, 10).await.expect("the store answers");
    assert_eq!(placements[0].attempts.len(), 2);
}

#[tokio::test]
async fn what_was_wanted_while_the_daemon_was_away_is_done() {
    let mut cluster = Cluster::start(2).await;
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    let store = cluster.store.clone();
    let wanted = async |_: &_| drop(store.want(session.id, Wanted::Ended, None).await);
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
    cluster.daemons[0].sessions.resume(session.id, false).await.expect("a resumption");
    cluster.reaches(session.id, State::Active).await;
    let unknown: SessionId = "00000000".parse().expect("an id");
    let strays = async |programs: &Programs| {
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
    cluster.lose(0, &[session.id]).await;
    cluster.restart(0, async |_| {}).await;
    cluster.reaches(session.id, State::Active).await;
    assert_eq!(cluster.starts(session.id), 1);
}

#[tokio::test]
async fn a_session_thought_lost_is_taken_back_by_a_daemon_that_was_there_all_the_time() {
    let cluster = Cluster::start(1).await;
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    cluster.lose(0, &[session.id]).await;
    cluster.daemons[0].sessions.owner.reconcile().await.expect("the store answers");
    cluster.reaches(session.id, State::Active).await;
    cluster.daemons[0].programs.exit(session.id, &Exit::Status(0));
    cluster.reaches(session.id, State::Ended).await;
    assert_eq!(cluster.starts(session.id), 1);
}

#[tokio::test]
async fn what_was_active_before_it_was_thought_lost_is_so_again_however_busy_its_program_is() {
    let mut cluster = Cluster::start(2).await;
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    cluster.daemons[0].programs.grow_busy();
    cluster.lose(0, &[session.id]).await;
    cluster.daemons[0].sessions.owner.reconcile().await.expect("the store answers");
    cluster.reaches(session.id, State::Active).await;

    cluster.lose(0, &[session.id]).await;
    cluster.restart(0, async |_| {}).await;
    let active = cluster.reaches(session.id, State::Active).await;
    assert_eq!((active.node, active.epoch), (NodeId(1), Epoch(1)));
    assert_eq!(cluster.daemons[0].programs.alive(), [(session.id, Epoch(1))]);
    cluster.daemons[0].programs.exit(session.id, &Exit::Status(0));
    cluster.reaches(session.id, State::Ended).await;
}

#[tokio::test]
async fn what_was_thought_lost_while_it_started_is_active_once_it_answers() {
    let mut cluster = Cluster::start(1).await;
    cluster.daemons[0].programs.slow_down();
    let sessions = cluster.daemons[0].sessions.clone();
    let kept = sessions.start(new_session("ada")).await.expect("a start");
    eventually("its program runs", async || cluster.row(kept.id).await.pid.is_some()).await;
    cluster.lose(0, &[kept.id]).await;
    sessions.owner.reconcile().await.expect("the store answers");
    cluster.reaches(kept.id, State::Starting).await;
    cluster.lose(0, &[kept.id]).await;
    cluster.restart(0, async |_| {}).await;
    cluster.reaches(kept.id, State::Starting).await;
    cluster.daemons[0].programs.all_ready();
    cluster.reaches(kept.id, State::Active).await;
    assert_eq!(cluster.starts(kept.id), 1);
}

#[tokio::test]
async fn what_ended_while_its_node_was_thought_lost_is_accounted_for_when_that_returns() {
    let mut cluster = Cluster::start(1).await;
    let sessions = cluster.daemons[0].sessions.clone();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let session = sessions.start(new_session("ada")).await.expect("a start");
        cluster.reaches(session.id, State::Active).await;
        ids.push(session.id);
    }
    let [well, gone] = ids[..] else { panic!("two sessions") };
    let meanwhile = cluster.losing(0, &ids);
    let meanwhile = async |programs: &Programs| {
        meanwhile.await;
        programs.forget_running(gone);
        programs.exit(well, &Exit::Status(0));
    };
    cluster.restart(0, meanwhile).await;
    cluster.reaches(well, State::Ended).await;
    let failure = cluster.reaches(gone, State::Failed).await.failure.unwrap_or_default();
    assert!(failure.starts_with("its program was gone when the daemon returned"), "{failure}");
}

#[tokio::test]
async fn what_is_kept_of_a_session_goes_when_it_is_resumed_elsewhere_and_stays_while_it_waits() {
    let cluster = Cluster::start(2).await;
    let (old, new) = (&cluster.daemons[0], &cluster.daemons[1]);
    let session = old.sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    old.sessions.suspend(session.id).await.expect("a suspension");
    cluster.reaches(session.id, State::Suspended).await;
    old.sessions.owner.reconcile().await.expect("the store answers");
    assert_eq!(old.programs.kept().await.expect("a list"), [session.id], "its log can be read");
    cluster.store.set_cordoned(old.node, true).await.expect("the store answers");
    old.sessions.resume(session.id, false).await.expect("a resumption");
    assert_eq!(cluster.reaches(session.id, State::Active).await.node, new.node);
    old.sessions.owner.reconcile().await.expect("the store answers");
    assert_eq!(old.programs.kept().await.expect("a list"), []);
    assert_eq!(new.programs.kept().await.expect("a list"), [session.id]);
}

#[tokio::test]
async fn a_lost_session_is_resumed_elsewhere_and_the_old_program_is_stopped() {
    let cluster = Cluster::start(2).await;
    let (old, new) = (&cluster.daemons[0], &cluster.daemons[1]);
    let session = old.sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    cluster.lose(0, &[session.id]).await;
    cluster.store.set_cordoned(old.node, true).await.expect("the store answers");
    let refused = new.sessions.resume(session.id, false).await.expect_err("it may run twice");
    assert!(refused.to_string().contains("the program still runs there"), "{refused}");
    let resumed = new.sessions.resume(session.id, true).await.expect("a resumption");
    assert_eq!((resumed.node, resumed.epoch), (new.node, Epoch(2)));
    cluster.reaches(session.id, State::Active).await;
    assert_eq!(old.programs.alive(), [(session.id, Epoch(1))]);
    old.sessions.owner.reconcile().await.expect("the store answers");
    eventually("the old program is stopped", async || old.programs.alive().is_empty()).await;
    let row = cluster.row(session.id).await;
    assert_eq!((row.state, row.node, row.epoch), (State::Active, new.node, Epoch(2)));
}
