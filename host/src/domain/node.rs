//! A machine of the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::NodeId;

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
    /// Takes no new sessions.
    pub cordoned: bool,
    /// What it measured at its last heartbeat.
    pub reading: Reading,
    /// Numbers that its administrator publishes for balancers, by key; finite, and none that is too old.
    pub metrics: BTreeMap<String, f64>,
    /// Whether its heartbeats arrive, by the store's clock.
    pub status: NodeStatus,
    /// Its last heartbeat, by the store's clock.
    pub last_seen: Timestamp,
}

impl Node {
    /// Its name and the module it places by, where it is online: for [`disagreement`](super::disagreement).
    pub fn vote(&self) -> Option<(&str, Option<&str>)> {
        (self.status == NodeStatus::Online).then_some((self.name.as_str(), self.balancer_digest.as_deref()))
    }
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
#[serde(rename_all = "lowercase")]
pub enum NodeStatus {
    /// Its heartbeats arrive.
    Online,
    /// It stopped, or its heartbeats stopped arriving.
    Offline,
}
