//! Membership: registration, heartbeats, the store's clock, and what a node measures of itself.

pub mod address;
pub mod agreement;
pub mod clock;
pub mod condition;
pub mod load;
pub mod membership;
pub mod metrics;
pub mod place;

pub use clock::StoreClock;
pub use load::LoadSource;
pub use membership::Membership;
pub use metrics::MetricsSource;
pub use place::place;

use crate::{
    config::ClusterKey,
    domain::{Charter, PROTOCOL},
};

/// What this node must have in common with its cluster.
pub fn charter(key: &ClusterKey) -> Charter {
    let key_hash = key.derive("key-hash").iter().map(|byte| format!("{byte:02x}")).collect();
    Charter { key_hash, protocol: PROTOCOL }
}
