//! What was received lately, so that nothing is taken twice.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
};

/// How far a message's time may be from now, either way, in seconds of the store's clock. It covers the nodes'
/// disagreement about the store's time and a slow network; within it, messages are remembered.
pub const WINDOW_SECONDS: i64 = 30;

/// The most messages that are remembered: 8,700 a second, sustained. Beyond that messages are refused, not forgotten.
const CAPACITY: usize = 262_144;

/// The length of a nonce in bytes.
pub const NONCE: usize = 16;

/// A bounded memory of nonces. Only authentic messages get into it, so strangers cannot fill it. It begins empty: what
/// a daemon before this one has taken is refused by its time ([`Seal::since`](super::seal::Seal::since)).
#[derive(Debug, Default)]
pub struct Replays(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// By the second that the message says it was sent in: a replay says the same.
    by_second: BTreeMap<i64, HashSet<[u8; NONCE]>>,
    count: usize,
    /// Seconds before this one have been forgotten. They stay closed when the clock is set back.
    forgotten: i64,
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It is too old or from the future.
    Time,
    /// It was taken before.
    Replayed,
    /// Too many to remember.
    Full,
}

impl Replays {
    /// Takes a message with this nonce, sent at `sent`, at `now` (both in milliseconds since 1970), or says why not.
    pub fn take(&self, nonce: [u8; NONCE], sent: i64, now: i64) -> Result<(), Stale> {
        if now.abs_diff(sent) > WINDOW_SECONDS.unsigned_abs() * 1000 {
            return Err(Stale::Time);
        }
        let second = sent.div_euclid(1000);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget_before(now.div_euclid(1000) - WINDOW_SECONDS - 1);
        if second < seen.forgotten {
            return Err(Stale::Time);
        }
        if seen.by_second.get(&second).is_some_and(|nonces| nonces.contains(&nonce)) {
            return Err(Stale::Replayed);
        }
        if seen.count >= CAPACITY {
            return Err(Stale::Full);
        }
        seen.by_second.entry(second).or_default().insert(nonce);
        seen.count += 1;
        Ok(())
    }
}

impl Seen {
    fn forget_before(&mut self, second: i64) {
        while let Some(oldest) = self.by_second.first_entry() {
            if *oldest.key() >= second {
                break;
            }
            self.count -= oldest.remove().len();
        }
        self.forgotten = self.forgotten.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_123;

    #[test]
    fn a_nonce_is_taken_once_for_as_long_as_its_time_holds() {
        let replays = Replays::default();
        assert_eq!(replays.take([1; NONCE], NOW, NOW), Ok(()));
        assert_eq!(replays.take([1; NONCE], NOW, NOW + 30_000), Err(Stale::Replayed));
        assert_eq!(replays.take([2; NONCE], NOW, NOW + 30_000), Ok(()));
        assert_eq!(replays.take([1; NONCE], NOW, NOW + 30_001), Err(Stale::Time));
    }

    #[test]
    fn neither_the_past_nor_the_future_counts() {
        let replays = Replays::default();
        assert_eq!(replays.take([1; NONCE], NOW - 30_001, NOW), Err(Stale::Time));
        assert_eq!(replays.take([1; NONCE], NOW + 30_001, NOW), Err(Stale::Time));
        assert_eq!(replays.take([1; NONCE], i64::MIN, NOW), Err(Stale::Time));
        assert_eq!(replays.take([1; NONCE], i64::MAX, NOW), Err(Stale::Time));
        assert_eq!(replays.take([1; NONCE], NOW - 30_000, NOW), Ok(()));
    }

    #[test]
    fn a_clock_set_back_reopens_nothing() {
        let replays = Replays::default();
        assert_eq!(replays.take([1; NONCE], NOW, NOW), Ok(()));
        assert_eq!(replays.take([2; NONCE], NOW + 60_000, NOW + 60_000), Ok(()));
        assert_eq!(replays.take([1; NONCE], NOW, NOW + 1), Err(Stale::Time), "forgotten, so closed");
    }

    #[test]
    fn a_full_memory_refuses_and_empties_with_time() {
        let replays = Replays::default();
        for number in 0..CAPACITY as u128 {
            assert_eq!(replays.take(number.to_le_bytes(), NOW, NOW), Ok(()));
        }
        assert_eq!(replays.take([255; NONCE], NOW, NOW), Err(Stale::Full));
        assert_eq!(replays.take([0; NONCE], NOW, NOW), Err(Stale::Replayed), "what is known stays known");
        assert_eq!(replays.take([255; NONCE], NOW + 32_000, NOW + 32_000), Ok(()));
    }
}
