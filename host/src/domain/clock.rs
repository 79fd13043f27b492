//! The time of day, as an argument.

use jiff::Timestamp;

/// Where the time comes from. Only `cli` makes one; everything below it is handed one, so that decisions can be tested
/// and replayed.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;
}
