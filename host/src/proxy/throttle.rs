//! How often the log hears of what anybody can cause.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The shortest time between two lines on the same matter.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets one line pass, then none for a while.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    /// Whether the line may be written.
    pub fn passes(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passes = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if passes {
            *last = Some(Instant::now());
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_at_a_time() {
        let throttle = Throttle::default();
        assert!(throttle.passes());
        assert!(!throttle.passes());
        *throttle.0.lock().expect("lock") = Instant::now().checked_sub(PAUSE);
        assert!(throttle.passes());
        assert!(!throttle.passes());
    }
}
