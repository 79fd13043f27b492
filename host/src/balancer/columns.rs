//! What a balancer may know of the nodes, a column at a time.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// The nodes of a question: item i of every column is about node i. Columns are shared, not copied, with the guest's host
/// functions. No number is NaN or infinite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// `host:port`.
    pub addresses: Arc<[String]>,
    /// The address that each one's host name stands for, where it is known; only the script is shown it.
    pub ips: Arc<[Option<IpAddr>]>,
    /// Names.
    pub names: Arc<[String]>,
    /// [`name_hash`] of each name.
    pub name_hashes: Arc<[u64]>,
    /// Logical processors, at least 1.
    pub cores: Arc<[u32]>,
    /// Weights, at least 1.
    pub weights: Arc<[u32]>,
    /// Most sessions; `u32::MAX` where there is no limit.
    pub capacities: Arc<[u32]>,
    /// Sessions active or starting.
    pub sessions: Arc<[u32]>,
    /// Load average over 1 minute, not divided by cores.
    pub load1: Arc<[f64]>,
    /// Load average over 5 minutes.
    pub load5: Arc<[f64]>,
    /// Load average over 15 minutes.
    pub load15: Arc<[f64]>,
    /// Sum over live sessions of e^(-age / 300 s).
    pub unseen5: Arc<[f64]>,
    /// Physical memory, bytes.
    pub memory_total: Arc<[u64]>,
    /// Memory to be had without swapping, bytes.
    pub memory_available: Arc<[u64]>,
    /// Processors promised to sessions.
    pub cpus_promised: Arc<[f64]>,
    /// Memory promised to sessions, bytes.
    pub memory_promised: Arc<[u64]>,
    /// Labels of each node.
    pub labels: Arc<[BTreeMap<String, String>]>,
    /// Published numbers of each node.
    pub metrics: Arc<[BTreeMap<String, f64>]>,
}

impl Columns {
    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }
}

/// The low 64 bits of the CityHash128 (version 1.1.0) of a node's name: the reference implementation's `Uint128Low64`,
/// which the crate has in the upper half of its number.
pub fn name_hash(name: &str) -> u64 {
    (cityhash_rs::cityhash_110_128(name.as_bytes()) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::name_hash;

    /// The first entry of the test data of the reference implementation is the empty input.
    #[test]
    fn a_name_hash_is_the_low_word_of_the_reference_implementation() {
        assert_eq!(name_hash(""), 0x3df0_9dfc_64c0_9a2b);
    }
}
