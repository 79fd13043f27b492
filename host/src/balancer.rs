//! Policies: which node the next session goes to.
//!
//! A [`Balancer`] answers one question at a time and knows nothing but that question. [`wasm`] runs WebAssembly
//! components behind a fence; nothing else in the program names wasmtime. [`plugins`] has the balancer that is selected, and
//! replaces it when its file changes. [`script`] runs a program of the administrator's, and [`trust`] has it that nobody
//! else could have put either there. [`fallback`] is what placement asks: it stands in for a balancer that fails, and
//! [`journal`] keeps what either wrote. [`synthetic`] has clusters to try them on.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

mod breaker;
pub mod builtin;
pub mod case;
pub mod check;
pub mod columns;
pub mod fallback;
mod hearing;
pub mod journal;
#[cfg(test)]
mod plugin_cases;
pub mod plugins;
pub mod script;
pub mod synthetic;
pub mod tally;
pub mod trust;
pub mod wasm;

pub use columns::Columns;
pub use fallback::Fallback;
pub use hearing::Hearing;
pub use journal::Journal;

use crate::domain::SessionId;
pub use crate::domain::text;

/// A policy. Called on a thread of its own: an answer may block up to the balancer's own deadline.
pub trait Balancer: Send + Sync + Debug {
    /// The name it was selected by.
    fn name(&self) -> &str;

    /// The SHA-256 of its module, hexadecimal; none where it is not a module.
    fn digest(&self) -> Option<&str>;

    /// The version of the contract that its module was made for; none where it is not a module.
    fn contract(&self) -> Option<&str> {
        None
    }

    /// The settings that it runs with, defaults included; none where it has no such settings.
    fn settings(&self) -> Arc<BTreeMap<String, String>> {
        Arc::default()
    }

    /// Whether a decision may take so long that others must not wait for it.
    fn is_slow(&self) -> bool {
        false
    }

    /// Ends decisions under way, and fails those to come: the daemon stops. Only what runs outside of it need care.
    fn stop(&self) {}

    /// Orders the nodes of the question. The answer has been checked: indexes in range, none twice, scores finite and
    /// one a node.
    fn rank(&self, question: &Question) -> Result<Answer, Refusal>;

    /// The same, with all that can be told of it.
    fn hear(&self, question: &Question) -> Hearing {
        let start = Instant::now();
        let outcome = self.rank(question);
        let duration = outcome.as_ref().map_or_else(|_| start.elapsed(), |answer| answer.duration);
        Hearing { outcome, refused_log: Vec::new(), duration, memory: None }
    }

    /// The same where others wait for the answer: none where there was none within `patience`, though it may take longer.
    /// Such a decision does not count; it is to be made again.
    fn hear_within(&self, question: &Question, _patience: Duration) -> Option<Hearing> {
        Some(self.hear(question))
    }
}

/// What a balancer is asked: one session to be placed on one of some nodes.
#[derive(Clone, Debug)]
pub struct Question {
    /// The nodes that may take it, at least one.
    pub nodes: Arc<Columns>,
    /// Of each node's sessions, those of the requesting user.
    pub user_sessions: Arc<[u32]>,
    /// The session.
    pub request: Request,
    /// Its id, for the log; a balancer is not shown it. None where nothing is placed.
    pub session: Option<SessionId>,
}

/// The session to be placed, as `wit/` describes it. Kept in records, so it grows by fields only.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Request {
    /// The canonical name of its user.
    pub username: String,
    /// The user's groups, the primary one first.
    pub groups: Vec<String>,
    /// Its kind.
    pub kind: String,
    /// Processors asked for; 0 where none were named.
    pub cpus: f64,
    /// Memory asked for, bytes; 0 where none was named.
    pub memory: u64,
    /// The node labels it asks for, and those that its kind requires.
    pub labels: BTreeMap<String, String>,
    /// Of these, those that its kind requires. Not for the balancer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kind_labels: BTreeMap<String, String>,
    /// The name of the node where it ran before.
    pub previous_node: Option<String>,
    /// The store's time, milliseconds since the Unix epoch.
    pub now: u64,
    /// Drawn for this decision.
    pub seed: u64,
    /// Counts the cluster's decisions.
    pub sequence: u64,
}

impl Request {
    /// The labels that were asked for and are not required anyhow.
    pub fn own_labels(&self) -> BTreeMap<String, String> {
        let is_own = |(key, _): &(&String, &String)| !self.kind_labels.contains_key(*key);
        self.labels.iter().filter(is_own).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// A balancer's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The nodes to try, best first, as indexes into the question's columns; at least one.
    pub order: Vec<u32>,
    /// How good each node is, the higher the better, one a node.
    pub scores: Option<Vec<f64>>,
    /// The decision in a sentence.
    pub reason: Option<String>,
    /// What it wrote to the log.
    pub log: Vec<LogLine>,
    /// How long it took.
    pub duration: Duration,
}

/// A line that a balancer wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    pub message: String,
}

/// How much a line of a balancer's log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Least.
    Debug,
    /// A little.
    Info,
    /// Something to change.
    Warn,
    /// Something wrong.
    Error,
}

impl LogLevel {
    /// Its name: `debug`, `info`, `warn` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Why a balancer chose no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy does not want the session to start. Final, and shown to the user.
    #[error("{0}")]
    Declined(String),
    /// The balancer could not decide; its fallback is asked.
    #[error("{0}")]
    Failed(String),
}
