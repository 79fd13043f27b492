//! The registry of nodes, sessions and placements: one trait, a module for each database behind it.
//!
//! Absence is `Ok(None)` or `Ok(false)`; an error means that the database did not answer or holds what it should not.
//! Every time is the store's own clock's, so that nodes need not agree on theirs. Each call is one statement or one
//! transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::domain::{
    Charter, Decision, DrainOrder, Epoch, Job, Node, NodeId, OverridesChange, Peer, Placement, PlacementId, Revision,
    Session, SessionId, Shadow, SignOut, State, Wanted,
};

pub mod begun;
mod life;
pub mod membership;
pub mod postgres;
mod rows;
mod schema;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod story;

pub use membership::{Beat, Heartbeat, NodeDeletion, RegisterError, Registration, Reset};

/// The registry.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// A number that grows when something was changed, by whichever daemon; none where the database does not tell. It is a
    /// hint to look at once: some changes are not told, so look now and then all the same.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// The present moment by the store's clock.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Writes a node that starts: takes up its row where `registration.id` or its name is known, else makes one, and
    /// marks it seen now. A node whose row was removed gets its old id back. A cordon stays. The first to register lays down
    /// the cluster's charter; one that does not fit is written too, as [`RegisterError::Excluded`] says, and is no member.
    /// Raises the revision.
    async fn register(&self, registration: &Registration) -> Result<NodeId, RegisterError>;

    /// Writes what a node measured and marks it seen now. `None` where the node must register again: its row is gone, marked
    /// as stopped or another daemon's, or the cluster was reset. Does not raise the revision, but where the node was offline.
    async fn heartbeat(&self, node: NodeId, beat: &Beat) -> Result<Option<Heartbeat>, StoreError>;

    /// What the first node has laid down for the cluster; none before the first and after a reset.
    async fn charter(&self) -> Result<Option<Charter>, StoreError>;

    /// Forgets the charter, so that the next node to register lays down another; only where no node is online, unless
    /// `force` says so. Members that are online register again at their next heartbeat.
    async fn reset_cluster(&self, force: bool) -> Result<Reset, StoreError>;

    /// Marks a node as stopped on purpose: it is offline at once. Raises the revision.
    async fn leave(&self, node: NodeId) -> Result<(), StoreError>;

    /// Writes the SHA-256 of the balancer that a node places with from now on. Does not raise the revision.
    async fn set_balancer_digest(&self, node: NodeId, digest: Option<&str>) -> Result<(), StoreError>;

    /// Writes the SHA-256 of the certificates that a node's port may show from now on, hexadecimal, with blanks between them.
    /// Does not raise the revision.
    async fn set_certificate(&self, node: NodeId, certificate: &str) -> Result<(), StoreError>;

    /// Writes the kinds that a node offers from now on, and what their programs say their version is. Raises the revision
    /// where the kinds are others than before.
    async fn set_kinds(
        &self,
        node: NodeId,
        kinds: &[String],
        versions: &BTreeMap<String, String>,
    ) -> Result<(), StoreError>;

    /// Writes the numbers that a node publishes from now on; they must be finite. Does not raise the revision.
    async fn set_metrics(&self, node: NodeId, metrics: &BTreeMap<String, f64>) -> Result<(), StoreError>;

    /// Every node, by id.
    async fn nodes(&self) -> Result<Vec<Node>, StoreError>;

    /// Marks a node as stopped for good: as [`Store::leave`], and its row is removed, at once where no live session is on it,
    /// else with [`Store::expire`] as soon as there is none. A node that registers again is known again, under the same id.
    async fn leave_for_good(&self, node: NodeId) -> Result<(), StoreError>;

    /// Has a node emptied as ordered, and cordons it; once more changes the order. False where there is no such node. Raises
    /// the revision.
    async fn drain(&self, node: NodeId, order: &DrainOrder) -> Result<bool, StoreError>;

    /// Sets, or unsets, what goes before a node's own weight, capacity and labels; false where there is no such node. Raises
    /// the revision.
    async fn set_overrides(&self, node: NodeId, change: &OverridesChange) -> Result<bool, StoreError>;

    /// Cordons a node, or lifts the cordon and the drain; false where there is no such node. Raises the revision.
    async fn set_cordoned(&self, node: NodeId, cordoned: bool) -> Result<bool, StoreError>;

    /// Removes an offline node; its live sessions become `lost`, as in [`Store::expire`]. Raises the revision.
    async fn delete_node(&self, node: NodeId) -> Result<NodeDeletion, StoreError>;

    /// What a placement is decided on: one statement or one transaction with a consistent view.
    async fn snapshot(&self) -> Result<Snapshot, StoreError>;

    /// Writes the reservations together if the revision is still `seen`, and raises it; writes nothing and says false
    /// where it is not. Also false where a session that is not new is no longer as its reservation supposes: it is live
    /// under another epoch than the one before, or something is wanted of it. So read those sessions again, not the
    /// snapshot only, before deciding again. `created` and `changed` are kept as the reservations have them
    /// ([`Snapshot::now`] is what to put there); when it was placed and decided is the moment of the writing.
    async fn reserve(&self, seen: Revision, reservations: &[Reservation]) -> Result<bool, StoreError>;

    /// One session.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// What a job is to run, until it is over.
    async fn job(&self, id: SessionId) -> Result<Option<Job>, StoreError>;

    /// Sessions in the order of their creation, newest first.
    async fn sessions(&self, filter: &SessionFilter) -> Result<Vec<Session>, StoreError>;

    /// The reservations that have not been taken up, each with its node, in the order of their placement.
    async fn waiting(&self) -> Result<Vec<(NodeId, SessionId)>, StoreError>;

    /// Where every live session is, for the mirror in memory; jobs are reached by nobody.
    async fn routes(&self) -> Result<Vec<Route>, StoreError>;

    /// Takes up a reservation: true for exactly one caller, while `node` holds it under `epoch`, it is `starting`,
    /// unclaimed and nothing else is wanted of it. To be called before the program is started.
    async fn claim(&self, id: SessionId, epoch: Epoch, node: NodeId) -> Result<bool, StoreError>;

    /// Reports what became of a session under `epoch`, and returns the state it then is in; `None` where the epoch is
    /// another by now or the state does not allow it. Where something is wanted of the session, any end of it is the one that was wanted. A session that is
    /// `lost` is taken up again by such a report: its node has returned, and `Started` or `Active` makes it live under
    /// the same epoch. Leaving or entering the live states raises the revision.
    async fn report(&self, id: SessionId, epoch: Epoch, report: &Report) -> Result<Option<State>, StoreError>;

    /// Notes on the session's placement that the start under `epoch` failed, and makes the move `next` under the next epoch,
    /// unclaimed; with no `next`, the session becomes `failed`. Where something is wanted of it, it becomes that and is not
    /// started again. `None` where the epoch is another by now, the session is not `starting`, or the revision is not the one
    /// that the move was decided at. Raises the revision.
    async fn start_failed(
        &self,
        id: SessionId,
        epoch: Epoch,
        failure: &str,
        next: Option<Move>,
    ) -> Result<Option<Session>, StoreError>;

    /// Asks for a session to be suspended or ended. A session that runs nowhere (suspended, lost, failed, or starting and
    /// unclaimed) becomes so at once. Returns the session as it then is. `Wanted::Ended` overrides `Wanted::Suspended`, and
    /// what has ended stays so. What cannot be suspended as it is ([`Action::Suspend`](crate::domain::Action::Suspend)) stays as it is.
    /// `note` is why, where it is not its user who asks.
    async fn want(&self, id: SessionId, wanted: Wanted, note: Option<&str>) -> Result<Option<Session>, StoreError>;

    /// As [`Store::want`], of all sessions of a user that this is about: to be suspended, those that are live and no jobs; to be ended,
    /// those that are not over. Returns them as they then are, newest first.
    async fn want_all(&self, user: &str, wanted: Wanted) -> Result<Vec<Session>, StoreError>;

    /// As [`Store::want`], for a session that nobody has used: only while it is active under `epoch`, or suspended and to
    /// be ended, nothing is wanted of it, and `still` says so once nobody else can change it; else `None`. The note stays
    /// with it until it is started again.
    async fn want_unused(
        &self,
        id: SessionId,
        epoch: Epoch,
        wanted: Wanted,
        note: &str,
        still: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Session>, StoreError>;

    /// Writes when sessions were last used, each under its epoch; what is known to be later stays. Does not raise the
    /// revision.
    async fn note_activity(&self, notes: &[(SessionId, Epoch, Timestamp)]) -> Result<(), StoreError>;

    /// Calls a session otherwise. Does not raise the revision.
    async fn rename(&self, id: SessionId, name: &str) -> Result<Option<Session>, StoreError>;

    /// Marks the live sessions of nodes that are offline and have not been seen for longer than `after` as `lost`, and
    /// returns them; only those that were active keep the program's process id. One that was to be ended is `ended` instead;
    /// one that was to be suspended is `lost` like the others, since its program may still run there and a suspended session
    /// is resumed without a question. A start that nobody has claimed stays: it is [`Self::stranded`]. Where no node's
    /// heartbeat was written for a time-out, the store or the whole cluster was away and silence says nothing: from the next
    /// heartbeat on, another time-out passes before any session is lost. Rows of nodes that have left for good and have no
    /// live session go.
    async fn expire(&self, after: Duration) -> Result<Vec<SessionId>, StoreError>;

    /// The starts that nobody has claimed, on nodes whose sessions would be lost by [`Self::expire`], that are gone, or that are
    /// being drained: to be placed again. The first in line first.
    async fn stranded(&self, after: Duration) -> Result<Vec<Session>, StoreError>;

    /// One placement.
    async fn placement(&self, id: PlacementId) -> Result<Option<Placement>, StoreError>;

    /// Placements, newest first: those of `session` where one is named, below `before` where that is given.
    async fn placements(
        &self,
        session: Option<SessionId>,
        before: Option<PlacementId>,
        limit: u32,
    ) -> Result<Vec<Placement>, StoreError>;

    /// Writes what the shadow said of the placement of `session` under `epoch`; false where there is no such placement.
    /// What it said of placements that are not among the newest `keep` is forgotten. Does not raise the revision.
    async fn note_shadow(
        &self,
        session: SessionId,
        epoch: Epoch,
        shadow: &Shadow,
        keep: u32,
    ) -> Result<bool, StoreError>;

    /// The placements that the shadow was asked about, decided at `since` or later, newest first.
    async fn shadowed(&self, since: Option<Timestamp>) -> Result<Vec<Placement>, StoreError>;

    /// Keeps what balancers were shown for placements, and lets the oldest go, some hundreds at a time, until all together
    /// has at most `limit` bytes; false where this alone has more. Does not raise the revision.
    async fn keep_shown(&self, batch: &ShownBatch, limit: u64) -> Result<bool, StoreError>;

    /// Lets the oldest of what balancers were shown go until all together has at most `limit` bytes.
    async fn trim_shown(&self, limit: u64) -> Result<(), StoreError>;

    /// The user id that is kept with a user, on every node the same: `uid` from now on, where none is kept.
    async fn keep_uid(&self, user: &str, uid: u32) -> Result<u32, StoreError>;

    /// Keeps no user id with a user any more; false where none was kept.
    async fn forget_uid(&self, user: &str) -> Result<bool, StoreError>;

    /// What the balancer was shown for a placement, where that is kept.
    async fn shown(&self, placement: PlacementId) -> Result<Option<Shown>, StoreError>;

    /// The SHA-256 of the modules whose decisions [`Store::shown`] still has something on.
    async fn shown_digests(&self) -> Result<BTreeSet<String>, StoreError>;

    /// Writes that these sign-ins were ended, for every node to refuse them; once more changes nothing. Lets go those that
    /// would be over anyway. Does not raise the revision.
    async fn sign_out(&self, sign_outs: &[SignOut]) -> Result<(), StoreError>;

    /// The sign-ins that were ended after those that [`SignOuts::seen`] tells, in the order of writing, without those that
    /// would be over anyway; 0 for all. Where many are new, some thousands of them.
    async fn sign_outs(&self, seen: i64) -> Result<SignOuts, StoreError>;
}

/// What a placement is decided on.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The revision it holds at.
    pub revision: Revision,
    /// The store's time.
    pub now: Timestamp,
    /// Every node, by id.
    pub nodes: Vec<Node>,
    /// Every live session.
    pub live: Vec<LiveSession>,
}

/// What a balancer may know of a live session.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveSession {
    /// The node it occupies.
    pub node: NodeId,
    /// Its user.
    pub user: String,
    /// The groups that it counts to.
    pub groups: Vec<String>,
    /// When its present start was reserved.
    pub placed: Timestamp,
    /// Processors promised to it; 0 where none.
    pub cpus: f64,
    /// Memory promised to it, bytes; 0 where none.
    pub memory: u64,
}

/// Where a session goes whose start has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The node.
    pub to: NodeId,
    /// The revision that it was chosen at; none for one that holds the reservation already.
    pub seen: Option<Revision>,
}

impl From<NodeId> for Move {
    fn from(to: NodeId) -> Self {
        Self { to, seen: None }
    }
}

/// One decided placement, to be written.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// The session as it will be: `starting`, unclaimed, on its node, under its epoch.
    pub session: Session,
    /// Whether the session is new; else it is resumed or placed again, and `session.epoch` is the next one: the stored
    /// session must not be live, or be `starting` under the epoch before.
    pub new: bool,
    /// The decision.
    pub decision: Decision,
    /// What it is to run, where it is a new job.
    pub job: Option<Arc<Job>>,
}

/// What balancers were shown for placements that were committed together.
#[derive(Clone, Debug)]
pub struct ShownBatch {
    /// The placements, in the order of the content.
    pub placements: Vec<(SessionId, Epoch)>,
    /// The SHA-256 of each module that decided.
    pub digests: BTreeSet<String>,
    /// As `sessions` wrote it; opaque to the store.
    pub content: Vec<u8>,
}

/// What is kept of a placement.
#[derive(Clone, Debug)]
pub struct Shown {
    /// A [`ShownBatch`]'s.
    pub content: Vec<u8>,
    /// Which of its placements.
    pub position: usize,
}

/// Sign-ins that were ended.
#[derive(Clone, Debug)]
pub struct SignOuts {
    /// Which.
    pub sign_outs: Vec<SignOut>,
    /// What to ask with for those that follow.
    pub seen: i64,
}

/// What a node reports of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The program runs as this process; not ready yet.
    Started {
        /// The program's own process id.
        pid: u32,
    },
    /// The readiness probe answered.
    Active,
    /// It was stopped to be resumed.
    Suspended,
    /// It is over, as was wanted or by its own doing.
    Ended,
    /// It could not be started or died.
    Failed {
        /// Why, in a sentence, with the log's last lines.
        failure: String,
    },
    /// The program of a job ended by itself: it is `ended` with status 0, `failed` with any other.
    Exited {
        /// The status, as a shell tells it.
        status: u8,
        /// Where that is not 0: what is to be said, with the log's last lines.
        failure: Option<String>,
    },
}

/// Where a session is, for the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The session.
    pub id: SessionId,
    /// Its user.
    pub user: String,
    /// Its kind.
    pub kind: String,
    /// Its state.
    pub state: State,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its node.
    pub node: NodeId,
    /// The node, as the others find it.
    pub peer: Peer,
}

/// Which sessions to list.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Of this user only.
    pub user: Option<String>,
    /// On this node only.
    pub node: Option<NodeId>,
    /// In these states only; in any where empty.
    pub states: Vec<State>,
    /// Jobs only.
    pub jobs: bool,
    /// Older than this session, for paging.
    pub after: Option<SessionId>,
    /// At most this many; all where absent.
    pub limit: Option<u32>,
}

/// Why the store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer or refused.
    #[error("{operation}: {message}")]
    Database {
        /// What was being done.
        operation: &'static str,
        /// What the database said.
        message: String,
    },
    /// The database holds what it should not.
    #[error("{table} {row}: column {column}: {problem}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Which row.
        row: String,
        /// Which column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The store cannot be used at all.
    #[error("{0}")]
    Unusable(String),
}
