//! Orders about which a slow policy is asked: several at once, each on a snapshot of its own, while the queue goes on.
//!
//! What the policy said goes back to the queue, which commits it: there only the rules of [`eligible`](super::eligible) are
//! looked at again, and where another daemon was faster, the commit is tried again, not the policy.

use std::sync::Arc;

use tokio::task::JoinError;

use crate::{
    domain::{Decision, Entropy},
    sessions::SessionError,
    store::Store,
};

use super::{
    Order, Policy,
    batch::{self, Wish},
    queue::Waiting,
    view::View,
};

/// About how many orders a slow policy is asked at once.
pub(super) const MOST: usize = 16;

/// What a decision is made with.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) store: Arc<dyn Store>,
    pub(super) policy: Arc<dyn Policy>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Desk {
    /// What an order asks for; an error where that cannot be.
    pub(super) async fn wish(&self, order: &Order, view: &View) -> Result<Wish, SessionError> {
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

    /// Asks the policy about an order, and returns the order with what it said; none where the order has been answered.
    pub(super) async fn ask(self, mut waiting: Waiting) -> Option<Waiting> {
        if !waiting.is_wanted() {
            return None;
        }
        match self.rule(&waiting.order).await {
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

    async fn rule(self, order: &Order) -> Result<Decision, SessionError> {
        let mut view = View::new(self.store.snapshot().await?);
        let wish = self.wish(order, &view).await?;
        let asked = tokio::task::spawn_blocking(move || {
            batch::ask(&wish, 0, &mut view, self.policy.as_ref(), self.entropy.as_ref())
        });
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
