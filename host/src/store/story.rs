//! The story that every store must be able to tell, whatever database is behind it.
//!
//! A database takes part with a [`Bed`] and one line of [`tell!`].

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Beat, Registration, Reservation, Snapshot, Store, begun::Member};
use crate::domain::{Charter, Decision, Epoch, InsteadOf, Node, NodeId, PROTOCOL, Reading, Session, SessionId, State};

pub(crate) mod jobs;
pub(crate) mod life;
pub(crate) mod membership;
pub(crate) mod nodes;
pub(crate) mod orders;
pub(crate) mod reservations;
pub(crate) mod schema;
pub(crate) mod shown;
pub(crate) mod sign_outs;
pub(crate) mod silence;
pub(crate) mod users;

/// What a node may be silent for, in every bed: longer than any test.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(600);

/// An empty registry in a database of its own.
#[async_trait]
pub(crate) trait Bed: Send + Sync {
    /// Opens it as one more daemon does.
    async fn open(&self) -> Arc<dyn Store>;

    /// Who is in the cluster that it has, asked without opening it.
    async fn begun(&self) -> Option<Vec<Member>>;

    /// Makes everything in it older, as if time had passed.
    async fn pass(&self, time: Duration);

    /// Changes the schema as a later program may while earlier ones run: each table gains a column.
    async fn add_to_schema(&self);
}

/// Makes a test of every chapter, each in a bed made by `$bed().await`.
macro_rules! tell {
    ($bed:expr) => {
        $crate::store::story::tell!($bed; nodes:
            a_node_that_registers_again_keeps_its_id,
            a_node_keeps_its_id_under_a_new_name,
            a_new_node_takes_up_the_row_of_an_offline_one_of_its_name,
            a_name_is_refused_while_a_node_is_online_under_it,
            the_name_of_another_offline_node_is_refused_to_a_node_with_an_id,
            a_copied_data_directory_is_refused_while_its_node_is_online,
            an_id_that_this_store_never_gave_is_not_taken_up,
            a_node_reads_back_as_it_registered,
            a_balancer_that_is_replaced_is_known_and_leaves_the_revision,
            a_certificate_that_is_replaced_is_known_and_leads_to_its_sessions,
            numbers_that_are_published_are_known_and_leave_the_revision,
            kinds_that_are_found_later_are_offered_and_raise_the_revision,
            a_heartbeat_brings_the_reading_and_leaves_the_revision,
            a_heartbeat_of_an_offline_node_raises_the_revision,
            a_heartbeat_of_a_removed_node_asks_for_registration_which_gives_the_id_back,
            a_node_that_left_is_offline_at_once_and_must_register,
            a_node_that_is_silent_for_the_time_out_is_offline,
            a_cordon_survives_registration,
            a_reading_that_is_no_number_is_refused,
            removing_a_node_needs_it_offline_and_loses_its_sessions,
        );
        $crate::store::story::tell!($bed; membership:
            the_first_node_lays_down_the_charter,
            whether_a_cluster_has_begun_is_told_without_a_write,
            of_many_first_nodes_with_keys_of_their_own_one_lays_down_the_charter,
            a_node_that_does_not_fit_is_known_and_no_member,
            a_node_that_stays_out_tries_again_without_raising_the_revision,
            a_node_that_stays_out_and_tries_no_more_is_offline,
            a_version_must_work_beside_those_online_only,
            sessions_of_a_member_that_returns_with_another_key_are_lost_in_their_time,
            a_cluster_is_reset_while_nobody_is_online_or_by_force,
            members_register_again_after_a_reset,
            a_key_is_replaced_while_members_are_online,
            an_id_that_is_online_at_another_place_is_refused_until_it_is_silent,
            a_daemon_at_the_same_place_comes_after_the_one_before,
            whose_id_was_taken_over_must_register_and_is_refused,
            what_a_clock_is_ahead_by_is_known_until_it_is_measured_again,
        );
        $crate::store::story::tell!($bed; orders:
            a_drain_cordons_and_has_its_deadline_by_the_stores_clock,
            a_drain_is_changed_and_keeps_its_beginning,
            to_uncordon_lifts_a_drain_and_to_cordon_leaves_it,
            heartbeats_tell_a_node_of_its_drain_also_after_it_registered_again,
            what_is_set_of_a_node_goes_before_its_own_and_survives_registration,
            a_node_that_leaves_for_good_is_forgotten_once_nothing_runs_on_it,
            what_still_ran_on_a_node_that_left_for_good_is_lost_in_its_time_and_taken_up_again,
        );
        $crate::store::story::tell!($bed; reservations:
            a_reserved_session_reads_back,
            a_snapshot_shows_live_sessions_only,
            a_reservation_at_a_stale_revision_writes_nothing,
            a_batch_is_written_whole_or_not_at_all,
            a_session_id_that_is_taken_is_refused,
            a_hundred_reservations_at_once_from_three_daemons_keep_exact_counts,
            a_limit_that_is_checked_on_the_snapshot_is_exact,
            a_session_is_placed_again_under_the_next_epoch_only,
            a_session_that_is_placed_again_counts_to_the_groups_of_then,
            reservations_wait_in_the_order_of_their_placement,
            placements_are_paged_newest_first,
            what_a_shadow_said_is_kept_with_the_newest_placements,
            sessions_are_filtered_and_paged_newest_first,
            only_live_sessions_have_routes,
        );
        $crate::store::story::tell!($bed; life:
            one_of_many_claims_succeeds,
            a_claim_needs_the_node_the_epoch_and_nothing_wanted,
            a_session_goes_from_starting_to_active_to_ended,
            a_report_under_an_old_epoch_changes_nothing,
            a_session_moves_only_while_the_cluster_is_as_it_was_when_that_was_decided,
            a_session_that_is_not_claimed_cannot_run,
            a_failed_start_moves_to_the_next_node_under_the_next_epoch,
            a_failed_start_with_no_next_node_fails_the_session,
            a_failed_start_of_a_session_that_is_to_end_ends_it,
            what_runs_is_asked_and_what_does_not_becomes_so_at_once,
            to_end_overrides_to_suspend_and_any_end_is_the_wanted_one,
            what_cannot_be_suspended_stays_as_it_is,
            what_is_over_takes_no_report,
            all_of_a_users_sessions_are_asked_at_once_and_nobody_elses,
            what_nobody_uses_is_suspended_only_as_it_was_seen,
            a_suspended_session_that_nobody_uses_is_ended,
            activity_is_noted_under_its_epoch_and_never_goes_back,
            a_session_is_called_otherwise,
        );
        $crate::store::story::tell!($bed; jobs:
            what_a_job_runs_is_kept_until_it_is_over,
            a_job_that_was_to_end_has_no_status_of_its_own,
            a_job_has_no_route_and_is_found_as_one,
        );
        $crate::store::story::tell!($bed; shown:
            what_was_shown_is_found_by_placement,
            the_oldest_of_what_was_shown_goes_first_whoever_writes,
        );
        $crate::store::story::tell!($bed; sign_outs:
            what_was_ended_by_one_daemon_is_read_by_the_others_once,
            what_would_be_over_anyway_is_let_go_and_its_number_is_no_others,
        );
        $crate::store::story::tell!($bed; silence:
            sessions_of_a_node_that_stays_silent_are_lost,
            a_stopped_node_keeps_its_sessions_for_the_time_given,
            a_session_that_was_to_end_ends_with_its_node,
            a_session_cut_off_while_it_was_to_be_suspended_is_lost_since_it_may_still_run,
            nobody_is_lost_for_a_time_out_after_all_were_away,
            nobody_judges_while_nobody_writes,
            a_node_that_returns_takes_its_lost_sessions_up_again,
            a_session_ended_while_lost_is_not_taken_up_again,
            the_first_heartbeat_of_a_node_that_returns_brings_its_lost_sessions,
            a_start_that_nobody_has_claimed_is_not_lost_with_its_node_but_stranded,
            a_start_that_waits_on_a_node_which_is_drained_is_stranded_and_on_one_that_is_cordoned_it_waits,
            whoever_claims_and_whoever_places_again_exclude_each_other,
            nobody_is_stranded_for_a_time_out_after_all_were_away,
        );
        $crate::store::story::tell!($bed; schema:
            a_program_works_on_while_a_later_one_adds_to_the_schema,
            a_program_starts_on_a_schema_that_a_later_one_has_added_to,
        );
        $crate::store::story::tell!($bed; users:
            the_first_user_id_is_kept_until_it_is_forgotten,
            of_many_who_keep_a_user_id_at_once_one_is_first,
        );
    };
    ($bed:expr; $chapter:ident: $($test:ident),* $(,)?) => {
        mod $chapter {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let bed = $bed().await;
                    $crate::store::story::$chapter::$test(&bed).await;
                }
            )*
        }
    };
}
pub(crate) use tell;

pub(crate) fn registration(name: &str) -> Registration {
    Registration {
        id: None,
        name: name.to_owned(),
        address: format!("{name}:8787"),
        ip: None,
        version: "0.1.0".to_owned(),
        balancer_digest: None,
        certificate: None,
        cores: 4,
        memory_total: 8 << 30,
        weight: 100,
        capacity: None,
        promise_cpus: None,
        promise_memory: None,
        labels: BTreeMap::new(),
        kinds: vec!["echo".to_owned()],
        reading: reading(0.5),
        metrics: BTreeMap::new(),
        charter: charter("key"),
        other_key: None,
        place: String::new(),
    }
}

pub(crate) fn charter(key: &str) -> Charter {
    Charter { key_hash: key.to_owned(), protocol: PROTOCOL }
}

pub(crate) fn beat(load: f64) -> Beat {
    Beat { reading: reading(load), ..Beat::default() }
}

pub(crate) fn reading(load: f64) -> Reading {
    Reading { load: [load, load / 2.0, load / 4.0], memory_available: 4 << 30 }
}

pub(crate) fn decision(candidates: &[NodeId]) -> Decision {
    Decision {
        balancer: "sessions".to_owned(),
        digest: Some("0a1b".to_owned()),
        candidates: candidates.to_vec(),
        scores: Some(candidates.iter().map(|node| -(node.0 as f64) / 3.0).collect()),
        reason: Some("fewest sessions".to_owned()),
        fallback: Some("balancer mine failed: broke".to_owned()),
        instead_of: Some(InsteadOf {
            balancer: "mine".to_owned(),
            digest: Some("0c1d".to_owned()),
            duration: Some(Duration::from_nanos(50_000_012_345)),
        }),
        eligible: 3,
        duration: Duration::from_micros(44),
    }
}

/// A session id of its own for each call.
pub(crate) fn fresh_id() -> SessionId {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:08}", COUNT.fetch_add(1, Ordering::Relaxed)).parse().expect("eight digits")
}

/// A reservation of a new session.
pub(crate) fn reservation(now: Timestamp, node: NodeId, user: &str) -> Reservation {
    // The store keeps milliseconds.
    let now = Timestamp::from_millisecond(now.as_millisecond()).expect("a time of this age");
    Reservation {
        session: Session {
            id: fresh_id(),
            user: user.to_owned(),
            groups: vec!["staff".to_owned()],
            kind: "echo".to_owned(),
            name: "Echo".to_owned(),
            state: State::Starting,
            wanted: None,
            node,
            epoch: Epoch::FIRST,
            claimed: false,
            pid: None,
            cpus: 0.5,
            memory: 1 << 20,
            labels: BTreeMap::from([("gpu".to_owned(), "yes".to_owned())]),
            candidates: vec![],
            failed_nodes: vec![],
            failure: None,
            is_job: false,
            exit_status: None,
            note: None,
            last_activity: None,
            created: now,
            changed: now,
        },
        new: true,
        decision: decision(&[node]),
        job: None,
    }
}

/// A session reserved on a node.
pub(crate) async fn starting(store: &dyn Store, node: NodeId) -> Session {
    starting_with(store, node, &[]).await
}

/// A session reserved on a node, with others to try.
pub(crate) async fn starting_with(store: &dyn Store, node: NodeId, candidates: &[NodeId]) -> Session {
    loop {
        let Snapshot { revision, now, .. } = store.snapshot().await.expect("snapshot");
        let mut reservation = reservation(now, node, "ada");
        reservation.session.candidates = candidates.to_vec();
        if store.reserve(revision, std::slice::from_ref(&reservation)).await.expect("reserve") {
            return reservation.session;
        }
    }
}

/// A session that runs.
pub(crate) async fn active(store: &dyn Store, node: NodeId) -> Session {
    let session = starting(store, node).await;
    assert!(store.claim(session.id, session.epoch, node).await.expect("claim"));
    assert!(
        store.report(session.id, session.epoch, &super::Report::Started { pid: 42 }).await.expect("report").is_some()
    );
    assert!(store.report(session.id, session.epoch, &super::Report::Active).await.expect("report").is_some());
    read(store, session.id).await
}

pub(crate) async fn read(store: &dyn Store, id: SessionId) -> Session {
    store.session(id).await.expect("session").expect("it is there")
}

pub(crate) async fn node(store: &dyn Store, id: NodeId) -> Node {
    store.nodes().await.expect("nodes").into_iter().find(|node| node.id == id).expect("it is there")
}

pub(crate) async fn revision(store: &dyn Store) -> i64 {
    store.snapshot().await.expect("snapshot").revision.0
}
