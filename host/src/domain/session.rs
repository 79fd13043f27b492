//! A session: one program of one user.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Epoch, NodeId, SessionId};

/// A session as the store knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Its id, part of its URL.
    pub id: SessionId,
    /// The canonical name of the Unix user it belongs to.
    pub user: String,
    /// Its user's groups, of those that limits are set for, when it was last placed.
    pub groups: Vec<String>,
    /// What it runs: `jupyterlab`, …
    pub kind: String,
    /// What its user calls it.
    pub name: String,
    /// Where it stands in its life.
    pub state: State,
    /// What it has been asked to become, until its node has done so.
    pub wanted: Option<Wanted>,
    /// The node it runs or last ran on, or is reserved on.
    pub node: NodeId,
    /// Which start this is.
    pub epoch: Epoch,
    /// Whether its node has taken up the reservation.
    pub claimed: bool,
    /// The program's own process id on its node, while it runs; of a lost session, only where it was active.
    pub pid: Option<u32>,
    /// Processors promised to it; 0 where none are.
    pub cpus: f64,
    /// Memory promised to it, bytes; 0 where none is.
    pub memory: u64,
    /// The node labels it asks for.
    pub labels: BTreeMap<String, String>,
    /// Nodes still to be tried in this placement, best first.
    pub candidates: Vec<NodeId>,
    /// Nodes on which a start of this placement has failed.
    pub failed_nodes: Vec<NodeId>,
    /// Why it failed or was lost, in a sentence, with the log's last lines.
    pub failure: Option<String>,
    /// Whether it is a job: a [`Job`](super::Job) that is run to its end, once.
    pub is_job: bool,
    /// How a job's program ended, as a shell tells it: 128 and the number of the signal where one ended it.
    pub exit_status: Option<u8>,
    /// Why it was suspended or ended, where its user did not ask for that.
    pub note: Option<String>,
    /// When it was last used, as far as its node has said so.
    pub last_activity: Option<Timestamp>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When its state last changed.
    pub changed: Timestamp,
}

impl Session {
    /// Whether its program has answered under this epoch, and has not ended since for all that is known.
    pub fn was_active(&self) -> bool {
        self.state == State::Active || (self.state == State::Lost && self.pid.is_some())
    }
}

/// Where a session stands: `starting → active ⇄ suspended → ended`, with `failed` and `lost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Placed; its program is being started or does not answer yet.
    Starting,
    /// Its program answers.
    Active,
    /// Stopped to be resumed.
    Suspended,
    /// Over.
    Ended,
    /// Could not start, or its program died.
    Failed,
    /// Its node is gone.
    Lost,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] = [Self::Starting, Self::Active, Self::Suspended, Self::Ended, Self::Failed, Self::Lost];

    /// Whether it occupies its node.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Active)
    }

    /// Whether nothing of it runs any more. A lost one may: its node is silent.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Suspended | Self::Ended | Self::Failed)
    }

    /// The state's name in the store and in REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no state.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no such state: expected starting, active, suspended, ended, failed or lost")]
pub struct NotAState;

impl FromStr for State {
    type Err = NotAState;

    fn from_str(text: &str) -> Result<Self, NotAState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(NotAState)
    }
}

/// What a session has been asked to become. The row is the message: its node reads it at each heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// To be stopped and kept for resumption.
    Suspended,
    /// To be over.
    Ended,
}

impl Wanted {
    /// The name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Ended => "ended",
        }
    }

    /// The state that fulfils it.
    pub fn fulfilled(self) -> State {
        match self {
            Self::Suspended => State::Suspended,
            Self::Ended => State::Ended,
        }
    }
}
