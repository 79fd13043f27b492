//! The browser's traffic to a session, `/s/<id>/…`: HTTP and web sockets, here or by one hop to the session's node.
//!
//! The way of a request: its target ([`target`]), who asks ([`caller`]), from which site ([`origin`]), where the session
//! is ([`Routes`]), then to its program or to its node ([`forward`]). What may pass in which direction is in
//! [`headers`], [`cookies`] and [`answer`]; every answer of the proxy's own is a [`refusal`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::LOCATION};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::body::Incoming;
use jiff::Timestamp;

use crate::{
    config::Keys,
    domain::{Clock, Entropy, NodeId, SessionId, State},
    launcher::Launcher,
    sessions::Traffic,
    store::Route,
    wire::{
        client::{ListenerUid, pool::Pool},
        hop,
        names::HOP,
        peer::PeerLimit,
        seal::Seal,
    },
};

pub mod answer;
pub mod caller;
pub mod cookies;
pub mod forward;
pub mod frames;
pub mod headers;
pub mod origin;
pub mod refusal;
pub mod routes;
pub mod share;
pub mod target;
pub mod throttle;
pub mod upgrade;

pub use routes::{Registry, Routes};
pub use upgrade::{Drain, SignInEnd};

use caller::Caller;
use forward::Outbound;
use refusal::Refusal;
use share::Shares;
use target::Target;
use throttle::Throttle;

/// What the proxy answers with: streamed, never gathered.
pub type ProxyBody = BoxBody<Bytes, std::io::Error>;

/// How long the proxy waits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For a connection to a program.
    pub connect: Duration,
    /// For a connection to another node.
    pub connect_node: PeerLimit,
    /// For the head of the answer to a request without a body. One with a body may take its time to be sent; it ends
    /// with the browser's connection.
    pub answer: Duration,
    /// How many requests and web sockets one user may have under way at this node: there is room for the others then.
    pub of_user: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            connect_node: PeerLimit::default(),
            answer: Duration::from_secs(300),
            of_user: 2048,
        }
    }
}

/// What a proxy is made of.
pub struct Parts {
    /// This node.
    pub node: NodeId,
    /// Its name: hops are addressed to it.
    pub name: String,
    /// Whether this server itself speaks TLS to browsers.
    pub secure: bool,
    /// Where sessions are: a [`Registry`].
    pub routes: Arc<dyn Routes>,
    /// Where the programs of this node are.
    pub launcher: Arc<dyn Launcher>,
    /// What is told of the use of this node's sessions.
    pub traffic: Arc<Traffic>,
    /// Whose the listener on a loopback port is.
    pub listener_uid: ListenerUid,
    /// What the keys of hops are derived from.
    pub keys: Keys,
    /// The store's clock.
    pub clock: Arc<dyn Clock>,
    /// Since when this daemon has its port: nothing is taken that a peer forwarded before.
    pub since: Timestamp,
    /// For the nonces of hops.
    pub entropy: Arc<dyn Entropy>,
    /// How long to wait.
    pub limits: Limits,
    /// What open web sockets take part in.
    pub drain: Drain,
}

/// The proxy of one node.
pub struct Proxy {
    node: NodeId,
    secure: bool,
    routes: Arc<dyn Routes>,
    launcher: Arc<dyn Launcher>,
    traffic: Arc<Traffic>,
    listener_uid: ListenerUid,
    seal: Seal,
    limits: Limits,
    drain: Drain,
    pool: Pool,
    shares: Shares,
    hops_refused: Throttle,
    foreign_listeners: Throttle,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Whether a request says that a peer forwarded it, so that the proxy judges it by its MAC: nobody is to be sent to
/// sign in for it.
pub fn is_hop(headers: &HeaderMap) -> bool {
    headers.contains_key(HOP)
}

impl Proxy {
    /// The proxy of a node.
    pub fn new(parts: Parts) -> Self {
        Self {
            node: parts.node,
            secure: parts.secure,
            routes: parts.routes,
            launcher: parts.launcher,
            traffic: parts.traffic,
            listener_uid: parts.listener_uid,
            seal: Seal::new(parts.name, hop::PURPOSE, HOP, &parts.keys, parts.clock, parts.entropy).since(parts.since),
            shares: Shares::new(parts.limits.of_user),
            limits: parts.limits,
            drain: parts.drain,
            pool: Pool::default(),
            hops_refused: Throttle::default(),
            foreign_listeners: Throttle::default(),
        }
    }

    /// Passes one request on. `user` is who is signed in by cookie or token, as `web` found out; a request that carries a
    /// peer's hop headers is judged by their MAC instead.
    pub async fn serve(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
        user: Option<&str>,
    ) -> Response<ProxyBody> {
        let page = refusal::wants_page(request.method(), request.headers());
        self.pass(request, client, user).await.unwrap_or_else(|refusal| refusal.answer(page))
    }

    async fn pass(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
        user: Option<&str>,
    ) -> Result<Response<ProxyBody>, Refusal> {
        let caller = self.caller(&request, client, user)?;
        let upgrade = upgrade::asks(&request)?;
        let target = Target::read(request.uri())?;
        origin::host(request.headers())?;
        origin::check(request.method(), request.headers(), upgrade, caller.browser.secure)?;
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Method);
        }
        if caller.hop.as_ref().is_some_and(|hop| hop.session != target.id) {
            return Err(Refusal::Peer);
        }
        let mut route = self.find(target.id, &caller).await?;
        if let Some(location) = target.with_slash() {
            return Ok(redirect(&location));
        }
        let share = self.shares.take(&caller.user).ok_or(Refusal::TooMany)?;
        let mut outbound = Outbound::new(request, target, caller, upgrade, share);
        for last in [false, true] {
            if let Some(answer) = self.forward(&mut outbound, &route).await? {
                return Ok(answer);
            }
            // Not there, or no longer: the routes are read again, once.
            if last || !outbound.can_repeat() {
                break;
            }
            route = self.reread(&outbound.target, &outbound.caller).await?;
        }
        Err(Refusal::Moving)
    }

    /// Where the caller's session is, from memory where that says that it is live. Its own node is the first to know that it
    /// has become active: there memory is as good as the store, and from elsewhere that node is asked.
    async fn find(&self, id: SessionId, caller: &Caller) -> Result<Route, Refusal> {
        match self.routes.route(id) {
            Some(route) if route.user == caller.user && route.state == State::Active => Ok(route),
            Some(route) if route.user == caller.user && route.state == State::Starting => match &caller.hop {
                _ if route.node == self.node => Err(Refusal::Starting),
                None => Ok(route),
                Some(_) => self.judge(id, caller, Some(route)).await,
            },
            // Also where it is another user's: the time an answer takes must not tell that it exists.
            known => self.judge(id, caller, known).await,
        }
    }

    async fn reread(&self, target: &Target, caller: &Caller) -> Result<Route, Refusal> {
        self.judge(target.id, caller, self.routes.route(target.id)).await
    }

    /// Where the caller's session is, from the store; from memory while the store does not answer.
    async fn judge(&self, id: SessionId, caller: &Caller, known: Option<Route>) -> Result<Route, Refusal> {
        let own = |route: &Route| route.user == caller.user;
        let route = match self.routes.refresh(id).await {
            Ok(fresh) => fresh.filter(own),
            Err(_) => Some(known.filter(own).ok_or(Refusal::Registry)?),
        };
        match route {
            Some(route) if route.state == State::Active => Ok(route),
            Some(route) => Err(not_active(route.state)),
            // The peer has read otherwise: it is to read again, and will find out for itself.
            None if caller.hop.is_some() => Err(Refusal::Misdirected),
            None => match self.routes.whose(id).await {
                Ok(Some((user, state))) if user == caller.user => Err(not_active(state)),
                Ok(_) => Err(Refusal::NotFound),
                Err(_) => Err(Refusal::Registry),
            },
        }
    }
}

fn not_active(state: State) -> Refusal {
    match state {
        // Active, and yet without a route: it became so between two reads.
        State::Starting | State::Active => Refusal::Starting,
        State::Suspended => Refusal::Suspended,
        State::Ended => Refusal::Ended,
        State::Failed => Refusal::Failed,
        State::Lost => Refusal::Lost,
    }
}

fn redirect(location: &str) -> Response<ProxyBody> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests;
