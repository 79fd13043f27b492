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
    config::{Beside, Keys},
    domain::{Charter, OtherKey, PROTOCOL},
};

/// What this node must have in common with its cluster.
pub fn charter(keys: &Keys) -> Charter {
    Charter { key_hash: keys.signing().fingerprint(), protocol: PROTOCOL }
}

/// The key beside the one that signs, while that is being replaced.
pub fn other_key(keys: &Keys) -> Option<OtherKey> {
    let key_hash = keys.all().nth(1)?.fingerprint();
    Some(OtherKey { key_hash, is_previous: keys.beside()? == Beside::Previous })
}
