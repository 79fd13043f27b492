//! Sessions that nobody uses.

use std::{collections::BTreeSet, time::Duration};

use jiff::SignedDuration;

use crate::{
    domain::{Clock, Epoch, IdleRules, Session, State, Wanted},
    launcher::Activity,
    sessions::fixtures::{Cluster, KIND, Programs, eventually, new_session},
    store::{Report, Store, story::active},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Suspends after 10 minutes, though the kind loses what is in its memory.
fn rules() -> IdleRules {
    IdleRules { suspend_after: Some(10 * MINUTE), suspend_anyway: BTreeSet::from([KIND.to_owned()]), end_after: None }
}

/// A session that is active and whose use is metered.
async fn session(cluster: &Cluster) -> Session {
    let session = cluster.daemons[0].sessions.start(new_session("ada")).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    let traffic = cluster.daemons[0].sessions.owner.traffic.clone();
    eventually("it is metered", async || traffic.meter(session.id).is_some()).await;
    cluster.daemons[0].programs.says(Some(Activity::default()));
    session
}

/// So many minutes pass, and the daemon looks.
async fn pass(cluster: &Cluster, minutes: i64) {
    cluster.clock.advance(SignedDuration::from_mins(minutes));
    cluster.daemons[0].sessions.owner.look_for_idle().await;
}

/// What is wanted of the session or became of it.
async fn fate(cluster: &Cluster, session: &Session) -> (Option<Wanted>, State) {
    let row = cluster.row(session.id).await;
    (row.wanted, row.state)
}

const KEPT: (Option<Wanted>, State) = (None, State::Active);

#[tokio::test]
async fn a_session_that_nobody_uses_is_suspended_by_its_kinds_way_and_can_be_resumed() {
    let cluster = Cluster::start_with(rules()).await;
    let session = session(&cluster).await;
    pass(&cluster, 9).await;
    assert_eq!(fate(&cluster, &session).await, KEPT);
    assert_eq!(cluster.daemons[0].programs.questions(), 0, "what is not idle by its traffic is not asked");
    pass(&cluster, 1).await;
    let suspended = cluster.reaches(session.id, State::Suspended).await;
    assert_eq!(suspended.note.as_deref(), Some("suspended after 10 minutes without use"));
    assert_eq!(cluster.daemons[0].programs.suspensions(), [(session.id, Epoch::FIRST)]);
    assert!(cluster.daemons[0].programs.alive().is_empty());

    cluster.daemons[0].sessions.resume(session.id, false).await.expect("a resumption");
    let resumed = cluster.reaches(session.id, State::Active).await;
    assert_eq!((resumed.epoch, resumed.note), (Epoch(2), None));
    pass(&cluster, 9).await;
    assert_eq!(fate(&cluster, &session).await, KEPT, "its resumption is use");
}

#[tokio::test]
async fn what_loses_its_work_is_kept_unless_the_administrator_says_otherwise() {
    let cluster = Cluster::start_with(IdleRules { suspend_anyway: BTreeSet::new(), ..rules() }).await;
    let session = session(&cluster).await;
    pass(&cluster, 100_000).await;
    assert_eq!(fate(&cluster, &session).await, KEPT);
    assert_eq!(cluster.daemons[0].programs.questions(), 0);
}

#[tokio::test]
async fn use_is_seen_by_traffic_and_starts_the_time_anew() {
    let cluster = Cluster::start_with(rules()).await;
    let session = session(&cluster).await;
    let meter = cluster.daemons[0].sessions.owner.traffic.meter(session.id).expect("a meter");
    cluster.clock.advance(SignedDuration::from_mins(9));
    meter.message(3);
    pass(&cluster, 9).await;
    assert_eq!(fate(&cluster, &session).await, KEPT);
    assert!(cluster.row(session.id).await.last_activity.is_some());
    drop(meter.request("GET", "api/kernels"));
    pass(&cluster, 1).await;
    cluster.reaches(session.id, State::Suspended).await;
}

#[tokio::test]
async fn a_use_while_the_store_is_asked_is_seen() {
    let cluster = Cluster::start_with(rules()).await;
    let session = session(&cluster).await;
    let meter = cluster.daemons[0].sessions.owner.traffic.meter(session.id).expect("a meter");
    cluster.store.meanwhile(move || meter.message(1));
    pass(&cluster, 10).await;
    assert_eq!(fate(&cluster, &session).await, KEPT);
    pass(&cluster, 10).await;
    cluster.reaches(session.id, State::Suspended).await;
}

#[tokio::test]
async fn what_is_busy_is_not_idle_and_is_once_it_has_been_so_for_long_enough() {
    let cluster = Cluster::start_with(rules()).await;
    let session = session(&cluster).await;
    let programs = &cluster.daemons[0].programs;
    programs.says(Some(Activity { busy: Some("a kernel is busy".to_owned()), ..Activity::default() }));
    for _ in 0..5 {
        pass(&cluster, 10).await;
        assert_eq!(fate(&cluster, &session).await, KEPT);
    }
    assert_eq!(programs.questions(), 5);
    // It was done four minutes later.
    let done = cluster.clock.now() + SignedDuration::from_mins(4);
    programs.says(Some(Activity { last: Some(done), ..Activity::default() }));
    pass(&cluster, 10).await;
    assert_eq!(fate(&cluster, &session).await, KEPT, "six minutes");
    pass(&cluster, 4).await;
    cluster.reaches(session.id, State::Suspended).await;
}

#[tokio::test]
async fn what_does_not_say_what_it_does_is_kept() {
    let cluster = Cluster::start_with(IdleRules { end_after: Some(20 * MINUTE), ..rules() }).await;
    let session = session(&cluster).await;
    cluster.daemons[0].programs.says(None);
    for _ in 0..3 {
        pass(&cluster, 10).await;
        assert_eq!(fate(&cluster, &session).await, KEPT);
    }
    cluster.daemons[0].programs.says(Some(Activity::default()));
    pass(&cluster, 0).await;
    assert_eq!(cluster.daemons[0].programs.questions(), 3, "it is asked less often");
    pass(&cluster, 4).await;
    assert_eq!(
        cluster.reaches(session.id, State::Ended).await.note.as_deref(),
        Some("ended after 20 minutes without use")
    );
}

#[tokio::test]
async fn a_time_that_is_yet_to_come_is_now() {
    let cluster = Cluster::start_with(rules()).await;
    let session = session(&cluster).await;
    let last = Some(cluster.clock.now() + SignedDuration::from_hours(9_000));
    cluster.daemons[0].programs.says(Some(Activity { last, ..Activity::default() }));
    pass(&cluster, 10).await;
    assert_eq!(fate(&cluster, &session).await, KEPT);
    cluster.daemons[0].programs.says(Some(Activity::default()));
    pass(&cluster, 10).await;
    cluster.reaches(session.id, State::Suspended).await;
}

#[tokio::test]
async fn a_page_that_is_open_keeps_its_session_for_some_hours_and_not_for_ever() {
    let cluster = Cluster::start_with(rules()).await;
    let session = session(&cluster).await;
    let most = Duration::from_secs(3600);
    for _ in 0..6 {
        cluster.clock.advance(SignedDuration::from_mins(10));
        let open = Some((cluster.clock.now(), most));
        cluster.daemons[0].programs.says(Some(Activity { open, ..Activity::default() }));
        pass(&cluster, 0).await;
        assert_eq!(fate(&cluster, &session).await, KEPT);
    }
    cluster.clock.advance(SignedDuration::from_mins(10));
    let open = Some((cluster.clock.now(), most));
    cluster.daemons[0].programs.says(Some(Activity { open, ..Activity::default() }));
    pass(&cluster, 0).await;
    cluster.reaches(session.id, State::Suspended).await;
}

#[tokio::test]
async fn nothing_is_suspended_while_the_store_is_away_and_what_is_idle_then_afterwards() {
    let cluster = Cluster::start_with(rules()).await;
    let session = session(&cluster).await;
    cluster.store.go_away();
    pass(&cluster, 10).await;
    pass(&cluster, 10).await;
    assert_eq!(cluster.daemons[0].programs.alive(), [(session.id, Epoch::FIRST)]);
    // Somebody used it meanwhile, which the store could not be told.
    let meter = cluster.daemons[0].sessions.owner.traffic.meter(session.id).expect("a meter");
    meter.message(1);
    cluster.store.return_();
    pass(&cluster, 9).await;
    assert_eq!(fate(&cluster, &session).await, KEPT);
    pass(&cluster, 1).await;
    cluster.reaches(session.id, State::Suspended).await;
}

#[tokio::test]
async fn a_suspended_session_that_nobody_resumes_is_ended_where_that_is_set() {
    let cluster = Cluster::start_with(IdleRules { end_after: Some(600 * MINUTE), ..rules() }).await;
    let session = session(&cluster).await;
    cluster.daemons[0].sessions.suspend(session.id).await.expect("a suspension");
    let suspended = cluster.reaches(session.id, State::Suspended).await;
    // This clock is ahead of the store's, by which the rows are written.
    let ahead = cluster.clock.now().duration_since(suspended.changed);
    cluster.clock.advance(-ahead);
    pass(&cluster, 599).await;
    assert_eq!(fate(&cluster, &session).await, (None, State::Suspended));
    pass(&cluster, 1).await;
    let ended = cluster.reaches(session.id, State::Ended).await;
    assert_eq!(ended.note.as_deref(), Some("ended after 10 hours without use"));
}

#[tokio::test]
async fn a_restart_of_the_daemon_makes_no_session_idle_sooner() {
    let mut cluster = Cluster::start_with(rules()).await;
    let session = session(&cluster).await;
    cluster.clock.advance(SignedDuration::from_mins(6));
    // Nobody can use it while there is no daemon.
    let clock = cluster.clock.clone();
    cluster.restart(0, async |_| clock.advance(SignedDuration::from_hours(60))).await;
    let metered = async |cluster: &Cluster| {
        let traffic = cluster.daemons[0].sessions.owner.traffic.clone();
        eventually("it is metered again", async || traffic.meter(session.id).is_some()).await;
    };
    metered(&cluster).await;
    pass(&cluster, 4).await;
    assert_eq!(fate(&cluster, &session).await, KEPT, "what was under way while the daemon stopped");

    // A daemon that is killed leaves no word, so the time begins anew.
    let file = cluster.activity_file(cluster.daemons[0].node);
    cluster.restart(0, async |_| std::fs::remove_file(&file).expect("it was left")).await;
    metered(&cluster).await;
    pass(&cluster, 9).await;
    assert_eq!(fate(&cluster, &session).await, KEPT);

    // One that is stopped does, and the time goes on.
    cluster.restart(0, async |_| {}).await;
    metered(&cluster).await;
    pass(&cluster, 2).await;
    cluster.reaches(session.id, State::Suspended).await;
}

#[tokio::test]
async fn a_session_whose_kind_is_not_known_any_more_is_kept() {
    let mut cluster = Cluster::start_with(IdleRules { end_after: Some(20 * MINUTE), ..rules() }).await;
    let node = cluster.daemons[0].node;
    let store = cluster.store.clone();
    let mut sessions = None;
    let meanwhile = async |programs: &Programs| {
        let running = active(store.as_ref(), node).await;
        programs.insert(running.id, running.epoch);
        let suspended = active(store.as_ref(), node).await;
        store.report(suspended.id, suspended.epoch, &Report::Suspended).await.expect("the store answers");
        sessions = Some((running, suspended));
    };
    cluster.restart(0, meanwhile).await;
    let (running, suspended) = sessions.expect("two sessions");
    let traffic = cluster.daemons[0].sessions.owner.traffic.clone();
    eventually("it is metered", async || traffic.meter(running.id).is_some()).await;
    cluster.daemons[0].programs.says(Some(Activity::default()));
    pass(&cluster, 100_000).await;
    assert_eq!(fate(&cluster, &running).await, KEPT);
    assert_eq!(fate(&cluster, &suspended).await, (None, State::Suspended));
}

#[tokio::test]
async fn what_is_suspended_can_be_resumed_for_some_time_after_the_daemon_was_away() {
    let mut cluster = Cluster::start_with(IdleRules { end_after: Some(600 * MINUTE), ..rules() }).await;
    let session = session(&cluster).await;
    cluster.daemons[0].sessions.suspend(session.id).await.expect("a suspension");
    cluster.reaches(session.id, State::Suspended).await;
    let clock = cluster.clock.clone();
    cluster.restart(0, async |_| clock.advance(SignedDuration::from_hours(60))).await;
    pass(&cluster, 59).await;
    assert_eq!(fate(&cluster, &session).await, (None, State::Suspended));
    pass(&cluster, 1).await;
    cluster.reaches(session.id, State::Ended).await;
}
