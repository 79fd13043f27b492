//! Nodes as they are read.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Columns, Fields, to_json};
use crate::{
    domain::{Drain, Exclusion, Node, NodeId, NodeStatus, Overrides, Reading, SessionId},
    store::StoreError,
};

/// A node's heartbeats arrive. The distance counts in both directions: after the clock was set back, a last heartbeat in
/// the future says no more than one as far in the past.
pub(in crate::store) fn is_online(now: i64, last_seen: i64, stopped: bool, timeout: i64) -> bool {
    !stopped && now.abs_diff(last_seen) < timeout.unsigned_abs()
}

/// What a node is read from.
macro_rules! node_columns {
    () => {
        "id, name, address, ip, certificate, version, balancer_digest, cores, memory_total, weight, capacity, promise_cpus,
         promise_memory, labels, overrides, kinds, kind_versions, cordoned, drain_since, drain_deadline, drain_end,
         maintenance, load1, load5, load15, memory_available, metrics, last_seen, stopped, stays_out, tried, clock_ahead"
    };
}
pub(in crate::store) use node_columns;

/// A row of `nodes` with the store's time as `now`.
pub(in crate::store) fn node(row: &impl Columns, timeout: i64) -> Result<Node, StoreError> {
    let fields = Fields::new("nodes", row);
    let now = fields.get("now")?;
    let out: Option<Exclusion> = fields.optional_parsed("stays_out")?;
    let tried: Option<i64> = fields.optional("tried")?;
    let status = match (out, tried) {
        // It tries no more: whatever keeps it out, it is not there.
        (Some(out), Some(tried)) if is_online(now, tried, false, timeout) => NodeStatus::from(out),
        _ if is_online(now, fields.get("last_seen")?, fields.get("stopped")?, timeout) => NodeStatus::Online,
        _ => NodeStatus::Offline,
    };
    let seen = if out.is_some() && tried.is_some() { "tried" } else { "last_seen" };
    let clock_ahead: Option<i64> = fields.optional("clock_ahead")?;
    let overrides: Overrides = fields.json("overrides")?;
    Ok(Node {
        id: NodeId(fields.get("id")?),
        name: fields.get("name")?,
        address: fields.get("address")?,
        ip: fields.optional_parsed("ip")?,
        certificate: fields.optional("certificate")?,
        version: fields.get("version")?,
        balancer_digest: fields.optional("balancer_digest")?,
        cores: fields.number("cores")?,
        memory_total: fields.number("memory_total")?,
        weight: overrides.weight(fields.number("weight")?),
        capacity: overrides.capacity(fields.optional_number("capacity")?),
        promise_cpus: fields.optional("promise_cpus")?,
        promise_memory: fields.optional_number("promise_memory")?,
        labels: overrides.labels(fields.json("labels")?),
        overrides,
        kinds: fields.json("kinds")?,
        kind_versions: fields.json("kind_versions")?,
        cordoned: fields.get("cordoned")?,
        drain: drain(row)?,
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
pub(in crate::store) fn drain(row: &impl Columns) -> Result<Option<Drain>, StoreError> {
    let fields = Fields::new("nodes", row);
    let Some(since) = fields.optional_time("drain_since")? else { return Ok(None) };
    Ok(Some(Drain {
        since,
        deadline: fields.optional_time("drain_deadline")?,
        end: fields.get("drain_end")?,
        maintenance: fields.get("maintenance")?,
    }))
}

/// Finite numbers as JSON, which has no others.
pub(in crate::store) fn metrics_json(
    operation: &'static str,
    metrics: &BTreeMap<String, f64>,
) -> Result<String, StoreError> {
    match metrics.iter().find(|(_, value)| !value.is_finite()) {
        None => to_json(operation, metrics),
        Some((key, value)) => {
            Err(StoreError::Database { operation, message: format!("{key}: {value} is not a finite number") })
        }
    }
}

/// Of sessions that their node was taken from, those that are lost and not ended as had been wanted of them.
pub(in crate::store) fn only_lost(rows: &[impl Columns]) -> Result<Vec<SessionId>, StoreError> {
    rows.iter()
        .filter(|row| row.text("state").is_ok_and(|state| state == Some("lost")))
        .map(|row| Fields::new("sessions", row).parsed("id"))
        .collect()
}

/// What is written of such sessions.
pub(in crate::store) fn removed(name: &str) -> String {
    format!("its node {name} was removed from the cluster")
}
