//! Who belongs to the cluster: what is read of that, and what follows from it.

use jiff::SignedDuration;

use super::{Columns, Fields, nodes::is_online};
use crate::{
    domain::{Charter, Exclusion, NodeId},
    store::{RegisterError, Registration, StoreError},
};

/// The columns that a [`Holder`] is read from.
macro_rules! columns {
    () => {
        "id, name, address, place, stays_out, stopped, last_seen"
    };
}
pub(in crate::store) use columns;

/// What of a row decides whether a node may register as it.
pub(in crate::store) struct Holder {
    pub(in crate::store) id: i64,
    pub(in crate::store) name: String,
    address: String,
    place: String,
    stays_out: Option<String>,
    pub(in crate::store) online: bool,
}

impl Holder {
    pub(in crate::store) fn read(row: &impl Columns, now: i64, timeout: i64) -> Result<Self, StoreError> {
        let fields = Fields::new("nodes", row);
        Ok(Self {
            id: fields.get("id")?,
            name: fields.get("name")?,
            address: fields.get("address")?,
            place: fields.get("place")?,
            stays_out: fields.optional("stays_out")?,
            online: is_online(now, fields.get("last_seen")?, fields.get("stopped")?, timeout),
        })
    }

    /// Whether the daemon that is online as this row is another than the one that registers: a data directory has one
    /// daemon at a time, so whoever registers from its place is the one that comes after it.
    fn is_another_than(&self, registration: &Registration) -> bool {
        if self.place.is_empty() || registration.place.is_empty() {
            self.name != registration.name
        } else {
            self.place != registration.place
        }
    }

    /// Whether it has been out of the cluster before.
    pub(in crate::store) fn stayed_out(&self) -> bool {
        !self.online && self.stays_out.is_some()
    }
}

/// The row that a registration takes up, of those under its id or its name, where there is one.
pub(in crate::store) fn taken_up(
    holders: impl IntoIterator<Item = Holder>,
    registration: &Registration,
) -> Result<Option<Holder>, RegisterError> {
    let mut own = None;
    let mut namesake = None;
    for holder in holders {
        if registration.id == Some(NodeId(holder.id)) {
            own = Some(holder);
        } else {
            namesake = Some(holder);
        }
    }
    if let Some(Holder { id, name, address, online: true, .. }) = namesake {
        return Err(RegisterError::NameTaken { name, id: NodeId(id), address });
    }
    match (own, namesake) {
        (Some(own), _) if own.online && own.is_another_than(registration) => {
            Err(RegisterError::IdTaken { id: NodeId(own.id), name: own.name, address: own.address })
        }
        (Some(_), Some(namesake)) => Err(RegisterError::NameHeld { name: namesake.name, id: NodeId(namesake.id) }),
        (own, namesake) => Ok(own.or(namesake)),
    }
}

/// How a node is let in, or not.
pub(in crate::store) struct Admission {
    /// What keeps it out.
    pub(in crate::store) out: Option<Exclusion>,
    /// The key that it goes by.
    pub(in crate::store) key_hash: String,
    /// Whether its charter is to be the cluster's from now on.
    pub(in crate::store) lays_down: bool,
}

impl Admission {
    /// Beside members of these versions that are online. A cluster that has no charter yet, or one with the key that this
    /// node has replaced, takes this node's.
    pub(in crate::store) fn of(registration: &Registration, charter: Option<Charter>, versions: &[String]) -> Self {
        let Registration { charter: own, other_key, version, .. } = registration;
        let members = versions.iter().map(String::as_str);
        let out = Exclusion::of(charter.as_ref(), own, other_key.as_ref(), version, members);
        if out.is_some() {
            return Self { out, key_hash: own.key_hash.clone(), lays_down: false };
        }
        let is_replaced = |present: &Charter| {
            other_key.as_ref().is_some_and(|other| other.is_previous && other.key_hash == present.key_hash)
        };
        match charter.filter(|present| !is_replaced(present)) {
            Some(present) => Self { out, key_hash: present.key_hash, lays_down: false },
            None => Self { out, key_hash: own.key_hash.clone(), lays_down: true },
        }
    }
}

/// A row of `cluster`, with its key as `id`.
pub(in crate::store) fn charter(row: &impl Columns) -> Result<Option<Charter>, StoreError> {
    let fields = Fields::new("cluster", row);
    let key_hash: Option<String> = fields.optional("key_hash")?;
    let protocol: Option<u32> = fields.optional_number("protocol")?;
    Ok(key_hash.zip(protocol).map(|(key_hash, protocol)| Charter { key_hash, protocol }))
}

/// A column of the nodes that are online.
pub(in crate::store) fn of_those_online(
    rows: &[impl Columns],
    column: &'static str,
    now: i64,
    timeout: i64,
) -> Result<Vec<String>, StoreError> {
    let mut online = Vec::new();
    for row in rows {
        let fields = Fields::new("nodes", row);
        if is_online(now, fields.get("last_seen")?, fields.get("stopped")?, timeout) {
            online.push(fields.get(column)?);
        }
    }
    Ok(online)
}

/// Whether a row of `nodes` is a member that a heartbeat from `place` is of, and when that last was.
pub(in crate::store) fn member(row: &impl Columns, place: &str) -> Result<Option<i64>, StoreError> {
    let fields = Fields::new("nodes", row);
    let is_member =
        !fields.get::<bool>("stopped")? && fields.get::<bool>("fits")? && fields.get::<&str>("place")? == place;
    is_member.then(|| fields.get("last_seen")).transpose()
}

pub(in crate::store) fn milliseconds_of(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(if duration.is_negative() { i64::MIN } else { i64::MAX })
}
