//! Jobs are run once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    domain::{Job, JobProgram, State},
    launcher::{Exit, Launcher as _},
    sessions::{
        NewSession, SessionError,
        fixtures::{Cluster, KIND, Programs, eventually, new_session, registration},
    },
    store::{Registration, Store as _},
};

const JOB: &str = "job";

async fn cluster(nodes: usize) -> Cluster {
    let cluster = Cluster::start(nodes).await;
    for (number, daemon) in (1..).zip(&cluster.daemons) {
        let kinds = vec![KIND.to_owned(), JOB.to_owned()];
        let registration =
            Registration { id: Some(daemon.node), kinds, ..registration(&format!("node{number}"), KIND) };
        cluster.store.register(&registration).await.expect("a registration");
    }
    cluster
}

fn job() -> NewSession {
    let job = Job {
        program: JobProgram::Command("make".to_owned()),
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        directory: None,
    };
    NewSession { kind: JOB.to_owned(), job: Some(Arc::new(job)), ..new_session("ada") }
}

#[tokio::test]
async fn a_job_ends_as_its_program_does() {
    let cluster = cluster(1).await;
    let daemon = &cluster.daemons[0];
    for (exit, state, exit_status) in [
        (Exit::Status(0), State::Ended, Some(0)),
        (Exit::Status(7), State::Failed, Some(7)),
        (Exit::Signal(9), State::Failed, Some(137)),
        (Exit::Unknown, State::Failed, None),
    ] {
        let session = daemon.sessions.start(job()).await.expect("a start");
        assert_eq!(session.name, "make");
        cluster.reaches(session.id, State::Active).await;
        assert!(daemon.mirror.route(session.id).is_none(), "nobody reaches it");
        daemon.programs.exit(session.id, &exit);
        let over = cluster.reaches(session.id, state).await;
        assert_eq!(over.exit_status, exit_status, "{exit:?}");
    }
}

#[tokio::test]
async fn a_job_that_ended_or_was_lost_while_its_daemon_was_away_is_not_run_again() {
    let mut cluster = cluster(2).await;
    let session = cluster.daemons[0].sessions.start(job()).await.expect("a start");
    let on = cluster.reaches(session.id, State::Active).await.node;
    let index = cluster.daemons.iter().position(|daemon| daemon.node == on).expect("its daemon");
    cluster.restart(index, async |programs| programs.exit(session.id, &Exit::Status(3))).await;
    assert_eq!(cluster.reaches(session.id, State::Failed).await.exit_status, Some(3));

    let gone = cluster.daemons[0].sessions.start(job()).await.expect("a start");
    let on = cluster.reaches(gone.id, State::Active).await.node;
    let index = cluster.daemons.iter().position(|daemon| daemon.node == on).expect("its daemon");
    cluster.restart(index, async |programs| programs.lose_all()).await;
    let failure = cluster.reaches(gone.id, State::Failed).await.failure.unwrap_or_default();
    assert!(failure.starts_with("nobody saw how the job ended, and it is not run again"), "{failure}");
    assert_eq!((cluster.starts(session.id), cluster.starts(gone.id)), (1, 1));
}

#[tokio::test]
async fn how_a_job_ended_whose_node_was_thought_lost_is_known_when_that_returns() {
    let mut cluster = cluster(1).await;
    let session = cluster.daemons[0].sessions.start(job()).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    let meanwhile = cluster.losing(0, &[session.id]);
    let meanwhile = async |programs: &Programs| {
        meanwhile.await;
        programs.exit(session.id, &Exit::Status(3));
    };
    cluster.restart(0, meanwhile).await;
    assert_eq!(cluster.reaches(session.id, State::Failed).await.exit_status, Some(3));
    assert_eq!(cluster.starts(session.id), 1);
}

#[tokio::test]
async fn a_job_whose_program_cannot_be_executed_is_tried_elsewhere_since_nothing_of_it_ran() {
    let cluster = cluster(2).await;
    let first = cluster.daemons[0].sessions.start(job()).await.expect("a start");
    let on = cluster.reaches(first.id, State::Active).await.node;
    let broken = cluster.daemons.iter().find(|daemon| daemon.node != on).expect("the other");
    broken.programs.break_down();
    let second = cluster.daemons[0].sessions.start(job()).await.expect("a start");
    assert_eq!(cluster.reaches(second.id, State::Active).await.node, on);
    assert_eq!(cluster.starts(second.id), 2);
}

#[tokio::test]
async fn a_job_says_what_it_runs_and_nothing_else_does() {
    let cluster = cluster(1).await;
    let sessions = &cluster.daemons[0].sessions;
    let without = NewSession { job: None, ..job() };
    assert!(matches!(sessions.start(without).await, Err(SessionError::Job(_))));
    let with = NewSession { job: job().job, ..new_session("ada") };
    assert!(matches!(sessions.start(with).await, Err(SessionError::Job(_))));
    let running = sessions.start(job()).await.expect("a start");
    assert!(matches!(sessions.suspend(running.id).await, Err(SessionError::State { .. })));
    assert!(matches!(sessions.resume(running.id, true).await, Err(SessionError::State { .. })));
}

#[tokio::test]
async fn what_is_kept_of_a_job_goes_once_it_was_over_for_long_enough() {
    let cluster = cluster(1).await;
    let daemon = &cluster.daemons[0];
    let session = daemon.sessions.start(job()).await.expect("a start");
    cluster.reaches(session.id, State::Active).await;
    daemon.programs.exit(session.id, &Exit::Status(0));
    cluster.reaches(session.id, State::Ended).await;
    eventually("nobody has it in hand", async || daemon.sessions.owner.hands_are_free(session.id)).await;
    daemon.sessions.owner.sweep(Duration::from_secs(3600)).await.expect("the store answers");
    assert_eq!(daemon.programs.kept().await.expect("a list"), [session.id]);
    daemon.sessions.owner.sweep(Duration::ZERO).await.expect("the store answers");
    assert_eq!(daemon.programs.kept().await.expect("a list"), []);
}
