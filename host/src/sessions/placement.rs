//! Snapshot, balancer, reservation, record: how a session comes to its node.
//!
//! A daemon places through one [`queue`]. It reads a snapshot, [`batch`] decides up to 64 orders, each seeing the
//! reservations before it, and all are committed at the snapshot's revision; where another daemon was faster, the queue
//! reads and decides again. So counts are exact, and no lock is held while a policy runs. A policy that is slow is asked
//! beside the queue, about several orders at once; the queue commits what it said. [`eligible`] says which nodes may be
//! chosen, [`counted`] what is held against a user's limits, [`view`] what the policy is shown of them. What has been decided is kept by `recorder` in the form of
//! [`shown`], and put to a second balancer by [`shadow`].

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use crate::{
    balancer::{Answer, Fallback, Question, Refusal, fallback::Decided},
    config::ProfilesInForce,
    domain::{Action, Epoch, InsteadOf, Peer, Session, SessionId, State},
    launcher::Kinds,
};

use super::NewSession;

pub mod batch;
mod beside;
pub mod counted;
pub mod eligible;
pub mod queue;
mod recorder;
pub mod shadow;
pub mod shown;
pub mod trial;
pub mod view;

pub use queue::{Placer, Queue};
pub(super) use recorder::{Recording, record};

/// Whose answer holds. Called on a thread that may block.
pub trait Policy: Send + Sync + Debug {
    /// Orders the nodes of the question, by the selected balancer or by what stands in for it. An error is final.
    fn rank(&self, question: &Question) -> Result<Ruling, Refusal>;

    /// The same where others wait for it; none where the answer takes longer than `patience`, so that it has to be asked
    /// for beside them.
    fn rank_within(&self, question: &Question, _patience: Duration) -> Option<Result<Ruling, Refusal>> {
        Some(self.rank(question))
    }

    /// The same where the selected balancer is too busy to be asked.
    fn stand_in(&self, question: &Question) -> Result<Ruling, Refusal> {
        self.rank(question)
    }

    /// Whether that may take so long that others must not wait for it.
    fn is_slow(&self) -> bool {
        false
    }
}

/// An answer and who gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// The answer.
    pub answer: Answer,
    /// The name of the balancer that gave it.
    pub balancer: String,
    /// The SHA-256 of its module.
    pub digest: Option<String>,
    /// The settings that it ran with.
    pub settings: Arc<BTreeMap<String, String>>,
    /// Why the selected balancer did not answer, where another did in its place.
    pub fallback: Option<String>,
    /// The selected balancer then.
    pub instead_of: Option<InsteadOf>,
}

impl From<Decided> for Ruling {
    fn from(decided: Decided) -> Self {
        let (fallback, instead_of) = decided.fallback.unzip();
        Self {
            answer: decided.answer,
            balancer: decided.balancer.name().to_owned(),
            digest: decided.balancer.digest().map(ToOwned::to_owned),
            settings: decided.balancer.settings(),
            fallback,
            instead_of,
        }
    }
}

/// The selected balancer, and what stands in for it where it fails.
impl Policy for Fallback {
    fn rank(&self, question: &Question) -> Result<Ruling, Refusal> {
        self.rank(question).map(Ruling::from)
    }

    fn rank_within(&self, question: &Question, patience: Duration) -> Option<Result<Ruling, Refusal>> {
        Some(self.rank_within(question, patience)?.map(Ruling::from))
    }

    fn stand_in(&self, question: &Question) -> Result<Ruling, Refusal> {
        self.rank_elsewhere(question).map(Ruling::from)
    }

    fn is_slow(&self) -> bool {
        self.is_slow()
    }
}

/// What is to be kept beside the rules of the nodes.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What users may have.
    pub profiles: ProfilesInForce,
    /// What kinds require.
    pub kinds: Arc<Kinds>,
}

/// What is to be placed.
#[derive(Clone, Debug)]
pub enum Order {
    /// A session that does not exist yet.
    New(NewSession),
    /// A session that was suspended or lost, under the epoch after `epoch`.
    Resume {
        /// Which.
        id: SessionId,
        /// The epoch it had when this was asked for.
        epoch: Epoch,
        /// Its owner knows that a lost session may then run twice.
        may_run_twice: bool,
    },
    /// A session whose candidates have all failed, away from the nodes that did.
    Retry {
        /// Which.
        id: SessionId,
        /// The epoch of its unclaimed reservation.
        epoch: Epoch,
    },
}

impl Order {
    /// The session and the epoch that the order builds on, where it exists already.
    fn base(&self) -> Option<(SessionId, Epoch)> {
        match *self {
            Self::New(_) => None,
            Self::Resume { id, epoch, .. } | Self::Retry { id, epoch } => Some((id, epoch)),
        }
    }

    /// Why the session as it now is cannot be placed by this order.
    fn objection(&self, session: &Session) -> Option<&'static str> {
        let (_, epoch) = self.base()?;
        if session.epoch != epoch {
            return Some("it has been started anew meanwhile");
        }
        match self {
            Self::New(_) => None,
            Self::Resume { may_run_twice, .. } => Action::Resume { may_run_twice: *may_run_twice }.objection(session),
            Self::Retry { .. } if session.state == State::Starting && !session.claimed && session.wanted.is_none() => {
                None
            }
            Self::Retry { .. } => Some("it is not to be started any more"),
        }
    }
}

/// A session with a node reserved for it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The session: `starting`, unclaimed.
    pub session: Session,
    /// Its node.
    pub peer: Peer,
}
