//! Control calls between nodes: JSON, at most 1 MiB, authenticated by a MAC.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{
    client::{self, Socket},
    names::CALL,
    seal::Seal,
};
use crate::{
    config::ClusterKey,
    domain::{Clock, Entropy},
};

pub mod verifier;

pub use super::seal::PeerRefusal;
pub use verifier::{Caller, PeerVerifier};

/// The most bytes of a call's body and of its answer's.
pub const LARGEST: usize = 1 << 20;

/// How long a call may take in all.
const LIMIT: Duration = Duration::from_secs(5);

/// The purpose that the key of control calls is derived for.
const PURPOSE: &str = "peer-call";

/// The longest detail of a refusal that is kept, in characters.
const LONGEST_DETAIL: usize = 300;

/// Whom a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node's name: the call's MAC is good for this node only.
    pub name: String,
    /// Its `host:port`.
    pub address: String,
}

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
    pub fn new(own_name: String, key: &ClusterKey, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { seal: Seal::new(own_name, PURPOSE, CALL, key, clock, entropy) }
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
        let sealed = self.seal.seal(&to.name, &method, target, &Call { body: digest(&body) });
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, &to.address)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(CONNECTION, HeaderValue::from_static("close"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(CALL, sealed)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| unreachable(error.to_string()))?;
        let socket = Socket::Tcp(to.address.clone());
        let exchange = async {
            let answer = client::send(&socket, request, LIMIT).await.map_err(|error| unreachable(error.to_string()))?;
            let status = answer.status();
            let body = match Limited::new(answer.into_body(), LARGEST).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                    return Err(PeerError::TooLarge { address: to.address.clone(), what: "answer" });
                }
                Err(error) => return Err(unreachable(error.to_string())),
            };
            if status.is_success() {
                return Ok(body);
            }
            Err(PeerError::Refused { address: to.address.clone(), status: status.as_u16(), detail: detail(&body) })
        };
        timeout(LIMIT, exchange)
            .await
            .unwrap_or_else(|_| Err(unreachable(format!("no whole answer within {} s", LIMIT.as_secs()))))
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
