//! What is said on a supervisor's socket: one JSON object a line, each request answered by one.
//!
//! The protocol grows by addition. A request that a supervisor does not know is answered with an error, fields that it
//! does not know are passed over, and answers gain fields; so any daemon can talk to any supervisor.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{Epoch, SessionId},
    launcher::record::{Ended, ProcessId, State},
};

/// The version spoken here.
pub(in crate::launcher) const VERSION: u32 = 2;
/// Longer requests are refused.
pub(super) const MOST_LINE: usize = 4096;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub(in crate::launcher) enum Request {
    /// Who is there?
    Hello,
    /// Does it run?
    Status,
    /// Send the program a signal.
    Signal { signal: i32 },
    /// Begin to stop; the order to start says how, where nothing is named.
    Stop { signal: Option<i32>, grace_ms: Option<u64> },
    /// Answer once everything has ended.
    Wait,
    /// Something newer.
    #[serde(other)]
    Unknown,
}

/// An answer; absent fields do not belong to the request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::launcher) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<ProcessId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Ended>,
}

impl Answer {
    pub(super) fn about(state: &State, program: ProcessId) -> Self {
        Self {
            protocol: Some(VERSION),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            session: Some(state.session),
            epoch: Some(state.epoch),
            program: Some(program),
            ..Self::default()
        }
    }

    pub(super) fn error(problem: impl Into<String>) -> Self {
        Self { error: Some(problem.into()), ..Self::default() }
    }
}
