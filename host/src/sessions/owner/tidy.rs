//! What is kept of sessions that are no longer this node's: they were resumed or started elsewhere, or ended while nobody
//! could tell this node.

use super::Owner;
use crate::{
    domain::{SessionId, State},
    store::{SessionFilter, StoreError},
};

impl Owner {
    /// Forgets those of sessions which do not run here that are not waiting here either.
    pub(super) async fn tidy(&self, mut kept: Vec<SessionId>) -> Result<(), StoreError> {
        if kept.is_empty() {
            return Ok(());
        }
        let states = vec![State::Suspended, State::Failed];
        let filter = SessionFilter { node: Some(self.node), states, ..SessionFilter::default() };
        let waiting = self.store.sessions(&filter).await?;
        kept.retain(|id| waiting.iter().all(|row| row.id != *id) && self.hands.epochs(*id).is_empty());
        for id in kept {
            // Read again: it may have come here meanwhile.
            let is_ours = match self.store.session(id).await? {
                // The log of a job is kept for a while.
                Some(row) => row.node == self.node && (row.state != State::Ended || self.keeps_log(&row)),
                None => false,
            };
            if !is_ours {
                tracing::debug!(session = %id, "not here any more: what is kept of it goes");
                self.launcher.forget(id).await;
            }
        }
        Ok(())
    }
}
