//! What runs here and what the store says of it are brought together again: at the start, and from time to time, since
//! the store may have been away or this node may have been thought lost.

use std::sync::Arc;

use crate::{
    domain::{Epoch, Session, SessionId, State},
    launcher::{Exit, Running},
    store::{Report, SessionFilter, StoreError},
};

use super::{Owner, hands::Hand};

const GONE: &str = "its program was gone when the daemon returned";

const RESTARTED: &str = "its node was restarted, and the program ended with it";

impl Owner {
    /// Adopts the programs that run, stops those that have been superseded, and reports those that are gone.
    pub(in crate::sessions) async fn reconcile(self: &Arc<Self>) -> Result<(), StoreError> {
        let restarted = self.launcher.machine_restarted();
        // Before the rows are read: what is kept of a start has a row by then.
        let kept = self.launcher.kept().await;
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
        match kept {
            Ok(mut kept) => {
                kept.retain(|id| rows.iter().all(|row| row.id != *id) && programs.iter().all(|one| one.id != *id));
                self.tidy(kept).await?;
            }
            Err(error) => tracing::debug!("what is kept of sessions cannot be listed: {error}"),
        }
        // Newest first: those that have waited longest are to have their turn first.
        for row in rows.into_iter().rev() {
            let runs = programs.iter().any(|program| program.id == row.id && program.epoch == row.epoch);
            if !runs {
                self.account_for(row, restarted);
            }
        }
        self.launcher.note_machine_start().await;
        Ok(())
    }

    /// A program that runs here.
    fn adopt(self: &Arc<Self>, program: &Running, row: Option<Session>) {
        let owner = Arc::clone(self);
        let (id, epoch, pid) = (program.id, program.epoch, program.pid);
        let is_this_start = |row: &Session| row.epoch == epoch && self.is_ours(row, row);
        let Some(row) = row.filter(is_this_start) else {
            tracing::info!(session = %id, %epoch, "superseded: its program is stopped");
            // Whoever has it in hand sees it end, and the report of that is void.
            return self.spawn(async move { owner.stop_superseded(id, epoch).await });
        };
        if let Some(hand) = self.hands.take(id, epoch) {
            tracing::info!(session = %id, %epoch, state = %row.state, "its program runs: adopted");
            if let Some(wanted) = row.wanted {
                self.hands.want(id, epoch, wanted);
            }
            // One that is being started counts to the start queue, before others have their turn.
            let place = if row.was_active() { None } else { self.starts.take() };
            self.spawn(async move {
                if row.was_active() {
                    owner.watch_again(&row, hand).await;
                } else {
                    owner.see_through(&row, pid, hand, place).await;
                }
            });
        } else if row.state == State::Lost {
            tracing::info!(session = %id, %epoch, "thought lost, but its program runs");
            self.spawn(async move { owner.take_back(&row, pid).await });
        }
    }

    /// Watches on what has been active. That it answers now is not asked: it may be busy, and is not to be stopped for that.
    async fn watch_again(self: &Arc<Self>, row: &Session, hand: Hand) {
        let metering = self.meter(row);
        if row.state == State::Lost && self.report_active(row).await.is_none() {
            return self.stop_superseded(row.id, row.epoch).await;
        }
        self.watch(row, hand, metering).await;
    }

    /// This node was thought lost, but its daemon was there all the time and has the session in hand. Whether what is being
    /// started gets ready, whoever has it in hand reports.
    async fn take_back(&self, row: &Session, pid: u32) {
        let report = if row.was_active() { Report::Active } else { Report::Started { pid } };
        self.report(row, report).await;
    }

    /// A row of this node whose program does not run.
    fn account_for(self: &Arc<Self>, row: Session, restarted: bool) {
        match (row.state, row.claimed, row.wanted) {
            // It was never claimed, so that it never ran here.
            (State::Lost, false, _) => {}
            (State::Starting, false, _) | (_, _, Some(_)) => self.look(row),
            (state, true, None) => {
                let Some(hand) = self.hands.take(row.id, row.epoch) else { return };
                let owner = Arc::clone(self);
                self.spawn(async move {
                    match state {
                        _ if row.is_job => owner.account_for_job(&row, restarted).await,
                        State::Starting => owner.start_again(&row, GONE, hand).await,
                        _ => owner.conclude_gone(&row, restarted).await,
                    }
                });
            }
            (_, false, None) => {}
        }
    }

    /// An active session whose program ended while nobody looked; its launcher may know how.
    async fn conclude_gone(&self, row: &Session, restarted: bool) {
        match self.unseen_end(row, restarted).await {
            Exit::Unknown => self.fail(row, GONE).await,
            Exit::MachineRestart => self.fail(row, RESTARTED).await,
            exit => self.conclude(row, &exit).await,
        }
    }

    /// How a program ended that does not run here any more.
    pub(super) async fn unseen_end(&self, row: &Session, restarted: bool) -> Exit {
        match self.launcher.watch(row.id, row.epoch).await {
            Exit::Unknown if restarted => Exit::MachineRestart,
            exit => exit,
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
