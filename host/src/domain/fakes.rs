//! A clock and random numbers for the tests of every room: the same in each run.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{Clock, Entropy};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct SetClock(Mutex<(Timestamp, Duration)>);

impl SetClock {
    pub(crate) fn at(time: Timestamp) -> Self {
        Self(Mutex::new((time, Duration::ZERO)))
    }

    /// Moves it on as time passes, or sets it back.
    pub(crate) fn advance(&self, by: SignedDuration) {
        self.set_by(by);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 += Duration::try_from(by).unwrap_or_default();
    }

    /// Sets it on or back, though no time passes.
    pub(crate) fn set_by(&self, by: SignedDuration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += by;
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn steady(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Numbers that look random.
#[derive(Debug, Default)]
pub(crate) struct Numbers(AtomicU64);

impl Numbers {
    /// Other ones than those of another seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// From now on, the numbers come that came before.
    pub(crate) fn repeat(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Entropy for Numbers {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64.
            let mut x = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(x ^ (x >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}
