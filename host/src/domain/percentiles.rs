//! Durations summed up.

use std::time::Duration;

/// What so many of a hundred durations do not exceed; none where there are no durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<Duration>,
    /// Of 99 of them.
    pub p99: Option<Duration>,
}

impl Percentiles {
    /// By the nearest rank: the smallest duration that so many of a hundred do not exceed.
    pub fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let rank = |percent: usize| (durations.len() * percent).div_ceil(100).saturating_sub(1);
        Self { p50: durations.get(rank(50)).copied(), p99: durations.get(rank(99)).copied() }
    }
}
