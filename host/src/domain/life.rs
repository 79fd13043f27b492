//! What may be asked of a session in which state, and what may be done instead.

use super::{Session, State, Wanted};

/// What is asked of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To be stopped and kept for resumption.
    Suspend,
    /// To be started again.
    Resume {
        /// Its owner knows that a lost session may then run twice.
        may_run_twice: bool,
    },
    /// To be called otherwise.
    Rename,
}

/// What is said before a lost session is resumed.
const RESUME_RISK: &str = "its node is gone; if that is only cut off, the program still runs there, and resuming \
    starts a second one, until the node returns and stops the first. To do so, confirm \"may-run-twice\"; or end the session";

impl Action {
    /// Why this cannot be done to the session as it is, and what can be done instead. To end a session is always possible.
    pub fn objection(self, session: &Session) -> Option<&'static str> {
        let is_live = session.state.is_live();
        match (self, session.state, session.wanted) {
            (Self::Rename, State::Ended, _) => Some("it keeps the name that it had"),
            (Self::Rename, ..) => None,
            (Self::Suspend, ..) if session.is_job => Some("a job cannot be suspended; end the job instead"),
            (Self::Resume { .. }, ..) if session.is_job => Some("a job is run once; start a new one instead"),
            (_, State::Ended, _) => Some("start a new session instead"),
            (_, State::Failed, _) => Some("its program is gone; end it, and start a new session instead"),
            (_, _, Some(Wanted::Ended)) if is_live => Some("it is being ended; start a new session instead"),
            (Self::Suspend, State::Lost, _) => Some("its node is gone; resume it on another, or end it"),
            (Self::Suspend, ..) => None,
            (Self::Resume { may_run_twice }, State::Lost, _) => (!may_run_twice).then_some(RESUME_RISK),
            (Self::Resume { .. }, State::Suspended, _) => None,
            (Self::Resume { .. }, _, Some(Wanted::Suspended)) => Some("it is being suspended; resume it once it is"),
            (Self::Resume { .. }, State::Starting, _) => Some("it is being started; open it once it is active"),
            (Self::Resume { .. }, State::Active, _) => Some("it runs; open it, or suspend it first"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::domain::{Epoch, NodeId};

    fn session(state: State, wanted: Option<Wanted>) -> Session {
        Session {
            id: "00000000".parse().unwrap(),
            user: "ada".to_owned(),
            groups: Vec::new(),
            kind: "echo".to_owned(),
            name: "Echo".to_owned(),
            state,
            wanted,
            node: NodeId(1),
            epoch: Epoch::FIRST,
            claimed: true,
            pid: None,
            cpus: 0.0,
            memory: 0,
            labels: BTreeMap::new(),
            candidates: Vec::new(),
            failed_nodes: Vec::new(),
            failure: None,
            is_job: false,
            exit_status: None,
            note: None,
            last_activity: None,
            created: Timestamp::UNIX_EPOCH,
            changed: Timestamp::UNIX_EPOCH,
        }
    }

    const RESUME: Action = Action::Resume { may_run_twice: false };

    #[test]
    fn what_can_be_done_in_which_state() {
        let possible = |action: Action| {
            let can = |state: &State| action.objection(&session(*state, None)).is_none();
            State::ALL.into_iter().filter(can).map(State::as_str).collect::<Vec<_>>()
        };
        assert_eq!(possible(Action::Suspend), ["starting", "active", "suspended"]);
        assert_eq!(possible(RESUME), ["suspended"]);
        assert_eq!(possible(Action::Resume { may_run_twice: true }), ["suspended", "lost"]);
        assert_eq!(possible(Action::Rename), ["starting", "active", "suspended", "failed", "lost"]);
    }

    #[test]
    fn a_job_is_neither_suspended_nor_resumed() {
        for state in State::ALL {
            let job = Session { is_job: true, ..session(state, None) };
            for action in [Action::Suspend, RESUME, Action::Resume { may_run_twice: true }] {
                assert!(
                    action.objection(&job).is_some_and(|objection| objection.contains("job")),
                    "{action:?} {state}"
                );
            }
        }
    }

    #[test]
    fn what_is_wanted_already_is_told() {
        let objection = |action: Action, wanted| action.objection(&session(State::Active, Some(wanted)));
        assert_eq!(objection(Action::Suspend, Wanted::Suspended), None, "it is what is asked for");
        assert_eq!(objection(RESUME, Wanted::Suspended), Some("it is being suspended; resume it once it is"));
        for action in [Action::Suspend, RESUME, Action::Resume { may_run_twice: true }] {
            assert_eq!(objection(action, Wanted::Ended), Some("it is being ended; start a new session instead"));
        }
        assert_eq!(objection(Action::Rename, Wanted::Ended), None);
    }

    #[test]
    fn every_objection_says_what_to_do_instead() {
        for state in State::ALL {
            for wanted in [None, Some(Wanted::Suspended), Some(Wanted::Ended)].into_iter().take(if state.is_live() {
                3
            } else {
                1
            }) {
                for action in [Action::Suspend, RESUME] {
                    if let Some(objection) = action.objection(&session(state, wanted)) {
                        let names_a_way = ["start a new", "resume it", "open it", "end the"]
                            .iter()
                            .any(|way| objection.contains(way));
                        assert!(names_a_way, "{action:?} {state}: {objection}");
                    }
                }
            }
        }
    }
}
