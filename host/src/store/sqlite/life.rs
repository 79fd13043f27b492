//! Sessions as they change: claimed, reported on, moved, lost.

use std::time::Duration;

use jiff::Timestamp;

use super::{Report, SqliteStore, StoreError, Write, failed, membership, milliseconds, now, placements};
use crate::{
    domain::{Epoch, NodeId, Revision, Session, SessionId, State, Wanted},
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
    let row = sqlx::query(concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = ?1"))
        .bind(id.as_str())
        .fetch_optional(write.on())
        .await
        .map_err(failed)?;
    row.as_ref().map(session).transpose()
}

/// Writes what has become of a session.
pub(super) async fn update(write: &mut Write, before: &Session, after: Session) -> Result<Session, StoreError> {
    let (now, operation) = (write.now, write.operation);
    let Change { after, moved, raises_revision, .. } = life::change(before, after, now)?;
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
    if raises_revision {
        write.raise_revision().await?;
    }
    Ok(after)
}

pub(super) async fn report(
    store: &SqliteStore,
    id: SessionId,
    epoch: Epoch,
    report: &Report,
) -> Result<Option<State>, StoreError> {
    let mut write = store.write("report").await?;
    let Some(before) = present(&mut write, id).await? else { return Ok(None) };
    let Some(after) = life::reported(&before, epoch, report) else { return Ok(None) };
    let after = update(&mut write, &before, after).await?;
    write.commit().await?;
    Ok(Some(after.state))
}

pub(super) async fn start_failed(
    store: &SqliteStore,
    id: SessionId,
    epoch: Epoch,
    failure: &str,
    next: Option<Move>,
) -> Result<Option<Session>, StoreError> {
    let mut write = store.write("failed start").await?;
    let Some(before) = present(&mut write, id).await? else { return Ok(None) };
    let Some((attempt, after)) = life::start_failed(&before, epoch, failure, next) else { return Ok(None) };
    if let Some(seen) = next.and_then(|next| next.seen) {
        let failed = write.failed();
        let present: i64 =
            sqlx::query_scalar("SELECT revision FROM cluster").fetch_one(write.on()).await.map_err(failed)?;
        if Revision(present) != seen {
            return Ok(None);
        }
    }
    placements::note(&mut write, id, &attempt).await?;
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
             pid = CASE WHEN state = 'active' THEN pid END,
             failure = CASE WHEN wanted = 'ended' THEN NULL ELSE 'its node '
                 || coalesce((SELECT name FROM nodes WHERE nodes.id = sessions.node), sessions.node)
                 || ' is offline' END
         WHERE state IN ('starting', 'active') AND NOT (state = 'starting' AND claimed = 0 AND wanted IS NULL)
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
    only_lost(&rows)
}

pub(super) async fn stranded(store: &SqliteStore, after: Duration) -> Result<Vec<Session>, StoreError> {
    let rows = sqlx::query(concat!(
        "WITH present AS (SELECT ",
        now!(),
        " AS now) SELECT ",
        session_columns!(),
        " FROM sessions, present
         WHERE state = 'starting' AND claimed = 0 AND wanted IS NULL
           AND (NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = sessions.node)
                OR EXISTS (SELECT 1 FROM nodes WHERE nodes.id = sessions.node AND nodes.drain_since IS NOT NULL)
                OR (EXISTS (SELECT 1 FROM cluster
                        WHERE abs(present.now - cluster.last_heartbeat) < ?2
                          AND present.now - cluster.in_use_since >= max(?1, ?2))
                    AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = sessions.node
                        AND (abs(present.now - nodes.last_seen) <= ?1
                             OR (nodes.stopped = 0 AND abs(present.now - nodes.last_seen) < ?2)))))
         ORDER BY placed, id"
    ))
    .bind(milliseconds(after))
    .bind(store.node_timeout)
    .fetch_all(&store.readers)
    .await
    .map_err(failed("stranded starts"))?;
    rows.iter().map(session).collect()
}
