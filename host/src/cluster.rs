//! Membership: registration, heartbeats, the store's clock, and what a node measures of itself.

pub mod address;
pub mod agreement;
pub mod clock;
pub mod condition;
pub mod load;
pub mod membership;
pub mod metrics;

pub use clock::StoreClock;
pub use load::LoadSource;
pub use membership::Membership;
pub use metrics::MetricsSource;
