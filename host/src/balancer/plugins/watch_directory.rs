//! Noticing that the plugins directory has changed: by inotify where it is on a local disk, and by looking every second,
//! since shared storage sends no events.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::Notify, task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Plugins,
    file::{self, Home},
};
use crate::balancer::Question;

/// How often the directory is looked at, whether or not it sends events.
const PERIOD: Duration = Duration::from_secs(1);

/// How long the cluster may take to describe itself before a trial makes one up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Describes the present cluster: the question of a trial.
pub type Describe = Box<dyn Fn() -> BoxFuture<'static, Option<Question>> + Send + Sync>;

/// Watches a directory that may come and go.
#[derive(Debug)]
struct Events {
    wake: Arc<Notify>,
    watched: Option<(RecommendedWatcher, Home)>,
}

impl Events {
    /// Watches the directory where it is another than before.
    fn follow(&mut self, directory: &Path) {
        let home = file::home(directory);
        if self.watched.as_ref().map(|(_, home)| *home) == home {
            return;
        }
        self.watched = home.and_then(|home| {
            let wake = Arc::clone(&self.wake);
            let woken = move |event: notify::Result<Event>| {
                if event.is_ok_and(|event| says_something(event.kind)) {
                    wake.notify_one();
                }
            };
            let mut watcher = notify::recommended_watcher(woken)
                .inspect_err(|error| tracing::debug!(%error, "no inotify: plugins are looked for every second"))
                .ok()?;
            watcher
                .watch(directory, RecursiveMode::NonRecursive)
                .inspect_err(|error| tracing::debug!(%error, "no inotify: plugins are looked for every second"))
                .ok()?;
            Some((watcher, home))
        });
    }
}

/// Reading is no change, and the daemon itself reads.
fn says_something(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

impl Plugins {
    /// Takes up what changes in the plugins directory, until stopped.
    pub async fn run(self: Arc<Self>, describe: Describe, stop: CancellationToken) {
        let wake = Arc::new(Notify::new());
        let events = Events { wake: Arc::clone(&wake), watched: None };
        stop.run_until_cancelled(self.follow(events, &wake, &describe)).await;
    }

    async fn follow(self: Arc<Self>, mut events: Events, wake: &Notify, describe: &Describe) {
        loop {
            let this = Arc::clone(&self);
            if spawn_blocking(move || this.look_ahead()).await.is_err() {
                return;
            }
            let this = Arc::clone(&self);
            // A directory on a network may keep whoever looks at it waiting.
            let looked = spawn_blocking(move || {
                events.follow(this.directory());
                this.list();
                (this.change(Instant::now()), events)
            });
            let Ok((change, back)) = looked.await else { return };
            events = back;
            if let Some(change) = change {
                let cluster = timeout(PATIENCE, describe()).await.unwrap_or_default();
                let this = Arc::clone(&self);
                if spawn_blocking(move || this.take_up(change, cluster)).await.is_err() {
                    return;
                }
            }
            let _ = timeout(PERIOD, wake.notified()).await;
        }
    }
}
