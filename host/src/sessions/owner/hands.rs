//! Which starts of sessions this node has in hand, so that a nudge and a heartbeat at once are one thing to do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::domain::{Epoch, SessionId, Wanted};

type Key = (SessionId, Epoch);

/// The starts that a task looks after.
#[derive(Clone, Debug, Default)]
pub(super) struct Hands {
    held: Arc<Mutex<HashMap<Key, watch::Sender<Option<Wanted>>>>>,
}

/// One start that its holder alone looks after, until this is dropped.
#[derive(Debug)]
pub(super) struct Hand {
    key: Key,
    hands: Hands,
    wanted: watch::Receiver<Option<Wanted>>,
}

impl Hands {
    /// Takes a start in hand; none where somebody has it.
    pub(super) fn take(&self, id: SessionId, epoch: Epoch) -> Option<Hand> {
        let mut held = self.lock();
        if held.contains_key(&(id, epoch)) {
            return None;
        }
        let (sender, wanted) = watch::channel(None);
        held.insert((id, epoch), sender);
        Some(Hand { key: (id, epoch), hands: self.clone(), wanted })
    }

    /// The epochs of a session that somebody has.
    pub(super) fn epochs(&self, id: SessionId) -> Vec<Epoch> {
        self.lock().keys().filter(|key| key.0 == id).map(|key| key.1).collect()
    }

    /// Tells whoever has it what is wanted of it. To be ended overrides to be suspended.
    pub(super) fn want(&self, id: SessionId, epoch: Epoch, wanted: Wanted) {
        if let Some(sender) = self.lock().get(&(id, epoch)) {
            sender.send_if_modified(|before| {
                let changes = *before != Some(wanted) && *before != Some(Wanted::Ended);
                if changes {
                    *before = Some(wanted);
                }
                changes
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<Option<Wanted>>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    /// Waits until something is wanted of the session.
    pub(super) async fn wanted(&mut self) -> Wanted {
        loop {
            if let Some(wanted) = self.wanted_now() {
                return wanted;
            }
            if self.wanted.changed().await.is_err() {
                // Only dropping this hand closes the channel.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the session is to be ended.
    pub(super) async fn is_to_end(&mut self) {
        if self.wanted.wait_for(|wanted| *wanted == Some(Wanted::Ended)).await.is_err() {
            // Only dropping this hand closes the channel.
            std::future::pending::<()>().await;
        }
    }

    /// What is wanted of the session.
    pub(super) fn wanted_now(&self) -> Option<Wanted> {
        *self.wanted.borrow()
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.hands.lock().remove(&self.key);
    }
}
