//! A file that was refused, and when it is looked at again though it is the same.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Rejection;
use crate::balancer::wasm::LoadError;

/// How long a file that may pass another time is left alone at first, and at most: to try it costs as much as to try one
/// that is new.
const FIRST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(60 * 60);

/// A file that was refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) digest: Option<String>,
    pub(super) since: Timestamp,
    pub(super) why: String,
    retry: Retry,
}

/// When it is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Not at all: it is what it is.
    Never,
    /// With every look at the directory. What is in the way is outside of it, and little is done before that shows.
    Always,
    /// From this moment on; it was left alone for so long.
    From(Instant, Duration),
}

impl Retry {
    fn of(rejection: &Rejection, now: Instant) -> Self {
        match rejection {
            Rejection::Untrusted(_) | Rejection::Unreadable { .. } => Self::Always,
            Rejection::Trial { .. }
            | Rejection::Load(LoadError::Compiler(_) | LoadError::Engine(_) | LoadError::Failed(_)) => {
                Self::From(now + FIRST, FIRST)
            }
            Rejection::NotAFile(_) | Rejection::TooLarge { .. } | Rejection::Load(_) => Self::Never,
        }
    }

    /// The same once more.
    fn again(self, now: Instant) -> Self {
        match self {
            Self::From(_, before) => {
                let wait = MOST.min(2 * before);
                Self::From(now + wait, wait)
            }
            other => other,
        }
    }
}

impl Refused {
    pub(super) fn new(digest: Option<String>, rejection: &Rejection, since: Timestamp, now: Instant) -> Self {
        Self { digest, since, why: rejection.to_string(), retry: Retry::of(rejection, now) }
    }

    /// What a file that is refused again becomes, where one was before; and whether that is news.
    pub(super) fn after(self, before: Option<&Self>, now: Instant) -> (Self, bool) {
        match before.filter(|before| before.digest == self.digest && before.why == self.why) {
            Some(before) => (Self { since: before.since, retry: before.retry.again(now), ..self }, false),
            None => (self, true),
        }
    }

    pub(super) fn retry(&self) -> Retry {
        self.retry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(rejection: &Rejection, now: Instant) -> Refused {
        Refused::new(None, rejection, Timestamp::UNIX_EPOCH, now)
    }

    #[test]
    fn what_may_pass_another_time_is_left_alone_for_longer_each_time() {
        let (rejection, mut now) = (Rejection::Trial { nodes: 3, why: "late".to_owned() }, Instant::now());
        let mut last = refused(&rejection, now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let Retry::From(next, wait) = last.retry() else { panic!("{last:?}") };
            assert_eq!(next, now + wait);
            waits.push(wait.as_secs());
            now = next;
            let (again, is_news) = refused(&rejection, now).after(Some(&last), now);
            assert!(!is_news);
            last = again;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600]);
        let other = Rejection::Trial { nodes: 3, why: "broken".to_owned() };
        let (other, is_news) = refused(&other, now).after(Some(&last), now);
        assert!(is_news);
        assert_eq!(other.retry(), Retry::From(now + FIRST, FIRST));
    }

    #[test]
    fn what_is_wrong_with_the_bytes_stays_wrong() {
        let now = Instant::now();
        for error in [LoadError::NotWasm, LoadError::NoPolicy, LoadError::Invalid("cut off".to_owned())] {
            assert_eq!(refused(&Rejection::Load(error), now).retry(), Retry::Never);
        }
    }
}
