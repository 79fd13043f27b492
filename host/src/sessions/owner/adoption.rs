//! What runs here and what the store says of it are brought together again: at the start, and from time to time, since
//! the store may have been away or this node may have been thought lost.

use std::sync::Arc;

use crate::{
    domain::{Epoch, Session, SessionId, State},
    launcher::{Exit, Running},
    store::{SessionFilter, StoreError},
};

use super::Owner;

const GONE: &str = "its program was gone when the daemon returned";

impl Owner {
    /// Adopts the programs that run, stops those that have been superseded, and reports those that are gone.
    pub(super) async fn reconcile(self: &Arc<Self>) -> Result<(), StoreError> {
        let filter = SessionFilter {
            node: Some(self.node),
            states: vec![State::Starting, State::Active, State::Lost],
            ..SessionFilter::default()
        };
        let rows = self.store.sessions(&filter).await?;
        let programs = self.launcher.running().await;
        for program in &programs {
            // Another node's row, or one that is over.
            let row = match rows.iter().find(|row| row.id == program.id && row.epoch == program.epoch) {
                Some(row) => Some(row.clone()),
                None => self.store.session(program.id).await?,
            };
            self.adopt(program, row);
        }
        for row in rows {
            let runs = programs.iter().any(|program| program.id == row.id && program.epoch == row.epoch);
            if !runs {
                self.account_for(row);
            }
        }
        Ok(())
    }

    /// A program that runs here.
    fn adopt(self: &Arc<Self>, program: &Running, row: Option<Session>) {
        let Some(hand) = self.hands.take(program.id, program.epoch) else { return };
        let is_this_start = |row: &Session| row.epoch == program.epoch && self.is_ours(row, row);
        match row.filter(is_this_start) {
            None => {
                tracing::info!(session = %program.id, epoch = %program.epoch, "superseded: its program is stopped");
                let (owner, program) = (Arc::clone(self), program.clone());
                self.spawn(async move {
                    owner.stop_superseded(program.id, program.epoch).await;
                    drop(hand);
                });
            }
            Some(row) => {
                if let Some(wanted) = row.wanted {
                    self.hands.want(row.id, row.epoch, wanted);
                }
                tracing::info!(session = %row.id, epoch = %row.epoch, state = %row.state, "its program runs: adopted");
                let (owner, pid) = (Arc::clone(self), program.pid);
                self.spawn(async move {
                    match row.state {
                        State::Active => owner.watch(&row, hand).await,
                        _ => owner.see_through(&row, pid, hand, None).await,
                    }
                });
            }
        }
    }

    /// A row of this node whose program does not run.
    fn account_for(self: &Arc<Self>, row: Session) {
        match (row.state, row.claimed, row.wanted) {
            (State::Lost, ..) => {}
            (State::Starting, false, _) | (_, _, Some(_)) => self.look(row),
            (state, true, None) => {
                let Some(hand) = self.hands.take(row.id, row.epoch) else { return };
                let owner = Arc::clone(self);
                self.spawn(async move {
                    match state {
                        State::Starting => owner.try_next(&row, GONE, hand).await,
                        _ => owner.conclude_gone(&row).await,
                    }
                });
            }
            (_, false, None) => {}
        }
    }

    /// An active session whose program ended while nobody looked; its launcher may know how.
    async fn conclude_gone(&self, row: &Session) {
        match self.launcher.watch(row.id, row.epoch).await {
            Exit::Unknown => self.fail(row, GONE).await,
            exit => self.conclude(row, &exit).await,
        }
    }

    /// What is left of a start that another has taken the place of.
    pub(super) async fn stop_superseded(&self, id: SessionId, epoch: Epoch) {
        if let Err(error) = self.launcher.stop(id, epoch).await {
            // It still runs, so that it is found again at the next round.
            tracing::error!(session = %id, %epoch, "cannot stop what has been superseded: {error}");
        }
    }
}
