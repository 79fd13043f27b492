//! What becomes of a session reaches the store, however long that is away.

use std::time::Duration;

use crate::{
    domain::{Session, SessionId, State},
    store::{Report, StoreError},
};

use super::Owner;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The most bytes of a failure that are kept.
const FAILURE_BYTES: usize = 8 * 1024;

impl Owner {
    /// Reports until the store has it, and returns the state that the session then is in. `None` where it is no longer this
    /// node's under this epoch: whatever runs of it here has been superseded.
    pub(super) async fn report(&self, session: &Session, report: Report) -> Option<State> {
        let (id, epoch) = (session.id, session.epoch);
        let taken = self.persist(id, "reporting a session", || self.store.report(id, epoch, &report)).await;
        if taken.is_some() {
            self.mirror.announce();
            return taken;
        }
        let stored = self.persist(id, "reading a session", || self.store.session(id)).await;
        let ours = stored.filter(|stored| self.is_ours(session, stored));
        if ours.is_none() {
            tracing::info!(session = %id, %epoch, ?report, "superseded: the report is void");
        }
        ours.map(|stored| stored.state)
    }

    /// Reports how a session is over. Where it has ended, nothing of it is kept here; what was wanted of it decides whether
    /// it has.
    pub(super) async fn report_end(&self, session: &Session, report: Report) {
        // Where it was superseded, a later start may use what is here.
        if self.report(session, report).await == Some(State::Ended) {
            self.part_with(session).await;
        }
    }

    /// Whether what runs here is what the stored row is about.
    pub(super) fn is_ours(&self, here: &Session, stored: &Session) -> bool {
        let running = matches!(stored.state, State::Starting | State::Active | State::Lost);
        stored.epoch == here.epoch && stored.node == self.node && running
    }

    /// Does something with the store again and again until the store answers.
    pub(super) async fn persist<T, F>(&self, id: SessionId, what: &str, mut act: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut pause = FIRST_PAUSE;
        let mut failed = false;
        loop {
            match act().await {
                Ok(value) => {
                    if failed {
                        tracing::info!(session = %id, "{what}: done, now that the store answers");
                    }
                    return value;
                }
                Err(error) if !failed => tracing::warn!(session = %id, "{what}: {error}; tried again until it is done"),
                Err(error) => tracing::debug!(session = %id, "{what}: {error}"),
            }
            failed = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// A failure as it is kept: where it is too long, its beginning, which says what happened, and its last lines.
pub(super) fn bounded(failure: &str) -> String {
    if failure.len() <= FAILURE_BYTES {
        return failure.to_owned();
    }
    let head = failure.floor_char_boundary(FAILURE_BYTES / 8);
    let tail = failure.ceil_char_boundary(failure.len() - FAILURE_BYTES / 8 * 7);
    format!("{}\n…\n{}", &failure[..head], &failure[tail..])
}
