//! Who belongs to the cluster: registration, heartbeats, leaving, and the charter that members share.

use sqlx::Row as _;

use super::{
    Beat, Heartbeat, PostgresStore, RegisterError, Registration, Reset, StoreError, Write, failed, optional_text, text,
};
use crate::{
    domain::{Charter, Exclusion, NodeId},
    store::rows::{
        self,
        membership::{
            Admission, Holder, charter as read_charter, columns, member, milliseconds_of, of_those_online, taken_up,
        },
        nodes::{drain, is_online, metrics_json},
        sessions::{session, session_columns},
        size, to_json,
    },
};

const CHARTER: &str = "SELECT one AS id, key_hash, protocol FROM cluster";

pub(super) async fn register(store: &PostgresStore, registration: &Registration) -> Result<NodeId, RegisterError> {
    const OPERATION: &str = "registration";
    let labels = to_json(OPERATION, &registration.labels)?;
    let kinds = to_json(OPERATION, &registration.kinds)?;
    let metrics = metrics_json(OPERATION, &registration.metrics)?;
    let mut write = store.write(OPERATION).await?;
    let holder = match row_for(&mut write, registration, store.node_timeout).await {
        Ok(holder) => holder,
        Err(RegisterError::Store(error)) => return Err(error.into()),
        Err(refusal) => {
            write.undo().await?;
            return Err(refusal);
        }
    };
    let id = match &holder {
        Some(holder) => Some(holder.id),
        None => given_before(&mut write, registration.id).await?,
    };
    let Admission { out, key_hash, .. } = admit(&mut write, registration, id, store.node_timeout).await?;
    let id = match id {
        Some(id) => id,
        None => next_id(&mut write).await?,
    };
    let [load1, load5, load15] = registration.reading.load;
    let now = write.now;
    let query = sqlx::query(
        "INSERT INTO nodes (id, name, address, ip, version, balancer_digest, cores, memory_total, weight, capacity,
                            labels, kinds, load1, load5, load15, memory_available, last_seen, metrics,
                            promise_cpus, promise_memory, place, key_hash, protocol, stays_out, tried, certificate, stopped)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                 $24, $17, $25, $24 IS NOT NULL)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, address = excluded.address, ip = excluded.ip, certificate = excluded.certificate,
             version = excluded.version, balancer_digest = excluded.balancer_digest,
             cores = excluded.cores, memory_total = excluded.memory_total, weight = excluded.weight,
             capacity = excluded.capacity, labels = excluded.labels, kinds = excluded.kinds,
             load1 = excluded.load1, load5 = excluded.load5, load15 = excluded.load15,
             memory_available = excluded.memory_available, metrics = excluded.metrics,
             promise_cpus = excluded.promise_cpus, promise_memory = excluded.promise_memory,
             kind_versions = '{}', place = excluded.place, key_hash = excluded.key_hash, protocol = excluded.protocol,
             stays_out = excluded.stays_out, tried = excluded.tried, stopped = excluded.stopped, leaving = FALSE,
             -- Of a node that stays out, when it was last a member: so its sessions are lost in their time.
             last_seen = CASE WHEN excluded.stays_out IS NULL THEN excluded.last_seen ELSE nodes.last_seen END",
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
    .bind(registration.promise_memory.map(size))
    .bind(text(&registration.place))
    .bind(text(&key_hash))
    .bind(i64::from(registration.charter.protocol))
    .bind(out.map(Exclusion::as_str))
    .bind(optional_text(registration.certificate.as_deref()));
    write.execute(query).await?;
    let stayed_out = holder.is_some_and(|holder| holder.stayed_out());
    // Who stays out tries again and again: that is no news to those who decide placements.
    if out.is_none() || !stayed_out {
        write.raise_revision().await?;
    }
    if out.is_none() {
        note_heartbeat(&mut write, store.node_timeout).await?;
    }
    write.commit().await?;
    match out {
        None => Ok(NodeId(id)),
        Some(why) => Err(RegisterError::Excluded { id: NodeId(id), why }),
    }
}

/// Whether a node is let in; where its charter is to be the cluster's, it is from now on.
async fn admit(
    write: &mut Write,
    registration: &Registration,
    id: Option<i64>,
    timeout: i64,
) -> Result<Admission, StoreError> {
    let charter = read_charter(&write.transaction.one(sqlx::query(CHARTER)).await?)?;
    let query = sqlx::query("SELECT id, version, last_seen, stopped FROM nodes WHERE id IS DISTINCT FROM $1").bind(id);
    let rows = write.all(query).await?;
    let admission = Admission::of(registration, charter, &of_those_online(&rows, "version", write.now, timeout)?);
    drop(rows);
    if admission.lays_down {
        let query = sqlx::query("UPDATE cluster SET key_hash = $1, protocol = $2")
            .bind(text(&registration.charter.key_hash))
            .bind(i64::from(registration.charter.protocol));
        write.execute(query).await?;
    }
    Ok(admission)
}

pub(super) async fn charter(store: &PostgresStore) -> Result<Option<Charter>, StoreError> {
    let row = store.read("charter").await?.optional(sqlx::query(CHARTER)).await?;
    row.as_ref().map_or(Ok(None), read_charter)
}

pub(super) async fn reset(store: &PostgresStore, force: bool) -> Result<Reset, StoreError> {
    let mut write = store.write("reset").await?;
    let rows = write.all(sqlx::query("SELECT id, name, last_seen, stopped FROM nodes ORDER BY id")).await?;
    let online = of_those_online(&rows, "name", write.now, store.node_timeout)?;
    drop(rows);
    if !online.is_empty() && !force {
        write.undo().await?;
        return Ok(Reset::Online(online));
    }
    write.execute(sqlx::query("UPDATE cluster SET key_hash = NULL, protocol = NULL")).await?;
    write.commit().await?;
    Ok(Reset::Done)
}

/// The row that a registration takes up, where there is one.
async fn row_for(
    write: &mut Write,
    registration: &Registration,
    timeout: i64,
) -> Result<Option<Holder>, RegisterError> {
    let now = write.now;
    let query = sqlx::query(concat!("SELECT ", columns!(), " FROM nodes WHERE id = $1 OR name = $2"))
        .bind(registration.id.map(|id| id.0))
        .bind(text(&registration.name));
    let rows = write.all(query).await?;
    let holders = rows.iter().map(|row| Holder::read(row, now, timeout)).collect::<Result<Vec<_>, _>>()?;
    taken_up(holders, registration)
}

/// The id of a node whose row was removed, where this store is the one that gave it: the node's sessions, should they
/// still run, are known by it.
async fn given_before(write: &mut Write, id: Option<NodeId>) -> Result<Option<i64>, StoreError> {
    let Some(NodeId(id)) = id else { return Ok(None) };
    let last = number(write, "SELECT last_node AS value FROM cluster").await?;
    Ok((1..=last).contains(&id).then_some(id))
}

async fn next_id(write: &mut Write) -> Result<i64, StoreError> {
    number(write, "UPDATE cluster SET last_node = last_node + 1 RETURNING last_node AS value").await
}

async fn number(write: &mut Write, statement: &'static str) -> Result<i64, StoreError> {
    let operation = write.operation;
    write.transaction.one(sqlx::query(statement)).await?.try_get("value").map_err(failed(operation))
}

/// Notes that a node has written, and since when nodes have done so without a gap.
async fn note_heartbeat(write: &mut Write, timeout: i64) -> Result<(), StoreError> {
    let query = sqlx::query(
        "UPDATE cluster SET
             in_use_since = CASE WHEN abs($1 - last_heartbeat) >= $2 OR in_use_since > $1 THEN $1 ELSE in_use_since END,
             last_heartbeat = $1",
    )
    .bind(write.now)
    .bind(timeout);
    write.execute(query).await?;
    Ok(())
}

pub(super) async fn heartbeat(
    store: &PostgresStore,
    node: NodeId,
    beat: &Beat,
) -> Result<Option<Heartbeat>, StoreError> {
    let mut write = store.write_lightly("heartbeat").await?;
    let now = write.now;
    let query = sqlx::query(
        "SELECT nodes.id, nodes.last_seen, nodes.stopped, nodes.place, nodes.drain_since, nodes.drain_deadline,
                nodes.drain_end, nodes.maintenance,
                coalesce(nodes.key_hash = cluster.key_hash AND nodes.protocol = cluster.protocol, FALSE) AS fits
         FROM nodes, cluster WHERE nodes.id = $1",
    )
    .bind(node.0);
    let row = write.optional(query).await?;
    let told = row.map(|row| Ok::<_, StoreError>((member(&row, &beat.place)?, drain(&row)?))).transpose()?;
    let Some((Some(last_seen), drain)) = told else {
        write.undo().await?;
        return Ok(None);
    };
    let returns = !is_online(now, last_seen, false, store.node_timeout);
    if returns {
        // What raises the revision must not be lost with the machine: another would then be under the same number.
        write.execute(sqlx::query("SET LOCAL synchronous_commit = on")).await?;
        write.raise_revision().await?;
    }
    let query = sqlx::query(
        "UPDATE nodes SET
             load1 = $2, load5 = $3, load15 = $4, memory_available = $5, last_seen = $6,
             clock_ahead = coalesce($7, clock_ahead)
         WHERE id = $1",
    )
    .bind(node.0)
    .bind(beat.reading.load[0])
    .bind(beat.reading.load[1])
    .bind(beat.reading.load[2])
    .bind(size(beat.reading.memory_available))
    .bind(now)
    .bind(beat.clock_ahead.map(milliseconds_of));
    write.execute(query).await?;
    note_heartbeat(&mut write, store.node_timeout).await?;
    let query = sqlx::query(concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions
         WHERE node = $1 AND state IN ('starting', 'active')
           AND (wanted IS NOT NULL OR (state = 'starting' AND NOT claimed))
         UNION ALL
         SELECT ",
        session_columns!(),
        " FROM sessions WHERE $2 AND node = $1 AND state = 'lost' AND claimed
         ORDER BY placed, id"
    ))
    .bind(node.0)
    .bind(returns);
    let pending = write.all(query).await?;
    write.commit().await?;
    Ok(Some(Heartbeat {
        now: rows::time("nodes", now)?,
        pending: pending.iter().map(session).collect::<Result<_, _>>()?,
        drain,
    }))
}

pub(super) async fn leave(store: &PostgresStore, node: NodeId, for_good: bool) -> Result<(), StoreError> {
    let mut write = store.write("leave").await?;
    let query = sqlx::query(
        "UPDATE nodes SET
             stopped = TRUE, last_seen = CASE WHEN stays_out IS NULL THEN $2 ELSE last_seen END, stays_out = NULL,
             leaving = $3
         WHERE id = $1",
    )
    .bind(node.0)
    .bind(write.now)
    .bind(for_good);
    write.execute(query).await?;
    forget_those_gone(&mut write).await?;
    write.raise_revision().await?;
    write.commit().await
}

/// Removes the rows of nodes that have left for good and that no live session refers to; says whether there were any. Others
/// tell where programs still run, until those are lost.
pub(super) async fn forget_those_gone(write: &mut Write) -> Result<bool, StoreError> {
    let query = sqlx::query(
        "DELETE FROM nodes WHERE leaving AND stopped AND NOT EXISTS
             (SELECT 1 FROM sessions WHERE sessions.node = nodes.id AND state IN ('starting', 'active'))",
    );
    Ok(write.execute(query).await? > 0)
}
