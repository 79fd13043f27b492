//! The node's one port: accepts connections, bounds what each may cost, and hands requests to the proxy or the router.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Redirect},
};
use http::{Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{App, Client, identity, pages, router, standing};
use crate::{proxy, wire::client};

mod slot;
mod target;
mod tls;

use slot::Slotted;
pub use tls::Tls;
use tls::{Beginning, Door};

/// What connections may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most at once, upgraded ones included; more wait to be accepted.
    pub connections: usize,
    /// How long a request's head may take, and how long a connection may idle.
    pub head: Duration,
    /// The longest head, bytes.
    pub head_bytes: usize,
    /// The most headers.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 8192, head: Duration::from_secs(30), head_bytes: 64 * 1024, headers: 100 }
    }
}

/// Serves a port, with TLS where the node has it, until `app.stopping` is cancelled: then no more connections are accepted, requests are finished, and what is
/// still open after `grace` is cut. Upgraded connections are the proxy's to end.
pub async fn serve(listener: TcpListener, app: App, limits: Limits, grace: Duration) {
    accept(listener, app, limits, grace, Door::Own).await;
}

/// Sends browsers that come without TLS to the port that takes it, as [`serve`] does, from a port beside.
pub async fn serve_beside(listener: TcpListener, app: App, limits: Limits, grace: Duration) {
    accept(listener, app, limits, grace, Door::Beside).await;
}

async fn accept(listener: TcpListener, app: App, limits: Limits, grace: Duration, door: Door) {
    let stopping = app.stopping.clone();
    let server = Arc::new(Server { router: router(app.clone()), app, limits, grace, door });
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let accepting = async {
            let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, client) = listener.accept().await?;
            Ok::<_, io::Error>((Slotted::new(stream, slot), client))
        };
        match stopping.run_until_cancelled(accepting).await {
            None => break,
            Some(Ok((stream, client))) => {
                connections.spawn(server.clone().connection(stream, client));
            }
            Some(Err(error)) => {
                // Most often no file descriptors are left: to try again at once would only spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// What a connection's requests are answered with.
struct Server {
    router: Router,
    app: App,
    limits: Limits,
    grace: Duration,
    door: Door,
}

impl Server {
    async fn connection(self: Arc<Self>, stream: Slotted<TcpStream>, client: SocketAddr) {
        // Only a delay is lost where it fails.
        let _ = stream.get_ref().set_nodelay(true);
        client::notice_absence(stream.get_ref());
        let begun = match &self.app.tls {
            None => Some(Beginning::Plain(stream)),
            Some(_) if self.door == Door::Beside => Some(Beginning::Plain(stream)),
            Some(tls) => self.begin(tls, stream, client).await,
        };
        match begun {
            Some(Beginning::Plain(stream)) => self.converse(stream, client, false).await,
            Some(Beginning::Secure(stream)) => self.converse(*stream, client, true).await,
            None => {}
        }
    }

    /// A handshake takes no longer than a request's head may, and none is waited for once the daemon stops.
    async fn begin(&self, tls: &Tls, stream: Slotted<TcpStream>, client: SocketAddr) -> Option<Beginning> {
        let begun = timeout(self.limits.head, tls.begin(stream));
        match self.app.stopping.run_until_cancelled(begun).await?.ok()? {
            Ok(beginning) => Some(beginning),
            Err(error) => {
                tracing::debug!(%client, %error, "a connection did not come to TLS");
                None
            }
        }
    }

    async fn converse<S>(self: Arc<Self>, stream: S, client: SocketAddr, secure: bool)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(|request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer_by(request, client, secure).await) }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(self.limits.head_bytes.max(8192))
            .max_headers(self.limits.headers);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let stopping = self.app.stopping.clone();
        let result = match stopping.run_until_cancelled(connection.as_mut()).await {
            Some(result) => result,
            None => {
                connection.as_mut().graceful_shutdown();
                timeout(self.grace, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = result {
            // What clients send or break off is theirs; it is of use only to who looks for it.
            tracing::debug!(%client, %error, "a connection ended early");
        }
    }

    /// What is to have TLS and has not, is sent on.
    async fn answer_by(&self, request: Request<Incoming>, client: SocketAddr, secure: bool) -> Response<Body> {
        let Some(tls) = &self.app.tls else { return self.answer(request, client).await };
        if !secure {
            return closing(tls.send_on(&request, self.door));
        }
        let mut response = self.answer(request, client).await;
        tls.mark(&mut response);
        response
    }

    async fn answer(&self, mut request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        if let Err(problem) = target::settle(&mut request) {
            return closing(problem.into_response());
        }
        if let Some(refusal) = standing::refusal(&self.app, &request) {
            return closing(refusal);
        }
        if request.uri().path().starts_with("/s/") {
            return self.pass_on(request, client).await;
        }
        request.extensions_mut().insert(Client(client));
        let Ok(response) = self.router.clone().oneshot(request).await;
        // The rest of a body that was not read is in the way of another request.
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE { closing(response) } else { response }
    }

    /// To a session, for whoever is signed in. The proxy answers those who are not; but a person's browser goes to sign in.
    async fn pass_on(&self, mut request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        let (identity, renewal) = self.app.sign_ins.renewed(self.app.sign_ins.identify(request.headers())).await;
        if identity.is_none() && is_visit(&request) {
            return Redirect::to(&pages::sign_in_target(request.method(), request.uri())).into_response();
        }
        if request.headers().contains_key(header::UPGRADE)
            && let Some(identity) = identity.clone()
        {
            let sign_ins = self.app.sign_ins.clone();
            let end = move || Box::pin(sign_ins.until_ended(identity.clone())) as _;
            request.extensions_mut().insert(proxy::SignInEnd(Arc::new(end)));
        }
        let user = identity.as_ref().map(|identity| identity.user.as_str());
        let mut response = self.app.proxy.serve(request, client, user).await.map(Body::new);
        if let Some(cookie) = renewal {
            identity::renew(response.headers_mut(), cookie);
        }
        response
    }
}

/// Says that its connection takes no other request.
fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

/// Whether a person opens a page, and no node stands between.
fn is_visit<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::GET
        && pages::wants_html(headers)
        && !headers.contains_key(header::UPGRADE)
        && !proxy::is_hop(headers)
}

#[cfg(test)]
mod tests;
