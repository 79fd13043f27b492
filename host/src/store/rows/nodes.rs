//! Nodes as they are read, and which of them a registration takes up.

use std::collections::BTreeMap;

use super::{Columns, Fields, to_json};
use crate::{
    domain::{Node, NodeId, NodeStatus, Reading, SessionId},
    store::{RegisterError, Registration, StoreError},
};

/// A node's heartbeats arrive. The distance counts in both directions: after the clock was set back, a last heartbeat in
/// the future says no more than one as far in the past.
pub(in crate::store) fn is_online(now: i64, last_seen: i64, stopped: bool, timeout: i64) -> bool {
    !stopped && now.abs_diff(last_seen) < timeout.unsigned_abs()
}

/// A row of `nodes` with the store's time as `now`.
pub(in crate::store) fn node(row: &impl Columns, timeout: i64) -> Result<Node, StoreError> {
    let fields = Fields::new("nodes", row);
    let online = is_online(fields.get("now")?, fields.get("last_seen")?, fields.get("stopped")?, timeout);
    Ok(Node {
        id: NodeId(fields.get("id")?),
        name: fields.get("name")?,
        address: fields.get("address")?,
        ip: fields.optional_parsed("ip")?,
        version: fields.get("version")?,
        balancer_digest: fields.optional("balancer_digest")?,
        cores: fields.number("cores")?,
        memory_total: fields.number("memory_total")?,
        weight: fields.number("weight")?,
        capacity: fields.optional_number("capacity")?,
        promise_cpus: fields.optional("promise_cpus")?,
        promise_memory: fields.optional_number("promise_memory")?,
        labels: fields.json("labels")?,
        kinds: fields.json("kinds")?,
        kind_versions: fields.json("kind_versions")?,
        cordoned: fields.get("cordoned")?,
        reading: Reading {
            load: [fields.get("load1")?, fields.get("load5")?, fields.get("load15")?],
            memory_available: fields.number("memory_available")?,
        },
        metrics: fields.json("metrics")?,
        status: if online { NodeStatus::Online } else { NodeStatus::Offline },
        last_seen: fields.time("last_seen")?,
    })
}

/// What of a row decides whether a node may register as it.
pub(in crate::store) struct Holder {
    pub(in crate::store) id: i64,
    pub(in crate::store) name: String,
    pub(in crate::store) address: String,
    pub(in crate::store) online: bool,
}

impl Holder {
    pub(in crate::store) fn read(row: &impl Columns, now: i64, timeout: i64) -> Result<Self, StoreError> {
        let fields = Fields::new("nodes", row);
        Ok(Self {
            id: fields.get("id")?,
            name: fields.get("name")?,
            address: fields.get("address")?,
            online: is_online(now, fields.get("last_seen")?, fields.get("stopped")?, timeout),
        })
    }
}

/// The id of the row that a registration takes up, of those under its id or its name; none where there is no such row.
pub(in crate::store) fn taken_up(
    holders: impl IntoIterator<Item = Holder>,
    registration: &Registration,
) -> Result<Option<i64>, RegisterError> {
    let mut own = None;
    let mut namesake = None;
    for holder in holders {
        if registration.id == Some(NodeId(holder.id)) {
            own = Some(holder);
        } else {
            namesake = Some(holder);
        }
    }
    if let Some(Holder { id, name, address, online: true }) = namesake {
        return Err(RegisterError::NameTaken { name, id: NodeId(id), address });
    }
    match (own, namesake) {
        (Some(own), _) if own.online && own.name != registration.name => {
            Err(RegisterError::IdTaken { id: NodeId(own.id), name: own.name, address: own.address })
        }
        (Some(_), Some(namesake)) => Err(RegisterError::NameHeld { name: namesake.name, id: NodeId(namesake.id) }),
        (Some(own), None) => Ok(Some(own.id)),
        (None, namesake) => Ok(namesake.map(|namesake| namesake.id)),
    }
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
