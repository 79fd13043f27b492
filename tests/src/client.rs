//! A program that talks to one node: REST with the token, a session's pages and web sockets.

use std::{convert::Infallible, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    http::{HeaderName, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite, tungstenite::client::IntoClientRequest as _};

use crate::{
    api::{List, Node, Problem, Session},
    tls, wait,
};

/// The body of a request: whole or streamed.
pub type RequestBody = BoxBody<Bytes, Infallible>;

/// An open web socket.
pub type Socket = WebSocketStream<Box<dyn Stream>>;

/// What a web socket is over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Stream for S {}

/// A connection that has idled for longer is not used again: a node closes it after 30 s, and a test that has kept its thread
/// busy meanwhile would not have noticed.
const LONGEST_IDLE: Duration = Duration::from_secs(10);

/// A client of one node.
#[derive(Clone, Debug)]
pub struct Client {
    authority: String,
    /// Whether it speaks TLS, and trusts the authority of these tests.
    secure: bool,
    token: Option<String>,
    cookie: Option<String>,
    http: HttpClient<HttpsConnector<HttpConnector>, RequestBody>,
}

/// An answer that has been read whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).with_context(|| format!("status {}, body {:?}", self.status, self.text()))
    }

    /// This answer if it is a success, else what it says.
    pub fn success(self) -> Result<Self> {
        if !self.status.is_success() {
            bail!("status {}: {}", self.status, self.text());
        }
        Ok(self)
    }

    /// The problem document that this answer is.
    pub fn problem(&self) -> Result<Problem> {
        let content_type = self.header("content-type");
        if content_type != "application/problem+json" {
            bail!("status {} with {content_type:?} is no problem document: {}", self.status, self.text());
        }
        self.json()
    }

    /// A header's value, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A body that is sent whole.
pub fn whole(body: impl Into<Bytes>) -> RequestBody {
    Full::new(body.into()).boxed()
}

impl Client {
    /// A client of the node at `host:port`, or at `https://host:port`, that signs in with no token.
    pub fn anonymous(place: &str) -> Self {
        let tls = tls::client();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(LONGEST_IDLE).build(connector);
        let (secure, authority) = match place.strip_prefix("https://") {
            Some(authority) => (true, authority),
            None => (false, place),
        };
        Self { authority: authority.to_owned(), secure, token: None, cookie: None, http }
    }

    /// A client of the node there that signs in with the token of a data directory.
    pub fn of(place: &str, data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("token");
        let token = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self { token: Some(token.trim().to_owned()), ..Self::anonymous(place) })
    }

    /// A browser that has opened a sign-in link of the node there.
    pub async fn by_link(place: &str, link: &str) -> Result<Self> {
        let client = Self::anonymous(place);
        let target: hyper::Uri = link.parse().with_context(|| link.to_owned())?;
        let reply = client.get(target.path_and_query().context("no path")?.as_str()).await?;
        let cookie = reply.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        if !cookie.contains('=') {
            bail!("the link signs nobody in: status {}: {}", reply.status, reply.text());
        }
        Ok(Self { cookie: Some(cookie), ..client })
    }

    /// One that sends this cookie.
    #[must_use]
    pub fn with_cookie(self, cookie: &str) -> Self {
        Self { cookie: Some(cookie.to_owned()), ..self }
    }

    /// The same browser at another node.
    #[must_use]
    pub fn at(&self, authority: &str) -> Self {
        Self { authority: authority.to_owned(), ..self.clone() }
    }

    /// The node, as pages there see it.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }

    /// The `host:port` that it talks to.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The token that it signs in with.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Sends a request to a path of the node; token or cookie are added unless the request signs in by itself.
    pub async fn send(&self, mut request: Request<RequestBody>) -> Result<Response<Incoming>> {
        let what = format!("{} {}{}", request.method(), self.origin(), request.uri());
        *request.uri_mut() = format!("{}{}", self.origin(), request.uri()).parse()?;
        if let Some(token) = &self.token
            && !request.headers().contains_key(header::AUTHORIZATION)
        {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse()?);
        }
        if let Some(cookie) = &self.cookie
            && !request.headers().contains_key(header::COOKIE)
        {
            request.headers_mut().insert(header::COOKIE, cookie.parse()?);
            // As a page of the node itself sends it.
            request.headers_mut().entry(header::ORIGIN).or_insert(self.origin().parse()?);
        }
        self.http.request(request).await.context(what)
    }

    /// Sends a request and reads the answer whole.
    pub async fn ask(&self, request: Request<RequestBody>) -> Result<Reply> {
        let what = format!("{} {}{}", request.method(), self.origin(), request.uri());
        let (head, body) = self.send(request).await?.into_parts();
        let body = body.collect().await.context(what)?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.ask(Request::get(path).body(whole(""))?).await
    }

    /// `GET` with headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(request.body(whole(""))?).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.ask(request.body(whole(body.to_string()))?).await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Reply> {
        let request = Request::patch(path).header(header::CONTENT_TYPE, "application/json");
        self.ask(request.body(whole(body.to_string()))?).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Result<Reply> {
        self.ask(Request::builder().method(Method::DELETE).uri(path).body(whole(""))?).await
    }

    /// Asks for a session of that kind.
    pub async fn launch(&self, kind: &str) -> Result<Session> {
        self.post("/api/v1/sessions", &json!({ "kind": kind })).await?.success()?.json()
    }

    /// Asks for a session of that kind and waits until its program answers.
    pub async fn launch_active(&self, kind: &str) -> Result<Session> {
        let session = self.launch(kind).await?;
        self.wait_active(&session.id).await
    }

    /// Waits until a session's program answers.
    pub async fn wait_active(&self, id: &str) -> Result<Session> {
        let session = self.wait_state(id, |state| state != "starting").await?;
        if session.state != "active" {
            bail!("session {id} is {}: {}", session.state, session.failure.unwrap_or_default());
        }
        Ok(session)
    }

    /// Waits until a session's state is a wanted one.
    pub async fn wait_state(&self, id: &str, wanted: impl Fn(&str) -> bool) -> Result<Session> {
        wait::until(&format!("session {id}"), wait::LONG, async || {
            let session = self.session(id).await?;
            if !wanted(&session.state) {
                bail!("it is {}", session.state);
            }
            Ok(session)
        })
        .await
    }

    /// One session.
    pub async fn session(&self, id: &str) -> Result<Session> {
        self.get(&format!("/api/v1/sessions/{id}")).await?.success()?.json()
    }

    /// All sessions.
    pub async fn sessions(&self) -> Result<Vec<Session>> {
        self.list("/api/v1/sessions").await
    }

    /// Asks for a session to be suspended.
    pub async fn suspend(&self, id: &str) -> Result<Session> {
        self.post(&format!("/api/v1/sessions/{id}/suspend"), &json!({})).await?.success()?.json()
    }

    /// Asks for a session to be resumed.
    pub async fn resume(&self, id: &str) -> Result<Session> {
        self.post(&format!("/api/v1/sessions/{id}/resume"), &json!({})).await?.success()?.json()
    }

    /// Ends a session; it may take a moment.
    pub async fn end(&self, id: &str) -> Result<()> {
        self.delete(&format!("/api/v1/sessions/{id}")).await?.success()?;
        Ok(())
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        self.list("/api/v1/nodes").await
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let mut items = Vec::new();
        let mut target = path.to_owned();
        loop {
            let list: List<T> = self.get(&target).await?.success()?.json()?;
            items.extend(list.items);
            target = match list.next {
                None | Some(Value::Null) => return Ok(items),
                Some(Value::String(next)) if next.starts_with('/') => next,
                Some(Value::String(next)) => format!("{path}?after={next}"),
                Some(next) => format!("{path}?after={next}"),
            };
        }
    }

    /// Opens a web socket as a page of the node itself would.
    pub async fn socket(&self, path: &str) -> Result<Socket> {
        match self.upgrade(path, &[("origin", &self.origin())]).await? {
            Ok(socket) => Ok(socket),
            Err(status) => bail!("ws://{}{path} was refused with status {status}", self.authority),
        }
    }

    /// Asks for a web socket with these headers; yields the status where it is refused.
    pub async fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> Result<Result<Socket, StatusCode>> {
        let mut request = format!("ws://{}{path}", self.authority).into_client_request()?;
        if let Some(token) = &self.token {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse()?);
        }
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert(header::COOKIE, cookie.parse()?);
        }
        for (name, value) in headers {
            request.headers_mut().insert(name.parse::<HeaderName>()?, HeaderValue::from_str(value)?);
        }
        let stream = TcpStream::connect(&self.authority).await.context("cannot connect")?;
        let stream: Box<dyn Stream> = match self.secure {
            true => Box::new(tls::shake_hands(stream, &self.authority).await?),
            false => Box::new(stream),
        };
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Ok(socket)),
            Err(tungstenite::Error::Http(response)) => Ok(Err(response.status())),
            Err(error) => Err(error).with_context(|| format!("ws://{}{path}", self.authority)),
        }
    }
}
