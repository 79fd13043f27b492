//! The one queue through which a daemon places.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::Entropy,
    sessions::SessionError,
    store::{Reservation, Store, StoreError},
    wire::peer::Peer,
};

use super::{
    Order, Placed, Policy,
    batch::{self, Wish},
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
    store: Arc<dyn Store>,
    policy: Arc<dyn Policy>,
    entropy: Arc<dyn Entropy>,
}

#[derive(Debug)]
struct Waiting {
    order: Order,
    since: Instant,
    answer: oneshot::Sender<Result<Placed, SessionError>>,
}

/// A decided order that is not committed yet.
struct Decided {
    waiting: Waiting,
    reservation: Reservation,
    peer: Peer,
}

impl Placer {
    /// Reserves a node for a session.
    pub async fn place(&self, order: Order) -> Result<Placed, SessionError> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { order, since: Instant::now(), answer };
        self.orders.try_send(waiting).map_err(|_| SessionError::Busy)?;
        answered.await.map_err(|_| SessionError::Busy)?
    }
}

impl Queue {
    /// A queue and the place to hand orders in.
    pub fn new(store: Arc<dyn Store>, policy: Arc<dyn Policy>, entropy: Arc<dyn Entropy>) -> (Placer, Self) {
        let (sender, orders) = mpsc::channel(CAPACITY);
        (Placer { orders: sender }, Self { orders, store, policy, entropy })
    }

    /// Places until stopped; orders that still wait then are answered with `Busy`.
    pub async fn run(&mut self, stop: &CancellationToken) {
        let mut waiting = VecDeque::new();
        while self.fill(&mut waiting, stop).await {
            let (batch, later) = one_a_session(waiting.drain(..));
            // What another daemon was faster than keeps its place before all that came after it.
            let stale = self.place(batch).await;
            waiting.extend(stale.into_iter().chain(later));
        }
        self.orders.close();
        while self.orders.try_recv().is_ok() {}
    }

    /// Fills a batch; waits where there is nothing to do. False once stopped.
    async fn fill(&mut self, waiting: &mut VecDeque<Waiting>, stop: &CancellationToken) -> bool {
        if waiting.is_empty() {
            match stop.run_until_cancelled(self.orders.recv()).await.flatten() {
                Some(first) => waiting.push_back(first),
                None => return false,
            }
        }
        while waiting.len() < batch::MOST
            && let Ok(next) = self.orders.try_recv()
        {
            waiting.push_back(next);
        }
        !stop.is_cancelled()
    }

    /// Reads, decides, commits. Returns the orders to be decided again, in their order.
    async fn place(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let batch = still_wanted(batch);
        if batch.is_empty() {
            return batch;
        }
        let view = match self.store.snapshot().await {
            Ok(snapshot) => View::new(snapshot),
            Err(error) => return refuse(batch, &error),
        };
        // Read after the snapshot: what changes a session in between changes the revision too.
        let (batch, wishes) = self.wishes(batch, &view).await;
        let seen = view.revision();
        let decided = self.decide(batch, wishes, view).await;
        if decided.is_empty() {
            return Vec::new();
        }
        let reservations: Vec<_> = decided.iter().map(|decided| decided.reservation.clone()).collect();
        match self.store.reserve(seen, &reservations).await {
            Ok(true) => {
                decided.into_iter().for_each(Decided::confirm);
                Vec::new()
            }
            Ok(false) => decided.into_iter().map(|decided| decided.waiting).collect(),
            Err(error) => self.settle(decided, &error).await,
        }
    }

    /// After a commit that failed: the store has all of the batch, or nothing of it because an id was drawn twice or the
    /// store is away.
    async fn settle(&self, decided: Vec<Decided>, error: &StoreError) -> Vec<Waiting> {
        for new in decided.iter().filter(|decided| decided.reservation.new) {
            let drawn = &new.reservation.session;
            match self.store.session(drawn.id).await {
                Ok(None) => {}
                Ok(Some(stored)) if stored.user == drawn.user && stored.created == drawn.created => {
                    decided.into_iter().for_each(Decided::confirm);
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
            match self.wish(&one.order, view).await {
                Ok(wish) => {
                    waiting.push(one);
                    wishes.push(wish);
                }
                Err(error) => one.answer(Err(error)),
            }
        }
        (waiting, wishes)
    }

    async fn wish(&self, order: &Order, view: &View) -> Result<Wish, SessionError> {
        let id = match order {
            Order::New(new) => return Ok(Wish::new(new, view, self.entropy.as_ref())),
            Order::Resume { id, .. } | Order::Retry { id, .. } => *id,
        };
        let stored = self.store.session(id).await?.ok_or(SessionError::Missing(id))?;
        match order.objection(&stored) {
            Some(problem) => Err(SessionError::State { id, state: stored.state, problem }),
            None if matches!(order, Order::Resume { .. }) => Ok(Wish::resume(stored, view)),
            None => Ok(Wish::retry(stored, view)),
        }
    }

    /// Asks the policy, on a thread that may block; answers the orders that it finds no node for.
    async fn decide(&self, batch: Vec<Waiting>, wishes: Vec<Wish>, mut view: View) -> Vec<Decided> {
        let (policy, entropy) = (Arc::clone(&self.policy), Arc::clone(&self.entropy));
        let decisions = tokio::task::spawn_blocking(move || {
            let decisions = batch::decide(wishes, &mut view, policy.as_ref(), entropy.as_ref());
            decisions.into_iter().map(|decision| with_peer(decision?, &view)).collect::<Vec<_>>()
        });
        let Ok(decisions) = decisions.await else {
            // The policy panicked: the orders are answered by dropping them.
            tracing::error!("a placement decision panicked; its orders are refused");
            return Vec::new();
        };
        let mut decided = Vec::with_capacity(batch.len());
        for (waiting, decision) in batch.into_iter().zip(decisions) {
            match decision {
                Ok((reservation, peer)) => decided.push(Decided { waiting, reservation, peer }),
                Err(error) => {
                    tracing::info!(order = ?waiting.order, "not placed: {error}");
                    waiting.answer(Err(error));
                }
            }
        }
        decided
    }
}

impl Waiting {
    fn answer(self, result: Result<Placed, SessionError>) {
        // Who asked may have gone; the reservation then is found at its node's next heartbeat.
        drop(self.answer.send(result));
    }
}

impl Decided {
    fn confirm(self) {
        let Self { waiting, reservation: Reservation { session, decision, .. }, peer } = self;
        tracing::info!(session = %session.id, user = session.user, kind = session.kind, node = peer.name,
            balancer = decision.balancer, reason = decision.reason, fallback = decision.fallback, "placed");
        waiting.answer(Ok(Placed { session, peer }));
    }
}

fn with_peer(reservation: Reservation, view: &View) -> Result<(Reservation, Peer), SessionError> {
    let node =
        view.node(reservation.session.node).ok_or_else(|| SessionError::NoNode("its node is gone".to_owned()))?;
    let peer = Peer { name: node.name.clone(), address: node.address.clone() };
    Ok((reservation, peer))
}

/// Of the orders for one session the first, and the others: together they could never be committed, so those are decided
/// on what has become of the session by then.
fn one_a_session(orders: impl IntoIterator<Item = Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut seen = HashSet::new();
    orders.into_iter().partition(|one| one.order.base().is_none_or(|(id, _)| seen.insert(id)))
}

/// Leaves out those that nobody waits for any more, and answers those that have waited too long.
fn still_wanted(batch: Vec<Waiting>) -> Vec<Waiting> {
    let (batch, late): (Vec<_>, Vec<_>) =
        batch.into_iter().filter(|one| !one.answer.is_closed()).partition(|one| one.since.elapsed() < PATIENCE);
    late.into_iter().for_each(|one| one.answer(Err(SessionError::Busy)));
    batch
}

fn refuse(batch: impl IntoIterator<Item = Waiting>, error: &StoreError) -> Vec<Waiting> {
    for one in batch {
        one.answer(Err(SessionError::Store(error.clone())));
    }
    Vec::new()
}
