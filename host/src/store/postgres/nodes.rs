//! Nodes: registration, heartbeats, removal.

use std::collections::BTreeMap;

use super::{
    Heartbeat, NodeDeletion, PostgresStore, RegisterError, Registration, StoreError, Write, failed, now, optional_text,
    text,
};
use crate::{
    domain::{Node, NodeId, Reading},
    store::rows::{
        self, Fields,
        nodes::{Holder, is_online, metrics_json, node, only_lost, removed, taken_up},
        sessions::session,
        size, to_json,
    },
};
use sqlx::Row as _;

pub(super) const ALL: &str = concat!("SELECT nodes.*, ", now!(), " AS now FROM nodes ORDER BY id");

pub(super) async fn all(store: &PostgresStore) -> Result<Vec<Node>, StoreError> {
    let rows = store.read("nodes").await?.all(sqlx::query(ALL)).await?;
    rows.iter().map(|row| node(row, store.node_timeout)).collect()
}

pub(super) async fn register(store: &PostgresStore, registration: &Registration) -> Result<NodeId, RegisterError> {
    const OPERATION: &str = "registration";
    let labels = to_json(OPERATION, &registration.labels)?;
    let kinds = to_json(OPERATION, &registration.kinds)?;
    let metrics = metrics_json(OPERATION, &registration.metrics)?;
    let mut write = store.write(OPERATION).await?;
    let id = match row_for(&mut write, registration, store.node_timeout).await {
        Ok(Some(id)) => id,
        Ok(None) => next_id(&mut write).await?,
        Err(RegisterError::Store(error)) => return Err(error.into()),
        Err(refusal) => {
            write.undo().await?;
            return Err(refusal);
        }
    };
    let [load1, load5, load15] = registration.reading.load;
    let now = write.now;
    let query = sqlx::query(
        "INSERT INTO nodes (id, name, address, ip, version, balancer_digest, cores, memory_total, weight, capacity,
                            labels, kinds, load1, load5, load15, memory_available, last_seen, metrics,
                            promise_cpus, promise_memory)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, address = excluded.address, ip = excluded.ip, version = excluded.version,
             balancer_digest = excluded.balancer_digest, cores = excluded.cores, memory_total = excluded.memory_total,
             weight = excluded.weight, capacity = excluded.capacity, labels = excluded.labels, kinds = excluded.kinds,
             load1 = excluded.load1, load5 = excluded.load5, load15 = excluded.load15,
             memory_available = excluded.memory_available, last_seen = excluded.last_seen,
             metrics = excluded.metrics, promise_cpus = excluded.promise_cpus,
             promise_memory = excluded.promise_memory, stopped = FALSE,
             kind_versions = '{}'",
    )
    .bind(id)
    .bind(text(&registration.name))
    .bind(text(&registration.address))
    .bind(registration.ip.map(|ip| ip.to_string()))
    .bind(text(&registration.version))
    .bind(optional_text(registration.balancer_digest.as_deref()))
    .bind(i64::from(registration.cores))
    .bind(size(registration.memory_total))
    .bind(i64::from(registration.weight))
    .bind(registration.capacity.map(i64::from))
    .bind(labels)
    .bind(kinds)
    .bind(load1)
    .bind(load5)
    .bind(load15)
    .bind(size(registration.reading.memory_available))
    .bind(now)
    .bind(metrics)
    .bind(registration.promise_cpus)
    .bind(registration.promise_memory.map(size));
    write.execute(query).await?;
    note_heartbeat(&mut write, store.node_timeout, true).await?;
    write.commit().await?;
    Ok(NodeId(id))
}

/// The id of the row that a registration takes up or makes; none where a new id is to be given.
async fn row_for(write: &mut Write, registration: &Registration, timeout: i64) -> Result<Option<i64>, RegisterError> {
    let now = write.now;
    let query = sqlx::query("SELECT id, name, address, stopped, last_seen FROM nodes WHERE id = $1 OR name = $2")
        .bind(registration.id.map(|id| id.0))
        .bind(text(&registration.name));
    let rows = write.all(query).await?;
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
    let last: i64 = scalar(write, "SELECT last_node AS value FROM cluster").await?;
    Ok((1..=last).contains(&id).then_some(id))
}

async fn next_id(write: &mut Write) -> Result<i64, StoreError> {
    scalar(write, "UPDATE cluster SET last_node = last_node + 1 RETURNING last_node AS value").await
}

async fn scalar(write: &mut Write, statement: &'static str) -> Result<i64, StoreError> {
    let operation = write.operation;
    write.transaction.one(sqlx::query(statement)).await?.try_get("value").map_err(failed(operation))
}

/// Notes that a node has written, and since when nodes have done so without a gap.
async fn note_heartbeat(write: &mut Write, timeout: i64, raises_revision: bool) -> Result<(), StoreError> {
    let query = sqlx::query(
        "UPDATE cluster SET
             in_use_since = CASE WHEN abs($1 - last_heartbeat) >= $2 OR in_use_since > $1 THEN $1 ELSE in_use_since END,
             last_heartbeat = $1, revision = revision + CASE WHEN $3 THEN 1 ELSE 0 END",
    )
    .bind(write.now)
    .bind(timeout)
    .bind(raises_revision);
    write.execute(query).await?;
    Ok(())
}

pub(super) async fn heartbeat(
    store: &PostgresStore,
    node: NodeId,
    reading: &Reading,
) -> Result<Option<Heartbeat>, StoreError> {
    let mut write = store.write_lightly("heartbeat").await?;
    let now = write.now;
    let row =
        write.optional(sqlx::query("SELECT id, last_seen, stopped FROM nodes WHERE id = $1").bind(node.0)).await?;
    let Some(row) = row else {
        write.undo().await?;
        return Ok(None);
    };
    let fields = Fields::new("nodes", &row);
    let stopped = fields.get("stopped")?;
    let returns = !is_online(now, fields.get("last_seen")?, false, store.node_timeout);
    drop(row);
    if stopped {
        write.undo().await?;
        return Ok(None);
    }
    if returns {
        // What raises the revision must not be lost with the machine: another would then be under the same number.
        write.execute(sqlx::query("SET LOCAL synchronous_commit = on")).await?;
    }
    let query = sqlx::query(
        "UPDATE nodes SET load1 = $2, load5 = $3, load15 = $4, memory_available = $5, last_seen = $6 WHERE id = $1",
    )
    .bind(node.0)
    .bind(reading.load[0])
    .bind(reading.load[1])
    .bind(reading.load[2])
    .bind(size(reading.memory_available))
    .bind(now);
    write.execute(query).await?;
    note_heartbeat(&mut write, store.node_timeout, returns).await?;
    let query = sqlx::query(
        "SELECT * FROM sessions
         WHERE node = $1 AND state IN ('starting', 'active')
           AND (wanted IS NOT NULL OR (state = 'starting' AND NOT claimed))
         UNION ALL
         SELECT * FROM sessions WHERE $2 AND node = $1 AND state = 'lost' AND claimed
         ORDER BY placed, id",
    )
    .bind(node.0)
    .bind(returns);
    let pending = write.all(query).await?;
    write.commit().await?;
    Ok(Some(Heartbeat {
        now: rows::time("nodes", now)?,
        pending: pending.iter().map(session).collect::<Result<_, _>>()?,
    }))
}

pub(super) async fn leave(store: &PostgresStore, node: NodeId) -> Result<(), StoreError> {
    let mut write = store.write("leave").await?;
    let query =
        sqlx::query("UPDATE nodes SET stopped = TRUE, last_seen = $2 WHERE id = $1").bind(node.0).bind(write.now);
    write.execute(query).await?;
    write.raise_revision().await?;
    write.commit().await
}

pub(super) async fn set_balancer_digest(
    store: &PostgresStore,
    node: NodeId,
    digest: Option<&str>,
) -> Result<(), StoreError> {
    let mut write = store.write("balancer").await?;
    let query = sqlx::query("UPDATE nodes SET balancer_digest = $2 WHERE id = $1").bind(node.0);
    write.execute(query.bind(optional_text(digest))).await?;
    write.commit().await
}

pub(super) async fn set_kinds(
    store: &PostgresStore,
    node: NodeId,
    kinds: &[String],
    versions: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "kinds";
    let kinds = to_json(OPERATION, kinds)?;
    let versions = to_json(OPERATION, versions)?;
    let mut write = store.write(OPERATION).await?;
    let changed = sqlx::query("UPDATE nodes SET kinds = $2 WHERE id = $1 AND kinds <> $2").bind(node.0).bind(&kinds);
    if write.execute(changed).await? > 0 {
        write.raise_revision().await?;
    }
    let query = sqlx::query("UPDATE nodes SET kind_versions = $2 WHERE id = $1").bind(node.0).bind(versions);
    write.execute(query).await?;
    write.commit().await
}

pub(super) async fn set_metrics(
    store: &PostgresStore,
    node: NodeId,
    metrics: &BTreeMap<String, f64>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "metrics";
    let metrics = metrics_json(OPERATION, metrics)?;
    let mut write = store.write_lightly(OPERATION).await?;
    let query = sqlx::query("UPDATE nodes SET metrics = $2 WHERE id = $1").bind(node.0).bind(metrics);
    write.execute(query).await?;
    write.commit().await
}

pub(super) async fn set_cordoned(store: &PostgresStore, node: NodeId, cordoned: bool) -> Result<bool, StoreError> {
    let mut write = store.write("cordon").await?;
    let query = sqlx::query("UPDATE nodes SET cordoned = $2 WHERE id = $1").bind(node.0).bind(cordoned);
    if write.execute(query).await? == 0 {
        write.undo().await?;
        return Ok(false);
    }
    write.raise_revision().await?;
    write.commit().await?;
    Ok(true)
}

pub(super) async fn delete(store: &PostgresStore, node: NodeId) -> Result<NodeDeletion, StoreError> {
    let mut write = store.write("node removal").await?;
    let now = write.now;
    let query = sqlx::query("SELECT id, name, address, last_seen, stopped FROM nodes WHERE id = $1").bind(node.0);
    let Some(row) = write.optional(query).await? else {
        write.undo().await?;
        return Ok(NodeDeletion::Missing);
    };
    let holder = Holder::read(&row, now, store.node_timeout)?;
    drop(row);
    if holder.online {
        write.undo().await?;
        return Ok(NodeDeletion::Online);
    }
    let query = sqlx::query(
        "UPDATE sessions SET
             state = CASE WHEN wanted = 'ended' THEN 'ended' ELSE 'lost' END, wanted = NULL, changed = $2,
             failure = CASE WHEN wanted = 'ended' THEN NULL ELSE $3 END
         WHERE node = $1 AND state IN ('starting', 'active')
         RETURNING id, state",
    )
    .bind(node.0)
    .bind(now)
    .bind(removed(&holder.name));
    let lost = only_lost(&write.all(query).await?)?;
    write.execute(sqlx::query("DELETE FROM nodes WHERE id = $1").bind(node.0)).await?;
    write.raise_revision().await?;
    write.commit().await?;
    Ok(NodeDeletion::Deleted(lost))
}
