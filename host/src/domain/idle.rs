//! When a session counts as idle, and what becomes of it then.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::Wanted;

/// What the administrator says of idle sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleRules {
    /// After which time without use a session is suspended; none: never.
    pub suspend_after: Option<Duration>,
    /// Kinds that are suspended although what is only in their memory is lost.
    pub suspend_anyway: BTreeSet<String>,
    /// After which time without use a session, suspended or not, is ended; none: never.
    pub end_after: Option<Duration>,
}

impl Default for IdleRules {
    fn default() -> Self {
        let suspend_after = Some(Duration::from_secs(120 * 60));
        Self { suspend_after, suspend_anyway: BTreeSet::new(), end_after: None }
    }
}

impl IdleRules {
    /// What holds for sessions of a kind, which keeps or loses what is in its memory when it is suspended.
    pub fn of_kind(&self, kind: &str, keeps: bool) -> IdleLimits {
        let suspends = keeps || self.suspend_anyway.contains(kind);
        IdleLimits { suspend: self.suspend_after.filter(|_| suspends), end: self.end_after }
    }
}

/// After which time without use what becomes of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleLimits {
    /// It is suspended; none: never.
    pub suspend: Option<Duration>,
    /// It is ended; none: never.
    pub end: Option<Duration>,
}

impl IdleLimits {
    /// After which time anything becomes of it; none: never.
    pub fn first(&self) -> Option<Duration> {
        self.suspend.into_iter().chain(self.end).min()
    }

    /// What is to become of a session that has not been used for so long.
    pub fn verdict(&self, idle: Duration) -> Option<Wanted> {
        let over = |limit: Option<Duration>| limit.is_some_and(|limit| idle >= limit);
        if over(self.end) {
            Some(Wanted::Ended)
        } else if over(self.suspend) {
            Some(Wanted::Suspended)
        } else {
            None
        }
    }
}

/// A time as people say it: `2 hours`, `90 minutes`, `1.5 seconds`.
#[derive(Clone, Copy, Debug)]
pub struct Spoken(pub Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let whole = |unit: f64| (seconds / unit).fract() == 0.0;
        let (count, unit) = match seconds {
            _ if seconds >= 3600.0 && whole(3600.0) => (seconds / 3600.0, "hour"),
            _ if seconds >= 60.0 && whole(60.0) => (seconds / 60.0, "minute"),
            _ if seconds >= 600.0 => ((seconds / 60.0).round(), "minute"),
            _ => ((seconds * 10.0).round() / 10.0, "second"),
        };
        write!(f, "{count} {unit}{}", if count == 1.0 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn rules() -> IdleRules {
        IdleRules {
            suspend_after: Some(2 * HOUR),
            suspend_anyway: BTreeSet::from(["jupyterlab".to_owned()]),
            end_after: Some(48 * HOUR),
        }
    }

    #[test]
    fn a_kind_that_loses_its_work_is_suspended_only_where_the_administrator_names_it() {
        assert_eq!(rules().of_kind("rstudio", true).suspend, Some(2 * HOUR));
        assert_eq!(rules().of_kind("jupyterlab", false).suspend, Some(2 * HOUR));
        let vscode = rules().of_kind("vscode", false);
        assert_eq!((vscode.suspend, vscode.end), (None, Some(48 * HOUR)));
    }

    #[test]
    fn the_longer_limit_ends_and_the_shorter_suspends() {
        let limits = rules().of_kind("rstudio", true);
        assert_eq!(limits.verdict(2 * HOUR - Duration::from_millis(1)), None);
        assert_eq!(limits.verdict(2 * HOUR), Some(Wanted::Suspended));
        assert_eq!(limits.verdict(48 * HOUR), Some(Wanted::Ended));
        assert_eq!(limits.first(), Some(2 * HOUR));
        assert_eq!(IdleLimits::default().verdict(Duration::MAX), None);
        let only_ended = IdleLimits { suspend: None, end: Some(HOUR) };
        assert_eq!((only_ended.first(), only_ended.verdict(HOUR)), (Some(HOUR), Some(Wanted::Ended)));
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        for (seconds, told) in [
            (7200.0, "2 hours"),
            (3600.0, "1 hour"),
            (5400.0, "90 minutes"),
            (60.0, "1 minute"),
            (1.5, "1.5 seconds"),
            (90.0, "90 seconds"),
            (4000.0, "67 minutes"),
        ] {
            assert_eq!(Spoken(Duration::from_secs_f64(seconds)).to_string(), told);
        }
    }
}
