//! What a node's own files say of it, and a reload can change.

use std::collections::BTreeMap;

use crate::{cluster::address::Announced, config::Config, store::Registration};

/// The settings of `rserver.conf`, and where the node is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSettings {
    weight: u32,
    capacity: Option<u32>,
    cpu_allocation_ratio: Option<f64>,
    memory_allocation_ratio: Option<f64>,
    labels: BTreeMap<String, String>,
    /// None where that has not changed since the node registered.
    announced: Option<Announced>,
}

impl NodeSettings {
    /// Those of a configuration; where the node is reached is worked out by whoever knows the port.
    pub fn new(config: &Config) -> Self {
        Self {
            weight: config.weight,
            capacity: config.capacity,
            cpu_allocation_ratio: config.cpu_allocation_ratio,
            memory_allocation_ratio: config.memory_allocation_ratio,
            labels: config.labels.clone(),
            announced: None,
        }
    }

    /// The same for a node that is reached there.
    #[must_use]
    pub fn announced(self, announced: Option<Announced>) -> Self {
        Self { announced, ..self }
    }

    /// A registration with these settings.
    #[must_use]
    pub fn put_into(self, registration: Registration) -> Registration {
        let (address, ip) = match self.announced {
            Some(Announced { address, ip, .. }) => (address, ip),
            None => (registration.address, registration.ip),
        };
        Registration {
            address,
            ip,
            weight: self.weight,
            capacity: self.capacity,
            promise_cpus: self.cpu_allocation_ratio.map(|ratio| ratio * f64::from(registration.cores)),
            promise_memory: self.memory_allocation_ratio.map(|ratio| share(registration.memory_total, ratio)),
            labels: self.labels,
            ..registration
        }
    }
}

/// So much of some bytes.
fn share(bytes: u64, ratio: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a machine's memory"
    )]
    let share = (bytes as f64 * ratio) as u64;
    share
}
