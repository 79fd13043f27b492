//! The deadline of a drain of this node, which the store keeps and this node keeps to, also after a restart.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Owner;
use crate::{
    domain::{Drain, Session, State, Wanted},
    launcher::kind::Suspend,
    store::{SessionFilter, StoreError},
};

/// How often is looked, after the deadline, what has become active meanwhile and what the store did not take.
const AGAIN: Duration = Duration::from_secs(2);

impl Owner {
    /// From the moment that `due` has a drain, stops what it says is to be stopped, until stopped itself.
    pub(in crate::sessions) async fn run_drain(
        self: &Arc<Self>,
        mut due: watch::Receiver<Option<Drain>>,
        stop: &CancellationToken,
    ) {
        let work = async {
            let mut is_told = false;
            loop {
                let drain = due.borrow_and_update().clone();
                let Some(drain) = drain else {
                    // Its sender ends with the daemon.
                    if due.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                    continue;
                };
                match self.empty(&drain).await {
                    Ok(()) => is_told = false,
                    Err(error) if is_told => tracing::debug!("this node is not emptied yet: {error}"),
                    Err(error) => {
                        tracing::warn!("this node is not emptied yet: {error}");
                        is_told = true;
                    }
                }
                // Whichever comes first: that the order changes or that it is time for another look.
                let _ = tokio::time::timeout(AGAIN, due.changed()).await;
            }
        };
        let _ = stop.run_until_cancelled(work).await;
    }

    /// Stops what runs here as the drain says.
    pub(in crate::sessions) async fn empty(self: &Arc<Self>, drain: &Drain) -> Result<(), StoreError> {
        let states = vec![State::Active];
        let filter = SessionFilter { node: Some(self.node), states, ..SessionFilter::default() };
        for session in self.store.sessions(&filter).await? {
            let Some(wanted) = self.verdict(drain, &session).filter(|_| session.wanted.is_none()) else { continue };
            let (id, epoch) = (session.id, session.epoch);
            let order = if drain.maintenance { "in maintenance" } else { "being drained" };
            let note = format!("{} since {} is {order}", wanted.as_str(), self.here.name);
            // The one who orders is not asked again: an order that is taken back in this moment comes too late.
            let asked = self.store.want_unused(id, epoch, wanted, &note, &|| true).await?;
            if let Some(session) = asked {
                tracing::info!(session = %id, %epoch, "{note}");
                self.look(session);
                self.mirror.announce();
            }
        }
        Ok(())
    }

    /// What is not known of its kind any more could be lost.
    fn verdict(&self, drain: &Drain, session: &Session) -> Option<Wanted> {
        let keeps = self.kinds.get(&session.kind).is_some_and(|kind| kind.suspend == Suspend::Keeps);
        drain.verdict(keeps, session.is_job)
    }
}
