//! Connections kept for the next request of the same session.
//!
//! A connection is reused for the same session, epoch and socket only: whatever state an upstream ties to a connection,
//! and however it confuses where one answer ends, no other session sees it. Nothing else is kept between requests, no
//! cookies above all.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, client::conn::http1::SendRequest};

use super::{ClientError, Owner, Socket, open};
use crate::domain::{Epoch, SessionId};

/// The body of a request that is passed on.
pub type OutBody = UnsyncBoxBody<Bytes, io::Error>;

/// How long a connection is kept without use. Programs close idle ones after 5 seconds and more; the shorter time here
/// keeps a request from meeting the close.
const IDLE: Duration = Duration::from_secs(2);

/// The most idle connections of one session to one socket: browsers open six.
const PER_KEY: usize = 8;

/// The most idle connections in all.
const IN_ALL: usize = 512;

/// Whose a connection is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The session.
    pub session: SessionId,
    /// Its start.
    pub epoch: Epoch,
    /// Where it leads.
    pub socket: Socket,
}

/// The idle connections of one node.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<Idle>>);

#[derive(Debug, Default)]
struct Idle {
    by_key: HashMap<Key, Vec<Kept>>,
    count: usize,
    /// Whether a task sweeps.
    swept: bool,
}

#[derive(Debug)]
struct Kept {
    sender: SendRequest<OutBody>,
    since: Instant,
}

impl Pool {
    /// Sends a request over an idle connection, or over a new one, which must lead to `owner` where one is named. It is
    /// sent again only where not a byte of it had gone out.
    pub async fn send(
        &self,
        key: Key,
        owner: Option<&Owner>,
        mut request: Request<OutBody>,
        connect_limit: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        while let Some(mut sender) = self.take(&key) {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(key, sender);
                    return Ok(response);
                }
                Err(mut unsent) => match unsent.take_message() {
                    Some(message) => request = message,
                    None => return Err(ClientError::Http { socket: key.socket, problem: unsent.into_error() }),
                },
            }
        }
        let mut sender = open(&key.socket, owner, connect_limit).await?;
        match sender.send_request(request).await {
            Ok(response) => {
                self.keep(key, sender);
                Ok(response)
            }
            Err(problem) => Err(ClientError::Http { socket: key.socket, problem }),
        }
    }

    fn take(&self, key: &Key) -> Option<SendRequest<OutBody>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let kept = idle.by_key.get_mut(key)?;
        let mut dropped = 0;
        let found = loop {
            let Some(last) = kept.pop() else { break None };
            dropped += 1;
            if now.duration_since(last.since) < IDLE && last.sender.is_ready() {
                break Some(last.sender);
            }
        };
        if kept.is_empty() {
            idle.by_key.remove(key);
        }
        idle.count -= dropped;
        found
    }

    /// Keeps a connection once the answer's body has been read to its end; drops it where that never happens.
    fn keep(&self, key: Key, mut sender: SendRequest<OutBody>) {
        let pool = self.clone();
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                pool.put(key, sender);
            }
        });
    }

    fn put(&self, key: Key, sender: SendRequest<OutBody>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.count >= IN_ALL {
            return;
        }
        let kept = idle.by_key.entry(key).or_default();
        if kept.len() >= PER_KEY {
            return;
        }
        kept.push(Kept { sender, since: Instant::now() });
        idle.count += 1;
        if !std::mem::replace(&mut idle.swept, true) {
            let pool = self.clone();
            tokio::spawn(async move {
                // Whoever left a connection may never come by again; the sweep closes it, and ends with the last one.
                while !pool.sweep() {
                    tokio::time::sleep(IDLE).await;
                }
            });
        }
    }

    /// Closes what was idle too long; true where nothing is left.
    fn sweep(&self) -> bool {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.by_key.retain(|_, kept| {
            kept.retain(|kept| now.duration_since(kept.since) < IDLE && !kept.sender.is_closed());
            !kept.is_empty()
        });
        idle.count = idle.by_key.values().map(Vec::len).sum();
        idle.swept = idle.count > 0;
        idle.count == 0
    }
}
