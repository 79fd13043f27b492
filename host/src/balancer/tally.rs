//! What a balancer has done since it came into force.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Answer, Refusal};
use crate::domain::Percentiles;

/// How many durations are kept: the percentiles are those of the last decisions.
const RECENT: usize = 1_000;

/// Over how many of the last decisions slowness is measured.
const MEASURED: usize = 32;

/// A median above this makes a balancer slow.
const SLOW: Duration = Duration::from_millis(5);

/// A median below this makes it quick again.
const QUICK: Duration = Duration::from_millis(3);

/// Counts a balancer's decisions.
#[derive(Debug, Default)]
pub struct Tally {
    decisions: AtomicU64,
    failures: AtomicU64,
    failing: AtomicBool,
    slow: AtomicBool,
    recent: Mutex<VecDeque<Duration>>,
    last_failure: Mutex<Option<String>>,
}

/// A tally as it is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How often it was asked.
    pub decisions: u64,
    /// How often it failed.
    pub failures: u64,
    /// Whether the last decision failed.
    pub failing: bool,
    /// How it failed last.
    pub last_failure: Option<String>,
    /// The median of the last decisions' durations.
    pub p50: Option<Duration>,
    /// The duration that 99 of 100 of the last decisions did not exceed.
    pub p99: Option<Duration>,
}

impl Tally {
    /// Counts an outcome, and says whether it is the first failure after a success, or the first success after a failure.
    pub(super) fn add(&self, outcome: &Result<Answer, Refusal>) -> bool {
        self.decisions.fetch_add(1, Ordering::Relaxed);
        if let Ok(answer) = outcome {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() == RECENT {
                recent.pop_front();
            }
            recent.push_back(answer.duration);
            self.measure(&recent);
        }
        let failed = match outcome {
            Err(Refusal::Failed(why)) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
                true
            }
            _ => false,
        };
        self.failing.swap(failed, Ordering::Relaxed) != failed
    }

    fn measure(&self, recent: &VecDeque<Duration>) {
        let Some(before) = recent.len().checked_sub(MEASURED) else { return };
        let mut last: [Duration; MEASURED] = std::array::from_fn(|index| recent[before + index]);
        let (_, &mut median, _) = last.select_nth_unstable(MEASURED / 2);
        if median > SLOW {
            self.slow.store(true, Ordering::Relaxed);
        } else if median < QUICK {
            self.slow.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the median of the last decisions is so long that others must not wait for them.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// How often it failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether the last decision failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// How it failed last.
    pub fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it.
    pub fn count(&self) -> Count {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let Percentiles { p50, p99 } = Percentiles::of(recent);
        Count {
            decisions: self.decisions.load(Ordering::Relaxed),
            failures: self.failures(),
            failing: self.is_failing(),
            last_failure: self.last_failure(),
            p50,
            p99,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MEASURED, RECENT, Tally};
    use crate::balancer::{Answer, Refusal};

    fn took(micros: u64) -> Result<Answer, Refusal> {
        let duration = Duration::from_micros(micros);
        Ok(Answer { order: vec![0], scores: None, reason: None, log: Vec::new(), duration })
    }

    #[test]
    fn percentiles_are_those_of_the_last_decisions() {
        let tally = Tally::default();
        assert_eq!((tally.count().p50, tally.count().p99), (None, None));
        for _ in 0..RECENT {
            tally.add(&took(1_000_000));
        }
        for micros in 1..=RECENT as u64 {
            tally.add(&took(micros));
        }
        let count = tally.count();
        assert_eq!((count.p50, count.p99), (Some(Duration::from_micros(500)), Some(Duration::from_micros(990))));
        assert_eq!((count.decisions, count.failures), (2 * RECENT as u64, 0));
    }

    #[test]
    fn only_a_change_between_failing_and_not_is_news() {
        let tally = Tally::default();
        let failed = || Err(Refusal::Failed("broke".to_owned()));
        let news: Vec<bool> = [took(1), failed(), failed(), took(1)].iter().map(|outcome| tally.add(outcome)).collect();
        assert_eq!(news, [false, true, false, true]);
        let declined = tally.add(&Err(Refusal::Declined("no".to_owned())));
        assert!(!declined && !tally.is_failing());
        assert_eq!(tally.count().last_failure.as_deref(), Some("broke"));
    }

    #[test]
    fn a_balancer_is_slow_by_the_median_of_its_last_decisions_and_quick_again_well_below_it() {
        let tally = Tally::default();
        let decide = |times: usize, micros| {
            for _ in 0..times {
                tally.add(&took(micros));
            }
        };
        decide(MEASURED - 1, 60_000);
        assert!(!tally.is_slow(), "that is too few to tell");
        decide(1, 60_000);
        assert!(tally.is_slow());
        decide(MEASURED, 4_000);
        assert!(tally.is_slow(), "it does not come and go about the limit");
        decide(MEASURED, 2_000);
        assert!(!tally.is_slow());
        decide(MEASURED, 4_000);
        assert!(!tally.is_slow());
        decide(MEASURED / 4, 60_000);
        assert!(!tally.is_slow(), "a few do not matter");
    }
}
