//! A session is claimed once, moves under a higher epoch, and ends as was wanted.

use std::sync::Arc;

use super::{Bed, active, beat, read, registration, revision, starting, starting_with};
use crate::{
    domain::{Epoch, NodeId, Session, State, Wanted},
    store::{Move, Report, Store},
};

fn failed() -> Report {
    Report::Failed { failure: "exit status 1".to_owned() }
}

pub(crate) async fn one_of_many_claims_succeeds(bed: &impl Bed) {
    let stores = [bed.open().await, bed.open().await, bed.open().await];
    let a = stores[0].register(&registration("a")).await.unwrap();
    let session = starting(&*stores[0], a).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..30 {
        let store: Arc<dyn Store> = Arc::clone(&stores[n % 3]);
        tasks.spawn(async move { store.claim(session.id, session.epoch, a).await.expect("claim") });
    }
    let claims = tasks.join_all().await;
    assert_eq!(claims.into_iter().filter(|claimed| *claimed).count(), 1);
    assert!(read(&*stores[0], session.id).await.claimed);
}

pub(crate) async fn a_claim_needs_the_node_the_epoch_and_nothing_wanted(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = starting(&*store, a).await;
    assert!(!store.claim(session.id, session.epoch, NodeId(a.0 + 1)).await.unwrap());
    assert!(!store.claim(session.id, session.epoch.next(), a).await.unwrap());
    assert!(!store.claim(super::fresh_id(), session.epoch, a).await.unwrap());
    store.want(session.id, Wanted::Suspended, None).await.unwrap();
    assert!(!store.claim(session.id, session.epoch, a).await.unwrap());
}

pub(crate) async fn a_session_goes_from_starting_to_active_to_ended(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let id = starting(&*store, a).await.id;
    let before = revision(&*store).await;
    assert!(store.claim(id, Epoch::FIRST, a).await.unwrap());
    assert!(store.heartbeat(a, &beat(0.0)).await.unwrap().expect("known").pending.is_empty());
    assert!(store.report(id, Epoch::FIRST, &Report::Started { pid: 4_000_000 }).await.unwrap().is_some());
    assert_eq!(read(&*store, id).await.pid, Some(4_000_000));
    assert_eq!(read(&*store, id).await.state, State::Starting);
    assert!(store.report(id, Epoch::FIRST, &Report::Active).await.unwrap().is_some());
    assert_eq!(read(&*store, id).await.state, State::Active);
    // Reports may be repeated, after a restart of the daemon.
    assert!(store.report(id, Epoch::FIRST, &Report::Started { pid: 5 }).await.unwrap().is_some());
    assert!(store.report(id, Epoch::FIRST, &Report::Active).await.unwrap().is_some());
    assert_eq!(read(&*store, id).await.pid, Some(5));
    assert_eq!(revision(&*store).await, before);
    assert!(store.report(id, Epoch::FIRST, &Report::Ended).await.unwrap().is_some());
    let over = read(&*store, id).await;
    assert_eq!((over.state, over.pid), (State::Ended, None));
    assert!(over.changed >= over.created);
    assert_eq!(revision(&*store).await, before + 1);
}

pub(crate) async fn a_report_under_an_old_epoch_changes_nothing(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let session = starting(&*store, a).await;
    assert!(store.claim(session.id, session.epoch, a).await.unwrap());
    let moved = store.start_failed(session.id, session.epoch, "no", Some(b.into())).await.unwrap().expect("moved");
    for report in [Report::Started { pid: 9 }, Report::Active, Report::Suspended, Report::Ended, failed()] {
        assert!(store.report(session.id, session.epoch, &report).await.unwrap().is_none(), "{report:?}");
    }
    assert!(!store.claim(session.id, session.epoch, a).await.unwrap());
    assert_eq!(store.start_failed(session.id, session.epoch, "no", Some(b.into())).await.unwrap(), None);
    assert_eq!(read(&*store, session.id).await, moved);
    assert!(store.report(super::fresh_id(), session.epoch, &Report::Active).await.unwrap().is_none());
}

pub(crate) async fn a_session_moves_only_while_the_cluster_is_as_it_was_when_that_was_decided(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let session = starting(&*store, a).await;
    let seen = store.snapshot().await.unwrap().revision;
    let other = starting(&*store, b).await;
    let to_b = |seen| Some(Move { to: b, seen: Some(seen) });
    assert_eq!(store.start_failed(session.id, session.epoch, "no", to_b(seen)).await.unwrap(), None);
    assert_eq!(read(&*store, session.id).await.node, a);
    let seen = store.snapshot().await.unwrap().revision;
    let moved = store.start_failed(session.id, session.epoch, "no", to_b(seen)).await.unwrap().expect("moved");
    assert_eq!((moved.node, other.node), (b, b));
}

pub(crate) async fn a_session_that_is_not_claimed_cannot_run(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = starting(&*store, a).await;
    for report in [Report::Started { pid: 9 }, Report::Active] {
        assert!(store.report(session.id, session.epoch, &report).await.unwrap().is_none());
    }
    assert_eq!(read(&*store, session.id).await, session);
}

pub(crate) async fn a_failed_start_moves_to_the_next_node_under_the_next_epoch(bed: &impl Bed) {
    let store = bed.open().await;
    let mut nodes = vec![];
    for name in ["a", "b", "c"] {
        nodes.push(store.register(&registration(name)).await.unwrap());
    }
    let session = starting_with(&*store, nodes[0], &nodes[1..]).await;
    assert!(store.claim(session.id, session.epoch, nodes[0]).await.unwrap());
    assert!(store.report(session.id, session.epoch, &Report::Started { pid: 9 }).await.unwrap().is_some());
    let before = revision(&*store).await;
    let moved = store
        .start_failed(session.id, session.epoch, "no \"disk\"\n", Some(nodes[1].into()))
        .await
        .unwrap()
        .expect("moved");
    assert_eq!(revision(&*store).await, before + 1);
    assert_eq!((moved.state, moved.node, moved.epoch), (State::Starting, nodes[1], Epoch(2)));
    assert_eq!((moved.claimed, moved.pid), (false, None));
    assert_eq!((moved.failed_nodes.as_slice(), moved.candidates.as_slice()), (&nodes[..1], &nodes[2..]));
    assert_eq!(read(&*store, session.id).await, moved);
    assert!(store.heartbeat(nodes[0], &beat(0.0)).await.unwrap().expect("known").pending.is_empty());
    assert_eq!(store.heartbeat(nodes[1], &beat(0.0)).await.unwrap().expect("known").pending, [moved]);
    let placements = store.placements(Some(session.id), None, 10).await.unwrap();
    assert_eq!(placements.len(), 1);
    let [attempt] = placements[0].attempts.as_slice() else { panic!("{placements:?}") };
    assert_eq!((attempt.node, attempt.epoch, attempt.failure.as_str()), (nodes[0], Epoch(1), "no \"disk\"\n"));
}

pub(crate) async fn a_failed_start_with_no_next_node_fails_the_session(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let session = starting_with(&*store, a, &[b]).await;
    store.start_failed(session.id, Epoch(1), "first", Some(b.into())).await.unwrap().expect("moved");
    let over = store.start_failed(session.id, Epoch(2), "second", None).await.unwrap().expect("failed");
    assert_eq!((over.state, over.failure.as_deref()), (State::Failed, Some("second")));
    assert_eq!(over.failed_nodes, [a, b]);
    assert_eq!(store.placements(Some(session.id), None, 1).await.unwrap()[0].attempts.len(), 2);
    assert!(store.snapshot().await.unwrap().live.is_empty());
    assert_eq!(store.start_failed(session.id, Epoch(2), "third", None).await.unwrap(), None);
}

pub(crate) async fn a_failed_start_of_a_session_that_is_to_end_ends_it(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = starting(&*store, a).await;
    assert!(store.claim(session.id, session.epoch, a).await.unwrap());
    let asked = store.want(session.id, Wanted::Ended, None).await.unwrap().expect("known");
    assert_eq!((asked.state, asked.wanted), (State::Starting, Some(Wanted::Ended)));
    let over =
        store.start_failed(session.id, session.epoch, "no", Some(NodeId(9).into())).await.unwrap().expect("over");
    assert_eq!((over.state, over.wanted, over.epoch), (State::Ended, None, session.epoch));
}

pub(crate) async fn what_runs_is_asked_and_what_does_not_becomes_so_at_once(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    assert_eq!(store.want(super::fresh_id(), Wanted::Ended, None).await.unwrap(), None);

    let running = active(&*store, a).await;
    let asked = store.want(running.id, Wanted::Suspended, None).await.unwrap().expect("known");
    assert_eq!((asked.state, asked.wanted), (State::Active, Some(Wanted::Suspended)));
    assert_eq!(store.heartbeat(a, &beat(0.0)).await.unwrap().expect("known").pending, [asked]);
    assert!(store.report(running.id, running.epoch, &Report::Suspended).await.unwrap().is_some());
    let suspended = read(&*store, running.id).await;
    assert_eq!((suspended.state, suspended.wanted), (State::Suspended, None));
    assert!(store.heartbeat(a, &beat(0.0)).await.unwrap().expect("known").pending.is_empty());
    let ended = store.want(running.id, Wanted::Ended, None).await.unwrap().expect("known");
    assert_eq!(ended.state, State::Ended);
    let still = store.want(running.id, Wanted::Suspended, None).await.unwrap().expect("known");
    assert_eq!(still.state, State::Ended);

    let unclaimed = starting(&*store, a).await;
    let before = revision(&*store).await;
    assert_eq!(store.want(unclaimed.id, Wanted::Ended, None).await.unwrap().expect("known").state, State::Ended);
    assert_eq!(revision(&*store).await, before + 1);

    let dead = active(&*store, a).await;
    assert!(store.report(dead.id, dead.epoch, &failed()).await.unwrap().is_some());
    assert_eq!(read(&*store, dead.id).await.failure.as_deref(), Some("exit status 1"));
    assert_eq!(store.want(dead.id, Wanted::Ended, None).await.unwrap().expect("known").state, State::Ended);
}

pub(crate) async fn to_end_overrides_to_suspend_and_any_end_is_the_wanted_one(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = active(&*store, a).await;
    store.want(session.id, Wanted::Suspended, None).await.unwrap();
    store.want(session.id, Wanted::Ended, None).await.unwrap();
    let asked = store.want(session.id, Wanted::Suspended, None).await.unwrap().expect("known");
    assert_eq!(asked.wanted, Some(Wanted::Ended));
    assert!(store.report(session.id, session.epoch, &Report::Suspended).await.unwrap().is_some());
    assert_eq!(read(&*store, session.id).await.state, State::Ended);

    for report in [Report::Ended, failed(), Report::Suspended] {
        let session = active(&*store, a).await;
        store.want(session.id, Wanted::Suspended, None).await.unwrap();
        assert!(store.report(session.id, session.epoch, &report).await.unwrap().is_some());
        let over = read(&*store, session.id).await;
        assert_eq!((over.state, over.failure), (State::Suspended, None), "{report:?}");
    }
}

pub(crate) async fn what_cannot_be_suspended_stays_as_it_is(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let lost = active(&*store, a).await;
    store.leave(a).await.unwrap();
    store.delete_node(a).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let dead = active(&*store, b).await;
    assert!(store.report(dead.id, dead.epoch, &failed()).await.unwrap().is_some());
    let to_end = active(&*store, b).await;
    store.want(to_end.id, Wanted::Ended, None).await.unwrap();
    for (id, state) in [(lost.id, State::Lost), (dead.id, State::Failed), (to_end.id, State::Active)] {
        let before = read(&*store, id).await;
        assert_eq!(before.state, state);
        assert_eq!(store.want(id, Wanted::Suspended, None).await.unwrap().expect("known"), before);
        assert_eq!(read(&*store, id).await, before);
    }
}

pub(crate) async fn what_is_over_takes_no_report(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    for end in [Report::Ended, Report::Suspended, failed()] {
        let session = active(&*store, a).await;
        assert!(store.report(session.id, session.epoch, &end).await.unwrap().is_some());
        let over = read(&*store, session.id).await;
        for late in [Report::Started { pid: 1 }, Report::Active, Report::Ended, Report::Suspended, failed()] {
            assert!(store.report(session.id, session.epoch, &late).await.unwrap().is_none(), "{late:?} after {end:?}");
        }
        assert_eq!(read(&*store, session.id).await, over);
    }
}

pub(crate) async fn all_of_a_users_sessions_are_asked_at_once_and_nobody_elses(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let running = active(&*store, a).await;
    let waiting = starting(&*store, a).await;
    let asleep = active(&*store, a).await;
    assert!(store.report(asleep.id, asleep.epoch, &Report::Suspended).await.unwrap().is_some());
    let dead = active(&*store, a).await;
    assert!(store.report(dead.id, dead.epoch, &failed()).await.unwrap().is_some());
    let over = active(&*store, a).await;
    assert!(store.report(over.id, over.epoch, &Report::Ended).await.unwrap().is_some());

    assert_eq!(store.want_all("bob", Wanted::Ended).await.unwrap(), []);
    let asked = store.want_all("ada", Wanted::Suspended).await.unwrap();
    let mut ids: Vec<_> = asked.iter().map(|session| session.id).collect();
    ids.sort();
    assert_eq!(ids, [running.id, waiting.id], "those that are live");
    assert_eq!(read(&*store, running.id).await.wanted, Some(Wanted::Suspended));
    assert_eq!(read(&*store, waiting.id).await.state, State::Suspended);
    assert_eq!(read(&*store, dead.id).await.state, State::Failed);

    let asked = store.want_all("ada", Wanted::Ended).await.unwrap();
    assert_eq!(asked.len(), 4, "those that are not over");
    assert_eq!(read(&*store, running.id).await.wanted, Some(Wanted::Ended));
    for id in [waiting.id, asleep.id, dead.id] {
        assert_eq!(read(&*store, id).await.state, State::Ended);
    }
    assert_eq!(store.want_all("ada", Wanted::Ended).await.unwrap().len(), 1, "only what is not over yet");
}

pub(crate) async fn what_nobody_uses_is_suspended_only_as_it_was_seen(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = active(&*store, a).await;
    let unused =
        async |epoch| store.want_unused(session.id, epoch, Wanted::Suspended, "nobody came", &|| true).await.unwrap();
    assert_eq!(unused(session.epoch.next()).await, None, "another start");
    let used = store.want_unused(session.id, session.epoch, Wanted::Suspended, "x", &|| false).await.unwrap();
    assert_eq!(used, None, "somebody came");
    assert_eq!(read(&*store, session.id).await, session);
    let asked = unused(session.epoch).await.expect("it is idle");
    assert_eq!(
        (asked.state, asked.wanted, asked.note.as_deref()),
        (State::Active, Some(Wanted::Suspended), Some("nobody came"))
    );
    assert_eq!(unused(session.epoch).await, None, "it is asked already");
    assert!(store.report(session.id, session.epoch, &Report::Suspended).await.unwrap().is_some());
    assert_eq!(read(&*store, session.id).await.note.as_deref(), Some("nobody came"));
    assert_eq!(unused(session.epoch).await, None, "it is suspended");

    let waiting = starting(&*store, a).await;
    assert_eq!(store.want_unused(waiting.id, waiting.epoch, Wanted::Ended, "x", &|| true).await.unwrap(), None);
    assert_eq!(store.want_unused(super::fresh_id(), Epoch::FIRST, Wanted::Ended, "x", &|| true).await.unwrap(), None);
    let own = active(&*store, a).await;
    store.want(own.id, Wanted::Ended, None).await.unwrap();
    assert_eq!(store.want_unused(own.id, own.epoch, Wanted::Suspended, "x", &|| true).await.unwrap(), None);
    assert_eq!(read(&*store, own.id).await.wanted, Some(Wanted::Ended));
}

pub(crate) async fn a_suspended_session_that_nobody_uses_is_ended(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = active(&*store, a).await;
    assert!(store.report(session.id, session.epoch, &Report::Suspended).await.unwrap().is_some());
    let over = store
        .want_unused(session.id, session.epoch, Wanted::Ended, "nobody came", &|| true)
        .await
        .unwrap()
        .expect("idle");
    assert_eq!((over.state, over.note.as_deref()), (State::Ended, Some("nobody came")));
    assert_eq!(store.want_unused(session.id, session.epoch, Wanted::Ended, "again", &|| true).await.unwrap(), None);
}

pub(crate) async fn activity_is_noted_under_its_epoch_and_never_goes_back(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = active(&*store, a).await;
    let began = session.last_activity.expect("it was used when it became active");
    assert!(began >= session.created);
    let before = revision(&*store).await;
    let minute = jiff::SignedDuration::from_mins(1);
    let note = async |epoch, at| store.note_activity(&[(session.id, epoch, at)]).await.unwrap();
    note(session.epoch, began + minute).await;
    note(session.epoch, began).await;
    note(session.epoch.next(), began + minute * 9).await;
    store.note_activity(&[]).await.unwrap();
    assert_eq!(read(&*store, session.id).await.last_activity, Some(began + minute));
    assert_eq!(revision(&*store).await, before);
}

pub(crate) async fn a_session_is_called_otherwise(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = active(&*store, a).await;
    let before = revision(&*store).await;
    let renamed = store.rename(session.id, "Übung \"1\"").await.unwrap().expect("known");
    assert_eq!(renamed, Session { name: "Übung \"1\"".to_owned(), ..session });
    assert_eq!(read(&*store, renamed.id).await, renamed);
    assert_eq!(revision(&*store).await, before);
    assert_eq!(store.rename(super::fresh_id(), "x").await.unwrap(), None);
}
