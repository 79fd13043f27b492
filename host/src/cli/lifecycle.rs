//! The life of the daemon: runs until a signal, stops softly, and at the second signal or the end of its patience hard.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What stops the daemon, and what it waits for.
#[derive(Debug)]
pub(super) struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    patience: Duration,
    interrupt: Signal,
    terminate: Signal,
}

/// Why the daemon stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A signal asked it to.
    Asked,
    /// A part of it gave up.
    GaveUp,
}

impl Lifecycle {
    /// Takes over SIGINT and SIGTERM. `patience` is how long the tasks may take once the daemon has been told to stop.
    pub(super) fn new(patience: Duration) -> std::io::Result<Self> {
        Ok(Self {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            patience,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Cancelled when nothing new is to be begun.
    pub(super) fn soft(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Cancelled when what still runs is to be dropped.
    pub(super) fn hard(&self) -> CancellationToken {
        self.hard.clone()
    }

    /// The tasks that a stop waits for.
    pub(super) fn tasks(&self) -> TaskTracker {
        self.tasks.clone()
    }

    /// Runs a part that the daemon cannot do without: should it end, even by a panic, before it was told to, everything
    /// stops, since nobody would notice half a daemon.
    pub(super) fn part(&self, part: impl Future<Output = ()> + Send + 'static) {
        let ends = self.soft.clone().drop_guard();
        self.tasks.spawn(async move {
            part.await;
            drop(ends);
        });
    }

    async fn signalled(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Waits for a signal, or for a task that gave up and cancelled [`Self::soft`]; then for the tasks.
    pub(super) async fn run(mut self) -> End {
        let soft = self.soft.clone();
        let end = tokio::select! {
            name = self.signalled() => {
                tracing::info!(signal = name, "stopping; sessions go on");
                End::Asked
            }
            () = soft.cancelled() => {
                tracing::error!("a part of the daemon has ended: stopping; sessions go on");
                End::GaveUp
            }
        };
        self.soft.cancel();
        self.tasks.close();
        let (tasks, patience) = (self.tasks.clone(), self.patience);
        tokio::select! {
            () = tasks.wait() => return end,
            name = self.signalled() => tracing::warn!(signal = name, "stopping at once"),
            () = tokio::time::sleep(patience) => tracing::info!("cutting the connections that are still open"),
        }
        self.hard.cancel();
        if tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await.is_err() {
            tracing::warn!("something did not stop in time and is dropped");
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_or_panics_ends_the_daemon_and_the_others_stop_in_order() {
        let parts: [fn(); 2] = [|| {}, || panic!("on purpose")];
        for part in parts {
            let lifecycle = Lifecycle::new(Duration::from_secs(60)).unwrap();
            let soft = lifecycle.soft();
            let (stopped, is_stopped) = tokio::sync::oneshot::channel();
            lifecycle.part(async move {
                soft.cancelled().await;
                stopped.send(()).unwrap();
            });
            lifecycle.part(async move { part() });
            assert_eq!(lifecycle.run().await, End::GaveUp);
            is_stopped.await.unwrap();
        }
    }
}
