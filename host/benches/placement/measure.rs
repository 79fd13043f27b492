//! Times of many runs.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// What many runs of one thing took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) mean: Duration,
}

/// Runs `decide` some times unmeasured and `iterations` times measured, one by one. It says whether it decided.
pub(crate) fn measure(iterations: usize, mut decide: impl FnMut() -> bool) -> anyhow::Result<Times> {
    for _ in 0..iterations / 10 + 1 {
        anyhow::ensure!(black_box(decide()), "a decision failed");
    }
    let mut times = Vec::with_capacity(iterations);
    for _ in 0..iterations.max(1) {
        let start = Instant::now();
        let decided = black_box(decide());
        times.push(start.elapsed());
        anyhow::ensure!(decided, "a decision failed");
    }
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let mean = total / u32::try_from(times.len())?;
    Ok(Times { p50: percentile(&times, 0.5), p99: percentile(&times, 0.99), mean })
}

/// The time that a share of sorted ones does not exceed; none takes no time.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
