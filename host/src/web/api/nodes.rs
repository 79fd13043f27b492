//! Nodes: everybody who is signed in sees them, administrators change them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{Node, NodeId, NodeStatus},
    store::Store,
    web::Problem,
};

pub(in crate::web) mod cordon;
pub(in crate::web) mod delete;
pub(in crate::web) mod drain;
pub(in crate::web) mod list;
pub(in crate::web) mod uncordon;

/// A node.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Node)]
pub(crate) struct NodeView {
    /// The store's number for it.
    #[schema(value_type = i64)]
    pub id: NodeId,
    /// Unique and stable.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// The address that its host name stands for.
    pub ip: Option<String>,
    /// The version of the program it runs.
    pub version: String,
    /// `online` or `offline`; or why it stays out of the cluster: `invalid-key`, `invalid-protocol`, `incompatible-version`.
    #[schema(value_type = String, example = "online")]
    pub status: NodeStatus,
    /// Takes no new sessions.
    pub cordoned: bool,
    /// Logical processors.
    pub cores: u32,
    /// Physical memory, bytes.
    pub memory_total: u64,
    /// Memory that a new program could have, bytes.
    pub memory_available: u64,
    /// Load averages over 1, 5 and 15 minutes, not divided by cores.
    pub load: [f64; 3],
    /// The share of sessions it should take; 100 is normal.
    pub weight: u32,
    /// The most sessions it takes; null where there is no limit.
    pub capacity: Option<u32>,
    /// The most processors that it promises to sessions; null where there is no limit.
    pub promise_cpus: Option<f64>,
    /// The most memory that it promises to sessions, bytes; null where there is no limit.
    pub promise_memory: Option<u64>,
    /// What an administrator says of it.
    pub labels: BTreeMap<String, String>,
    /// Numbers that its administrator publishes for balancers, by key; none that is too old.
    pub metrics: BTreeMap<String, f64>,
    /// The kinds of session it offers.
    pub kinds: BTreeSet<String>,
    /// What the programs of some of them say their version is, by kind.
    pub kind_versions: BTreeMap<String, String>,
    /// The SHA-256 of the balancer it places with.
    pub balancer_digest: Option<String>,
    /// By how many milliseconds its clock is ahead of the registry's; negative where it is behind, null where it has not been
    /// measured.
    pub clock_ahead_ms: Option<i64>,
    /// Its last heartbeat; of a node that stays out, its last attempt.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
}

impl From<Node> for NodeView {
    fn from(node: Node) -> Self {
        Self {
            id: node.id,
            name: node.name,
            address: node.address,
            ip: node.ip.map(|ip| ip.to_string()),
            version: node.version,
            status: node.status,
            cordoned: node.cordoned,
            cores: node.cores,
            memory_total: node.memory_total,
            memory_available: node.reading.memory_available,
            load: node.reading.load,
            weight: node.weight,
            capacity: node.capacity,
            promise_cpus: node.promise_cpus,
            promise_memory: node.promise_memory,
            labels: node.labels,
            metrics: node.metrics,
            kinds: node.kinds,
            kind_versions: node.kind_versions,
            balancer_digest: node.balancer_digest,
            clock_ahead_ms: node.clock_ahead.and_then(|ahead| i64::try_from(ahead.as_millis()).ok()),
            last_seen: node.last_seen,
        }
    }
}

fn parse(id: &str) -> Result<NodeId, Problem> {
    id.parse().map_err(|_| Problem::missing("there is no such node; a node's id is a number"))
}

/// Cordons a node or lifts its cordon, and says how it then is.
async fn set_cordoned(store: &dyn Store, id: &str, cordoned: bool) -> Result<NodeView, Problem> {
    let id = parse(id)?;
    let missing = || Problem::missing(format!("there is no node {id}"));
    if !store.set_cordoned(id, cordoned).await? {
        return Err(missing());
    }
    let node = store.nodes().await?.into_iter().find(|node| node.id == id);
    node.map(NodeView::from).ok_or_else(missing)
}
