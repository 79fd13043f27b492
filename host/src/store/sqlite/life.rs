//! Sessions as they change: claimed, reported on, moved, lost.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Report, SqliteStore, StoreError, Write, failed, membership, milliseconds, nodes, placements,
    rows::{Fields, to_json},
    sessions,
};
use crate::domain::{Attempt, Epoch, NodeId, Session, SessionId, State, Wanted};

pub(super) async fn claim(store: &SqliteStore, id: SessionId, epoch: Epoch, node: NodeId) -> Result<bool, StoreError> {
    let mut write = store.write("claim").await?;
    let failed = write.failed();
    let claimed = sqlx::query(
        "UPDATE sessions SET claimed = 1
         WHERE id = ?1 AND epoch = ?2 AND node = ?3 AND state = 'starting' AND claimed = 0 AND wanted IS NULL",
    )
    .bind(id.as_str())
    .bind(epoch.0)
    .bind(node.0)
    .execute(write.on())
    .await
    .map_err(failed)?;
    write.commit().await?;
    Ok(claimed.rows_affected() == 1)
}

/// The session, inside a write transaction.
pub(super) async fn present(write: &mut Write, id: SessionId) -> Result<Option<Session>, StoreError> {
    let failed = write.failed();
    let row = sqlx::query("SELECT * FROM sessions WHERE id = ?1")
        .bind(id.as_str())
        .fetch_optional(write.on())
        .await
        .map_err(failed)?;
    row.as_ref().map(sessions::read).transpose()
}

/// Writes what may change in a session's life; raises the revision where it begins or ceases to occupy its node, or moves.
pub(super) async fn update(write: &mut Write, before: &Session, mut after: Session) -> Result<Session, StoreError> {
    let (now, operation) = (write.now, write.operation);
    if !after.state.is_live() {
        after.wanted = None;
    }
    if after.state != before.state {
        after.changed = super::rows::time("sessions", now)?;
        if after.state == State::Active {
            after.last_activity = after.last_activity.max(Some(after.changed));
        }
    }
    let moved = after.epoch != before.epoch;
    sqlx::query(
        "UPDATE sessions SET
             state = ?2, wanted = ?3, node = ?4, epoch = ?5, claimed = ?6, pid = ?7, candidates = ?8, failed_nodes = ?9,
             failure = ?10, changed = ?11, placed = CASE WHEN ?12 THEN ?13 ELSE placed END, note = ?14,
             last_activity = ?15, exit_status = ?16
         WHERE id = ?1",
    )
    .bind(after.id.as_str())
    .bind(after.state.as_str())
    .bind(after.wanted.map(Wanted::as_str))
    .bind(after.node.0)
    .bind(after.epoch.0)
    .bind(after.claimed)
    .bind(after.pid)
    .bind(to_json(operation, &after.candidates)?)
    .bind(to_json(operation, &after.failed_nodes)?)
    .bind(&after.failure)
    .bind(after.changed.as_millisecond())
    .bind(moved)
    .bind(now)
    .bind(&after.note)
    .bind(after.last_activity.map(Timestamp::as_millisecond))
    .bind(after.exit_status)
    .execute(write.on())
    .await
    .map_err(failed(operation))?;
    if moved || before.state.is_live() != after.state.is_live() {
        write.raise_revision().await?;
    }
    Ok(after)
}

/// The session over, as `state` or as was wanted of it.
fn over(before: &Session, state: State, failure: Option<String>) -> Session {
    let state = before.wanted.map_or(state, Wanted::fulfilled);
    Session { state, pid: None, failure: failure.filter(|_| state == State::Failed), ..before.clone() }
}

pub(super) async fn report(
    store: &SqliteStore,
    id: SessionId,
    epoch: Epoch,
    report: &Report,
) -> Result<Option<State>, StoreError> {
    let mut write = store.write("report").await?;
    let Some(before) = present(&mut write, id).await? else { return Ok(None) };
    if before.epoch != epoch || !matches!(before.state, State::Starting | State::Active | State::Lost) {
        return Ok(None);
    }
    let after = match report {
        Report::Started { .. } | Report::Active if !before.claimed => return Ok(None),
        Report::Started { pid } => {
            let state = if before.state == State::Lost { State::Starting } else { before.state };
            Session { state, pid: Some(*pid), failure: None, ..before.clone() }
        }
        Report::Active => Session { state: State::Active, failure: None, ..before.clone() },
        Report::Suspended => over(&before, State::Suspended, None),
        Report::Ended => over(&before, State::Ended, None),
        Report::Failed { failure } => over(&before, State::Failed, Some(failure.clone())),
        Report::Exited { status, failure } => {
            let state = if *status == 0 { State::Ended } else { State::Failed };
            // A job that was to be ended did not come to an end of its own.
            let exit_status = before.wanted.is_none().then_some(*status);
            Session { exit_status, ..over(&before, state, failure.clone()) }
        }
    };
    let after = update(&mut write, &before, after).await?;
    write.commit().await?;
    Ok(Some(after.state))
}

pub(super) async fn start_failed(
    store: &SqliteStore,
    id: SessionId,
    epoch: Epoch,
    failure: &str,
    next: Option<NodeId>,
) -> Result<Option<Session>, StoreError> {
    let mut write = store.write("failed start").await?;
    let Some(before) = present(&mut write, id).await? else { return Ok(None) };
    if before.epoch != epoch || before.state != State::Starting {
        return Ok(None);
    }
    let attempt = Attempt { node: before.node, epoch, failure: failure.to_owned() };
    placements::note(&mut write, id, &attempt).await?;
    let mut after = match next.filter(|_| before.wanted.is_none()) {
        Some(next) => {
            Session { node: next, epoch: epoch.next(), claimed: false, pid: None, failure: None, ..before.clone() }
        }
        None => over(&before, State::Failed, Some(failure.to_owned())),
    };
    if !after.failed_nodes.contains(&before.node) {
        after.failed_nodes.push(before.node);
    }
    after.candidates.retain(|node| *node != after.node && *node != before.node);
    let after = update(&mut write, &before, after).await?;
    write.commit().await?;
    Ok(Some(after))
}

pub(super) async fn expire(store: &SqliteStore, after: Duration) -> Result<Vec<SessionId>, StoreError> {
    let after = milliseconds(after);
    let mut write = store.write("expiry").await?;
    let (now, failed) = (write.now, write.failed());
    let row = sqlx::query("SELECT one AS id, last_heartbeat, in_use_since FROM cluster")
        .fetch_one(write.on())
        .await
        .map_err(&failed)?;
    let fields = Fields::new("cluster", &row);
    let (last_heartbeat, in_use_since) = (fields.get::<i64>("last_heartbeat")?, fields.get::<i64>("in_use_since")?);
    let away = now.abs_diff(last_heartbeat) >= store.node_timeout.unsigned_abs();
    if away || now.saturating_sub(in_use_since) < after.max(store.node_timeout) {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "UPDATE sessions SET
             state = CASE WHEN wanted = 'ended' THEN 'ended' ELSE 'lost' END, wanted = NULL, changed = ?1,
             failure = CASE WHEN wanted = 'ended' THEN NULL ELSE 'its node '
                 || coalesce((SELECT name FROM nodes WHERE nodes.id = sessions.node), sessions.node)
                 || ' is offline' END
         WHERE state IN ('starting', 'active')
           AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = sessions.node
               AND (abs(?1 - last_seen) <= ?2 OR (stopped = 0 AND abs(?1 - last_seen) < ?3)))
         RETURNING id, state",
    )
    .bind(now)
    .bind(after)
    .bind(store.node_timeout)
    .fetch_all(write.on())
    .await
    .map_err(&failed)?;
    let forgotten = membership::forget_those_gone(&mut write).await?;
    if rows.is_empty() && !forgotten {
        return Ok(Vec::new());
    }
    write.raise_revision().await?;
    write.commit().await?;
    nodes::only_lost(&rows)
}
