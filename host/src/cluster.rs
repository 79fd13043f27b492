//! Membership: registration, heartbeats, the store's clock, and what a node measures of itself.

pub mod clock;
pub mod load;
pub mod membership;
