//! Nodes: registration, heartbeats, removal.

use std::collections::BTreeMap;

use super::{Heartbeat, NodeDeletion, RegisterError, Registration, SqliteStore, StoreError, Write, failed, now};
use crate::{
    domain::{Node, NodeId, Reading},
    store::rows::{
        self, Fields,
        nodes::{Holder, is_online, metrics_json, node, only_lost, removed, taken_up},
        sessions::session,
        size, to_json,
    },
};

pub(super) const ALL: &str = concat!("SELECT nodes.*, ", now!(), " AS now FROM nodes ORDER BY id");

pub(super) async fn all(store: &SqliteStore) -> Result<Vec<Node>, StoreError> {
    let rows = sqlx::query(ALL).fetch_all(&store.readers).await.map_err(failed("nodes"))?;
    rows.iter().map(|row| node(row, store.node_timeout)).collect()
}

pub(super) async fn register(store: &SqliteStore, registration: &Registration) -> Result<NodeId, RegisterError> {
    const OPERATION: &str = "registration";
    let labels = to_json(OPERATION, &registration.labels)?;
    let kinds = to_json(OPERATION, &registration.kinds)?;
    let metrics = metrics_json(OPERATION, &registration.metrics)?;
    let mut write = store.write(OPERATION).await?;
    let id = row_for(&mut write, registration, store.node_timeout).await?;
    let [load1, load5, load15] = registration.reading.load;
    let now = write.now;
    let id = sqlx::query_scalar(
        "INSERT INTO nodes (id, name, address, ip, version, balancer_digest, cores, memory_total, weight, capacity,
                            labels, kinds, load1, load5, load15, memory_available, last_seen, metrics,
                            promise_cpus, promise_memory)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, address = excluded.address, ip = excluded.ip, version = excluded.version,
             balancer_digest = excluded.balancer_digest, cores = excluded.cores, memory_total = excluded.memory_total,
             weight = excluded.weight, capacity = excluded.capacity, labels = excluded.labels, kinds = excluded.kinds,
             load1 = excluded.load1, load5 = excluded.load5, load15 = excluded.load15,
             memory_available = excluded.memory_available, last_seen = excluded.last_seen,
             metrics = excluded.metrics, promise_cpus = excluded.promise_cpus,
             promise_memory = excluded.promise_memory, stopped = 0,
             kind_versions = '{}'
         RETURNING id",
    )
    .bind(id)
    .bind(&registration.name)
    .bind(&registration.address)
    .bind(registration.ip.map(|ip| ip.to_string()))
    .bind(&registration.version)
    .bind(&registration.balancer_digest)
    .bind(registration.cores)
    .bind(size(registration.memory_total))
    .bind(registration.weight)
    .bind(registration.capacity)
    .bind(labels)
    .bind(kinds)
    .bind(load1)
    .bind(load5)
    .bind(load15)
    .bind(size(registration.reading.memory_available))
    .bind(now)
    .bind(metrics)
    .bind(registration.promise_cpus)
    .bind(registration.promise_memory.map(size))
    .fetch_one(write.on())
    .await
    .map_err(failed(OPERATION))?;
    note_heartbeat(&mut write, store.node_timeout).await?;
    write.raise_revision().await?;
    write.commit().await?;
    Ok(NodeId(id))
}

/// The id of the row that a registration takes up or makes; none where a new id is to be given.
async fn row_for(write: &mut Write, registration: &Registration, timeout: i64) -> Result<Option<i64>, RegisterError> {
    let now = write.now;
    let rows = sqlx::query("SELECT id, name, address, stopped, last_seen FROM nodes WHERE id = ?1 OR name = ?2")
        .bind(registration.id.map(|id| id.0))
        .bind(&registration.name)
        .fetch_all(write.on())
        .await
        .map_err(failed("registration"))?;
    let holders = rows.iter().map(|row| Holder::read(row, now, timeout)).collect::<Result<Vec<_>, _>>()?;
    match taken_up(holders, registration)? {
        Some(id) => Ok(Some(id)),
        None => Ok(given_before(write, registration.id).await?),
    }
}

/// The id of a node whose row was removed, where this store is the one that gave it: the node's sessions, should they
/// still run, are known by it.
async fn given_before(write: &mut Write, id: Option<NodeId>) -> Result<Option<i64>, StoreError> {
    let Some(NodeId(id)) = id else { return Ok(None) };
    let highest: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'nodes'")
        .fetch_optional(write.on())
        .await
        .map_err(failed("registration"))?;
    Ok((1..=highest.unwrap_or_default()).contains(&id).then_some(id))
}

/// Notes that a node has written, and since when nodes have done so without a gap.
async fn note_heartbeat(write: &mut Write, timeout: i64) -> Result<(), StoreError> {
    let (now, failed) = (write.now, write.failed());
    sqlx::query(
        "UPDATE cluster SET
             in_use_since = CASE WHEN abs(?1 - last_heartbeat) >= ?2 OR in_use_since > ?1 THEN ?1 ELSE in_use_since END,
             last_heartbeat = ?1",
    )
    .bind(now)
    .bind(timeout)
    .execute(write.on())
    .await
    .map_err(failed)?;
    Ok(())
}

pub(super) async fn heartbeat(
    store: &SqliteStore,
    node: NodeId,
    reading: &Reading,
) -> Result<Option<Heartbeat>, StoreError> {
    let mut write = store.write("heartbeat").await?;
    let (now, failed) = (write.now, write.failed());
    let row = sqlx::query("SELECT id, last_seen, stopped FROM nodes WHERE id = ?1")
        .bind(node.0)
        .fetch_optional(write.on())
        .await
        .map_err(&failed)?;
    let Some(row) = row else { return Ok(None) };
    let fields = Fields::new("nodes", &row);
    if fields.get("stopped")? {
        return Ok(None);
    }
    let returns = !is_online(now, fields.get("last_seen")?, false, store.node_timeout);
    sqlx::query(
        "UPDATE nodes SET load1 = ?2, load5 = ?3, load15 = ?4, memory_available = ?5, last_seen = ?6 WHERE id = ?1",
    )
    .bind(node.0)
    .bind(reading.load[0])
    .bind(reading.load[1])
    .bind(reading.load[2])
    .bind(size(reading.memory_available))
    .bind(now)
    .execute(write.on())
    .await
    .map_err(&failed)?;
    if returns {
        write.raise_revision().await?;
    }
    note_heartbeat(&mut write, store.node_timeout).await?;
    let pending = sqlx::query(
        "SELECT * FROM sessions
         WHERE node = ?1 AND state IN ('starting', 'active')
           AND (wanted IS NOT NULL OR (state = 'starting' AND claimed = 0))
         UNION ALL
         SELECT * FROM sessions WHERE ?2 AND node = ?1 AND state = 'lost' AND claimed = 1
         ORDER BY placed, id",
    )
    .bind(node.0)
    .bind(returns)
    .fetch_all(write.on())
    .await
    .map_err(&failed)?;
    write.commit().await?;
    Ok(Some(Heartbeat {
        now: rows::time("nodes", now)?,
        pending: pending.iter().map(session).collect::<Result<_, _>>()?,
    }))
}

pub(super) async fn leave(store: &SqliteStore, node: NodeId) -> Result<(), StoreError> {
    let mut write = store.write("leave").await?;
    let (now, failed) = (write.now, write.failed());
    sqlx::query("UPDATE nodes SET stopped = 1, last_seen = ?2 WHERE id = ?1")
        .bind(node.0)
        .bind(now)
        .execute(write.on())
        .await
        .map_err(failed)?;
    write.raise_revision().await?;
    write.commit().await
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

pub(super) async fn set_cordoned(store: &SqliteStore, node: NodeId, cordoned: bool) -> Result<bool, StoreError> {
    let mut write = store.write("cordon").await?;
    let failed = write.failed();
    let changed = sqlx::query("UPDATE nodes SET cordoned = ?2 WHERE id = ?1")
        .bind(node.0)
        .bind(cordoned)
        .execute(write.on())
        .await
        .map_err(failed)?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    write.raise_revision().await?;
    write.commit().await?;
    Ok(true)
}

pub(super) async fn delete(store: &SqliteStore, node: NodeId) -> Result<NodeDeletion, StoreError> {
    let mut write = store.write("node removal").await?;
    let (now, failed) = (write.now, write.failed());
    let row = sqlx::query("SELECT id, name, address, last_seen, stopped FROM nodes WHERE id = ?1")
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
    .bind(removed(&holder.name))
    .fetch_all(write.on())
    .await
    .map_err(&failed)?;
    let lost = only_lost(&lost)?;
    sqlx::query("DELETE FROM nodes WHERE id = ?1").bind(node.0).execute(write.on()).await.map_err(&failed)?;
    write.raise_revision().await?;
    write.commit().await?;
    Ok(NodeDeletion::Deleted(lost))
}
