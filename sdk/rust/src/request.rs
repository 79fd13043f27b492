//! The session to be placed: the whole of it in a [`Request`], and for a [`Columnar`](crate::Columnar) a function for
//! each of its facts, each one call of the host. The functions exist where the balancer runs as Wasm; elsewhere they
//! panic.

pub use crate::bindings::evenkeel::balancer::request::{
    cpus, groups, kind, label, memory, now, previous_node, seed, sequence, username,
};
use crate::lookup::Lookup;

/// The session to be placed.
///
/// Later versions of the contract add fields, so a request is made by [`Request::of`] and then changed.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Request {
    /// The canonical name of the user whom the session belongs to.
    pub username: String,
    /// The names of the user's groups, the primary one first; empty where they are unknown.
    pub groups: Vec<String>,
    /// The kind of session: `jupyterlab`, `vscode`, …
    pub kind: String,
    /// Processors asked for; 0 where the request names none.
    pub cpus: f64,
    /// Memory asked for, bytes; 0 where the request names none.
    pub memory: u64,
    /// The name of the node where the session ran before, when it is resumed. It need not be among the nodes.
    pub previous_node: Option<String>,
    /// The store's time, milliseconds since 1970-01-01T00:00:00Z.
    pub now: u64,
    /// A number drawn for this decision alone, uniform over all values.
    pub seed: u64,
    /// Counts the cluster's decisions: it grows from one to the next, not always by 1.
    pub sequence: u64,
    pub(crate) labels: Lookup<String>,
}

impl Request {
    /// A request of a user, and nothing else.
    pub fn of(username: impl Into<String>) -> Self {
        Self { username: username.into(), ..Self::default() }
    }

    /// The same after a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same asking a value of a node's label, for tests.
    #[must_use]
    pub fn asking(mut self, key: &str, value: impl Into<String>) -> Self {
        self.labels.set(key, value.into());
        self
    }

    /// The value that the request asks of a node's label. The host has already left out the nodes that do not match.
    pub fn label(&self, key: &str) -> Option<String> {
        self.labels.get(key)
    }
}
