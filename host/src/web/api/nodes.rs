//! Nodes: everybody who is signed in sees them, administrators change them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{Json, extract::FromRef};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{Drain, DrainOrder, Node, NodeId, NodeStatus, Overrides, Session, State, Wanted},
    store::{LiveSession, SessionFilter, Snapshot, Store},
    web::{App, Problem, ThisNode},
};

pub(in crate::web) mod cordon;
pub(in crate::web) mod delete;
pub(in crate::web) mod drain;
pub(in crate::web) mod get;
pub(in crate::web) mod list;
pub(in crate::web) mod maintenance;
pub(in crate::web) mod set;
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
    /// How it is being emptied; null where it is not.
    pub drain: Option<DrainView>,
    /// How many sessions occupy it; a node that is drained has none.
    pub sessions: usize,
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
    /// Which of weight, capacity and labels were set by command; all others are from the node's own files.
    pub set: SetView,
    /// Numbers that its administrator publishes for balancers, by key; none that is too old.
    pub metrics: BTreeMap<String, f64>,
    /// The kinds of session it offers.
    pub kinds: BTreeSet<String>,
    /// What the programs of some of them say their version is, by kind.
    pub kind_versions: BTreeMap<String, String>,
    /// The SHA-256 of the balancer it places with.
    pub balancer_digest: Option<String>,
    /// The SHA-256 of the certificate that its port shows, two with a blank between them while one takes the other's place;
    /// null where it takes no TLS.
    pub certificate: Option<String>,
    /// By how many milliseconds its clock is ahead of the registry's; negative where it is behind, null where it has not been
    /// measured.
    pub clock_ahead_ms: Option<i64>,
    /// Its last heartbeat; of a node that stays out, its last attempt.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
}

/// How a node is being emptied.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = NodeDrain)]
pub(crate) struct DrainView {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When sessions that keep their work are suspended; null where they go on as long as they like.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// Whether all others, and jobs, are ended then.
    pub end: bool,
    /// Whether it was ordered as maintenance.
    pub maintenance: bool,
}

impl From<Drain> for DrainView {
    fn from(drain: Drain) -> Self {
        let Drain { since, deadline, end, maintenance } = drain;
        Self { since, deadline, end, maintenance }
    }
}

/// What was set of a node by command.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = NodeSet)]
pub(crate) struct SetView {
    /// Its weight was.
    pub weight: bool,
    /// Its capacity was.
    pub capacity: bool,
    /// The keys of the labels that were.
    pub labels: Vec<String>,
}

impl From<Overrides> for SetView {
    fn from(set: Overrides) -> Self {
        Self {
            weight: set.weight.is_some(),
            capacity: set.capacity.is_some(),
            labels: set.labels.into_keys().collect(),
        }
    }
}

impl NodeView {
    /// A node, with how many of these sessions occupy it.
    pub(crate) fn new(node: Node, live: &[LiveSession]) -> Self {
        Self {
            sessions: live.iter().filter(|session| session.node == node.id).count(),
            id: node.id,
            name: node.name,
            address: node.address,
            ip: node.ip.map(|ip| ip.to_string()),
            version: node.version,
            status: node.status,
            cordoned: node.cordoned,
            drain: node.drain.map(DrainView::from),
            cores: node.cores,
            memory_total: node.memory_total,
            memory_available: node.reading.memory_available,
            load: node.reading.load,
            weight: node.weight,
            capacity: node.capacity,
            promise_cpus: node.promise_cpus,
            promise_memory: node.promise_memory,
            labels: node.labels,
            set: node.overrides.into(),
            metrics: node.metrics,
            kinds: node.kinds,
            kind_versions: node.kind_versions,
            balancer_digest: node.balancer_digest,
            certificate: node.certificate,
            clock_ahead_ms: node.clock_ahead.and_then(|ahead| i64::try_from(ahead.as_millis()).ok()),
            last_seen: node.last_seen,
        }
    }
}

/// A node and what occupies it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeDetails {
    node: NodeView,
    /// The sessions that occupy it, newest first.
    sessions: Vec<RemainingSession>,
}

/// A session as an administrator sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RemainingSession {
    id: String,
    user: String,
    kind: String,
    name: String,
    #[schema(value_type = String)]
    state: State,
    /// What was asked of it: `suspended` or `ended`; null where nothing was.
    #[schema(value_type = Option<String>)]
    wanted: Option<Wanted>,
    /// What becomes of it at the deadline of its node's drain: `suspended` or `ended`; null where it goes on.
    #[schema(value_type = Option<String>)]
    at_deadline: Option<Wanted>,
}

/// What endpoints about one node ask for.
#[derive(Clone, Debug)]
pub(in crate::web) struct Desk {
    store: Arc<dyn Store>,
    this: Arc<ThisNode>,
}

impl FromRef<App> for Desk {
    fn from_ref(app: &App) -> Self {
        Self { store: app.store.clone(), this: app.this.clone() }
    }
}

impl Desk {
    /// The node with this id, else the one with this name.
    async fn find(&self, id: &str) -> Result<Node, Problem> {
        let mut nodes = self.store.nodes().await?;
        let number: Option<NodeId> = id.parse().ok();
        let at = nodes.iter().position(|node| Some(node.id) == number);
        let at = at.or_else(|| nodes.iter().position(|node| node.name == id));
        Ok(nodes.swap_remove(at.ok_or_else(|| missing(id))?))
    }

    /// A node as it is now, with what occupies it.
    async fn details(&self, id: NodeId) -> Result<Json<NodeDetails>, Problem> {
        let Snapshot { nodes, live, .. } = self.store.snapshot().await?;
        let node = nodes.into_iter().find(|node| node.id == id).ok_or_else(|| missing(&id.to_string()))?;
        let states = vec![State::Starting, State::Active];
        let filter = SessionFilter { node: Some(id), states, ..SessionFilter::default() };
        let drain = node.drain.as_ref();
        let kinds = self.this.kinds.load();
        let view = |session: Session| {
            let keeps = kinds.get(&session.kind).is_some_and(|kind| kind.keeps);
            RemainingSession {
                at_deadline: drain.and_then(|drain| drain.verdict(keeps, session.is_job)),
                id: session.id.to_string(),
                user: session.user,
                kind: session.kind,
                name: session.name,
                state: session.state,
                wanted: session.wanted,
            }
        };
        let sessions = self.store.sessions(&filter).await?.into_iter().map(view).collect();
        Ok(Json(NodeDetails { node: NodeView::new(node, &live), sessions }))
    }

    /// Has a node emptied as ordered, and says how it then is.
    async fn drain(&self, id: &str, order: &DrainOrder) -> Result<Json<NodeDetails>, Problem> {
        let node = self.find(id).await?;
        if !self.store.drain(node.id, order).await? {
            return Err(missing(id));
        }
        self.details(node.id).await
    }

    /// Cordons a node, or lifts cordon and drain, and says how it then is.
    async fn set_cordoned(&self, id: &str, cordoned: bool) -> Result<Json<NodeDetails>, Problem> {
        let node = self.find(id).await?;
        if !self.store.set_cordoned(node.id, cordoned).await? {
            return Err(missing(id));
        }
        self.details(node.id).await
    }
}

fn missing(id: &str) -> Problem {
    let shown: String = id.chars().filter(|char| !char.is_control()).take(64).collect();
    Problem::missing(format!("there is no node {shown}; list-nodes has their ids and names"))
}

#[cfg(test)]
mod tests;
