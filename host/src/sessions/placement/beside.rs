//! Orders about which a slow policy is asked: several at once, each on a snapshot of its own, while the queue goes on.
//!
//! What the policy said goes back to the queue, which commits it: there only the user's limits and the rules of
//! [`eligible`](super::eligible) are looked at again, and where another daemon was faster, the commit is tried again, not the policy.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinError, time};

use crate::{
    balancer::{Question, Refusal},
    domain::{Entropy, Session},
    sessions::SessionError,
    store::Store,
};

use super::{
    Order, Policy, Ruling, Terms,
    batch::{self, Ruled, Wish},
    queue::Waiting,
    view::View,
};

/// About how many orders wait for a slow policy.
pub(super) const MOST: usize = 4096;

/// About how many it is asked at once.
const AT_ONCE: usize = 16;

/// How long an order waits for its turn; then whoever stands in for the policy decides.
const TURN: Duration = Duration::from_secs(15);

/// What a decision is made with.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) store: Arc<dyn Store>,
    pub(super) policy: Arc<dyn Policy>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) terms: Terms,
    turns: Arc<Semaphore>,
    turn: Duration,
}

/// Whoever stands in for a policy that is busy.
#[derive(Debug)]
struct StandIn(Arc<dyn Policy>);

impl Policy for StandIn {
    fn rank(&self, question: &Question) -> Result<Ruling, Refusal> {
        self.0.stand_in(question)
    }
}

impl Desk {
    pub(super) fn new(store: Arc<dyn Store>, policy: Arc<dyn Policy>, entropy: Arc<dyn Entropy>) -> Self {
        let terms = Terms::default();
        Self { store, policy, entropy, terms, turns: Arc::new(Semaphore::new(AT_ONCE)), turn: TURN }
    }

    /// What an order of a user in these groups asks for; an error where that cannot be.
    pub(super) async fn wish(&self, order: &Order, groups: &[String], view: &View) -> Result<Wish, SessionError> {
        let wish = match order {
            Order::New(new) => Wish::new(new, view, self.entropy.as_ref()),
            Order::Resume { .. } => Wish::resume(self.stored(order).await?, view),
            Order::Retry { .. } => Wish::retry(self.stored(order).await?, view),
        };
        let kind = self.terms.kinds.get(&wish.session.kind);
        let kind_labels = kind.map(|kind| kind.labels.clone()).unwrap_or_default();
        Ok(Wish { kind_labels, ..wish.under(&self.terms.profiles.load(), groups) })
    }

    /// The session that an order is about.
    async fn stored(&self, order: &Order) -> Result<Session, SessionError> {
        let Some((id, _)) = order.base() else { return Err(SessionError::Busy) };
        let stored = self.store.session(id).await?.ok_or(SessionError::Missing(id))?;
        match order.objection(&stored) {
            Some(problem) => Err(SessionError::State { id, state: stored.state, problem }),
            None => Ok(stored),
        }
    }

    /// Asks the policy about an order, and returns the order with what it said; none where the order has been answered.
    pub(super) async fn ask(self, mut waiting: Waiting) -> Option<Waiting> {
        if !waiting.is_wanted() {
            return None;
        }
        if waiting.is_late() {
            waiting.refuse(SessionError::Busy);
            return None;
        }
        match self.rule(&waiting.order, &waiting.groups).await {
            Ok(ruled) => {
                waiting.ruled = Some(ruled);
                Some(waiting)
            }
            Err(error) => {
                waiting.refuse(error);
                None
            }
        }
    }

    async fn rule(&self, order: &Order, groups: &[String]) -> Result<Ruled, SessionError> {
        // The semaphore is never closed.
        let turn = time::timeout(self.turn, self.turns.acquire()).await.ok().and_then(Result::ok);
        let (policy, entropy) = (Arc::clone(&self.policy), Arc::clone(&self.entropy));
        let policy = if turn.is_some() { policy } else { Arc::new(StandIn(policy)) };
        let mut view = View::new(self.store.snapshot().await?);
        let wish = self.wish(order, groups, &view).await?;
        let asked =
            tokio::task::spawn_blocking(move || batch::ask(&wish, 0, &mut view, policy.as_ref(), entropy.as_ref()));
        asked.await.unwrap_or_else(|_| {
            tracing::error!("a placement decision panicked; its order is refused");
            Err(SessionError::Busy)
        })
    }
}

/// What came of asking.
pub(super) fn outcome(asked: Result<Option<Waiting>, JoinError>) -> Option<Waiting> {
    // Not cancelled, and it does not panic; were it to, its order is answered by dropping it.
    asked.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::{
        balancer::{Answer, Balancer, Fallback},
        domain::fakes::Numbers,
        sessions::fixtures::{Cluster, Fewest, new_session},
    };

    /// A desk at which it is nobody's turn, soon.
    async fn busy(policy: Arc<dyn Policy>) -> Result<Ruled, SessionError> {
        let cluster = Cluster::start(1).await;
        let mut desk = Desk::new(cluster.store.clone(), policy, Arc::new(Numbers::default()));
        desk.turns = Arc::new(Semaphore::new(0));
        desk.turn = Duration::from_millis(1);
        desk.rule(&Order::New(new_session("ada")), &[]).await
    }

    #[tokio::test]
    async fn an_order_that_has_waited_long_for_its_turn_is_decided_by_whoever_stands_in() {
        let fewest: Arc<dyn Balancer> = Arc::new(Fewest);
        let policy = Fallback::new(Arc::clone(&fewest), Some(Arc::clone(&fewest)));
        let decision = busy(Arc::new(policy)).await.expect("a decision").decision;
        assert_eq!(decision.fallback.as_deref(), Some("balancer fewest is busy with other decisions"));
        assert_eq!(decision.candidates.len(), 1);
        let refused = busy(Arc::new(Fallback::new(fewest, None))).await.expect_err("nobody stands in").to_string();
        assert!(refused.ends_with("balancer fewest is busy with other decisions"), "{refused}");
    }

    /// Says that each decision took as long as it is told.
    #[derive(Debug)]
    struct Took(AtomicU64);

    impl Balancer for Took {
        fn name(&self) -> &str {
            "took"
        }

        fn digest(&self) -> Option<&str> {
            None
        }

        fn rank(&self, question: &Question) -> Result<Answer, Refusal> {
            let duration = Duration::from_millis(self.0.load(Ordering::SeqCst));
            Fewest.rank(question).map(|answer| Answer { duration, ..answer })
        }
    }

    #[tokio::test]
    async fn a_balancer_that_turns_out_slow_is_asked_beside_the_queue_until_it_is_quick() {
        let took = Arc::new(Took(AtomicU64::new(60)));
        let policy: Arc<dyn Policy> = Arc::new(Fallback::new(took.clone(), None));
        let cluster = Cluster::start_under(Arc::clone(&policy), 1).await;
        let sessions = &cluster.daemons[0].sessions;
        assert!(!policy.is_slow());
        for (millis, slow) in [(60, true), (1, false)] {
            took.0.store(millis, Ordering::SeqCst);
            let mut starts = 0;
            while policy.is_slow() != slow {
                assert!(starts < 100, "{starts} starts were not enough");
                sessions.start(new_session("ada")).await.expect("a start");
                starts += 1;
            }
        }
    }
}
