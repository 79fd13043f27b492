//! Nodes as they are read, what is changed about one, and its removal.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    NodeDeletion, SqliteStore, StoreError, failed,
    membership::{Holder, columns},
    now,
    rows::{Fields, to_json},
};
use crate::domain::{Drain, Exclusion, Node, NodeId, NodeStatus, Overrides, Reading, SessionId};

pub(super) const ALL: &str = concat!("SELECT nodes.*, ", now!(), " AS now FROM nodes ORDER BY id");

/// A node's heartbeats arrive. The distance counts in both directions: after the clock was set back, a last heartbeat in
/// the future says no more than one as far in the past.
pub(super) fn is_online(now: i64, last_seen: i64, stopped: bool, timeout: i64) -> bool {
    !stopped && now.abs_diff(last_seen) < timeout.unsigned_abs()
}

pub(super) fn read(row: &SqliteRow, timeout: i64) -> Result<Node, StoreError> {
    let fields = Fields::new("nodes", row);
    let now = fields.get("now")?;
    let out: Option<Exclusion> = fields.optional_parsed("stays_out")?;
    let tried: Option<i64> = fields.get("tried")?;
    let status = match (out, tried) {
        // It tries no more: whatever keeps it out, it is not there.
        (Some(out), Some(tried)) if is_online(now, tried, false, timeout) => NodeStatus::from(out),
        _ if is_online(now, fields.get("last_seen")?, fields.flag("stopped")?, timeout) => NodeStatus::Online,
        _ => NodeStatus::Offline,
    };
    let seen = if out.is_some() && tried.is_some() { "tried" } else { "last_seen" };
    let clock_ahead: Option<i64> = fields.get("clock_ahead")?;
    let overrides: Overrides = fields.json("overrides")?;
    Ok(Node {
        id: NodeId(fields.get("id")?),
        name: fields.get("name")?,
        address: fields.get("address")?,
        ip: fields.optional_parsed("ip")?,
        version: fields.get("version")?,
        balancer_digest: fields.get("balancer_digest")?,
        cores: fields.number("cores")?,
        memory_total: fields.number("memory_total")?,
        weight: overrides.weight(fields.number("weight")?),
        capacity: overrides.capacity(fields.optional_number("capacity")?),
        promise_cpus: fields.get("promise_cpus")?,
        promise_memory: fields.optional_number("promise_memory")?,
        labels: overrides.labels(fields.json("labels")?),
        overrides,
        kinds: fields.json("kinds")?,
        kind_versions: fields.json("kind_versions")?,
        cordoned: fields.flag("cordoned")?,
        drain: drain(&fields)?,
        reading: Reading {
            load: [fields.get("load1")?, fields.get("load5")?, fields.get("load15")?],
            memory_available: fields.number("memory_available")?,
        },
        metrics: fields.json("metrics")?,
        status,
        last_seen: fields.time(seen)?,
        clock_ahead: clock_ahead.map(SignedDuration::from_millis),
    })
}

/// How a node is being emptied.
pub(super) fn drain(fields: &Fields<'_>) -> Result<Option<Drain>, StoreError> {
    let Some(since) = fields.optional_time("drain_since")? else { return Ok(None) };
    Ok(Some(Drain {
        since,
        deadline: fields.optional_time("drain_deadline")?,
        end: fields.flag("drain_end")?,
        maintenance: fields.flag("maintenance")?,
    }))
}

pub(super) async fn all(store: &SqliteStore) -> Result<Vec<Node>, StoreError> {
    let rows = sqlx::query(ALL).fetch_all(&store.readers).await.map_err(failed("nodes"))?;
    rows.iter().map(|row| read(row, store.node_timeout)).collect()
}

pub(super) async fn set_balancer_digest(
    store: &SqliteStore,
    node: NodeId,
    digest: Option<&str>,
) -> Result<(), StoreError> {
    let mut write = store.write("balancer").await?;
    let failed = write.failed();
    sqlx::query("UPDATE nodes SET balancer_digest = ?2 WHERE id = ?1")
        .bind(node.0)
        .bind(digest)
        .execute(write.on())
        .await
        .map_err(failed)?;
    write.commit().await
}

pub(super) async fn set_kinds(
    store: &SqliteStore,
    node: NodeId,
    kinds: &[String],
    versions: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "kinds";
    let kinds = to_json(OPERATION, &kinds)?;
    let mut write = store.write(OPERATION).await?;
    let before: Option<String> = sqlx::query_scalar("SELECT kinds FROM nodes WHERE id = ?1")
        .bind(node.0)
        .fetch_optional(write.on())
        .await
        .map_err(failed(OPERATION))?;
    sqlx::query("UPDATE nodes SET kinds = ?2, kind_versions = ?3 WHERE id = ?1")
        .bind(node.0)
        .bind(&kinds)
        .bind(to_json(OPERATION, versions)?)
        .execute(write.on())
        .await
        .map_err(failed(OPERATION))?;
    if before.is_some_and(|before| before != kinds) {
        write.raise_revision().await?;
    }
    write.commit().await
}

pub(super) async fn set_metrics(
    store: &SqliteStore,
    node: NodeId,
    metrics: &BTreeMap<String, f64>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "metrics";
    let metrics = metrics_json(OPERATION, metrics)?;
    let mut write = store.write(OPERATION).await?;
    let failed = write.failed();
    sqlx::query("UPDATE nodes SET metrics = ?2 WHERE id = ?1")
        .bind(node.0)
        .bind(metrics)
        .execute(write.on())
        .await
        .map_err(failed)?;
    write.commit().await
}

/// Finite numbers as JSON, which has no others.
pub(super) fn metrics_json(operation: &'static str, metrics: &BTreeMap<String, f64>) -> Result<String, StoreError> {
    match metrics.iter().find(|(_, value)| !value.is_finite()) {
        None => to_json(operation, metrics),
        Some((key, value)) => {
            Err(StoreError::Database { operation, message: format!("{key}: {value} is not a finite number") })
        }
    }
}

pub(super) async fn delete(store: &SqliteStore, node: NodeId) -> Result<NodeDeletion, StoreError> {
    let mut write = store.write("node removal").await?;
    let (now, failed) = (write.now, write.failed());
    let row = sqlx::query(concat!("SELECT ", columns!(), " FROM nodes WHERE id = ?1"))
        .bind(node.0)
        .fetch_optional(write.on())
        .await
        .map_err(&failed)?;
    let Some(row) = row else { return Ok(NodeDeletion::Missing) };
    let holder = Holder::read(&row, now, store.node_timeout)?;
    if holder.online {
        return Ok(NodeDeletion::Online);
    }
    let lost = sqlx::query(
        "UPDATE sessions SET
             state = CASE WHEN wanted = 'ended' THEN 'ended' ELSE 'lost' END, wanted = NULL, changed = ?2,
             failure = CASE WHEN wanted = 'ended' THEN NULL ELSE ?3 END
         WHERE node = ?1 AND state IN ('starting', 'active')
         RETURNING id, state",
    )
    .bind(node.0)
    .bind(now)
    .bind(format!("its node {} was removed from the cluster", holder.name))
    .fetch_all(write.on())
    .await
    .map_err(&failed)?;
    let lost = only_lost(&lost)?;
    sqlx::query("DELETE FROM nodes WHERE id = ?1").bind(node.0).execute(write.on()).await.map_err(&failed)?;
    write.raise_revision().await?;
    write.commit().await?;
    Ok(NodeDeletion::Deleted(lost))
}

/// Of sessions that their node was taken from, those that are lost and not ended as had been wanted of them.
pub(super) fn only_lost(rows: &[SqliteRow]) -> Result<Vec<SessionId>, StoreError> {
    rows.iter()
        .filter(|row| row.try_get::<&str, _>("state").is_ok_and(|state| state == "lost"))
        .map(|row| Fields::new("sessions", row).parsed("id"))
        .collect()
}
