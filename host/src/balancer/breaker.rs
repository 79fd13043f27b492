//! Sparing everybody a balancer that does nothing but fail.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// After so many failures in a row a balancer is set aside.
pub(super) const FAILURES: u32 = 5;

/// For how long it is; then it is tried again, and another failure sets it aside at once.
const REST: Duration = Duration::from_secs(30);

/// Whether a balancer is set aside.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Row>);

#[derive(Debug, Default)]
struct Row {
    failures: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// Whether it is set aside at this moment.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.row().until.is_some_and(|until| now < until)
    }

    /// Notes how a decision went, and says whether the balancer is set aside from now on.
    pub(super) fn note(&self, failed: bool, now: Instant) -> bool {
        let mut row = self.row();
        if !failed {
            *row = Row::default();
            return false;
        }
        row.failures = row.failures.saturating_add(1);
        let opens = row.failures >= FAILURES;
        if opens {
            row.until = Some(now + REST);
        }
        opens
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Breaker, FAILURES, REST};

    #[test]
    fn failures_in_a_row_set_a_balancer_aside_until_it_is_tried_again() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES {
            assert!(!breaker.note(true, now));
        }
        assert!(!breaker.is_open(now));
        assert!(breaker.note(true, now));
        assert!(breaker.is_open(now) && breaker.is_open(now + REST - Duration::from_millis(1)));
        let later = now + REST;
        assert!(!breaker.is_open(later));
        assert!(breaker.note(true, later), "one more failure is enough");
        assert!(breaker.is_open(later));
    }

    #[test]
    fn a_success_forgets_the_failures_before_it() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            for _ in 1..FAILURES {
                assert!(!breaker.note(true, now));
            }
            assert!(!breaker.note(false, now));
        }
        assert!(!breaker.is_open(now));
    }
}
