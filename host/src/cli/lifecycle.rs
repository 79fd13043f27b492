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

    async fn signalled(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Waits for a signal, or for a task that gave up and cancelled [`Self::soft`]; then for the tasks.
    pub(super) async fn run(mut self) {
        let soft = self.soft.clone();
        tokio::select! {
            name = self.signalled() => tracing::info!(signal = name, "stopping; sessions go on"),
            () = soft.cancelled() => {}
        }
        self.soft.cancel();
        self.tasks.close();
        let (tasks, patience) = (self.tasks.clone(), self.patience);
        tokio::select! {
            () = tasks.wait() => return,
            name = self.signalled() => tracing::warn!(signal = name, "stopping at once"),
            () = tokio::time::sleep(patience) => tracing::info!("cutting the connections that are still open"),
        }
        self.hard.cancel();
        if tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await.is_err() {
            tracing::warn!("something did not stop in time and is dropped");
        }
    }
}
