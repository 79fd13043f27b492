//! The one queue through which a daemon places.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Entropy, Peer},
    sessions::SessionError,
    store::{Reservation, Store, StoreError},
};

use super::{
    Order, Placed, Policy, Terms,
    batch::{self, Made, Ruled, Wish},
    beside::{self, Desk},
    recorder::Recorder,
    shadow::Second,
    shown::Shown,
    view::View,
};

/// How many orders wait at most.
const CAPACITY: usize = 4096;

/// How long an order waits at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where orders are handed in.
#[derive(Clone, Debug)]
pub struct Placer {
    orders: mpsc::Sender<Waiting>,
}

/// Where they are decided, one batch after the other.
#[derive(Debug)]
pub struct Queue {
    orders: mpsc::Receiver<Waiting>,
    desk: Desk,
    recorder: Recorder,
    second: Option<Arc<Second>>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) order: Order,
    /// The groups of who asks.
    pub(super) groups: Vec<String>,
    /// What a slow policy has decided on it.
    pub(super) ruled: Option<Ruled>,
    since: Instant,
    answer: oneshot::Sender<Result<Placed, SessionError>>,
}

/// A decided order that is not committed yet.
struct Decided {
    waiting: Waiting,
    reservation: Reservation,
    shown: Arc<Shown>,
    peer: Peer,
}

impl Placer {
    /// Reserves a node for a session whose user is in these groups.
    pub async fn place(&self, order: Order, groups: Vec<String>) -> Result<Placed, SessionError> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { order, groups, ruled: None, since: Instant::now(), answer };
        self.orders.try_send(waiting).map_err(|_| SessionError::Busy)?;
        answered.await.map_err(|_| SessionError::Busy)?
    }
}

impl Queue {
    /// A queue and the place to hand orders in.
    pub fn new(store: Arc<dyn Store>, policy: Arc<dyn Policy>, entropy: Arc<dyn Entropy>) -> (Placer, Self) {
        let (sender, orders) = mpsc::channel(CAPACITY);
        let desk = Desk::new(store, policy, entropy);
        (Placer { orders: sender }, Self { orders, desk, recorder: Recorder::default(), second: None })
    }

    /// Has these terms kept.
    pub fn under(mut self, terms: Terms) -> Self {
        self.desk.terms = terms;
        self
    }

    /// Hands over what decisions were made on, to be kept.
    pub(in crate::sessions) fn with_recorder(self, recorder: Recorder) -> Self {
        Self { recorder, ..self }
    }

    /// Hands what has been committed to a second balancer, to be compared.
    pub fn with_second(self, second: Option<Arc<Second>>) -> Self {
        Self { second, ..self }
    }

    /// Places until stopped; orders that still wait then are answered with `Busy`.
    pub async fn run(&mut self, stop: &CancellationToken) {
        let mut waiting = VecDeque::new();
        let mut asking = JoinSet::new();
        while self.fill(&mut waiting, &mut asking, stop).await {
            let (batch, later) = one_a_session(waiting.drain(..));
            // What another daemon was faster than keeps its place before all that came after it.
            let stale = self.place(batch).await;
            waiting.extend(stale.into_iter().chain(later).filter_map(|one| self.admit(one, &mut asking)));
        }
        self.orders.close();
        while self.orders.try_recv().is_ok() {}
    }

    /// Fills a batch; waits where there is nothing to do. False once stopped.
    async fn fill(
        &mut self,
        waiting: &mut VecDeque<Waiting>,
        asking: &mut JoinSet<Option<Waiting>>,
        stop: &CancellationToken,
    ) -> bool {
        while waiting.is_empty() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                Some(asked) = asking.join_next(), if !asking.is_empty() => waiting.extend(beside::outcome(asked)),
                order = self.orders.recv(), if asking.len() < beside::MOST => match order {
                    Some(order) => waiting.extend(self.admit(order, asking)),
                    None => return false,
                },
            }
        }
        while waiting.len() < batch::MOST {
            if let Some(asked) = asking.try_join_next() {
                waiting.extend(beside::outcome(asked));
            } else if asking.len() < beside::MOST
                && let Ok(order) = self.orders.try_recv()
            {
                waiting.extend(self.admit(order, asking));
            } else {
                break;
            }
        }
        !stop.is_cancelled()
    }

    /// Where a slow policy has to be asked first, has that done, and returns nothing.
    fn admit(&self, waiting: Waiting, asking: &mut JoinSet<Option<Waiting>>) -> Option<Waiting> {
        if waiting.ruled.is_some() || !self.desk.policy.is_slow() {
            return Some(waiting);
        }
        asking.spawn(self.desk.clone().ask(waiting));
        None
    }

    /// Reads, decides, commits. Returns the orders to be decided again, in their order.
    async fn place(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let batch = still_wanted(batch);
        if batch.is_empty() {
            return batch;
        }
        let view = match self.desk.store.snapshot().await {
            Ok(snapshot) => View::new(snapshot),
            Err(error) => return refuse(batch, &error),
        };
        // Read after the snapshot: what changes a session in between changes the revision too.
        let (batch, wishes) = self.wishes(batch, &view).await;
        let seen = view.revision();
        let (decided, mut again) = self.decide(batch, wishes, view).await;
        if decided.is_empty() {
            return again;
        }
        let reservations: Vec<_> = decided.iter().map(|decided| decided.reservation.clone()).collect();
        match self.desk.store.reserve(seen, &reservations).await {
            Ok(true) => self.confirm(decided),
            Ok(false) => again.extend(decided.into_iter().map(|decided| decided.waiting)),
            Err(error) => again.extend(self.settle(decided, &error).await),
        }
        again
    }

    /// Answers the orders of a commit, and hands over what their decisions were made on.
    fn confirm(&self, decided: Vec<Decided>) {
        let shown = decided.iter().map(|one| {
            let Reservation { session, decision, .. } = &one.reservation;
            (session.id, session.epoch, decision.digest.clone(), Arc::clone(&one.shown))
        });
        self.recorder.keep(shown.collect());
        for one in decided {
            if let Some(second) = &self.second {
                second.offer(&one.reservation.session, &one.shown);
            }
            one.confirm();
        }
    }

    /// After a commit that failed: the store has all of the batch, or nothing of it because an id was drawn twice or the
    /// store is away.
    async fn settle(&self, decided: Vec<Decided>, error: &StoreError) -> Vec<Waiting> {
        for new in decided.iter().filter(|decided| decided.reservation.new) {
            let drawn = &new.reservation.session;
            match self.desk.store.session(drawn.id).await {
                Ok(None) => {}
                Ok(Some(stored)) if stored.user == drawn.user && stored.created == drawn.created => {
                    self.confirm(decided);
                    return Vec::new();
                }
                Ok(Some(_)) => return decided.into_iter().map(|decided| decided.waiting).collect(),
                Err(_) => break,
            }
        }
        refuse(decided.into_iter().map(|decided| decided.waiting), error)
    }

    /// Makes each order a wish; answers those that ask for what cannot be.
    async fn wishes(&self, batch: Vec<Waiting>, view: &View) -> (Vec<Waiting>, Vec<Wish>) {
        let mut waiting = Vec::with_capacity(batch.len());
        let mut wishes = Vec::with_capacity(batch.len());
        for one in batch {
            match self.desk.wish(&one.order, &one.groups, view).await {
                Ok(wish) => {
                    wishes.push(Wish { ruled: one.ruled.clone(), ..wish });
                    waiting.push(one);
                }
                Err(error) => one.answer(Err(error)),
            }
        }
        (waiting, wishes)
    }

    /// Asks the policy, on a thread that may block; answers the orders that it finds no node for. Returns those with a node,
    /// and those that have to be asked about again.
    async fn decide(&self, batch: Vec<Waiting>, wishes: Vec<Wish>, mut view: View) -> (Vec<Decided>, Vec<Waiting>) {
        let Desk { policy, entropy, .. } = self.desk.clone();
        let decisions = tokio::task::spawn_blocking(move || {
            let decisions = batch::decide(wishes, &mut view, policy.as_ref(), entropy.as_ref());
            decisions
                .into_iter()
                .map(|decision| decision?.map(|made| with_peer(made, &view)).transpose())
                .collect::<Vec<_>>()
        });
        let Ok(decisions) = decisions.await else {
            // The policy panicked: the orders are answered by dropping them.
            tracing::error!("a placement decision panicked; its orders are refused");
            return (Vec::new(), Vec::new());
        };
        let mut decided = Vec::with_capacity(batch.len());
        let mut again = Vec::new();
        for (waiting, decision) in batch.into_iter().zip(decisions) {
            match decision {
                Ok(Some((Made { reservation, shown }, peer))) => {
                    decided.push(Decided { waiting, reservation, shown, peer });
                }
                Ok(None) => again.push(Waiting { ruled: None, ..waiting }),
                Err(error) => waiting.refuse(error),
            }
        }
        (decided, again)
    }
}

impl Waiting {
    fn answer(self, result: Result<Placed, SessionError>) {
        // Who asked may have gone; the reservation then is found at its node's next heartbeat.
        drop(self.answer.send(result));
    }

    pub(super) fn refuse(self, error: SessionError) {
        tracing::info!(order = ?self.order, "not placed: {error}");
        self.answer(Err(error));
    }

    pub(super) fn is_late(&self) -> bool {
        self.since.elapsed() >= PATIENCE
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }
}

impl Decided {
    fn confirm(self) {
        let Self { waiting, reservation: Reservation { session, decision, .. }, peer, .. } = self;
        tracing::info!(session = %session.id, user = session.user, kind = session.kind, node = peer.name,
            balancer = decision.balancer, reason = decision.reason, fallback = decision.fallback, "placed");
        waiting.answer(Ok(Placed { session, peer }));
    }
}

fn with_peer(made: Made, view: &View) -> Result<(Made, Peer), SessionError> {
    let node =
        view.node(made.reservation.session.node).ok_or_else(|| SessionError::NoNode("its node is gone".to_owned()))?;
    let peer = node.peer();
    Ok((made, peer))
}

/// Of the orders for one session the first, and the others: together they could never be committed, so those are decided
/// on what has become of the session by then.
fn one_a_session(orders: impl IntoIterator<Item = Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut seen = HashSet::new();
    orders.into_iter().partition(|one| one.order.base().is_none_or(|(id, _)| seen.insert(id)))
}

/// Leaves out those that nobody waits for any more, and answers those that have waited too long to be decided.
fn still_wanted(batch: Vec<Waiting>) -> Vec<Waiting> {
    let (batch, late): (Vec<_>, Vec<_>) =
        batch.into_iter().filter(Waiting::is_wanted).partition(|one| one.ruled.is_some() || !one.is_late());
    late.into_iter().for_each(|one| one.answer(Err(SessionError::Busy)));
    batch
}

fn refuse(batch: impl IntoIterator<Item = Waiting>, error: &StoreError) -> Vec<Waiting> {
    for one in batch {
        one.answer(Err(SessionError::Store(error.clone())));
    }
    Vec::new()
}
