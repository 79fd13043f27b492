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

/// How long a connection is kept without use: a page's burst of requests. Programs close idle ones after 2 seconds and
/// more; the shorter time here keeps a request from meeting the close.
const IDLE: Duration = Duration::from_secs(1);

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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http_body_util::{BodyExt, Empty};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
        sync::mpsc,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Answers `ok` to every request on every connection, and closes a connection after `requests` of them. Tells the
    /// number of each connection that is asked.
    fn serve(path: &Path, requests: usize) -> mpsc::UnboundedReceiver<usize> {
        let listener = UnixListener::bind(path).expect("bind");
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let tell = tell.clone();
                tokio::spawn(async move {
                    for _ in 0..requests {
                        let mut seen = Vec::new();
                        while !seen.ends_with(b"\r\n\r\n") {
                            if stream.read_buf(&mut seen).await.unwrap_or_default() == 0 {
                                return;
                            }
                        }
                        let _ = tell.send(number);
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                    }
                });
            }
        });
        told
    }

    fn key(path: &Path, session: &str, epoch: i64) -> Key {
        let session = session.parse().expect("an id");
        Key { session, epoch: Epoch(epoch), socket: Socket::Unix(path.to_owned()) }
    }

    async fn ask(pool: &Pool, key: &Key) {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get("/").header("host", "a.example").body(body).expect("a request");
        let answer = pool.send(key.clone(), None, request, LIMIT).await.expect("an answer");
        assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "ok");
    }

    async fn until_idle(pool: &Pool, count: usize) {
        let idle = async {
            while pool.0.lock().expect("lock").count != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, idle).await.expect("in time");
    }

    #[tokio::test]
    async fn a_connection_serves_the_next_request_of_its_session_and_no_others() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("p.sock");
        let mut asked = serve(&path, usize::MAX);
        let pool = Pool::default();
        let first = key(&path, "0000000a", 1);
        for _ in 0..3 {
            ask(&pool, &first).await;
            assert_eq!(asked.recv().await, Some(0), "the same connection");
            until_idle(&pool, 1).await;
        }
        ask(&pool, &key(&path, "0000000b", 1)).await;
        assert_eq!(asked.recv().await, Some(1), "another session");
        until_idle(&pool, 2).await;
        ask(&pool, &key(&path, "0000000a", 2)).await;
        assert_eq!(asked.recv().await, Some(2), "another start");
        until_idle(&pool, 3).await;
        until_idle(&pool, 0).await;
        assert!(pool.0.lock().expect("lock").by_key.is_empty(), "what nobody took is closed");
    }

    #[tokio::test]
    async fn a_connection_that_the_program_closed_is_not_used() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("p.sock");
        let mut asked = serve(&path, 1);
        let (pool, key) = (Pool::default(), key(&path, "0000000a", 1));
        for number in 0..5 {
            ask(&pool, &key).await;
            assert_eq!(asked.recv().await, Some(number));
            // The close may or may not have been seen when the next request comes; either way that one gets through,
            // once the program's end has gone.
            let closed = async {
                while pool.0.lock().expect("lock").by_key.values().flatten().any(|kept| !kept.sender.is_closed()) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(LIMIT, closed).await.expect("in time");
        }
    }

    #[tokio::test]
    async fn a_few_idle_connections_are_kept_and_no_more() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("p.sock");
        let _asked = serve(&path, usize::MAX);
        let (pool, key) = (Pool::default(), key(&path, "0000000a", 1));
        for _ in 0..PER_KEY + 4 {
            let sender = open(&key.socket, None, LIMIT).await.expect("a connection");
            pool.put(key.clone(), sender);
        }
        let idle = pool.0.lock().expect("lock");
        assert_eq!((idle.by_key[&key].len(), idle.count), (PER_KEY, PER_KEY));
    }
}
