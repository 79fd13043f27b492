//! Registration and heartbeats.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    StoreClock,
    condition::{Change, Condition},
    load::{LoadError, LoadSource},
    metrics::{MetricsSource, Told},
};
use crate::{
    aside::aside,
    domain::{Drain, NodeId, Session, State, clock_trouble},
    store::{Beat, Heartbeat, RegisterError, Registration, Store, StoreError},
    wire::tls::OwnTls,
};

mod certificate;
mod identity;
mod publish;
mod settings;
#[cfg(test)]
mod tests;

use certificate::{Certificate, KNOWN_AFTER};
use identity::Identity;
pub use identity::IdentityError;
pub use settings::NodeSettings;

/// How long a call of the store may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A clock is compared with the store's where that answers within this time.
const MEASURABLE: SignedDuration = SignedDuration::from_secs(2);

/// At every so many heartbeats the silence of the others is judged.
const JUDGE_EVERY: u32 = 3;

/// The kinds that a node offers, each with its program's version where that is known.
pub type Offered = BTreeMap<String, Option<String>>;

/// What a node needs to take part in a cluster.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The registry.
    pub store: Arc<dyn Store>,
    /// Kept at the store's time.
    pub clock: Arc<StoreClock>,
    /// What the node measures of itself.
    pub load: LoadSource,
    /// What its administrator publishes.
    pub metrics: MetricsSource,
    /// Keeps the node's id over restarts and renames.
    pub data_dir: PathBuf,
    /// After this long without a heartbeat, the sessions of an offline node are lost.
    pub node_timeout: Duration,
    /// Whether a node that stops is to be forgotten.
    pub delete_on_exit: Arc<AtomicBool>,
    /// What the node says of itself; its `id`, `reading` and `metrics` are put in here.
    pub registration: Registration,
}

/// Which node's data directory this is; none where none has registered from it.
///
/// # Errors
/// The file that says so cannot be read.
pub fn own_id(data_dir: &Path) -> Result<Option<NodeId>, IdentityError> {
    Ok(Identity::read(data_dir)?.map(|identity| identity.id))
}

/// A node's part in the cluster.
#[derive(Debug)]
pub struct Membership {
    joining: Joining,
    node: watch::Sender<NodeId>,
    patience: Duration,
    load_condition: Condition,
    store_condition: Condition,
    metrics_told: Told,
    beats: u32,
    /// The digest of the balancer, where that can change.
    digest: Option<watch::Receiver<Option<String>>>,
    /// The certificate of the port, where it takes TLS.
    certificate: Option<Certificate>,
    /// What its files say of the node, where that can change.
    settings: Option<watch::Receiver<NodeSettings>>,
    /// What is offered, where that can change, and what the store was told of it.
    offer: Option<watch::Receiver<Offered>>,
    offer_told: Option<Offered>,
    /// Why the cluster does not take this node; none while it is a member.
    standing: watch::Sender<Option<String>>,
    /// By how much the machine's clock is ahead of the store's.
    clock_ahead: Option<SignedDuration>,
    clock_condition: Condition,
    /// The drain whose deadline has passed.
    due: watch::Sender<Option<Drain>>,
    /// Lost sessions that came back with a heartbeat and could not be sent on yet: no other brings them again.
    lost: Vec<Session>,
}

/// Why a node cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// What it measures cannot be read.
    #[error("the load of this node: {0}")]
    Load(#[from] LoadError),
    /// The file that keeps its id.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The registry refuses it.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl From<StoreError> for JoinError {
    fn from(error: StoreError) -> Self {
        Self::Register(error.into())
    }
}

impl Membership {
    /// Registers the node, under the id it had before where it had one. A node that does not fit the cluster is registered as
    /// such, and [`Membership::watch_standing`] says so.
    ///
    /// # Errors
    /// What keeps it from taking part; it is not left registered then.
    pub async fn join(mut joining: Joining) -> Result<Self, JoinError> {
        joining.registration.reading = joining.load.read().await?;
        joining.registration.metrics = joining.metrics.read().await.numbers;
        let kept = Identity::read(&joining.data_dir)?;
        let store = &joining.store;
        joining.registration.id = match kept {
            Some(kept) => kept.id_in(&bounded(PATIENCE, "nodes", store.nodes()).await?, &joining.registration.name),
            None => None,
        };
        let (id, standing) = match register(&joining).await {
            Ok(id) => (id, None),
            Err(error @ RegisterError::Excluded { id, .. }) => {
                tracing::error!("{error}; this node serves nobody until then, and tries again at each heartbeat");
                (id, Some(error.to_string()))
            }
            Err(error) => return Err(error.into()),
        };
        joining.registration.id = Some(id);
        let identity = Identity { id, name: joining.registration.name.clone() };
        let kept = identity.write(&joining.data_dir).map_err(JoinError::from);
        let now = match kept {
            Ok(()) => bounded(PATIENCE, "clock", joining.store.now()).await.map_err(JoinError::from),
            Err(error) => Err(error),
        };
        match now {
            Ok(now) => joining.clock.read(now),
            Err(error) => {
                let _ = bounded(PATIENCE, "leave", joining.store.leave(id)).await;
                return Err(error);
            }
        }
        Ok(Self {
            joining,
            node: watch::Sender::new(id),
            patience: PATIENCE,
            load_condition: Condition::default(),
            store_condition: Condition::default(),
            metrics_told: Told::default(),
            beats: 0,
            digest: None,
            certificate: None,
            settings: None,
            offer: None,
            offer_told: None,
            standing: watch::Sender::new(standing),
            clock_ahead: None,
            clock_condition: Condition::default(),
            due: watch::Sender::new(None),
            lost: Vec::new(),
        })
    }

    /// How this node is to be emptied, from the deadline on.
    pub fn watch_due(&self) -> watch::Receiver<Option<Drain>> {
        self.due.subscribe()
    }

    /// Why the cluster does not take this node; none while it is a member.
    pub fn watch_standing(&self) -> watch::Receiver<Option<String>> {
        self.standing.subscribe()
    }

    /// The node's id.
    pub fn node(&self) -> NodeId {
        *self.node.borrow()
    }

    /// The node's id, should it change: a row that was removed is made anew, and where the store was replaced, under
    /// another id.
    pub fn watch_node(&self) -> watch::Receiver<NodeId> {
        self.node.subscribe()
    }

    /// Tells the store of another balancer at the heartbeat after it was replaced.
    #[must_use]
    pub fn with_digest(self, digest: watch::Receiver<Option<String>>) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// Registers anew at the heartbeat after a node's own settings have changed.
    #[must_use]
    pub fn with_settings(self, settings: watch::Receiver<NodeSettings>) -> Self {
        Self { settings: Some(settings), ..self }
    }

    /// Tells the store of another certificate of the port, and then has it shown.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<OwnTls>>) -> Self {
        Self { certificate: tls.map(|tls| Certificate::new(tls, KNOWN_AFTER)), ..self }
    }

    /// Tells the store of other kinds and versions at the heartbeat after they were found.
    #[must_use]
    pub fn with_offer(self, offer: watch::Receiver<Offered>) -> Self {
        Self { offer: Some(offer), ..self }
    }

    /// Heartbeats until stopped, then leaves the cluster. Sessions that want something of this node are sent to `pending`;
    /// where that is full they are let go, since the next heartbeat brings them again.
    pub async fn run(mut self, every: Duration, pending: mpsc::Sender<Vec<Session>>, stop: CancellationToken) {
        let mut ticks = interval(every);
        // After a call that took long there is no need to catch up.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let beating = async {
            loop {
                ticks.tick().await;
                self.beat(&pending).await;
            }
        };
        stop.run_until_cancelled(beating).await;
        self.leave().await;
    }

    /// Leaves the cluster: the node is offline at once, and its sessions go on.
    pub async fn leave(self) {
        let node = self.node();
        let store = &self.joining.store;
        let leaving = if self.joining.delete_on_exit.load(Ordering::Relaxed) {
            store.leave_for_good(node)
        } else {
            store.leave(node)
        };
        if let Err(error) = bounded(self.patience, "leave", leaving).await {
            tracing::warn!(%node, %error, "the store was not told that this node stops: it takes it for online until \
                 the time-out");
        }
    }

    async fn beat(&mut self, pending: &mpsc::Sender<Vec<Session>>) {
        let Joining { load, metrics, .. } = &mut self.joining;
        let (reading, published) = tokio::join!(load.read(), metrics.read());
        match self.load_condition.now(reading.as_ref().err()) {
            Change::None => {}
            Change::Failed(error) => tracing::warn!(error, "this node's load cannot be read: the last reading stands"),
            Change::Recovered => tracing::info!("this node's load can be read again"),
        }
        if let Ok(reading) = reading {
            self.joining.registration.reading = reading;
        }
        self.metrics_told.tell(&published.problems);

        let beaten = self.heartbeat().await;
        self.note_standing(&beaten);
        match self.store_condition.now(beaten.as_ref().err().filter(|error| !error.is_refusal())) {
            Change::None => {}
            Change::Failed(error) => tracing::warn!(error, "no heartbeat: trying again at the next"),
            Change::Recovered => tracing::info!("heartbeats arrive again"),
        }
        let Ok(Some(beat)) = beaten else { return };
        self.joining.clock.read(beat.now);
        let due = beat.drain.filter(|drain| drain.is_due(beat.now));
        self.due.send_if_modified(|present| std::mem::replace(present, due.clone()) != due);
        self.publish(published.numbers).await;
        self.send_on(beat.pending, pending);
        self.beats = self.beats.wrapping_add(1);
        if self.beats.is_multiple_of(JUDGE_EVERY) {
            self.judge().await;
        }
    }

    /// Whoever is refused serves nobody; where the store did not answer, it stays as it was.
    fn note_standing(&self, beaten: &Result<Option<Heartbeat>, RegisterError>) {
        let now = match beaten {
            Ok(_) => None,
            Err(error) if error.is_refusal() => Some(error.to_string()),
            Err(_) => return,
        };
        self.standing.send_if_modified(|standing| {
            if *standing == now {
                return false;
            }
            match &now {
                Some(why) => tracing::error!("{why}; this node serves nobody until then"),
                None => tracing::info!("this node is a member of the cluster again"),
            }
            *standing = now;
            true
        });
    }

    /// Compares the machine's clock with what the store said between two looks at it.
    fn measure_clock(&mut self, before: Timestamp, store: Timestamp, after: Timestamp) {
        let took = after.duration_since(before);
        // So wide is the uncertainty; where the clock was set meanwhile, nothing is known either.
        if took.is_negative() || took > MEASURABLE {
            return;
        }
        let ahead = before.duration_since(store).saturating_add(took / 2);
        self.clock_ahead = Some(ahead);
        let trouble = clock_trouble(ahead);
        let direction = trouble.as_ref().map(|_| if ahead.is_negative() { "behind" } else { "ahead" });
        if let Change::Failed(_) = self.clock_condition.now(direction.as_ref()) {
            tracing::warn!("this machine's clock is {}: is it kept by NTP?", trouble.unwrap_or_default());
        }
    }

    fn send_on(&mut self, mut sessions: Vec<Session>, pending: &mpsc::Sender<Vec<Session>>) {
        sessions.append(&mut self.lost);
        if sessions.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(mut sessions)) = pending.try_send(sessions) {
            sessions.retain(|session| session.state == State::Lost);
            self.lost = sessions;
        }
    }

    /// One heartbeat; where the node's row is gone, it registers again instead.
    async fn heartbeat(&mut self) -> Result<Option<Heartbeat>, RegisterError> {
        let Joining { store, registration, clock, .. } = &self.joining;
        let node = self.node();
        let beat =
            Beat { place: registration.place.clone(), reading: registration.reading, clock_ahead: self.clock_ahead };
        let before = clock.local();
        let answer: Option<Heartbeat> = bounded(self.patience, "heartbeat", store.heartbeat(node, &beat)).await?;
        if let Some(beat) = answer {
            let after = clock.local();
            self.measure_clock(before, beat.now, after);
            return Ok(Some(beat));
        }
        let id = bounded(self.patience, "registration", store.register(registration)).await?;
        self.offer_told = None;
        tracing::warn!(node = %id, before = %node, "the cluster did not know this node any more: it registered again");
        if id != node {
            self.joining.registration.id = Some(id);
            self.node.send_replace(id);
            let identity = Identity { id, name: self.joining.registration.name.clone() };
            let directory = self.joining.data_dir.clone();
            let kept = aside("evenkeel-node-id", self.patience, move || identity.write(&directory)).await;
            match kept {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "this node's new id is not kept"),
                Err(error) => tracing::warn!(%error, "this node's new id is not kept"),
            }
        }
        Ok(None)
    }

    async fn judge(&self) {
        let Joining { store, node_timeout, .. } = &self.joining;
        match bounded(self.patience, "expiry", store.expire(*node_timeout)).await {
            Ok(lost) if lost.is_empty() => {}
            Ok(lost) => tracing::warn!(sessions = ?lost, "their node is offline: these sessions are lost"),
            // The next heartbeat tells.
            Err(error) => tracing::debug!(%error, "the silence of the others was not judged"),
        }
    }
}

/// Registers. Where a node is online under the id, it may be the one before this, on a machine that has started anew
/// meanwhile or from which it was moved: then it goes silent; or this data directory is a copy.
async fn register(joining: &Joining) -> Result<NodeId, RegisterError> {
    let Joining { store, registration, node_timeout, .. } = joining;
    let mut patience = *node_timeout + *node_timeout / 4;
    let mut is_told = false;
    loop {
        let refused = match bounded(PATIENCE, "registration", store.register(registration)).await {
            Err(error @ RegisterError::IdTaken { .. }) => error,
            other => return other,
        };
        let pause = (*node_timeout / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let Some(left) = patience.checked_sub(pause) else { return Err(refused) };
        if !is_told {
            tracing::warn!("{refused}; waiting whether it goes silent");
            is_told = true;
        }
        patience = left;
        tokio::time::sleep(pause).await;
    }
}

/// A call of the store that fails where it takes too long.
async fn bounded<T, E: From<StoreError>>(
    patience: Duration,
    operation: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(patience, call).await.unwrap_or_else(|_| {
        let message = format!("the store did not answer within {} s", patience.as_secs_f32());
        Err(StoreError::Database { operation, message }.into())
    })
}
