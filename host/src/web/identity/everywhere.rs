//! Sign-outs on every node: what is ended here is written to the store, and what was ended elsewhere is read from it each
//! second into memory. Requests ask memory alone. While the store is away, a sign-out holds on its own node, and on the
//! others once the store is back.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{SignIns, lock};
use crate::store::{Store, StoreError};

/// How often the store is asked.
const POLL: Duration = Duration::from_secs(1);

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// After so many polls everything is read again: where the store was replaced, it counts from the beginning.
const AFRESH: u32 = 60;

impl SignIns {
    /// Reads what was ended before this daemon started, and what the one before it could not tell.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn catch_up(&self, store: &dyn Store) -> Result<(), StoreError> {
        match self.outbox.read() {
            Ok(kept) => {
                let mut revoked = lock(&self.revoked);
                kept.into_iter().for_each(|sign_out| revoked.add_own(sign_out, self.clock.now()));
                // That is what the file has.
                revoked.changed();
            }
            Err(error) => {
                tracing::error!(%error, "sign-outs of an earlier daemon are lost: sign-outs.json is not readable");
            }
        }
        self.read(store, 0).await.map(drop)
    }

    /// Reads what other nodes end, and writes what could not be written at once, until stopped.
    pub async fn follow(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut polls) = (0, 0_u32);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            polls = polls.wrapping_add(1);
            if polls.is_multiple_of(AFRESH) {
                seen = 0;
                lock(&self.revoked).tidy(self.clock.now());
            }
            let exchange = async {
                self.tell(&*store).await;
                self.read(&*store, seen).await
            };
            match stop.run_until_cancelled(exchange).await {
                Some(Ok(read)) => seen = read,
                // Whoever watches the store closely says that it is away.
                Some(Err(error)) => tracing::debug!(%error, "sign-outs of other nodes are not known"),
                None => return,
            }
        }
    }

    /// Writes what was ended here; false where some of it must be written later.
    pub(crate) async fn tell(&self, store: &dyn Store) -> bool {
        let untold = lock(&self.revoked).untold();
        if untold.is_empty() {
            return true;
        }
        let told = match timeout(PATIENCE, store.sign_out(&untold)).await {
            Ok(Ok(())) => {
                lock(&self.revoked).told(&untold);
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "sign-outs are not written");
                false
            }
            Err(_) => false,
        };
        self.keep();
        told
    }

    /// Keeps what the others have not heard of, so that it outlives this daemon.
    fn keep(&self) {
        let untold = lock(&self.revoked).changed();
        if let Some(untold) = untold
            && let Err(error) = self.outbox.write(&untold)
        {
            tracing::warn!(%error, "sign-outs that the others have not heard of would not outlive this daemon");
        }
    }

    async fn read(&self, store: &dyn Store, mut seen: i64) -> Result<i64, StoreError> {
        loop {
            let late = || StoreError::Database { operation: "sign-outs", message: "no answer in time".to_owned() };
            let read = timeout(PATIENCE, store.sign_outs(seen)).await.unwrap_or_else(|_| Err(late()))?;
            let now = self.clock.now();
            if read.sign_outs.is_empty() {
                *lock(&self.heard) = Some(now);
                return Ok(read.seen);
            }
            let mut is_news = false;
            {
                let mut revoked = lock(&self.revoked);
                for sign_out in read.sign_outs {
                    is_news |= revoked.add(sign_out, now);
                }
            }
            if is_news {
                self.ended.send_modify(|count| *count = count.wrapping_add(1));
            }
            seen = read.seen;
        }
    }
}
