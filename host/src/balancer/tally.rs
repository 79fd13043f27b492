//! What a balancer has done since it came into force.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Hearing, Refusal};
use crate::domain::Percentiles;

/// How many durations are kept: the percentiles are those of the last decisions.
const RECENT: usize = 1_000;

/// Over how many of the last decisions slowness is measured.
const MEASURED: usize = 32;

/// A median above this makes a balancer slow.
const SLOW: Duration = Duration::from_millis(5);

/// A median below this makes it quick again.
const QUICK: Duration = Duration::from_millis(3);

/// So many failures in a row, each longer than [`SLOW`], make a balancer slow before there is a median.
const LONG_FAILURES: usize = 5;

/// Counts a balancer's decisions.
#[derive(Debug, Default)]
pub struct Tally {
    decisions: AtomicU64,
    failures: AtomicU64,
    failing: AtomicBool,
    slow: AtomicBool,
    recent: Mutex<Recent>,
    last_failure: Mutex<Option<String>>,
}

/// How long the last decisions took, whatever came of them: who waits for a failure waits as well.
#[derive(Debug, Default)]
struct Recent {
    durations: VecDeque<Duration>,
    /// How many of them tell whether it is slow.
    measured: usize,
    /// Failures in a row that took long.
    long_failures: usize,
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
    /// Counts a decision, and says whether it is the first failure after a success, or the first success after a failure.
    pub(super) fn add(&self, Hearing { outcome, duration, .. }: &Hearing) -> bool {
        self.decisions.fetch_add(1, Ordering::Relaxed);
        let failure = match outcome {
            Err(Refusal::Failed(why)) => Some(why),
            _ => None,
        };
        self.measure(*duration, failure.is_some());
        if let Some(why) = failure {
            self.failures.fetch_add(1, Ordering::Relaxed);
            *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
        }
        self.failing.swap(failure.is_some(), Ordering::Relaxed) != failure.is_some()
    }

    /// Notes that it needs more time than those have who wait for it: it is slow until it has proved to be quick.
    pub(super) fn overrun(&self) {
        self.recent().turn_slow(&self.slow);
    }

    fn measure(&self, duration: Duration, failed: bool) {
        let mut recent = self.recent();
        if recent.durations.len() == RECENT {
            recent.durations.pop_front();
        }
        recent.durations.push_back(duration);
        recent.measured = MEASURED.min(recent.measured + 1);
        recent.long_failures = if failed && duration > SLOW { recent.long_failures + 1 } else { 0 };
        if recent.long_failures == LONG_FAILURES {
            return recent.turn_slow(&self.slow);
        }
        match recent.median() {
            Some(median) if median > SLOW => self.slow.store(true, Ordering::Relaxed),
            Some(median) if median < QUICK => self.slow.store(false, Ordering::Relaxed),
            _ => {}
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its decisions take so long that others must not wait for them.
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
        let durations = self.recent().durations.iter().copied().collect();
        let Percentiles { p50, p99 } = Percentiles::of(durations);
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

impl Recent {
    /// The median of those that are measured, once there are enough.
    fn median(&self) -> Option<Duration> {
        if self.measured < MEASURED {
            return None;
        }
        let before = self.durations.len().checked_sub(MEASURED)?;
        let mut last: [Duration; MEASURED] = std::array::from_fn(|index| self.durations[before + index]);
        let (_, &mut median, _) = last.select_nth_unstable(MEASURED / 2);
        Some(median)
    }

    /// What was quick before tells nothing any more.
    fn turn_slow(&mut self, slow: &AtomicBool) {
        (self.measured, self.long_failures) = (0, 0);
        slow.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONG_FAILURES, MEASURED, RECENT, Tally};
    use crate::balancer::{Answer, Hearing, Refusal};

    fn heard(outcome: Result<Answer, Refusal>, micros: u64) -> Hearing {
        Hearing { outcome, refused_log: Vec::new(), duration: Duration::from_micros(micros), memory: None }
    }

    fn took(micros: u64) -> Hearing {
        let duration = Duration::from_micros(micros);
        heard(Ok(Answer { order: vec![0], scores: None, reason: None, log: Vec::new(), duration }), micros)
    }

    fn failed_after(micros: u64) -> Hearing {
        heard(Err(Refusal::Failed("broke".to_owned())), micros)
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
        let news = [took(1), failed_after(1), failed_after(1), took(1)].map(|hearing| tally.add(&hearing));
        assert_eq!(news, [false, true, false, true]);
        let declined = tally.add(&heard(Err(Refusal::Declined("no".to_owned())), 1));
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
    #[test]
    fn failures_and_refusals_count_with_the_time_they_took() {
        let tally = Tally::default();
        for number in 0..MEASURED {
            let outcome = if number % 2 == 0 { Refusal::Failed } else { Refusal::Declined };
            tally.add(&heard(Err(outcome("no".to_owned())), 60_000));
        }
        assert!(tally.is_slow());
        assert_eq!(tally.count().p50, Some(Duration::from_millis(60)));
    }

    #[test]
    fn a_few_long_failures_in_a_row_are_enough_and_quick_ones_are_not() {
        let tally = Tally::default();
        for _ in 0..4 * LONG_FAILURES {
            tally.add(&failed_after(10));
        }
        assert!(!tally.is_slow());
        for _ in 0..2 {
            for _ in 1..LONG_FAILURES {
                tally.add(&failed_after(50_000));
            }
            assert!(!tally.is_slow());
            tally.add(&took(10));
        }
        for _ in 0..LONG_FAILURES {
            tally.add(&failed_after(50_000));
        }
        assert!(tally.is_slow());
    }

    #[test]
    fn one_that_overran_is_quick_again_only_by_what_it_does_from_then_on() {
        let tally = Tally::default();
        for _ in 0..RECENT {
            tally.add(&took(10));
        }
        tally.overrun();
        for _ in 1..MEASURED {
            tally.add(&took(10));
            assert!(tally.is_slow());
        }
        tally.add(&took(10));
        assert!(!tally.is_slow());
    }
}
