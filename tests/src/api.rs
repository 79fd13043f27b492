//! What the REST interface answers with, as far as programs rely on it.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A session.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// What it runs.
    pub kind: String,
    /// `starting`, `active`, …
    pub state: String,
    /// Where it runs.
    pub node: NodeReference,
    /// The program's process id, while it runs.
    pub pid: Option<i32>,
    /// Why it failed.
    pub failure: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Session {
    /// Whether it occupies its node.
    pub fn is_live(&self) -> bool {
        matches!(self.state.as_str(), "starting" | "active")
    }

    /// Its address below a node's: `/s/<id>/<path>`.
    pub fn path(&self, path: &str) -> String {
        format!("/s/{}/{}", self.id, path.trim_start_matches('/'))
    }
}

/// A node as a session names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NodeReference {
    /// The store's number for it.
    pub id: i64,
    /// Its name; empty where it has been forgotten.
    #[serde(deserialize_with = "or_empty")]
    pub name: String,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Node {
    /// The store's number for it.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// `online` or `offline`.
    pub status: String,
    /// Logical processors.
    pub cores: u32,
    /// Load averages over 1, 5 and 15 minutes, not divided by cores.
    pub load: [f64; 3],
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A list, or a part of one.
#[derive(Clone, Debug, Deserialize)]
pub struct List<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// What to ask for to have the next part.
    pub next: Option<Value>,
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// What kind of problem it is.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What exactly is wrong.
    pub detail: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}
