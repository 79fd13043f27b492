//! Who belongs to the cluster: registration, heartbeats, leaving, and the charter that members share.

use super::{Beat, Heartbeat, RegisterError, Registration, Reset, SqliteStore, StoreError, Write, failed};
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

pub(super) async fn register(store: &SqliteStore, registration: &Registration) -> Result<NodeId, RegisterError> {
    const OPERATION: &str = "registration";
    let labels = to_json(OPERATION, &registration.labels)?;
    let kinds = to_json(OPERATION, &registration.kinds)?;
    let metrics = metrics_json(OPERATION, &registration.metrics)?;
    let mut write = store.write(OPERATION).await?;
    let holder = row_for(&mut write, registration, store.node_timeout).await?;
    let id = match &holder {
        Some(holder) => Some(holder.id),
        None => given_before(&mut write, registration.id).await?,
    };
    let Admission { out, key_hash, .. } = admit(&mut write, registration, id, store.node_timeout).await?;
    let [load1, load5, load15] = registration.reading.load;
    let now = write.now;
    let id = sqlx::query_scalar(
        "INSERT INTO nodes (id, name, address, ip, version, balancer_digest, cores, memory_total, weight, capacity,
                            labels, kinds, load1, load5, load15, memory_available, last_seen, metrics,
                            promise_cpus, promise_memory, place, key_hash, protocol, stays_out, tried, certificate, stopped)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
                 ?24, ?17, ?25, ?24 IS NOT NULL)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, address = excluded.address, ip = excluded.ip, certificate = excluded.certificate,
             version = excluded.version, balancer_digest = excluded.balancer_digest,
             cores = excluded.cores, memory_total = excluded.memory_total, weight = excluded.weight,
             capacity = excluded.capacity, labels = excluded.labels, kinds = excluded.kinds,
             load1 = excluded.load1, load5 = excluded.load5, load15 = excluded.load15,
             memory_available = excluded.memory_available, metrics = excluded.metrics,
             promise_cpus = excluded.promise_cpus, promise_memory = excluded.promise_memory,
             kind_versions = '{}', place = excluded.place, key_hash = excluded.key_hash, protocol = excluded.protocol,
             stays_out = excluded.stays_out, tried = excluded.tried, stopped = excluded.stopped, leaving = 0,
             -- Of a node that stays out, when it was last a member: so its sessions are lost in their time.
             last_seen = CASE WHEN excluded.stays_out IS NULL THEN excluded.last_seen ELSE nodes.last_seen END
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
    .bind(&registration.place)
    .bind(&key_hash)
    .bind(registration.charter.protocol)
    .bind(out.map(Exclusion::as_str))
    .bind(&registration.certificate)
    .fetch_one(write.on())
    .await
    .map_err(failed(OPERATION))?;
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
    let (now, failed) = (write.now, write.failed());
    let row = sqlx::query(CHARTER).fetch_one(write.on()).await.map_err(&failed)?;
    let charter = read_charter(&row)?;
    let rows = sqlx::query("SELECT id, version, last_seen, stopped FROM nodes WHERE id IS NOT ?1")
        .bind(id)
        .fetch_all(write.on())
        .await
        .map_err(&failed)?;
    let admission = Admission::of(registration, charter, &of_those_online(&rows, "version", now, timeout)?);
    if admission.lays_down {
        sqlx::query("UPDATE cluster SET key_hash = ?1, protocol = ?2")
            .bind(&registration.charter.key_hash)
            .bind(registration.charter.protocol)
            .execute(write.on())
            .await
            .map_err(&failed)?;
    }
    Ok(admission)
}

const CHARTER: &str = "SELECT one AS id, key_hash, protocol FROM cluster";

pub(super) async fn charter(store: &SqliteStore) -> Result<Option<Charter>, StoreError> {
    let row = sqlx::query(CHARTER).fetch_one(&store.readers).await.map_err(failed("charter"))?;
    read_charter(&row)
}

pub(super) async fn reset(store: &SqliteStore, force: bool) -> Result<Reset, StoreError> {
    let mut write = store.write("reset").await?;
    let (now, failed) = (write.now, write.failed());
    let rows = sqlx::query("SELECT id, name, last_seen, stopped FROM nodes ORDER BY id")
        .fetch_all(write.on())
        .await
        .map_err(&failed)?;
    let online = of_those_online(&rows, "name", now, store.node_timeout)?;
    if !online.is_empty() && !force {
        return Ok(Reset::Online(online));
    }
    sqlx::query("UPDATE cluster SET key_hash = NULL, protocol = NULL").execute(write.on()).await.map_err(&failed)?;
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
    let rows = sqlx::query(concat!("SELECT ", columns!(), " FROM nodes WHERE id = ?1 OR name = ?2"))
        .bind(registration.id.map(|id| id.0))
        .bind(&registration.name)
        .fetch_all(write.on())
        .await
        .map_err(failed("registration"))?;
    let holders = rows.iter().map(|row| Holder::read(row, now, timeout)).collect::<Result<Vec<_>, _>>()?;
    taken_up(holders, registration)
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

pub(super) async fn heartbeat(store: &SqliteStore, node: NodeId, beat: &Beat) -> Result<Option<Heartbeat>, StoreError> {
    let mut write = store.write("heartbeat").await?;
    let (now, failed) = (write.now, write.failed());
    let row = sqlx::query(
        "SELECT nodes.id, nodes.last_seen, nodes.stopped, nodes.place, nodes.drain_since, nodes.drain_deadline,
                nodes.drain_end, nodes.maintenance,
                coalesce(nodes.key_hash = cluster.key_hash AND nodes.protocol = cluster.protocol, 0) AS fits
         FROM nodes, cluster WHERE nodes.id = ?1",
    )
    .bind(node.0)
    .fetch_optional(write.on())
    .await
    .map_err(&failed)?;
    let Some(row) = row else { return Ok(None) };
    let Some(last_seen) = member(&row, &beat.place)? else { return Ok(None) };
    let drain = drain(&row)?;
    let returns = !is_online(now, last_seen, false, store.node_timeout);
    sqlx::query(
        "UPDATE nodes SET
             load1 = ?2, load5 = ?3, load15 = ?4, memory_available = ?5, last_seen = ?6,
             clock_ahead = coalesce(?7, clock_ahead)
         WHERE id = ?1",
    )
    .bind(node.0)
    .bind(beat.reading.load[0])
    .bind(beat.reading.load[1])
    .bind(beat.reading.load[2])
    .bind(size(beat.reading.memory_available))
    .bind(now)
    .bind(beat.clock_ahead.map(milliseconds_of))
    .execute(write.on())
    .await
    .map_err(&failed)?;
    if returns {
        write.raise_revision().await?;
    }
    note_heartbeat(&mut write, store.node_timeout).await?;
    let pending = sqlx::query(concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions
         WHERE node = ?1 AND state IN ('starting', 'active')
           AND (wanted IS NOT NULL OR (state = 'starting' AND claimed = 0))
         UNION ALL
         SELECT ",
        session_columns!(),
        " FROM sessions WHERE ?2 AND node = ?1 AND state = 'lost' AND claimed = 1
         ORDER BY placed, id"
    ))
    .bind(node.0)
    .bind(returns)
    .fetch_all(write.on())
    .await
    .map_err(&failed)?;
    write.commit().await?;
    Ok(Some(Heartbeat {
        now: rows::time("nodes", now)?,
        pending: pending.iter().map(session).collect::<Result<_, _>>()?,
        drain,
    }))
}

pub(super) async fn leave(store: &SqliteStore, node: NodeId, for_good: bool) -> Result<(), StoreError> {
    let mut write = store.write("leave").await?;
    let (now, failed) = (write.now, write.failed());
    sqlx::query(
        "UPDATE nodes SET
             stopped = 1, last_seen = CASE WHEN stays_out IS NULL THEN ?2 ELSE last_seen END, stays_out = NULL,
             leaving = ?3
         WHERE id = ?1",
    )
    .bind(node.0)
    .bind(now)
    .bind(for_good)
    .execute(write.on())
    .await
    .map_err(failed)?;
    forget_those_gone(&mut write).await?;
    write.raise_revision().await?;
    write.commit().await
}

/// Removes the rows of nodes that have left for good and that no live session refers to; says whether there were any. Others
/// tell where programs still run, until those are lost.
pub(super) async fn forget_those_gone(write: &mut Write) -> Result<bool, StoreError> {
    let failed = write.failed();
    let gone = sqlx::query(
        "DELETE FROM nodes WHERE leaving = 1 AND stopped = 1 AND NOT EXISTS
             (SELECT 1 FROM sessions WHERE sessions.node = nodes.id AND state IN ('starting', 'active'))",
    )
    .execute(write.on())
    .await
    .map_err(failed)?;
    Ok(gone.rows_affected() > 0)
}
