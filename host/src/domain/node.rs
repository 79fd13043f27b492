//! A machine of the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Drain, Exclusion, NodeId, Overrides, Peer};

/// A node as the store knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The store's number for it.
    pub id: NodeId,
    /// Unique and stable: `node-name`, else the host name. Hashing and plugins go by it.
    pub name: String,
    /// Where peers and legacy scripts find it, `host:port`.
    pub address: String,
    /// The address that its host name stands for, where it is known.
    pub ip: Option<IpAddr>,
    /// The certificate of its port, as in [`Peer`].
    pub certificate: Option<String>,
    /// The version of the program it runs.
    pub version: String,
    /// The SHA-256 of the balancer it places with, hexadecimal; none where that is not a module.
    pub balancer_digest: Option<String>,
    /// Logical processors, at least 1.
    pub cores: u32,
    /// Physical memory, bytes.
    pub memory_total: u64,
    /// The share of sessions it should take relative to the others; 100 is normal, at least 1.
    pub weight: u32,
    /// The most sessions it takes; none where there is no limit.
    pub capacity: Option<u32>,
    /// The most processors that it promises to its sessions together; none where there is no limit.
    pub promise_cpus: Option<f64>,
    /// The most memory that it promises to them, bytes; none where there is no limit.
    pub promise_memory: Option<u64>,
    /// What an administrator says of it, by key.
    pub labels: BTreeMap<String, String>,
    /// The kinds of session it offers.
    pub kinds: BTreeSet<String>,
    /// What the programs of some of them say their version is.
    pub kind_versions: BTreeMap<String, String>,
    /// What of weight, capacity and labels was set by command; it is in them already.
    pub overrides: Overrides,
    /// Takes no new sessions.
    pub cordoned: bool,
    /// How it is being emptied; it is cordoned too.
    pub drain: Option<Drain>,
    /// What it measured at its last heartbeat.
    pub reading: Reading,
    /// Numbers that its administrator publishes for balancers, by key; finite, and none that is too old.
    pub metrics: BTreeMap<String, f64>,
    /// Whether its heartbeats arrive, by the store's clock.
    pub status: NodeStatus,
    /// Its last heartbeat, by the store's clock; of a node that stays out, its last attempt.
    pub last_seen: Timestamp,
    /// By how much its own clock is ahead of the store's; negative where it is behind, none where it was not measured.
    pub clock_ahead: Option<SignedDuration>,
}

impl Node {
    /// What the others find it by.
    pub fn peer(&self) -> Peer {
        Peer { name: self.name.clone(), address: self.address.clone(), certificate: self.certificate.clone() }
    }

    /// Its name and the module it places by, where it is online: for [`disagreement`](super::disagreement).
    pub fn vote(&self) -> Option<(&str, Option<&str>)> {
        (self.status == NodeStatus::Online).then_some((self.name.as_str(), self.balancer_digest.as_deref()))
    }

    /// What is wrong with its clock, as a sentence without a full stop, where something is and the node is online.
    pub fn clock_trouble(&self) -> Option<String> {
        let trouble = self.clock_ahead.filter(|_| self.status == NodeStatus::Online).and_then(clock_trouble)?;
        Some(format!("the clock of {} is {trouble}", self.name))
    }
}

/// A clock that is further from the store's is told about. What nodes say to each other goes by the store's time; the log's
/// times, PAM and the programs of sessions go by the machine's.
pub const CLOCK_LIMIT: SignedDuration = SignedDuration::from_secs(2);

/// What is wrong with a clock, where something is: `5 s ahead of the registry's`.
pub fn clock_trouble(ahead: SignedDuration) -> Option<String> {
    let by = ahead.abs();
    let direction = if ahead.is_negative() { "behind" } else { "ahead of" };
    (by > CLOCK_LIMIT).then(|| format!("{} s {direction} the registry's", by.as_secs()))
}

/// What a node measures of itself at each heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Load averages over 1, 5 and 15 minutes, not divided by cores; finite and not negative.
    pub load: [f64; 3],
    /// Memory that a new program could have without swapping, bytes.
    pub memory_available: u64,
}

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeStatus {
    /// Its heartbeats arrive.
    Online,
    /// It stopped, or its heartbeats stopped arriving.
    Offline,
    /// It stays out: its secure cookie key is another.
    InvalidKey,
    /// It stays out: it speaks another protocol.
    InvalidProtocol,
    /// It stays out: its version does not work beside the others.
    IncompatibleVersion,
}

impl NodeStatus {
    /// Why it stays out, where it does.
    pub fn exclusion(self) -> Option<Exclusion> {
        match self {
            Self::Online | Self::Offline => None,
            Self::InvalidKey => Some(Exclusion::Key),
            Self::InvalidProtocol => Some(Exclusion::Protocol),
            Self::IncompatibleVersion => Some(Exclusion::Version),
        }
    }

    /// As `list-nodes` has it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Online => "Online",
            Self::Offline => "Offline",
            out => out.exclusion().map_or("", Exclusion::title),
        }
    }
}

impl From<Exclusion> for NodeStatus {
    fn from(exclusion: Exclusion) -> Self {
        match exclusion {
            Exclusion::Key => Self::InvalidKey,
            Exclusion::Protocol => Self::InvalidProtocol,
            Exclusion::Version => Self::IncompatibleVersion,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_told_about_beyond_the_limit_in_either_direction() {
        for (ahead, trouble) in [
            (0, None),
            (2_000, None),
            (-2_000, None),
            (2_900, Some("2 s ahead of the registry's")),
            (-65_000, Some("65 s behind the registry's")),
        ] {
            assert_eq!(clock_trouble(SignedDuration::from_millis(ahead)).as_deref(), trouble, "{ahead}");
        }
    }

    #[test]
    fn every_exclusion_has_a_status_of_its_own_that_leads_back() {
        for one in Exclusion::ALL {
            assert_eq!(NodeStatus::from(one).exclusion(), Some(one));
            assert_eq!(NodeStatus::from(one).title(), one.title());
        }
        assert_eq!(NodeStatus::Online.exclusion(), None);
    }
}
