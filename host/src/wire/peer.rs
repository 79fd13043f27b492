//! Control calls between nodes: JSON, at most 1 MiB, authenticated by a MAC.

use bytes::Bytes;
use http::Method;

/// Whom a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node's name: the call's MAC is good for this node only.
    pub name: String,
    /// Its `host:port`.
    pub address: String,
}

/// Makes control calls.
#[derive(Debug)]
pub struct PeerClient {}

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
}

impl PeerClient {
    /// One call, bounded in time; the answer's body, at most 1 MiB.
    pub async fn call(
        &self,
        _to: &Peer,
        _method: Method,
        _target: &str,
        _body: &serde_json::Value,
    ) -> Result<Bytes, PeerError> {
        todo!()
    }
}
