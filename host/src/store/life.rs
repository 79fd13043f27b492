//! What becomes of a session, whichever database keeps it: rules that a store applies to a row that nobody else can
//! change meanwhile, and then writes.

use super::{Move, Report, StoreError, rows};
use crate::domain::{Action, Attempt, Epoch, Session, State, Wanted};

/// A session as it is to be written.
pub(super) struct Change {
    pub(super) after: Session,
    /// Whether another start of it is reserved with this.
    pub(super) moved: bool,
    /// Whether its state is another.
    pub(super) changes_state: bool,
    /// Whether it begins or ceases to occupy its node, or moves.
    pub(super) raises_revision: bool,
}

/// What follows from the change of a session, at the store's time.
pub(super) fn change(before: &Session, mut after: Session, now: i64) -> Result<Change, StoreError> {
    if !after.state.is_live() {
        after.wanted = None;
    }
    if after.state != before.state {
        after.changed = rows::time("sessions", now)?;
        if after.state == State::Active {
            after.last_activity = after.last_activity.max(Some(after.changed));
        }
    }
    let moved = after.epoch != before.epoch;
    let raises_revision = moved || before.state.is_live() != after.state.is_live();
    let changes_state = after.state != before.state;
    Ok(Change { after, moved, changes_state, raises_revision })
}

/// What runs is asked, what does not becomes so at once.
pub(super) fn wished(before: &Session, wanted: Wanted, note: Option<String>) -> Session {
    let runs = before.state == State::Active || (before.state == State::Starting && before.claimed);
    if runs {
        let wanted = if before.wanted == Some(Wanted::Ended) { Wanted::Ended } else { wanted };
        Session { wanted: Some(wanted), note, ..before.clone() }
    } else if before.state == State::Ended {
        before.clone()
    } else {
        Session { state: wanted.fulfilled(), pid: None, failure: None, note, ..before.clone() }
    }
}

/// Whether a wish says nothing to a session that is as this one is.
pub(super) fn is_deaf_to(before: &Session, wanted: Wanted) -> bool {
    wanted == Wanted::Suspended && Action::Suspend.objection(before).is_some()
}

/// Whether a session still is as it was when it was found unused under `epoch`.
pub(super) fn is_unused(before: &Session, epoch: Epoch, wanted: Wanted) -> bool {
    let is_about_it = match before.state {
        State::Active => true,
        State::Suspended => wanted == Wanted::Ended,
        _ => false,
    };
    before.epoch == epoch && before.wanted.is_none() && is_about_it
}

/// The session over, as `state` or as was wanted of it.
fn over(before: &Session, state: State, failure: Option<String>) -> Session {
    let state = before.wanted.map_or(state, Wanted::fulfilled);
    Session { state, pid: None, failure: failure.filter(|_| state == State::Failed), ..before.clone() }
}

/// What a report makes of a session; none where it is about another start, or the state does not allow it.
pub(super) fn reported(before: &Session, epoch: Epoch, report: &Report) -> Option<Session> {
    if before.epoch != epoch || !matches!(before.state, State::Starting | State::Active | State::Lost) {
        return None;
    }
    Some(match report {
        Report::Started { .. } | Report::Active if !before.claimed => return None,
        Report::Started { pid } => {
            let state = if before.state == State::Lost { State::Starting } else { before.state };
            Session { state, pid: Some(*pid), failure: None, ..before.clone() }
        }
        Report::Active => Session { state: State::Active, failure: None, ..before.clone() },
        Report::Suspended => over(before, State::Suspended, None),
        Report::Ended => over(before, State::Ended, None),
        Report::Failed { failure } => over(before, State::Failed, Some(failure.clone())),
        Report::Exited { status, failure } => {
            let state = if *status == 0 { State::Ended } else { State::Failed };
            // A job that was to be ended did not come to an end of its own.
            let exit_status = before.wanted.is_none().then_some(*status);
            Session { exit_status, ..over(before, state, failure.clone()) }
        }
    })
}

/// What a failed start makes of a session, and what is noted of it; none where it was another start.
pub(super) fn start_failed(
    before: &Session,
    epoch: Epoch,
    failure: &str,
    next: Option<Move>,
) -> Option<(Attempt, Session)> {
    if before.epoch != epoch || before.state != State::Starting {
        return None;
    }
    let attempt = Attempt { node: before.node, epoch, failure: failure.to_owned() };
    let mut after = match next.filter(|_| before.wanted.is_none()) {
        Some(next) => {
            Session { node: next.to, epoch: epoch.next(), claimed: false, pid: None, failure: None, ..before.clone() }
        }
        None => over(before, State::Failed, Some(failure.to_owned())),
    };
    if !after.failed_nodes.contains(&before.node) {
        after.failed_nodes.push(before.node);
    }
    after.candidates.retain(|node| *node != after.node && *node != before.node);
    Some((attempt, after))
}
