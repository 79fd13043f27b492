//! Control calls between nodes: JSON, at most 1 MiB, authenticated by a MAC.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{
    client::{self, ClientError, Socket},
    names::CALL,
    seal::Seal,
};
use crate::{
    config::Keys,
    domain::{Clock, Entropy, Peer},
};

pub mod verifier;

pub use super::seal::PeerRefusal;
pub use verifier::{Caller, PeerVerifier};

/// The most bytes of a call's body and of its answer's.
pub const LARGEST: usize = 1 << 20;

/// How long a call may take in all, where nothing else is set.
const LIMIT: Duration = Duration::from_secs(10);

/// How long something between nodes may take; it can be set while calls are under way, and holds for those that begin then.
#[derive(Clone, Debug)]
pub struct PeerLimit(Arc<AtomicU64>);

impl PeerLimit {
    /// The limit that holds until another is set.
    pub fn new(limit: Duration) -> Self {
        let new = Self(Arc::default());
        new.set(limit);
        new
    }

    /// Sets another.
    pub fn set(&self, limit: Duration) {
        self.0.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The limit that holds.
    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Default for PeerLimit {
    fn default() -> Self {
        Self::new(LIMIT)
    }
}

/// What is waited before a peer is tried again that could not be connected to.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// The purpose that the key of control calls is derived for.
const PURPOSE: &str = "peer-call";

/// The longest detail of a refusal that is kept, in characters.
const LONGEST_DETAIL: usize = 300;

/// What is stated of a call beside its sender and recipient.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    /// The SHA-256 of the body, hexadecimal.
    body: String,
}

/// Makes control calls.
#[derive(Debug)]
pub struct PeerClient {
    seal: Seal,
    limit: PeerLimit,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The peer could not be reached or did not answer in time.
    #[error("{address} does not answer: {problem}")]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        problem: String,
    },
    /// The peer refused.
    #[error("{address} answers {status}: {detail}")]
    Refused {
        /// Where.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The problem document's detail, or the body's first line.
        detail: String,
    },
    /// The body or the answer is more than 1 MiB.
    #[error("the {what} of a call to {address} is over 1 MiB")]
    TooLarge {
        /// Where.
        address: String,
        /// `body` or `answer`.
        what: &'static str,
    },
}

impl PeerClient {
    /// The client of the node named `own_name`. `clock` is the store's.
    pub fn new(own_name: String, keys: impl Into<Keys>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { seal: Seal::new(own_name, PURPOSE, CALL, keys, clock, entropy), limit: PeerLimit::default() }
    }

    /// How long a call may take in all, attempts and the pauses between them included.
    #[must_use]
    pub fn with_limit(self, limit: PeerLimit) -> Self {
        Self { limit, ..self }
    }

    /// One call, bounded in time; the answer's body, at most 1 MiB. `target` is the path and query; a null `body` is an
    /// empty one.
    pub async fn call(
        &self,
        to: &Peer,
        method: Method,
        target: &str,
        body: &serde_json::Value,
    ) -> Result<Bytes, PeerError> {
        let unreachable = |problem: String| PeerError::Unreachable { address: to.address.clone(), problem };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        if body.len() > LARGEST {
            return Err(PeerError::TooLarge { address: to.address.clone(), what: "body" });
        }
        let limit = self.limit.get();
        timeout(limit, self.exchange(to, &method, target, &body.into()))
            .await
            .unwrap_or_else(|_| Err(unreachable(format!("no whole answer within {} s", limit.as_secs_f32()))))
    }

    /// The answer to the first attempt that reaches the peer. What was refused at the door, as by a daemon that is being
    /// restarted, has done nothing and is tried again; what was sent may have been done, and is not.
    async fn exchange(&self, to: &Peer, method: &Method, target: &str, body: &Bytes) -> Result<Bytes, PeerError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match self.attempt(to, method, target, body.clone()).await? {
                Ok(answer) => return self.read(to, answer).await,
                Err(error) => error,
            };
            let pause = pauses.next().filter(|_| matches!(error, ClientError::Connect { .. }));
            let Some(pause) = pause else {
                return Err(PeerError::Unreachable { address: to.address.clone(), problem: error.to_string() });
            };
            tracing::debug!(peer = to.name, %error, "trying again in {} ms", pause.as_millis());
            tokio::time::sleep(pause).await;
        }
    }

    /// One attempt, under a statement of its own: the peer takes none twice.
    async fn attempt(
        &self,
        to: &Peer,
        method: &Method,
        target: &str,
        body: Bytes,
    ) -> Result<Result<Response<Incoming>, ClientError>, PeerError> {
        let sealed = self.seal.seal(&to.name, method, target, &Call { body: digest(&body) });
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, &to.address)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(CONNECTION, HeaderValue::from_static("close"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(CALL, sealed)
            .body(Full::new(body))
            .map_err(|error| PeerError::Unreachable { address: to.address.clone(), problem: error.to_string() })?;
        Ok(client::send(&Socket::from(to), request, self.limit.get()).await)
    }

    async fn read(&self, to: &Peer, answer: Response<Incoming>) -> Result<Bytes, PeerError> {
        let address = to.address.clone();
        let status = answer.status();
        let body = match Limited::new(answer.into_body(), LARGEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(PeerError::TooLarge { address, what: "answer" });
            }
            Err(error) => return Err(PeerError::Unreachable { address, problem: error.to_string() }),
        };
        if status.is_success() {
            return Ok(body);
        }
        Err(PeerError::Refused { address, status: status.as_u16(), detail: detail(&body) })
    }
}

fn digest(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The `detail` of a problem document, else the first line; one line without control characters, since it ends up in
/// logs and on pages.
fn detail(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let text = serde_json::from_slice::<Problem>(body).map_or_else(
        |_| String::from_utf8_lossy(body).lines().next().unwrap_or_default().to_owned(),
        |problem| problem.detail,
    );
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(LONGEST_DETAIL).collect()
}

#[cfg(test)]
mod tests;
