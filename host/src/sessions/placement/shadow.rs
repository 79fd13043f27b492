//! A second balancer that is asked what it would have decided (`balancer-shadow`).
//!
//! It is asked after the reservation has been committed, about one decision after the other, and nobody waits for it: where
//! it does not keep up, decisions are passed over and counted. What it says goes beside the placement's record.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    balancer::{Answer, Fallback, Refusal},
    domain::{Epoch, NodeId, Session, SessionId, Shadow, shadow::Outcome},
    store::Store,
};

use super::{batch, shown::Shown};

/// How many decisions wait to be put to it.
const WAITING: usize = 64;

/// Beside how many of the newest placements its answers are kept.
const KEPT: u32 = 10_000;

/// Where decisions are handed in.
#[derive(Debug)]
pub struct Second {
    decisions: mpsc::Sender<Decided>,
    /// Who is asked.
    policy: ArcSwapOption<Fallback>,
    missed: AtomicU64,
}

/// Puts them to the second balancer.
#[derive(Debug)]
pub struct Worker {
    decisions: mpsc::Receiver<Decided>,
    second: Arc<Second>,
}

#[derive(Debug)]
struct Decided {
    session: SessionId,
    epoch: Epoch,
    shown: Arc<Shown>,
}

impl Second {
    /// Both ends; nobody is asked yet.
    pub fn new() -> (Arc<Self>, Worker) {
        let (sender, decisions) = mpsc::channel(WAITING);
        let second = Arc::new(Self { decisions: sender, policy: ArcSwapOption::empty(), missed: AtomicU64::new(0) });
        let worker = Worker { decisions, second: Arc::clone(&second) };
        (second, worker)
    }

    /// Asks what is selected in `policy` from now on.
    pub fn ask(&self, policy: Option<Arc<Fallback>>) {
        self.policy.store(policy);
    }

    /// How many decisions it was not asked about, since it was busy with others.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Puts a decision that has been committed to the second balancer, at some time.
    pub(super) fn offer(&self, session: &Session, shown: &Arc<Shown>) {
        if self.policy.load().is_none() {
            return;
        }
        let decided = Decided { session: session.id, epoch: session.epoch, shown: Arc::clone(shown) };
        if self.decisions.try_send(decided).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Worker {
    /// Works until stopped, and writes what is said to `store`.
    pub async fn run(mut self, store: Arc<dyn Store>, stop: CancellationToken) {
        let ask = async {
            while let Some(decided) = self.decisions.recv().await {
                self.compare(&*store, decided).await;
            }
        };
        stop.run_until_cancelled(ask).await;
    }

    async fn compare(&self, store: &dyn Store, Decided { session, epoch, shown }: Decided) {
        let Some(policy) = self.second.policy.load_full() else { return };
        let Ok(shadow) = tokio::task::spawn_blocking(move || ask(&policy, &shown)).await else {
            tracing::error!("a shadow's decision panicked");
            return;
        };
        if let Err(error) = store.note_shadow(session, epoch, &shadow, KEPT).await {
            tracing::warn!(%session, "what the shadow said is not kept: {error}");
        }
    }
}

fn ask(policy: &Fallback, shown: &Shown) -> Shadow {
    let selected = policy.selected();
    let since = Instant::now();
    let outcome = selected.try_out(&shown.question);
    let (duration, outcome) = match outcome {
        Ok(answer) => (answer.duration, chose(answer, &shown.nodes)),
        Err(Refusal::Declined(reason)) => (since.elapsed(), Outcome::Declined(reason)),
        Err(Refusal::Failed(why)) => (since.elapsed(), Outcome::Failed(why)),
    };
    let digest = selected.balancer.digest().map(ToOwned::to_owned);
    let first = shown.order.first().and_then(|&index| shown.nodes.get(usize::try_from(index).ok()?));
    let balancer = selected.balancer.name().to_owned();
    Shadow { balancer, digest, duration, outcome, compared_with: first.copied() }
}

fn chose(answer: Answer, nodes: &[NodeId]) -> Outcome {
    let (candidates, scores) = batch::candidates(&answer, nodes);
    Outcome::Chose { candidates, scores, reason: answer.reason }
}

#[cfg(test)]
mod tests;
