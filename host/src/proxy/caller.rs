//! Who asks: the signed-in user, or the user whom a peer vouches for.

use std::net::SocketAddr;

use http::Request;
use hyper::body::Incoming;

use super::{Proxy, headers::Browser, is_hop, refusal::Refusal};
use crate::wire::{hop::Hop, seal::PeerRefusal};

/// The one whom a request is made for.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user: String,
    /// The browser, as this node or the forwarding one saw it.
    pub browser: Browser,
    /// The forwarding peer's statement.
    pub hop: Option<Hop>,
}

impl Proxy {
    /// A request that says it was forwarded is a peer's or nobody's: it never falls back to the cookie beside.
    pub(super) fn caller(
        &self,
        request: &Request<Incoming>,
        client: SocketAddr,
        user: Option<&str>,
    ) -> Result<Caller, Refusal> {
        if !is_hop(request.headers()) {
            let user = user.ok_or(Refusal::SignIn)?.to_owned();
            return Ok(Caller { user, browser: Browser { client, secure: self.secure }, hop: None });
        }
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        match self.seal.open::<Hop>(request.method(), target, request.headers()) {
            Ok((_, hop)) => Ok(Caller {
                user: hop.user.clone(),
                browser: Browser { client: hop.client, secure: hop.secure },
                hop: Some(hop),
            }),
            // The peer knows this node by another name: its routes are old. Or it waited since before this daemon had the
            // port: it is to say so once more.
            Err(PeerRefusal::Recipient | PeerRefusal::Early) => Err(Refusal::Misdirected),
            Err(PeerRefusal::Busy) => Err(Refusal::Moving),
            Err(refusal) => {
                if self.hops_refused.passes() {
                    tracing::warn!(%client, %refusal, "a forwarded request was refused");
                }
                Err(Refusal::Peer)
            }
        }
    }
}
