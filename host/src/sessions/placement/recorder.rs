//! Writes what decisions were made on, after they are committed and beside whatever else happens.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;

use super::shown::{self, Shown};
use crate::{
    domain::{Epoch, SessionId},
    store::{ShownBatch, Store},
};

/// Batches that wait to be written. Each holds the columns of its nodes.
const WAITING: usize = 8;

/// What is written of one placement: its session, its epoch, the module that decided.
type Line = (SessionId, Epoch, Option<String>, Arc<Shown>);

/// Where decisions are handed over. Nobody waits for their writing: what cannot be kept up with is left out.
#[derive(Debug, Default)]
pub(in crate::sessions) struct Recorder {
    /// None where nobody writes.
    to: Option<(mpsc::Sender<Vec<Line>>, watch::Receiver<u64>)>,
    left_out: AtomicU64,
}

/// Where they are written.
#[derive(Debug)]
pub(in crate::sessions) struct Recording {
    store: Arc<dyn Store>,
    limit: watch::Receiver<u64>,
    batches: mpsc::Receiver<Vec<Line>>,
}

/// Both ends; all that is kept has at most `limit` bytes, which can change. Where that is 0, nothing is.
pub(in crate::sessions) fn record(store: Arc<dyn Store>, limit: watch::Receiver<u64>) -> (Recorder, Recording) {
    let (sender, batches) = mpsc::channel(WAITING);
    let recorder = Recorder { to: Some((sender, limit.clone())), left_out: AtomicU64::default() };
    (recorder, Recording { store, limit, batches })
}

impl Recorder {
    pub(super) fn keep(&self, batch: Vec<Line>) {
        let Some((batches, _)) = self.to.as_ref().filter(|(_, limit)| *limit.borrow() > 0) else { return };
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        if batches.try_send(batch).is_err() {
            let total = self.left_out.fetch_add(count, Ordering::Relaxed) + count;
            tracing::warn!(count, total, "what the balancer was shown is not kept: it comes faster than it is written");
        }
    }
}

impl Recording {
    /// Writes until stopped, and then what still waits.
    pub(in crate::sessions) async fn run(&mut self, stop: &CancellationToken) {
        self.trim().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = self.limit.changed() => self.trim().await,
                batch = self.batches.recv() => match batch {
                    Some(batch) => self.write(batch).await,
                    None => break,
                },
            }
        }
        while stop.is_cancelled()
            && let Ok(batch) = self.batches.try_recv()
        {
            self.write(batch).await;
        }
        stop.cancelled().await;
    }

    async fn trim(&mut self) {
        let limit = *self.limit.borrow_and_update();
        if let Err(error) = self.store.trim_shown(limit).await {
            tracing::warn!(%error, "what balancers were shown is not brought down to its limit");
        }
    }

    async fn write(&self, batch: Vec<Line>) {
        let limit = *self.limit.borrow();
        let encoded = spawn_blocking(move || {
            let content = shown::encode(batch.iter().map(|(.., shown)| shown.as_ref()))?;
            let placements = batch.iter().map(|&(session, epoch, ..)| (session, epoch)).collect();
            let digests = batch.into_iter().filter_map(|(_, _, digest, _)| digest).collect();
            Ok::<_, shown::FormatError>(ShownBatch { placements, digests, content })
        });
        let problem = match encoded.await {
            Ok(Ok(batch)) => match self.store.keep_shown(&batch, limit).await {
                Ok(true) => return,
                Ok(false) => format!("{} bytes are more than placement-records-mb allows", batch.content.len()),
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(problem, "what the balancer was shown is not kept");
    }
}
