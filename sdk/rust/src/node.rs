//! A node as a policy sees it.

use crate::lookup::{Lookup, Text};

/// A node that may take the session.
///
/// Later versions of the contract add fields, so a node is made by [`Node::named`] and then changed:
///
/// ```
/// use evenkeel_sdk::Node;
///
/// let node = Node::named("gpu-1").with(|node| node.sessions = 3).labelled("zone", "north");
/// assert_eq!((node.cores, node.label("zone").as_deref()), (1, Some("north")));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Node {
    /// Logical processors, at least 1.
    pub cores: u32,
    /// The share of sessions that it is to take, relative to the others: 100 is normal, at least 1.
    pub weight: u32,
    /// The most sessions that it takes; `u32::MAX` where there is no limit.
    pub capacity: u32,
    /// Sessions starting or active, of every kind and user.
    pub sessions: u32,
    /// Of these, the requesting user's.
    pub user_sessions: u32,
    /// Load average over 1 minute, not divided by cores.
    pub load1: f64,
    /// Load average over 5 minutes.
    pub load5: f64,
    /// Load average over 15 minutes.
    pub load15: f64,
    /// How many sessions' worth of load the 5-minute average has not absorbed yet: the sum of e^(-age / 300 s).
    pub unseen5: f64,
    /// Physical memory, bytes; 0 where it is unknown.
    pub memory_total: u64,
    /// Memory that a new program could have without swapping, bytes; 0 where it is unknown.
    pub memory_available: u64,
    /// Processors promised to its sessions by their resource profiles.
    pub cpus_promised: f64,
    /// Memory promised to its sessions by their resource profiles, bytes.
    pub memory_promised: u64,
    pub(crate) name: Text,
    pub(crate) address: Text,
    pub(crate) labels: Lookup<String>,
    pub(crate) metrics: Lookup<f64>,
}

impl Node {
    /// A node with a name, one idle processor, weight 100 and nothing else.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            cores: 1,
            weight: 100,
            capacity: u32::MAX,
            sessions: 0,
            user_sessions: 0,
            load1: 0.0,
            load5: 0.0,
            load15: 0.0,
            unseen5: 0.0,
            memory_total: 0,
            memory_available: 0,
            cpus_promised: 0.0,
            memory_promised: 0,
            name: Text::Own(name.into()),
            address: Text::Own(String::new()),
            labels: Lookup::default(),
            metrics: Lookup::default(),
        }
    }

    /// The same after a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same at an address, for tests.
    #[must_use]
    pub fn at(mut self, address: impl Into<String>) -> Self {
        self.address = Text::Own(address.into());
        self
    }

    /// The same with a label, for tests.
    #[must_use]
    pub fn labelled(mut self, key: &str, value: impl Into<String>) -> Self {
        self.labels.set(key, value.into());
        self
    }

    /// The same with a published number, for tests.
    #[must_use]
    pub fn measured(mut self, key: &str, value: f64) -> Self {
        self.metrics.set(key, value);
        self
    }

    /// Its name: unique in the cluster, stable across restarts and changes of address. The first look at any node's reads
    /// all of them.
    pub fn name(&self) -> &str {
        self.name.get()
    }

    /// Its `host:port`. The first look at any node's reads all of them.
    pub fn address(&self) -> &str {
        self.address.get()
    }

    /// The value of one of its labels. The first look at a key reads it for all nodes.
    pub fn label(&self, key: &str) -> Option<String> {
        self.labels.get(key)
    }

    /// A number that an administrator publishes for it, such as its free GPUs; none where it publishes no such number,
    /// or one that is too old. The first look at a key reads it for all nodes.
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.get(key)
    }
}
