//! One request to the session's program or to the session's node, and the answer back.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body, Incoming},
    upgrade::OnUpgrade,
};
use tokio::time::timeout;

use super::{
    Proxy, ProxyBody, answer, caller::Caller, headers, refusal::Refusal, share::Share, target::Target, upgrade,
    upgrade::SignInEnd,
};
use crate::{
    domain::SessionId,
    launcher::{Address, BasePath},
    sessions::traffic::Passing,
    store::Route,
    wire::{
        client::{self, ClientError, Owner, Socket, pool},
        hop::{Hop, MISDIRECTED},
        names::HOP,
    },
};

/// A request that is to be passed on.
pub struct Outbound {
    pub(super) target: Target,
    pub(super) caller: Caller,
    method: Method,
    /// The browser's, without what no program and no peer may see.
    headers: HeaderMap,
    body: Content,
    upgrade: Option<OnUpgrade>,
    sign_in: Option<SignInEnd>,
    /// Held for as long as the answer passes, or the web socket is open.
    share: Option<Share>,
}

enum Content {
    Empty,
    Waiting(Incoming),
    Sent,
}

impl Outbound {
    pub(super) fn new(
        mut request: Request<Incoming>,
        target: Target,
        caller: Caller,
        upgrade: bool,
        share: Share,
    ) -> Self {
        let upgrade = upgrade.then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        let sign_in = head.extensions.remove();
        let headers = headers::from_browser(&head.headers);
        let body = if body.is_end_stream() { Content::Empty } else { Content::Waiting(body) };
        Self { target, caller, method: head.method, headers, body, upgrade, sign_in, share: Some(share) }
    }

    /// Whether nothing of the request is used up.
    pub(super) fn can_repeat(&self) -> bool {
        !matches!(self.body, Content::Sent)
    }

    fn request(&mut self, uri: Uri) -> Request<pool::OutBody> {
        let none = || Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let (body, empty) = match std::mem::replace(&mut self.body, Content::Sent) {
            Content::Empty => {
                self.body = Content::Empty;
                (none(), true)
            }
            Content::Waiting(body) => (body.map_err(io::Error::other).boxed_unsync(), false),
            Content::Sent => (none(), true),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if empty && matches!(self.method, Method::POST | Method::PUT | Method::PATCH) {
            // Programs expect these to have a body, of which nothing is left to say how long it is.
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if self.upgrade.is_some() {
            upgrade::mark(request.headers_mut());
        }
        request
    }
}

impl Proxy {
    /// Passes the request on. `None` where the session is not there under the route's epoch.
    pub(super) async fn forward(
        &self,
        outbound: &mut Outbound,
        route: &Route,
    ) -> Result<Option<Response<ProxyBody>>, Refusal> {
        if outbound.caller.hop.is_some() || route.node == self.node {
            self.to_program(outbound, route).await
        } else {
            self.to_node(outbound, route).await
        }
    }

    async fn to_program(&self, outbound: &mut Outbound, route: &Route) -> Result<Option<Response<ProxyBody>>, Refusal> {
        let id = outbound.target.id;
        let hop = outbound.caller.hop.as_ref();
        let epoch = hop.map_or(route.epoch, |hop| hop.epoch);
        let Some(upstream) = self.launcher.upstream(id).filter(|upstream| upstream.epoch == epoch) else {
            // A hop goes no further: the peer reads the routes again.
            return if hop.is_some() { Err(Refusal::Misdirected) } else { Ok(None) };
        };
        // Of a web socket, the messages are.
        let passing = match outbound.upgrade {
            None => self.traffic.request(id, outbound.method.as_str(), outbound.target.below()),
            Some(_) => None,
        };
        let uri = outbound.target.for_program(upstream.base_path)?;
        let mut request = outbound.request(uri);
        headers::for_program(request.headers_mut(), id, outbound.caller.browser, &upstream);
        let socket = match &upstream.address {
            Address::Unix(path) => Socket::Unix(path.clone()),
            Address::Loopback(port) => Socket::Tcp(format!("127.0.0.1:{port}")),
        };
        let owner = Owner { uid: upstream.uid, of_port: self.listener_uid.clone() };
        let key = pool::Key { session: id, epoch, socket };
        let sent = self.exchange(key, Some(&owner), request, outbound).await;
        let response = sent.map_err(|error| self.not_answered(id, &error))?;
        let response = self.finish(response, outbound, Some(upstream.base_path))?;
        Ok(Some(hold(response, passing)))
    }

    async fn to_node(&self, outbound: &mut Outbound, route: &Route) -> Result<Option<Response<ProxyBody>>, Refusal> {
        let id = outbound.target.id;
        let hop = Hop {
            session: id,
            epoch: route.epoch,
            user: outbound.caller.user.clone(),
            client: outbound.caller.browser.client,
            secure: outbound.caller.browser.secure,
        };
        let sealed = self.seal.seal(&route.peer.name, &outbound.method, outbound.target.as_str(), &hop);
        let mut request = outbound.request(outbound.target.to_uri());
        request.headers_mut().insert(HOP, sealed);
        let key = pool::Key { session: id, epoch: route.epoch, socket: Socket::from(&route.peer) };
        let response = match self.exchange(key, None, request, outbound).await {
            Err(error @ ClientError::Tls { .. }) => {
                if self.foreign_listeners.passes() {
                    tracing::warn!(session = %id, node = route.peer.name, %error, "the routes are read again");
                }
                return Ok(None);
            }
            sent => sent.map_err(|error| self.not_answered(id, &error))?,
        };
        let misdirected = response.status() == StatusCode::MISDIRECTED_REQUEST
            && response.headers().get(HOP).is_some_and(|value| value == MISDIRECTED);
        if misdirected {
            return Ok(None);
        }
        self.finish(response, outbound, None).map(Some)
    }

    async fn exchange(
        &self,
        key: pool::Key,
        owner: Option<&Owner>,
        request: Request<pool::OutBody>,
        outbound: &Outbound,
    ) -> Result<Response<Incoming>, ClientError> {
        // Programs have an owner, whom the listener must belong to.
        let connect = if owner.is_some() { self.limits.connect } else { self.limits.connect_node.get() };
        let (socket, limit) = (key.socket.clone(), self.limits.answer);
        let sent = async {
            if outbound.upgrade.is_some() {
                client::send_to(&key.socket, owner, request, connect).await
            } else {
                self.pool.send(key, owner, request, connect).await
            }
        };
        if outbound.can_repeat() {
            timeout(limit, sent).await.unwrap_or_else(|_| Err(ClientError::Timeout { socket, limit }))
        } else {
            sent.await
        }
    }

    fn finish(
        &self,
        mut response: Response<Incoming>,
        outbound: &mut Outbound,
        base_path: Option<BasePath>,
    ) -> Result<Response<ProxyBody>, Refusal> {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switched {
            let browser = outbound.upgrade.take().filter(|_| upgrade::agrees(&response)).ok_or(Refusal::Answer)?;
            let program = hyper::upgrade::on(&mut response);
            // The session's node sees what its user does.
            let used = base_path.map(|_| (Arc::clone(&self.traffic), outbound.target.id));
            upgrade::pump((browser, program), used, outbound.sign_in.as_ref(), &self.drain, outbound.share.take());
        }
        let (mut head, body) = response.into_parts();
        answer::confine(&mut head.headers, outbound.target.id, base_path, &outbound.method, head.status);
        if switched {
            upgrade::mark(&mut head.headers);
        }
        let share = outbound.share.take();
        let held = move |error| {
            let _share = &share;
            io::Error::other(error)
        };
        let mut response = Response::new(body.map_err(held).boxed());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    fn not_answered(&self, id: SessionId, error: &ClientError) -> Refusal {
        match error {
            ClientError::Owner { .. } if self.foreign_listeners.passes() => {
                tracing::error!(session = %id, %error, "another account listens where the session should: nothing is sent there");
            }
            _ => tracing::debug!(session = %id, %error, "the session does not answer"),
        }
        if error.is_timeout() { Refusal::TimedOut } else { Refusal::Unreachable }
    }
}

/// Holds a request for as long as its answer passes. A stream of events is open for as long as its page is, whether or not
/// anybody is there.
fn hold(response: Response<ProxyBody>, passing: Option<Passing>) -> Response<ProxyBody> {
    let content_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some(passing) = passing.filter(|_| !content_type.starts_with(b"text/event-stream")) else { return response };
    response.map(|body| {
        let held = move |error| {
            let _passing = &passing;
            error
        };
        body.map_err(held).boxed()
    })
}
