//! The store's time between two readings of it.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};

use crate::domain::Clock;

/// The store's clock as this node knows it: the last reading and what has passed since by the machine's steady clock. So
/// the nodes of a cluster agree on the time, and keep agreeing while the store is away. Before the first reading it is
/// the clock it was made with.
#[derive(Debug)]
pub struct StoreClock {
    base: Arc<dyn Clock>,
    reading: RwLock<Option<(Instant, Timestamp)>>,
}

impl StoreClock {
    /// A clock that has not read the store's yet.
    pub fn new(base: Arc<dyn Clock>) -> Self {
        Self { base, reading: RwLock::new(None) }
    }

    /// The time by the clock that it was made with: the machine's own.
    pub fn local(&self) -> Timestamp {
        self.base.now()
    }

    /// The store's time is `now`.
    pub fn read(&self, now: Timestamp) {
        *self.reading.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), now));
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        let reading = *self.reading.read().unwrap_or_else(PoisonError::into_inner);
        let Some((at, time)) = reading else { return self.base.now() };
        let passed = SignedDuration::try_from(at.elapsed()).unwrap_or(SignedDuration::MAX);
        time.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fakes::SetClock;

    #[test]
    fn before_the_first_reading_it_is_the_clock_it_was_made_with() {
        let time = "2001-02-03T04:05:06Z".parse().unwrap();
        assert_eq!(StoreClock::new(Arc::new(SetClock::at(time))).now(), time);
    }

    #[test]
    fn after_a_reading_it_goes_on_from_there_also_backward() {
        let clock = StoreClock::new(Arc::new(SetClock::at(Timestamp::UNIX_EPOCH)));
        for text in ["2026-02-03T04:05:06Z", "2020-01-01T00:00:00Z"] {
            let time: Timestamp = text.parse().unwrap();
            clock.read(time);
            let first = clock.now();
            assert!(first >= time && first < time + SignedDuration::from_secs(60), "{first}");
            assert!(clock.now() >= first);
        }
    }

    #[test]
    fn it_stops_at_the_end_of_time() {
        let clock = StoreClock::new(Arc::new(SetClock::at(Timestamp::UNIX_EPOCH)));
        clock.read(Timestamp::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
