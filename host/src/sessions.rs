//! The life of a session: start, claim, stop, suspend, resume, end.
//!
//! [`Sessions`] is what the rest of the daemon sees. A start goes through [`placement`] and reaches its node as a reserved
//! row; `owner` is that node's side; [`mirror`] tells the proxy where every session is.

use std::{collections::BTreeMap, fmt::Debug, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::{Accounts, AccountsError, Admission},
    config::ProfilesInForce,
    domain::{
        Action, Allowance, Clock, Drain, Entropy, IdleRules, Job, LimitReached, NodeId, NodeStatus, Peer, Session,
        SessionId, State, Wanted, WrongChoice,
    },
    launcher::{Kinds, LaunchError, Launcher, LogPart},
    store::{SessionFilter, Store, StoreError},
    wire::peer::{PeerClient, PeerError},
};

#[cfg(test)]
mod fixtures;
pub mod mirror;
mod owner;
pub mod placement;
#[cfg(test)]
mod tests;
pub mod traffic;

pub use mirror::Mirror;
pub use traffic::Traffic;

pub use owner::JobLogs;

use owner::Owner;
use placement::{Order, Placer, Policy, Queue, Recording, Terms, shadow::Second};

/// How long a nudge may take; the node's next heartbeat does the same.
const NUDGE: Duration = Duration::from_secs(2);

/// How long a page waits for what is only to be shown.
const GLANCE: Duration = Duration::from_secs(1);

/// The sessions of the cluster, as one of its nodes manages them.
#[derive(Debug)]
pub struct Sessions {
    store: Arc<dyn Store>,
    accounts: Arc<dyn Accounts>,
    profiles: ProfilesInForce,
    kinds: Arc<Kinds>,
    launcher: Arc<dyn Launcher>,
    mirror: Arc<Mirror>,
    peers: Arc<dyn Peers>,
    placer: Placer,
    queue: Mutex<Queue>,
    recording: Mutex<Recording>,
    owner: Arc<Owner>,
}

/// What [`Sessions`] is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// This node's id, as the store gave it.
    pub node: NodeId,
    /// This node's name and address.
    pub here: Peer,
    /// The registry.
    pub store: Arc<dyn Store>,
    /// What starts programs here.
    pub launcher: Arc<dyn Launcher>,
    /// The kinds that are known here.
    pub kinds: Arc<Kinds>,
    /// Who may have sessions here.
    pub admission: Admission,
    /// What tells about users.
    pub accounts: Arc<dyn Accounts>,
    /// What they may have.
    pub profiles: ProfilesInForce,
    /// How many programs are being started here at once.
    pub start_limit: usize,
    /// What decides.
    pub policy: Arc<dyn Policy>,
    /// What is asked beside it, to be compared.
    pub second: Option<Arc<Second>>,
    /// Where sessions are.
    pub mirror: Arc<Mirror>,
    /// What reaches the other nodes.
    pub peers: Arc<dyn Peers>,
    /// What is kept of what balancers were shown, over all the cluster, bytes; 0 keeps none.
    pub records: watch::Receiver<u64>,
    /// What becomes of the logs of jobs.
    pub job_logs: JobLogs,
    /// What the proxy tells of the use of this node's sessions.
    pub traffic: Arc<Traffic>,
    /// What becomes of sessions that nobody uses.
    pub idle: IdleRules,
    /// Where a daemon that stops leaves for the next one when sessions were last used.
    pub activity_file: PathBuf,
    /// The store's clock.
    pub clock: Arc<dyn Clock>,
    /// Where session ids and seeds are drawn.
    pub entropy: Arc<dyn Entropy>,
}

/// Calls to other nodes.
#[async_trait]
pub trait Peers: Send + Sync + Debug {
    /// One call, bounded in time; the answer's body.
    async fn call(&self, to: &Peer, method: Method, target: &str, body: &Value) -> Result<Bytes, PeerError>;
}

#[async_trait]
impl Peers for PeerClient {
    async fn call(&self, to: &Peer, method: Method, target: &str, body: &Value) -> Result<Bytes, PeerError> {
        Self::call(self, to, method, target, body).await
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct NewSession {
    /// The canonical name of the Unix user it is for.
    pub user: String,
    /// Its kind.
    pub kind: String,
    /// What its user calls it; the kind's title where absent.
    pub name: Option<String>,
    /// The resource profile that it is to have.
    pub profile: Option<String>,
    /// Processors asked for; 0 where none are named, so that it gets the usual.
    pub cpus: f64,
    /// Memory asked for, bytes; 0 likewise.
    pub memory: u64,
    /// Labels that its node must have.
    pub labels: BTreeMap<String, String>,
    /// What it is to run, where it is a job.
    pub job: Option<Arc<Job>>,
}

/// Why a session could not be started or managed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No node knows the kind.
    #[error("there is no kind {kind}; {}", list_of_kinds(.offered))]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// No node may take it: how many are excluded by which rule.
    #[error("no node can take the session: {0}")]
    NoNode(String),
    /// Its user may not have it beside what is there.
    #[error("{0}")]
    Limit(Box<LimitReached>),
    /// Its resources cannot be chosen so.
    #[error("{}: {}", .0.field, .0.problem)]
    Resources(WrongChoice),
    /// What its user may have cannot be told.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
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
        state: State,
        /// Why that cannot be done, and what can be done instead.
        problem: &'static str,
    },
    /// What is to be run was left out, or does not belong there.
    #[error("{0}")]
    Job(String),
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
    /// The launcher of this node failed.
    #[error(transparent)]
    Launcher(#[from] LaunchError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list_of_kinds(offered: &[String]) -> String {
    if offered.is_empty() {
        return "no node offers any: is a program such as jupyter-lab on the daemons' PATH?".to_owned();
    }
    format!("there are: {}", offered.join(", "))
}

impl Sessions {
    /// The sessions of one node's daemon. Nothing happens until [`Sessions::run`].
    pub fn new(parts: &Parts) -> Self {
        let store = Arc::clone(&parts.store);
        let (recorder, recording) = placement::record(Arc::clone(&store), parts.records.clone());
        let (placer, queue) = Queue::new(store, Arc::clone(&parts.policy), Arc::clone(&parts.entropy));
        let terms = Terms { profiles: Arc::clone(&parts.profiles), kinds: Arc::clone(&parts.kinds) };
        let queue = queue.under(terms).with_recorder(recorder).with_second(parts.second.clone());
        Self {
            store: Arc::clone(&parts.store),
            accounts: Arc::clone(&parts.accounts),
            profiles: Arc::clone(&parts.profiles),
            kinds: Arc::clone(&parts.kinds),
            launcher: Arc::clone(&parts.launcher),
            mirror: Arc::clone(&parts.mirror),
            peers: Arc::clone(&parts.peers),
            owner: Arc::new(Owner::new(parts, placer.clone())),
            placer,
            queue: Mutex::new(queue),
            recording: Mutex::new(recording),
        }
    }

    /// Adopts the programs that run, then works until stopped: places, takes up the rows that heartbeats bring through
    /// `pending`, watches programs, keeps the mirror. Ends no session.
    pub async fn run(self: Arc<Self>, pending: mpsc::Receiver<Vec<Session>>, stop: CancellationToken) {
        let mut queue = self.queue.lock().await;
        let mut recording = self.recording.lock().await;
        tokio::join!(queue.run(&stop), recording.run(&stop), self.owner.run(pending, &stop), self.mirror.run(&stop),);
    }

    /// Empties this node as a drain says that is due, until stopped.
    pub async fn run_drain(self: Arc<Self>, due: watch::Receiver<Option<Drain>>, stop: CancellationToken) {
        self.owner.run_drain(due, &stop).await;
    }

    /// Places again what nobody has claimed on nodes that will not, until stopped.
    pub async fn run_stranded(self: Arc<Self>, node_timeout: Duration, stop: CancellationToken) {
        self.owner.run_stranded(node_timeout, &stop).await;
    }

    /// Suspends or ends what nobody uses, until stopped. A task of its own: to judge hundreds of sessions takes time.
    pub async fn run_idle(self: Arc<Self>, stop: CancellationToken) {
        self.owner.run_idle(&stop).await;
    }

    /// Places a session and makes sure that its node hears of it. Returns it as `starting`.
    pub async fn start(&self, new: NewSession) -> Result<Session, SessionError> {
        let kind = self.kinds.get(&new.kind);
        match (kind.as_ref().map(|kind| kind.is_job()), &new.job) {
            (Some(true), None) => {
                return Err(SessionError::Job(format!("{} runs a command or a script: name it", new.kind)));
            }
            (Some(false), Some(_)) => {
                return Err(SessionError::Job(format!("{} runs no command and no script", new.kind)));
            }
            _ => {}
        }
        let title = || match &new.job {
            Some(job) => Some(job.title()),
            None => kind.as_ref().map(|kind| kind.title.clone()),
        };
        let name = new.name.clone().or_else(title).filter(|name| !name.is_empty());
        let groups = groups(self.accounts.as_ref(), &new.user).await?;
        let allowance = self.profiles.load().allowance(&new.user, &groups);
        let chosen = allowance.choose(new.profile.as_deref(), new.cpus, new.memory);
        let (cpus, memory) = chosen.map_err(SessionError::Resources)?;
        self.place(Order::New(NewSession { name, cpus, memory, ..new }), groups).await
    }

    /// What a user may have, to be shown: where the name service takes its time, without what their groups have.
    pub async fn allowance(&self, user: &str) -> Allowance {
        let profiles = self.profiles.load();
        let groups = async {
            if profiles.ask_for_groups() { groups(self.accounts.as_ref(), user).await } else { Ok(Vec::new()) }
        };
        let found = tokio::time::timeout(GLANCE, groups).await;
        profiles.allowance(user, &found.ok().and_then(Result::ok).unwrap_or_default())
    }

    /// One session.
    pub async fn get(&self, id: SessionId) -> Result<Session, SessionError> {
        self.store.session(id).await?.ok_or(SessionError::Missing(id))
    }

    /// Some sessions, newest first.
    pub async fn list(&self, filter: &SessionFilter) -> Result<Vec<Session>, SessionError> {
        Ok(self.store.sessions(filter).await?)
    }

    /// Ends a session. One that is live is `ended` once its node has stopped it; where that is offline, the error says so
    /// and the session ends when the node returns.
    pub async fn end(&self, id: SessionId) -> Result<Session, SessionError> {
        self.want(id, Wanted::Ended, None).await
    }

    /// Stops a session so that it can be resumed. As [`Sessions::end`] where its node is offline.
    pub async fn suspend(&self, id: SessionId) -> Result<Session, SessionError> {
        self.want(id, Wanted::Suspended, None).await
    }

    /// The same where it is an administrator who asks: its user is told so.
    pub async fn order(&self, id: SessionId, wanted: Wanted) -> Result<Session, SessionError> {
        self.want(id, wanted, Some(&format!("{} by an administrator", wanted.as_str()))).await
    }

    /// Suspends or ends all sessions of a user; returns those that this is about. Each node does so with its own: those of
    /// a node that is offline when that returns.
    pub async fn want_all(&self, user: &str, wanted: Wanted) -> Result<Vec<Session>, SessionError> {
        let asked = self.store.want_all(user, wanted).await?;
        for session in asked.iter().filter(|session| !session.state.is_live()) {
            self.mirror.remove(session.id, session.epoch);
        }
        self.mirror.announce();
        self.owner.tell_all(asked.clone());
        Ok(asked)
    }

    /// Places a suspended session anew, under the next epoch; a lost one only where its owner knows that it may then run
    /// twice.
    pub async fn resume(&self, id: SessionId, may_run_twice: bool) -> Result<Session, SessionError> {
        let Session { epoch, user, .. } = self.check(id, Action::Resume { may_run_twice }).await?;
        let groups = groups(self.accounts.as_ref(), &user).await?;
        self.place(Order::Resume { id, epoch, may_run_twice }, groups).await
    }

    /// Calls a session otherwise.
    pub async fn rename(&self, id: SessionId, name: &str) -> Result<Session, SessionError> {
        self.check(id, Action::Rename).await?;
        let session = self.store.rename(id, name).await?.ok_or(SessionError::Missing(id))?;
        self.mirror.announce();
        Ok(session)
    }

    /// The session, if that can be done to it as it is.
    async fn check(&self, id: SessionId, action: Action) -> Result<Session, SessionError> {
        let session = self.get(id).await?;
        allow(action, &session)?;
        Ok(session)
    }

    /// The last lines of a session's log, fetched from its node.
    pub async fn log(&self, id: SessionId, lines: usize) -> Result<String, SessionError> {
        let Session { node, .. } = self.get(id).await?;
        if node == self.owner.node {
            return self.local_log(id, lines).await;
        }
        let body = self.ask_for_log(id, node, &format!("/peer/v1/sessions/{id}/log?lines={lines}")).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// A part of a session's log from a position on, fetched from its node.
    pub async fn log_part(&self, id: SessionId, from: u64) -> Result<LogPart, SessionError> {
        let Session { node, .. } = self.get(id).await?;
        if node == self.owner.node {
            return self.local_log_part(id, from).await;
        }
        let body = self.ask_for_log(id, node, &format!("/peer/v1/sessions/{id}/log/part?from={from}")).await?;
        // Where it begins, then what it says.
        let Some((begins, bytes)) = body.split_first_chunk() else { return Ok(LogPart { from, bytes: Vec::new() }) };
        Ok(LogPart { from: u64::from_be_bytes(*begins), bytes: bytes.to_vec() })
    }

    async fn ask_for_log(&self, id: SessionId, node: NodeId, target: &str) -> Result<Bytes, SessionError> {
        let peer = peer(self.store.as_ref(), node).await?;
        self.peers.call(&peer, Method::GET, target, &Value::Null).await.map_err(|error| match error {
            PeerError::Refused { status: 404, .. } => LaunchError::NoLog(id).into(),
            error => SessionError::Peer { node, error },
        })
    }

    /// A part of the log of a session of this node.
    pub async fn local_log_part(&self, id: SessionId, from: u64) -> Result<LogPart, SessionError> {
        Ok(self.launcher.log_part(id, from).await?)
    }

    /// The last lines of the log of a session of this node.
    pub async fn local_log(&self, id: SessionId, lines: usize) -> Result<String, SessionError> {
        Ok(self.launcher.log_tail(id, lines).await?)
    }

    /// A peer has changed something about a session of this node: looks at its row now rather than at the next heartbeat.
    pub async fn nudged(&self, id: SessionId) -> Result<(), SessionError> {
        self.owner.look(self.get(id).await?);
        Ok(())
    }

    async fn place(&self, order: Order, groups: Vec<String>) -> Result<Session, SessionError> {
        let placed = self.placer.place(order, groups).await?;
        self.owner.note_route(&placed.session, &placed.peer);
        self.owner.tell(&placed.session, Some(placed.peer));
        Ok(placed.session)
    }

    async fn want(&self, id: SessionId, wanted: Wanted, note: Option<&str>) -> Result<Session, SessionError> {
        let session = self.store.want(id, wanted, note).await?.ok_or(SessionError::Missing(id))?;
        if wanted == Wanted::Suspended {
            allow(Action::Suspend, &session)?;
        }
        // Where it is over already, its node still has its log to forget.
        self.owner.tell(&session, None);
        if !session.state.is_live() {
            self.mirror.remove(id, session.epoch);
            self.mirror.announce();
            return Ok(session);
        }
        if session.node == self.owner.node {
            return Ok(session);
        }
        let nodes = self.store.nodes().await?;
        let offline = nodes.iter().any(|node| node.id == session.node && node.status != NodeStatus::Online);
        if offline {
            let problem = "its node is offline; that is done as soon as the node returns";
            return Err(SessionError::State { id, state: session.state, problem });
        }
        Ok(session)
    }
}

/// An error where that cannot be done to a session as it is.
fn allow(action: Action, session: &Session) -> Result<(), SessionError> {
    let Session { id, state, .. } = *session;
    action.objection(session).map_or(Ok(()), |problem| Err(SessionError::State { id, state, problem }))
}

/// The groups of a user, none where there is no such user here. Found before the queue, which a directory that hangs must
/// not hold up.
async fn groups(accounts: &dyn Accounts, user: &str) -> Result<Vec<String>, AccountsError> {
    match accounts.find(user).await? {
        Some(account) => accounts.groups(&account).await,
        None => Ok(Vec::new()),
    }
}

/// Whom to call about the sessions of a node.
async fn peer(store: &dyn Store, node: NodeId) -> Result<Peer, SessionError> {
    let nodes = store.nodes().await?;
    match nodes.into_iter().find(|known| known.id == node) {
        Some(found) => Ok(found.peer()),
        None => {
            let (address, problem) = ("a deleted node".to_owned(), "it has no address any more".to_owned());
            Err(SessionError::Peer { node, error: PeerError::Unreachable { address, problem } })
        }
    }
}

/// Tells a node to look at a session's row now.
async fn nudge(peers: &dyn Peers, to: &Peer, id: SessionId) {
    let body = json!({ "session": id });
    let call = peers.call(to, Method::POST, "/peer/v1/nudge", &body);
    match tokio::time::timeout(NUDGE, call).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(session = %id, node = to.name, "not nudged: {error}"),
        Err(_) => tracing::debug!(session = %id, node = to.name, "not nudged within {} s", NUDGE.as_secs()),
    }
}
