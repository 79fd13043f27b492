//! What the nodes of a cluster have in common, and what keeps one out.
//!
//! The first node online lays down the charter: the digest of the secure cookie key, and the protocol between nodes. Whoever
//! comes later must have the same, and a version that works beside that of every member that is online.

use serde::{Deserialize, Serialize};

use super::version;

/// The protocol between nodes that this program speaks, as `list-nodes` prints it. It is raised only where two versions can
/// not understand each other at all; what grows by addition does not raise it.
pub const PROTOCOL: u32 = 1;

/// What the first node online has laid down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// A digest of the secure cookie key that tells nothing of it.
    pub key_hash: String,
    /// The protocol between nodes.
    pub protocol: u32,
}

/// A key that a node knows beside its own, while the cluster's is being replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherKey {
    /// Its digest.
    pub key_hash: String,
    /// Whether it is the one before, so that the cluster is to go by the node's own from now on; else it is the next.
    pub is_previous: bool,
}

/// Why a node stays out of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exclusion {
    /// Its secure cookie key is another.
    Key,
    /// It speaks another protocol.
    Protocol,
    /// Its version does not work beside that of a member.
    Version,
}

impl Exclusion {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Key, Self::Protocol, Self::Version];

    /// As the store has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Protocol => "protocol",
            Self::Version => "version",
        }
    }

    /// As `list-nodes` has it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Key => "Invalid secure cookie key",
            Self::Protocol => "Invalid protocol",
            Self::Version => "Incompatible version",
        }
    }

    /// What to do about it, for the log and the pages of the node that stays out.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Key => {
                "its secure cookie key is not the one that this cluster was begun with: copy that file from a node that is \
                 online, and start again; where this node's key is the right one, evenkeel reset-cluster lets the next \
                 node define the cluster anew"
            }
            Self::Protocol => {
                "it speaks another protocol than this cluster: run the program that the other nodes run; where all are \
                 replaced, evenkeel reset-cluster lets the next node define the cluster anew"
            }
            Self::Version => {
                "its version does not work beside those that are online: nodes of two adjacent versions do, so go one \
                 version at a time, or stop the other nodes first"
            }
        }
    }

    /// What keeps a node out, where anything does. A cluster without a charter takes whoever comes; one whose key is being
    /// replaced takes whoever knows it.
    pub fn of<'v>(
        charter: Option<&Charter>,
        own: &Charter,
        other_key: Option<&OtherKey>,
        own_version: &str,
        members_online: impl IntoIterator<Item = &'v str>,
    ) -> Option<Self> {
        if let Some(charter) = charter {
            if charter.protocol != own.protocol {
                return Some(Self::Protocol);
            }
            let is_other = other_key.is_some_and(|other| other.key_hash == charter.key_hash);
            if charter.key_hash != own.key_hash && !is_other {
                return Some(Self::Key);
            }
        }
        let fits = |version: &str| version::side_by_side(own_version, version);
        members_online.into_iter().any(|version| !fits(version)).then_some(Self::Version)
    }
}

impl std::str::FromStr for Exclusion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no reason to stay out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charter(key: &str, protocol: u32) -> Charter {
        Charter { key_hash: key.to_owned(), protocol }
    }

    #[test]
    fn the_first_node_is_never_kept_out_and_the_next_must_be_like_it() {
        let own = charter("a", 1);
        assert_eq!(Exclusion::of(None, &own, None, "0.1.0", []), None);
        assert_eq!(Exclusion::of(Some(&own), &own, None, "0.1.0", ["0.1.9", "0.2.0"]), None);
        assert_eq!(Exclusion::of(Some(&charter("b", 1)), &own, None, "0.1.0", []), Some(Exclusion::Key));
        assert_eq!(Exclusion::of(Some(&charter("a", 2)), &own, None, "0.1.0", []), Some(Exclusion::Protocol));
        assert_eq!(Exclusion::of(Some(&charter("b", 2)), &own, None, "0.3.0", ["0.1.0"]), Some(Exclusion::Protocol));
        assert_eq!(Exclusion::of(Some(&own), &own, None, "0.3.0", ["0.2.0", "0.1.0"]), Some(Exclusion::Version));
        assert_eq!(Exclusion::of(None, &own, None, "0.3.0", ["0.1.0"]), Some(Exclusion::Version));
    }

    #[test]
    fn whoever_knows_a_key_that_is_being_replaced_is_a_member() {
        let own = charter("new", 1);
        for is_previous in [true, false] {
            let other = OtherKey { key_hash: "old".to_owned(), is_previous };
            let out = |key: &str| Exclusion::of(Some(&charter(key, 1)), &own, Some(&other), "0.1.0", []);
            assert_eq!((out("old"), out("new"), out("older")), (None, None, Some(Exclusion::Key)));
        }
    }

    #[test]
    fn reasons_read_back_as_they_are_written() {
        for one in Exclusion::ALL {
            assert_eq!(one.as_str().parse(), Ok(one));
        }
        assert!("colour".parse::<Exclusion>().is_err());
    }
}
