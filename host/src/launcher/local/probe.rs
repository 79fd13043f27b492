//! Waiting until a program answers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{failed, live::Live};
use crate::{
    launcher::{Address, Exit, LaunchError, Upstream, listener},
    wire::client::{self, ClientError, Owner, Socket},
};

/// How long one probe may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The pause after a probe, as a share of the time that has passed: so much later than it might is a session ready at most.
const SHARE: u32 = 50;
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What came of waiting.
pub(super) enum Outcome {
    Ready,
    /// Not within this many seconds.
    Slow(u64),
    Ended(Exit),
}

/// Probes until the program answers as it should, ends, or its time is over.
pub(super) async fn ready(live: &Live) -> Result<Outcome, LaunchError> {
    // What listens on nothing is ready as soon as it runs, also where it has ended since.
    let Some(upstream) = &live.upstream else { return Ok(Outcome::Ready) };
    let limit = Duration::from_secs(live.service.ready_seconds);
    tokio::select! {
        biased;
        exit = live.ended() => Ok(Outcome::Ended(exit)),
        answered = tokio::time::timeout(limit, answered(live, upstream)) => match answered {
            Ok(result) => result.map(|()| Outcome::Ready),
            Err(_) => Ok(Outcome::Slow(live.service.ready_seconds)),
        },
    }
}

async fn answered(live: &Live, upstream: &Upstream) -> Result<(), LaunchError> {
    let started = Instant::now();
    while !once(live, upstream).await? {
        tokio::time::sleep((started.elapsed() / SHARE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
    }
    tracing::debug!(session = %live.running.id, elapsed = ?started.elapsed(), "its program answers");
    Ok(())
}

/// One probe: whether the answer is what the kind wants.
async fn once(live: &Live, upstream: &Upstream) -> Result<bool, LaunchError> {
    let (socket, owner) = place(upstream);
    match client::probe(&socket, &owner, &live.service.ready_path, &upstream.headers, LIMIT).await {
        Ok(status) => Ok(live.service.ready_statuses.contains(&status.as_u16())),
        // To wait would be in vain: the program cannot have what another has.
        Err(error @ ClientError::Owner { found: Some(_), .. }) => {
            Err(failed(format!("probing session {}", live.running.id))(error))
        }
        Err(_) => Ok(false),
    }
}

/// Where the program is asked, and whose it must be.
pub(super) fn place(upstream: &Upstream) -> (Socket, Owner) {
    let socket = match &upstream.address {
        Address::Unix(path) => Socket::Unix(path.clone()),
        Address::Loopback(port) => Socket::Tcp(format!("127.0.0.1:{port}")),
    };
    (socket, Owner { uid: upstream.uid, of_port: Arc::new(listener::uid) })
}
