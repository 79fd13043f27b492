//! A job's own: what it runs is kept until it is over, and how it ended.

use std::{collections::BTreeMap, sync::Arc};

use super::{Bed, read, registration, reservation};
use crate::{
    domain::{Job, JobProgram, NodeId, Session, State, Wanted},
    store::{Report, Reservation, SessionFilter, Snapshot, Store},
};

fn job() -> Job {
    Job {
        program: JobProgram::Script("#!/bin/sh\necho \u{1}é\n".to_owned()),
        arguments: vec!["a b".to_owned()],
        environment: BTreeMap::from([("A".to_owned(), "secret".to_owned())]),
        directory: Some("/srv".to_owned()),
    }
}

async fn reserved(store: &dyn Store, node: NodeId) -> Session {
    let Snapshot { revision, now, .. } = store.snapshot().await.unwrap();
    let plain = reservation(now, node, "ada");
    let session = Session { is_job: true, ..plain.session.clone() };
    let reservation = Reservation { session: session.clone(), job: Some(Arc::new(job())), ..plain };
    assert!(store.reserve(revision, &[reservation]).await.unwrap());
    session
}

async fn running(store: &dyn Store, node: NodeId) -> Session {
    let session = reserved(store, node).await;
    assert!(store.claim(session.id, session.epoch, node).await.unwrap());
    assert!(store.report(session.id, session.epoch, &Report::Started { pid: 7 }).await.unwrap().is_some());
    assert!(store.report(session.id, session.epoch, &Report::Active).await.unwrap().is_some());
    session
}

pub(crate) async fn what_a_job_runs_is_kept_until_it_is_over(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    for (report, state, exit_status) in [
        (Report::Exited { status: 0, failure: None }, State::Ended, Some(0)),
        (Report::Exited { status: 3, failure: Some("status 3".to_owned()) }, State::Failed, Some(3)),
        (Report::Failed { failure: "nobody saw".to_owned() }, State::Failed, None),
        (Report::Ended, State::Ended, None),
    ] {
        let session = running(&*store, a).await;
        assert!(read(&*store, session.id).await.is_job);
        assert_eq!(store.job(session.id).await.unwrap(), Some(job()));
        assert!(store.report(session.id, session.epoch, &report).await.unwrap().is_some());
        let over = read(&*store, session.id).await;
        assert_eq!((over.state, over.exit_status, over.pid), (state, exit_status, None));
        assert_eq!(over.failure.is_some(), state == State::Failed);
        assert_eq!(store.job(session.id).await.unwrap(), None);
    }
    let unclaimed = reserved(&*store, a).await;
    store.want(unclaimed.id, Wanted::Ended, None).await.unwrap();
    assert_eq!(store.job(unclaimed.id).await.unwrap(), None);
}

pub(crate) async fn a_job_that_was_to_end_has_no_status_of_its_own(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = running(&*store, a).await;
    store.want(session.id, Wanted::Ended, None).await.unwrap();
    let exited = Report::Exited { status: 143, failure: Some("killed".to_owned()) };
    assert!(store.report(session.id, session.epoch, &exited).await.unwrap().is_some());
    let over = read(&*store, session.id).await;
    assert_eq!((over.state, over.exit_status, over.failure), (State::Ended, None, None));
}

pub(crate) async fn a_job_has_no_route_and_is_found_as_one(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = running(&*store, a).await;
    let other = super::active(&*store, a).await;
    let routes: Vec<_> = store.routes().await.unwrap().into_iter().map(|route| route.id).collect();
    assert_eq!(routes, [other.id]);
    let jobs = SessionFilter { jobs: true, ..SessionFilter::default() };
    let jobs: Vec<_> = store.sessions(&jobs).await.unwrap().into_iter().map(|session| session.id).collect();
    assert_eq!(jobs, [session.id]);
}
