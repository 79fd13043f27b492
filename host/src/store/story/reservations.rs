//! Reservations are exact, and records of them stay.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Bed, active, fresh_id, read, registration, reservation, revision, starting, starting_with};
use crate::{
    domain::{Epoch, NodeId, Peer, PlacementId, Session, Shadow, State, Wanted, shadow::Outcome},
    store::{Report, Reservation, Route, SessionFilter, Snapshot, Store, StoreError},
};

pub(crate) async fn a_reserved_session_reads_back(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let before = store.snapshot().await.unwrap();
    let mut wish = reservation(before.now, a, "ada");
    wish.session.candidates = vec![NodeId(7), NodeId(3)];
    assert!(store.reserve(before.revision, std::slice::from_ref(&wish)).await.unwrap());
    assert_eq!(read(&*store, wish.session.id).await, wish.session);
    assert_eq!(revision(&*store).await, before.revision.0 + 1);
    assert_eq!(store.session(fresh_id()).await.unwrap(), None);

    let placements = store.placements(Some(wish.session.id), None, 10).await.unwrap();
    let [placement] = placements.as_slice() else { panic!("one placement: {placements:?}") };
    assert_eq!(placement.decision, wish.decision);
    assert_eq!((placement.session, placement.user.as_str()), (wish.session.id, "ada"));
    assert_eq!((placement.epoch, placement.attempts.as_slice()), (Epoch::FIRST, [].as_slice()));
    assert_eq!(store.placement(placement.id).await.unwrap().as_ref(), Some(placement));
    assert_eq!(store.placement(PlacementId(placement.id.0 + 1)).await.unwrap(), None);
}

pub(crate) async fn a_snapshot_shows_live_sessions_only(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    starting(&*store, a).await;
    active(&*store, b).await;
    for (n, report) in
        [Report::Ended, Report::Suspended, Report::Failed { failure: "it died".to_owned() }].into_iter().enumerate()
    {
        let over = active(&*store, a).await;
        let before = revision(&*store).await;
        assert!(store.report(over.id, over.epoch, &report).await.unwrap().is_some());
        assert_eq!(revision(&*store).await, before + 1, "{n}");
    }
    let Snapshot { now, nodes, live, .. } = store.snapshot().await.unwrap();
    assert_eq!(nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [a, b]);
    let mut on: Vec<NodeId> = live.iter().map(|session| session.node).collect();
    on.sort();
    assert_eq!(on, [a, b]);
    for session in live {
        assert_eq!((session.user.as_str(), session.cpus, session.memory), ("ada", 0.5, 1 << 20));
        assert_eq!(session.groups, ["staff"]);
        assert!(session.placed <= now);
    }
}

pub(crate) async fn a_reservation_at_a_stale_revision_writes_nothing(bed: &impl Bed) {
    let (store, other) = (bed.open().await, bed.open().await);
    let a = store.register(&registration("a")).await.unwrap();
    let seen = store.snapshot().await.unwrap();
    starting(&*other, a).await;
    let wish = reservation(seen.now, a, "ada");
    let before = revision(&*store).await;
    assert!(!store.reserve(seen.revision, std::slice::from_ref(&wish)).await.unwrap());
    assert_eq!(store.session(wish.session.id).await.unwrap(), None);
    assert_eq!(store.placements(None, None, 10).await.unwrap().len(), 1);
    assert_eq!(revision(&*store).await, before);
}

pub(crate) async fn a_batch_is_written_whole_or_not_at_all(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let running = active(&*store, a).await;
    let seen = store.snapshot().await.unwrap();
    let mut batch: Vec<Reservation> = (0..3).map(|_| reservation(seen.now, a, "ada")).collect();
    assert!(store.reserve(seen.revision, &batch).await.unwrap());
    assert_eq!(store.snapshot().await.unwrap().live.len(), 4);
    assert_eq!(revision(&*store).await, seen.revision.0 + 1);

    let seen = store.snapshot().await.unwrap();
    batch = (0..2).map(|_| reservation(seen.now, a, "ada")).collect();
    let stale = Session { epoch: running.epoch.next(), ..running };
    batch.push(Reservation { session: stale, new: false, ..batch[0].clone() });
    assert!(!store.reserve(seen.revision, &batch).await.unwrap());
    assert_eq!(store.snapshot().await.unwrap().live.len(), 4);
    assert_eq!(revision(&*store).await, seen.revision.0);
}

pub(crate) async fn a_session_id_that_is_taken_is_refused(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let first = starting(&*store, a).await;
    let seen = store.snapshot().await.unwrap();
    let mut wish = reservation(seen.now, a, "eve");
    wish.session.id = first.id;
    let error = store.reserve(seen.revision, &[wish]).await.unwrap_err();
    assert!(error.to_string().contains(first.id.as_str()), "{error}");
    assert!(matches!(error, StoreError::Database { .. }), "{error}");
    assert_eq!(read(&*store, first.id).await.user, "ada");
}

/// Each of a hundred tasks reads, chooses the node with the fewest sessions and reserves, until it has succeeded.
pub(crate) async fn a_hundred_reservations_at_once_from_three_daemons_keep_exact_counts(bed: &impl Bed) {
    const EACH: usize = 34;
    let stores = [bed.open().await, bed.open().await, bed.open().await];
    for name in ["a", "b", "c"] {
        stores[0].register(&registration(name)).await.unwrap();
    }
    let before = revision(&*stores[0]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for store in &stores {
        for _ in 0..EACH {
            let store: Arc<dyn Store> = Arc::clone(store);
            tasks.spawn(async move {
                loop {
                    let seen = store.snapshot().await.expect("snapshot");
                    let count = |node| seen.live.iter().filter(|session| session.node == node).count();
                    let node = seen.nodes.iter().map(|node| node.id).min_by_key(|id| count(*id)).expect("nodes");
                    let wish = reservation(seen.now, node, "ada");
                    if store.reserve(seen.revision, &[wish]).await.expect("reserve") {
                        return;
                    }
                }
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("every task succeeds");
    }
    let after = stores[2].snapshot().await.unwrap();
    let mut counts = BTreeMap::<NodeId, usize>::new();
    for session in &after.live {
        *counts.entry(session.node).or_default() += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [EACH; 3]);
    assert_eq!(after.revision.0, before + 3 * i64::try_from(EACH).unwrap());
    assert_eq!(stores[1].placements(None, None, 1000).await.unwrap().len(), 3 * EACH);
}

pub(crate) async fn a_session_is_placed_again_under_the_next_epoch_only(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let session = active(&*store, a).await;
    assert!(store.report(session.id, session.epoch, &Report::Suspended).await.unwrap().is_some());
    let seen = store.snapshot().await.unwrap();
    let resumed = |epoch: Epoch| Reservation {
        session: Session { node: b, epoch, ..session.clone() },
        new: false,
        decision: super::decision(&[b]),
        job: None,
    };
    for wrong in [session.epoch, session.epoch.next().next()] {
        assert!(!store.reserve(seen.revision, &[resumed(wrong)]).await.unwrap());
    }
    assert!(store.reserve(seen.revision, &[resumed(session.epoch.next())]).await.unwrap());
    let now = read(&*store, session.id).await;
    assert_eq!((now.state, now.node, now.epoch, now.claimed, now.pid), (State::Starting, b, Epoch(2), false, None));
    assert_eq!(now.created, session.created);
    assert_eq!(store.placements(Some(session.id), None, 10).await.unwrap().len(), 2);

    // What still starts may be placed again too, unless it has been asked to end.
    let again = || Reservation { session: Session { epoch: Epoch(3), node: a, ..now.clone() }, ..resumed(Epoch(3)) };
    assert!(store.claim(session.id, Epoch(2), b).await.unwrap());
    store.want(session.id, Wanted::Ended, None).await.unwrap();
    let seen = store.snapshot().await.unwrap();
    assert!(!store.reserve(seen.revision, &[again()]).await.unwrap());
    let other = starting(&*store, a).await;
    let seen = store.snapshot().await.unwrap();
    let moved = Reservation { session: Session { epoch: Epoch(2), node: b, ..other.clone() }, ..resumed(Epoch(2)) };
    assert!(store.reserve(seen.revision, &[moved]).await.unwrap());
    assert_eq!(read(&*store, other.id).await.node, b);
}

/// Each of a hundred tasks reserves unless seven sessions are there, until it has succeeded or they are. Some end
/// meanwhile, and others take their place.
pub(crate) async fn a_limit_that_is_checked_on_the_snapshot_is_exact(bed: &impl Bed) {
    const LIMIT: usize = 7;
    let stores = [bed.open().await, bed.open().await, bed.open().await];
    let a = stores[0].register(&registration("a")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let store: Arc<dyn Store> = Arc::clone(&stores[number % 3]);
        tasks.spawn(async move {
            loop {
                let seen = store.snapshot().await.expect("snapshot");
                let present = seen.live.iter().filter(|live| live.groups.contains(&"staff".to_owned())).count();
                assert!(present <= LIMIT, "{present}");
                if present == LIMIT {
                    return false;
                }
                let wish = reservation(seen.now, a, "ada");
                if store.reserve(seen.revision, std::slice::from_ref(&wish)).await.expect("reserve") {
                    if number % 10 == 0 {
                        store.want(wish.session.id, Wanted::Ended, None).await.expect("it ends");
                    }
                    return true;
                }
            }
        });
    }
    let reserved = tasks.join_all().await.into_iter().filter(|reserved| *reserved).count();
    let live = stores[0].snapshot().await.unwrap().live.len();
    assert!(live <= LIMIT && reserved >= LIMIT, "{live} live of {reserved}");
}

pub(crate) async fn a_session_that_is_placed_again_counts_to_the_groups_of_then(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = starting(&*store, a).await;
    store.want(session.id, Wanted::Suspended, None).await.unwrap();
    let seen = store.snapshot().await.unwrap();
    let groups = vec!["lab".to_owned(), "a\"b".to_owned()];
    let again = Session { epoch: Epoch(2), groups: groups.clone(), cpus: 3.0, memory: 5, ..session };
    let again = Reservation { session: again, new: false, ..reservation(seen.now, a, "ada") };
    assert!(store.reserve(seen.revision, &[again]).await.unwrap());
    let live = store.snapshot().await.unwrap().live;
    let counted: Vec<_> = live.into_iter().map(|live| (live.groups, live.cpus, live.memory)).collect();
    assert_eq!(counted, [(groups, 3.0, 5)]);
}

pub(crate) async fn reservations_wait_in_the_order_of_their_placement(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let mut waiting = vec![];
    for node in [a, b, a] {
        waiting.push((node, starting(&*store, node).await.id));
        // Two of one millisecond have no order but that of their ids.
        bed.pass(Duration::from_millis(1)).await;
    }
    active(&*store, a).await;
    assert_eq!(store.waiting().await.unwrap(), waiting);
    store.want(waiting[1].1, Wanted::Ended, None).await.unwrap();
    assert_eq!(store.waiting().await.unwrap(), [waiting[0], waiting[2]]);
}

pub(crate) async fn placements_are_paged_newest_first(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let mut sessions = vec![];
    for _ in 0..5 {
        sessions.push(starting(&*store, a).await.id);
    }
    sessions.reverse();
    let first = store.placements(None, None, 2).await.unwrap();
    let second = store.placements(None, Some(first[1].id), 2).await.unwrap();
    let third = store.placements(None, Some(second[1].id), 2).await.unwrap();
    let seen: Vec<_> = [&first, &second, &third].into_iter().flatten().map(|placement| placement.session).collect();
    assert_eq!(seen, sessions);
    assert_eq!(store.placements(Some(sessions[3]), None, 10).await.unwrap().len(), 1);
    assert!(store.placements(None, Some(third[0].id), 2).await.unwrap().is_empty());
}

pub(crate) async fn sessions_are_filtered_and_paged_newest_first(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let b = store.register(&registration("b")).await.unwrap();
    let mut ids = vec![];
    for (node, user) in [(a, "ada"), (b, "bob"), (a, "bob"), (b, "ada"), (a, "ada")] {
        let seen = store.snapshot().await.unwrap();
        // All of one moment: the order must be total all the same.
        let wish = reservation("2026-01-02T03:04:05Z".parse().unwrap(), node, user);
        assert!(store.reserve(seen.revision, std::slice::from_ref(&wish)).await.unwrap());
        ids.push(wish.session.id);
    }
    ids.reverse();
    let list = async |filter: SessionFilter| {
        let sessions = store.sessions(&filter).await.unwrap();
        sessions.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    let all = SessionFilter::default();
    assert_eq!(list(all.clone()).await, ids);
    assert_eq!(list(SessionFilter { limit: Some(2), ..all.clone() }).await, ids[..2]);
    assert_eq!(list(SessionFilter { limit: Some(2), after: Some(ids[1]), ..all.clone() }).await, ids[2..4]);
    assert_eq!(list(SessionFilter { after: Some(fresh_id()), ..all.clone() }).await, []);
    let ada = SessionFilter { user: Some("ada".to_owned()), ..all.clone() };
    assert_eq!(list(ada.clone()).await, [ids[0], ids[1], ids[4]]);
    assert_eq!(list(SessionFilter { node: Some(a), ..ada }).await, [ids[0], ids[4]]);
    store.want(ids[2], Wanted::Ended, None).await.unwrap();
    let states = vec![State::Ended, State::Failed];
    assert_eq!(list(SessionFilter { states, ..all }).await, [ids[2]]);
    let hostile = SessionFilter { user: Some("' OR 1=1 --".to_owned()), ..SessionFilter::default() };
    assert_eq!(list(hostile).await, []);
}

pub(crate) async fn only_live_sessions_have_routes(bed: &impl Bed) {
    let store = bed.open().await;
    let a = store.register(&registration("a")).await.unwrap();
    let session = active(&*store, a).await;
    let over = starting_with(&*store, a, &[]).await;
    store.want(over.id, Wanted::Ended, None).await.unwrap();
    let route = Route {
        id: session.id,
        user: "ada".to_owned(),
        kind: "echo".to_owned(),
        state: State::Active,
        epoch: session.epoch,
        node: a,
        peer: Peer { name: "a".to_owned(), address: "a:8787".to_owned(), certificate: None },
    };
    assert_eq!(store.routes().await.unwrap(), [route]);
}

pub(crate) async fn what_a_shadow_said_is_kept_with_the_newest_placements(bed: &impl Bed) {
    let store = bed.open().await;
    let node = store.register(&registration("a")).await.unwrap();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(starting(&*store, node).await);
    }
    let before = revision(&*store).await;
    let shadow = |outcome| Shadow {
        balancer: "second".to_owned(),
        digest: Some("ab".to_owned()),
        duration: Duration::from_nanos(1_234),
        outcome,
        compared_with: Some(node),
    };
    let chose = Outcome::Chose { candidates: vec![NodeId(9), node], scores: Some(vec![0.5, -1.0]), reason: None };
    let said = [shadow(chose), shadow(Outcome::Declined("no".to_owned())), shadow(Outcome::Failed("broke".to_owned()))];
    for (session, shadow) in sessions.iter().zip(&said).take(2) {
        assert!(store.note_shadow(session.id, session.epoch, shadow, 2).await.unwrap());
    }
    let first = store.placements(Some(sessions[0].id), None, 1).await.unwrap().remove(0);
    assert_eq!(first.shadow, None, "it is not among the newest two");
    assert!(store.note_shadow(sessions[2].id, sessions[2].epoch, &said[2], 2).await.unwrap());
    assert!(!store.note_shadow(sessions[2].id, sessions[2].epoch.next(), &said[2], 2).await.unwrap());
    let kept = store.shadowed(None).await.unwrap();
    assert_eq!(kept.iter().filter_map(|one| one.shadow.as_ref()).collect::<Vec<_>>(), [&said[2], &said[1]]);
    assert_eq!(store.placement(kept[0].id).await.unwrap().as_ref(), Some(&kept[0]));

    assert!(store.note_shadow(sessions[0].id, sessions[0].epoch, &said[0], 3).await.unwrap());
    let first = store.placements(Some(sessions[0].id), None, 1).await.unwrap().remove(0);
    assert_eq!(first.shadow.as_ref(), Some(&said[0]));
    assert_eq!(store.shadowed(Some(first.decided)).await.unwrap().len(), 3);
    assert_eq!(store.shadowed(Some(store.now().await.unwrap() + Duration::from_secs(1))).await.unwrap(), []);
    assert_eq!(revision(&*store).await, before, "it is no business of placement");
}
