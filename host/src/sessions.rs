//! The life of a session: start, claim, stop, suspend, resume, end.

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{NodeId, Session, SessionId},
    launcher::Launcher,
    store::{SessionFilter, Store, StoreError},
    wire::peer::PeerError,
};

pub mod mirror;
pub mod placement;

pub use mirror::Mirror;

/// The sessions of the cluster, as one of its nodes manages them.
#[derive(Debug)]
pub struct Sessions {}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct NewSession {
    /// The canonical name of the Unix user it is for.
    pub user: String,
    /// Its kind.
    pub kind: String,
    /// What its user calls it; the kind's title where absent.
    pub name: Option<String>,
    /// Processors asked for; 0 where none are named.
    pub cpus: f64,
    /// Memory asked for, bytes; 0 where none is named.
    pub memory: u64,
    /// Labels that its node must have.
    pub labels: BTreeMap<String, String>,
}

/// Why a session could not be started or managed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No node knows the kind.
    #[error("there is no kind {kind}; there are: {}", .offered.join(", "))]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// No node may take it: how many are excluded by which rule.
    #[error("no node can take the session: {0}")]
    NoNode(String),
    /// The policy does not want it to start.
    #[error("{0}")]
    Declined(String),
    /// There is no such session.
    #[error("there is no session {0}")]
    Missing(SessionId),
    /// Its state does not allow it.
    #[error("session {id} is {state}: {problem}")]
    State {
        /// Which.
        id: SessionId,
        /// The state it is in.
        state: crate::domain::State,
        /// What cannot be done.
        problem: &'static str,
    },
    /// The placement queue is full or shutting down.
    #[error("too many sessions are being started; try again")]
    Busy,
    /// Its node did not answer.
    #[error("node {node}: {error}")]
    Peer {
        /// Which.
        node: NodeId,
        /// Why.
        error: PeerError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sessions {
    /// Places a session and makes sure that its node hears of it. Returns it as `starting`.
    pub async fn start(&self, _new: NewSession) -> Result<Session, SessionError> {
        todo!()
    }

    /// One session.
    pub async fn get(&self, _id: SessionId) -> Result<Session, SessionError> {
        todo!()
    }

    /// Some sessions, newest first.
    pub async fn list(&self, _filter: &SessionFilter) -> Result<Vec<Session>, SessionError> {
        todo!()
    }

    /// Ends a session.
    pub async fn end(&self, _id: SessionId) -> Result<Session, SessionError> {
        todo!()
    }

    /// Stops a session so that it can be resumed.
    pub async fn suspend(&self, _id: SessionId) -> Result<Session, SessionError> {
        todo!()
    }

    /// Places a suspended or lost session anew, under the next epoch.
    pub async fn resume(&self, _id: SessionId) -> Result<Session, SessionError> {
        todo!()
    }

    /// The last lines of a session's log, fetched from its node.
    pub async fn log(&self, _id: SessionId, _lines: usize) -> Result<String, SessionError> {
        todo!()
    }

    /// The last lines of the log of a session of this node.
    pub async fn local_log(&self, _id: SessionId, _lines: usize) -> Result<String, SessionError> {
        todo!()
    }

    /// A peer has changed something about a session of this node: looks at its row now rather than at the next heartbeat.
    pub async fn nudged(&self, _id: SessionId) -> Result<(), SessionError> {
        todo!()
    }

    /// Adopts the programs that run, then works until stopped: takes up what heartbeats bring, watches programs.
    pub async fn run(self: Arc<Self>, _launcher: Arc<dyn Launcher>, _store: Arc<dyn Store>, _stop: CancellationToken) {
        todo!()
    }
}
