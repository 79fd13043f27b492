//! The other end of control calls.

use std::sync::Arc;

use http::{HeaderMap, Method};
use jiff::Timestamp;

use super::{Call, PURPOSE, digest};
use crate::{
    config::Keys,
    domain::{Clock, Entropy},
    wire::{
        names::CALL,
        seal::{PeerRefusal, Seal},
    },
};

/// Tells control calls from forgeries.
#[derive(Debug)]
pub struct PeerVerifier {
    seal: Seal,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the calling node. Any node could say any name: what all share is the cluster key.
    pub node: String,
}

impl PeerVerifier {
    /// The verifier of the node named `own_name`. `clock` is the store's.
    pub fn new(own_name: String, keys: impl Into<Keys>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { seal: Seal::new(own_name, PURPOSE, CALL, keys, clock, entropy) }
    }

    /// Takes nothing that was sealed before: see [`Seal::since`].
    #[must_use]
    pub fn since(self, since: Timestamp) -> Self {
        Self { seal: self.seal.since(since) }
    }

    /// Who makes a call. `target` is the path and query as they stand in the request line, and `body` all of the body.
    /// A call is accepted once: the second time it is a replay.
    pub fn verify(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Caller, PeerRefusal> {
        let (node, call) = self.seal.open::<Call>(method, target, headers)?;
        // Not secret: who could choose the digest could have signed the call.
        if call.body != digest(body) {
            return Err(PeerRefusal::Body);
        }
        Ok(Caller { node })
    }
}
