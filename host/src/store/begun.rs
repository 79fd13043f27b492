//! Whether a registry has a cluster, told without a write: by a command that would otherwise begin one.

/// A node that has the key of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's name.
    pub name: String,
    /// Its `host:port`.
    pub address: String,
}

impl From<(String, String)> for Member {
    fn from((name, address): (String, String)) -> Self {
        Self { name, address }
    }
}

/// Whether the first node has laid down the charter.
pub(super) const IS_BEGUN: &str = "SELECT count(*) FROM cluster WHERE key_hash IS NOT NULL";

/// The nodes of the cluster, the one seen last first. Those that it does not take have other keys.
pub(super) const MEMBERS: &str = "SELECT name, address FROM nodes WHERE stays_out IS NULL ORDER BY last_seen DESC";
