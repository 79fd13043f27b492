//! Sessions as they change: claimed, reported on, moved, lost.

use std::time::Duration;

use jiff::Timestamp;

use super::{PostgresStore, Report, StoreError, Write, membership, milliseconds, now, optional_text, placements};
use crate::{
    domain::{Epoch, NodeId, Session, SessionId, State, Wanted},
    store::{
        Move,
        life::{self, Change},
        rows::{
            Fields,
            nodes::only_lost,
            sessions::{session, session_columns},
            to_json,
        },
    },
};

pub(super) async fn claim(
    store: &PostgresStore,
    id: SessionId,
    epoch: Epoch,
    node: NodeId,
) -> Result<bool, StoreError> {
    let mut write = store.write_beside("claim").await?;
    let query = sqlx::query(
        "UPDATE sessions SET claimed = TRUE
         WHERE id = $1 AND epoch = $2 AND node = $3 AND state = 'starting' AND NOT claimed AND wanted IS NULL",
    )
    .bind(id.as_str())
    .bind(epoch.0)
    .bind(node.0);
    let claimed = write.execute(query).await?;
    write.commit().await?;
    Ok(claimed == 1)
}

/// The session, which nobody else changes until the transaction is over.
pub(super) async fn present(write: &mut Write, id: SessionId) -> Result<Option<Session>, StoreError> {
    let query = sqlx::query(concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = $1 FOR UPDATE"))
        .bind(id.as_str());
    write.optional(query).await?.as_ref().map(session).transpose()
}

/// Writes what has become of a session, inside a transaction that has locked `cluster`.
pub(super) async fn update(write: &mut Write, before: &Session, after: Session) -> Result<Session, StoreError> {
    let change = life::change(before, after, write.now)?;
    put(write, &change).await?;
    if change.raises_revision {
        write.raise_revision().await?;
    }
    Ok(change.after)
}

async fn put(write: &mut Write, Change { after, moved, .. }: &Change) -> Result<(), StoreError> {
    let operation = write.operation;
    let query = sqlx::query(
        "UPDATE sessions SET
             state = $2, wanted = $3, node = $4, epoch = $5, claimed = $6, pid = $7, candidates = $8, failed_nodes = $9,
             failure = $10, changed = $11, placed = CASE WHEN $12 THEN $13 ELSE placed END, note = $14,
             last_activity = $15, exit_status = $16
         WHERE id = $1",
    )
    .bind(after.id.as_str())
    .bind(after.state.as_str())
    .bind(after.wanted.map(Wanted::as_str))
    .bind(after.node.0)
    .bind(after.epoch.0)
    .bind(after.claimed)
    .bind(after.pid.map(i64::from))
    .bind(to_json(operation, &after.candidates)?)
    .bind(to_json(operation, &after.failed_nodes)?)
    .bind(optional_text(after.failure.as_deref()))
    .bind(after.changed.as_millisecond())
    .bind(*moved)
    .bind(write.now)
    .bind(optional_text(after.note.as_deref()))
    .bind(after.last_activity.map(Timestamp::as_millisecond))
    .bind(after.exit_status.map(i64::from));
    write.execute(query).await?;
    Ok(())
}

pub(super) async fn report(
    store: &PostgresStore,
    id: SessionId,
    epoch: Epoch,
    report: &Report,
) -> Result<Option<State>, StoreError> {
    const OPERATION: &str = "report";
    // That a program runs is about its session alone, and said by everybody at once after many launches.
    if matches!(report, Report::Started { .. } | Report::Active) {
        let mut write = store.write_beside(OPERATION).await?;
        let change = reported(&mut write, id, epoch, report).await?;
        match change {
            Some(change) if !change.raises_revision => {
                write.told = change.changes_state.then(|| store.news.told());
                put(&mut write, &change).await?;
                write.commit().await?;
                return Ok(Some(change.after.state));
            }
            // Its node has returned: `cluster` is to be locked first.
            Some(_) => write.undo().await?,
            None => {
                write.undo().await?;
                return Ok(None);
            }
        }
    }
    let mut write = store.write(OPERATION).await?;
    let Some(change) = reported(&mut write, id, epoch, report).await? else {
        write.undo().await?;
        return Ok(None);
    };
    put(&mut write, &change).await?;
    if change.raises_revision {
        write.raise_revision().await?;
    }
    write.commit().await?;
    Ok(Some(change.after.state))
}

async fn reported(
    write: &mut Write,
    id: SessionId,
    epoch: Epoch,
    report: &Report,
) -> Result<Option<Change>, StoreError> {
    let Some(before) = present(write, id).await? else { return Ok(None) };
    let Some(after) = life::reported(&before, epoch, report) else { return Ok(None) };
    life::change(&before, after, write.now).map(Some)
}

pub(super) async fn start_failed(
    store: &PostgresStore,
    id: SessionId,
    epoch: Epoch,
    failure: &str,
    next: Option<Move>,
) -> Result<Option<Session>, StoreError> {
    let mut write = store.write("failed start").await?;
    let before = present(&mut write, id).await?;
    let holds = match next.and_then(|next| next.seen) {
        Some(seen) => {
            let query = sqlx::query("SELECT FROM cluster WHERE revision = $1").bind(seen.0);
            write.optional(query).await?.is_some()
        }
        None => true,
    };
    let failed = before.as_ref().filter(|_| holds);
    let failed = failed.and_then(|before| life::start_failed(before, epoch, failure, next));
    let (Some(before), Some((attempt, after))) = (before, failed) else {
        write.undo().await?;
        return Ok(None);
    };
    placements::note(&mut write, id, attempt).await?;
    let after = update(&mut write, &before, after).await?;
    write.commit().await?;
    Ok(Some(after))
}

pub(super) async fn expire(store: &PostgresStore, after: Duration) -> Result<Vec<SessionId>, StoreError> {
    let after = milliseconds(after);
    let mut write = store.write("expiry").await?;
    let now = write.now;
    let query = sqlx::query("SELECT one AS id, last_heartbeat, in_use_since FROM cluster");
    let row = write.transaction.one(query).await?;
    let fields = Fields::new("cluster", &row);
    let (last_heartbeat, in_use_since) = (fields.get::<i64>("last_heartbeat")?, fields.get::<i64>("in_use_since")?);
    drop(row);
    let away = now.abs_diff(last_heartbeat) >= store.node_timeout.unsigned_abs();
    if away || now.saturating_sub(in_use_since) < after.max(store.node_timeout) {
        write.undo().await?;
        return Ok(Vec::new());
    }
    let query = sqlx::query(
        "UPDATE sessions SET
             state = CASE WHEN wanted = 'ended' THEN 'ended' ELSE 'lost' END, wanted = NULL, changed = $1,
             pid = CASE WHEN state = 'active' THEN pid END,
             failure = CASE WHEN wanted = 'ended' THEN NULL ELSE 'its node '
                 || coalesce((SELECT name FROM nodes WHERE nodes.id = sessions.node), sessions.node::text)
                 || ' is offline' END
         WHERE state IN ('starting', 'active') AND NOT (state = 'starting' AND NOT claimed AND wanted IS NULL)
           AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = sessions.node
               AND (abs($1 - last_seen) <= $2 OR (NOT stopped AND abs($1 - last_seen) < $3)))
         RETURNING id, state",
    )
    .bind(now)
    .bind(after)
    .bind(store.node_timeout);
    let rows = write.all(query).await?;
    let forgotten = membership::forget_those_gone(&mut write).await?;
    if rows.is_empty() && !forgotten {
        write.undo().await?;
        return Ok(Vec::new());
    }
    write.raise_revision().await?;
    write.commit().await?;
    only_lost(&rows)
}

pub(super) async fn stranded(store: &PostgresStore, after: Duration) -> Result<Vec<Session>, StoreError> {
    let query = sqlx::query(concat!(
        "WITH present AS (SELECT ",
        now!(),
        " AS now) SELECT ",
        session_columns!(),
        " FROM sessions, present
         WHERE state = 'starting' AND NOT claimed AND wanted IS NULL
           AND (NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = sessions.node)
                OR EXISTS (SELECT 1 FROM nodes WHERE nodes.id = sessions.node AND nodes.drain_since IS NOT NULL)
                OR (EXISTS (SELECT 1 FROM cluster
                        WHERE abs(present.now - cluster.last_heartbeat) < $2
                          AND present.now - cluster.in_use_since >= greatest($1, $2))
                    AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = sessions.node
                        AND (abs(present.now - nodes.last_seen) <= $1
                             OR (NOT nodes.stopped AND abs(present.now - nodes.last_seen) < $2)))))
         ORDER BY placed, id"
    ))
    .bind(milliseconds(after))
    .bind(store.node_timeout);
    let rows = store.read("stranded starts").await?.all(query).await?;
    rows.iter().map(session).collect()
}
