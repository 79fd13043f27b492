//! That something has changed, told by the database: `NOTIFY` and `LISTEN`.
//!
//! It is a hint to look earlier, nothing more. What is told may be lost, and whoever listens looks by themselves each second.
//! So it is told after the commit and apart from it: a transaction that tells something would wait for every other one
//! that does. Behind a pooler that has no sessions nothing is heard.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Executor as _, PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Access, PATIENCE, begin, lease::Lease};

const CHANNEL: &str = "evenkeel";

/// The shortest time between two words of one daemon.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the connection may be silent before it is tried.
const SILENCE: Duration = Duration::from_secs(60);

/// The first and the longest pause before another connection is made.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// What a daemon hears and tells.
#[derive(Debug)]
pub(super) struct News {
    heard: watch::Receiver<u64>,
    told: Arc<Notify>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl News {
    pub(super) fn new(access: &Access, writers: &PgPool, readers: &PgPool) -> Self {
        let (heard, receiver) = watch::channel(0);
        let told = Arc::new(Notify::new());
        let listening = listen(access.clone(), [writers.clone(), readers.clone()], heard);
        let telling = tell(writers.clone(), Arc::clone(&told));
        let _tasks = [tokio::spawn(listening), tokio::spawn(telling)].map(AbortOnDropHandle::new);
        Self { heard: receiver, told, _tasks }
    }

    pub(super) fn heard(&self) -> watch::Receiver<u64> {
        self.heard.clone()
    }

    /// Where to say that something has changed.
    pub(super) fn told(&self) -> Arc<Notify> {
        Arc::clone(&self.told)
    }
}

async fn tell(writers: PgPool, told: Arc<Notify>) {
    loop {
        told.notified().await;
        let telling = async {
            // Nothing is written, and so there is nothing to wait for.
            let begin = begin!("SET LOCAL synchronous_commit = off; NOTIFY evenkeel");
            Lease::take(&writers, "notification").await?.begin(begin).await?.commit().await
        };
        if let Ok(Err(error)) = timeout(PATIENCE, telling).await {
            tracing::debug!(%error, "others were not told of a change; they look by themselves");
        }
        sleep(PAUSE).await;
    }
}

/// Listens on a connection of its own, and makes another where that is lost.
async fn listen(access: Access, pools: [PgPool; 2], heard: watch::Sender<u64>) {
    let mut pause = RECONNECT.0;
    loop {
        match timeout(PATIENCE * 2, connect(&access, &pools)).await {
            Ok(Ok(mut listener)) => {
                pause = RECONNECT.0;
                // Whatever has happened meanwhile.
                heard.send_modify(|number| *number += 1);
                while let Ok(true) = next(&mut listener).await {
                    heard.send_modify(|number| *number += 1);
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "nobody listens to the database"),
            Err(_) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(RECONNECT.1);
    }
}

async fn connect(access: &Access, pools: &[PgPool; 2]) -> Result<PgListener, sqlx::Error> {
    let (connection, options) = access.connect().await?;
    drop(connection);
    // The server may want TLS now where it did not before, or the other way round.
    for pool in pools {
        pool.set_connect_options(options.clone());
    }
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_with(options).await?;
    let mut listener = PgListener::connect_with(&own).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Whether something was told; not where the connection was lost.
async fn next(listener: &mut PgListener) -> Result<bool, sqlx::Error> {
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(told) => return told.map(|told| told.is_some()),
            // It may have been lost without a word.
            Err(_) => match timeout(PATIENCE, listener.execute("SELECT 1")).await {
                Ok(answer) => answer.map(drop)?,
                Err(_) => return Ok(false),
            },
        }
    }
}
