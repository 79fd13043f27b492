//! The time of day, as an argument.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// What steady time is counted from.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where the time comes from. Only `cli` makes one; everything below it is handed one, so that decisions can be tested
/// and replayed.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// A time that nobody sets and that goes on evenly while the machine does, for how long something takes: since some
    /// moment of this process.
    fn steady(&self) -> Duration {
        ORIGIN.elapsed()
    }
}
