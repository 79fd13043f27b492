//! Membership: registration, heartbeats, the store's clock, and what a node measures of itself.

pub mod address;
mod aside;
pub mod clock;
pub mod load;
pub mod membership;

pub use clock::StoreClock;
pub use load::LoadSource;
pub use membership::Membership;
