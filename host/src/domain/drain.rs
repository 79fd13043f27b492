//! Emptying a node: it takes no new sessions, and at a deadline those that it still has are stopped as was ordered.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::Wanted;

/// A node that is being emptied. Times are the store's clock's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Since when.
    pub since: Timestamp,
    /// Until when its sessions go on; as long as they like where there is none.
    pub deadline: Option<Timestamp>,
    /// Whether those that would lose something, and jobs, are ended at the deadline.
    pub end: bool,
    /// Whether it was ordered as maintenance, by `offline`.
    pub maintenance: bool,
}

/// How a node is to be emptied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainOrder {
    /// After what time from now the deadline is.
    pub within: Option<Duration>,
    /// As in [`Drain`].
    pub end: bool,
    /// As in [`Drain`].
    pub maintenance: bool,
}

impl DrainOrder {
    /// What `offline` orders: whatever keeps its work is suspended now, and all else goes on.
    pub const MAINTENANCE: Self = Self { within: Some(Duration::ZERO), end: false, maintenance: true };
}

impl Drain {
    /// Whether the deadline has passed.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// What its user is told of a live session there.
    pub fn outlook(&self, keeps: bool, is_job: bool) -> String {
        let order = if self.maintenance { "Its node is in maintenance" } else { "Its node is being emptied" };
        let Some(deadline) = self.deadline else {
            return format!("{order} and takes no new sessions; this one goes on. End it when you can.");
        };
        let deadline = deadline.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC");
        match self.verdict(keeps, is_job) {
            Some(Wanted::Suspended) => {
                format!("{order}: this is suspended at {deadline}, and resumed on another node.")
            }
            Some(Wanted::Ended) => format!("{order}: this is ended at {deadline}, and what is not saved is lost."),
            None => format!("{order} until {deadline}: save what you need, and end this when you can."),
        }
    }

    /// What becomes of a session at the deadline; none where it goes on. `keeps` says whether its kind keeps its work where it
    /// is suspended.
    pub fn verdict(&self, keeps: bool, is_job: bool) -> Option<Wanted> {
        self.deadline?;
        if keeps && !is_job { Some(Wanted::Suspended) } else { self.end.then_some(Wanted::Ended) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(deadline: Option<i64>, end: bool) -> Drain {
        let at = |second| Timestamp::from_second(second).unwrap();
        Drain { since: at(0), deadline: deadline.map(at), end, maintenance: false }
    }

    #[test]
    fn a_drain_is_due_from_its_deadline_on_and_never_without_one() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!drain(Some(10), false).is_due(at(9)));
        assert!(drain(Some(10), false).is_due(at(10)));
        assert!(!drain(None, true).is_due(at(1_000_000)));
    }

    #[test]
    fn a_user_is_told_what_becomes_of_a_session_and_when() {
        for (deadline, end, keeps, told) in [
            (None, false, true, "this one goes on"),
            (Some(3600), false, true, "is suspended at 1970-01-01 01:00 UTC"),
            (Some(3600), false, false, "until 1970-01-01 01:00 UTC: save what you need"),
            (Some(3600), true, false, "is ended at 1970-01-01 01:00 UTC"),
        ] {
            let outlook = drain(deadline, end).outlook(keeps, false);
            assert!(outlook.contains(told) && outlook.starts_with("Its node is being emptied"), "{outlook}");
        }
        let maintenance = Drain { maintenance: true, ..drain(None, false) };
        assert!(maintenance.outlook(true, false).starts_with("Its node is in maintenance"));
    }

    #[test]
    fn only_what_keeps_its_work_is_stopped_unless_all_is_to_end() {
        for (deadline, end, keeps, is_job, verdict) in [
            (Some(10), false, true, false, Some(Wanted::Suspended)),
            (Some(10), true, true, false, Some(Wanted::Suspended)),
            (Some(10), false, false, false, None),
            (Some(10), true, false, false, Some(Wanted::Ended)),
            (Some(10), false, true, true, None),
            (Some(10), true, true, true, Some(Wanted::Ended)),
            (None, true, true, false, None),
            (None, true, false, false, None),
        ] {
            assert_eq!(drain(deadline, end).verdict(keeps, is_job), verdict, "{deadline:?} {end} {keeps} {is_job}");
        }
    }
}
