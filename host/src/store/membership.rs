//! What is said about nodes between a daemon and the store.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::{SignedDuration, Timestamp};

use super::StoreError;
use crate::domain::{Charter, Drain, Exclusion, NodeId, OtherKey, Reading, Session, SessionId};

/// What a node says of itself when it starts.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The id it was given before and kept in its data directory.
    pub id: Option<NodeId>,
    /// As in [`Node`](crate::domain::Node), like the fields that follow.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// What its host name stands for.
    pub ip: Option<IpAddr>,
    /// The certificate of its port.
    pub certificate: Option<String>,
    /// The program's version.
    pub version: String,
    /// The SHA-256 of the balancer it places with.
    pub balancer_digest: Option<String>,
    /// Logical processors.
    pub cores: u32,
    /// Physical memory, bytes.
    pub memory_total: u64,
    /// Its weight.
    pub weight: u32,
    /// Its capacity.
    pub capacity: Option<u32>,
    /// The most processors that it promises.
    pub promise_cpus: Option<f64>,
    /// The most memory that it promises, bytes.
    pub promise_memory: Option<u64>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The kinds it offers.
    pub kinds: Vec<String>,
    /// What it measures at the start.
    pub reading: Reading,
    /// What it publishes at the start.
    pub metrics: BTreeMap<String, f64>,
    /// What it must have in common with the cluster.
    pub charter: Charter,
    /// The key that it knows beside its own, while that is being replaced.
    pub other_key: Option<OtherKey>,
    /// Which daemon it is: differs between machines, their boots, and data directories, of which one daemon at a time has
    /// hold. Empty where that cannot be told.
    pub place: String,
}

/// What a node tells at each heartbeat.
#[derive(Clone, Debug, Default)]
pub struct Beat {
    /// As in its [`Registration`].
    pub place: String,
    /// What it has measured.
    pub reading: Reading,
    /// By how much its clock is ahead of the store's, where that is known.
    pub clock_ahead: Option<SignedDuration>,
}

/// What came of a reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The next node to register defines the cluster.
    Done,
    /// These nodes are online, by name.
    Online(Vec<String>),
}

/// What a heartbeat brings back.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The store's time.
    pub now: Timestamp,
    /// The node's own sessions that want something of it: reservations to claim, sessions to stop; and, at the first
    /// heartbeat after it was offline, those that became `lost` meanwhile, for it to report on them.
    pub pending: Vec<Session>,
    /// How the node is to be emptied.
    pub drain: Option<Drain>,
}

/// What came of removing a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeDeletion {
    /// It is gone; these sessions were on it and are lost.
    Deleted(Vec<SessionId>),
    /// It is online: it must be stopped first.
    Online,
    /// There is no such node.
    Missing,
}

/// Why a node cannot register.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Another node, online, has the name.
    #[error("the node name {name} is taken by node {id}, which is online at {address}; set another with node-name")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        id: NodeId,
        /// Where that is.
        address: String,
    },
    /// Another node, offline, has the name, and this one has an id of its own.
    #[error(
        "the node name {name} belongs to node {id}, which is offline; remove that with delete-node {id}, or set another \
         with node-name"
    )]
    NameHeld {
        /// The name.
        name: String,
        /// Who has it.
        id: NodeId,
    },
    /// It does not fit the cluster; its row says so.
    #[error("node {id} stays out of the cluster ({}): {}", .why.title(), .why.remedy())]
    Excluded {
        /// The id of its row.
        id: NodeId,
        /// What does not fit.
        why: Exclusion,
    },
    /// The id is that of a node that is online, and another daemon.
    #[error(
        "node {id} is online as {name} at {address}: where this data directory is a copy of that node's, remove node-id \
         from it; where this node was moved or renamed, wait until the old one is offline"
    )]
    IdTaken {
        /// The id.
        id: NodeId,
        /// The name it is online under.
        name: String,
        /// Where that is.
        address: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegisterError {
    /// Whether the cluster does not take the node, as opposed to not answering.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}
