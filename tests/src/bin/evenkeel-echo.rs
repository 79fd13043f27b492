//! The light session of the tests: an HTTP/1.1 and web-socket server that shows what it is sent.
//!
//! Below its base path: `/` says who it is; `/headers` answers with the request as received, as JSON; `/ws` echoes
//! messages; a POST anywhere echoes its body as it comes; `/slow?ms=N` answers late; `/stream?chunks=N` answers in N parts,
//! each sent by itself; `/says` answers with the state that `/says?state=S` has set; `/crash?status=N` ends the program. With a secret in EVENKEEL_ECHO_SECRET, every request must
//! carry `Authorization: token <secret>`, except that `/headers` shows any.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Parser;
use futures_util::{SinkExt, StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

type Body = BoxBody<Bytes, hyper::Error>;

/// What to be.
#[derive(Debug, Parser)]
struct Arguments {
    /// The Unix socket to listen on.
    #[arg(long, required_unless_present = "port")]
    socket: Option<PathBuf>,
    /// The port of 127.0.0.1 to listen on, instead.
    #[arg(long, conflicts_with = "socket")]
    port: Option<u16>,
    /// The path that requests are below.
    #[arg(long, default_value = "/")]
    base_path: String,
    /// Write some lines to standard error and end with this status.
    #[arg(long, value_name = "STATUS", env = "EVENKEEL_ECHO_FAIL_WITH_STATUS")]
    fail_with_status: Option<u8>,
    /// Listen only after this many milliseconds.
    #[arg(long, default_value_t = 0, env = "EVENKEEL_ECHO_DELAY_MS")]
    delay_ms: u64,
    /// Answer 503 to `/ready`, for ever.
    #[arg(long)]
    never_ready: bool,
}

struct Echo {
    base_path: String,
    secret: Option<String>,
    never_ready: bool,
    says: Mutex<String>,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    if let Some(status) = arguments.fail_with_status {
        eprintln!("evenkeel-echo: asked to fail");
        eprintln!("evenkeel-echo: the licence server cannot be reached");
        return status.into();
    }
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve(arguments)))
    {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evenkeel-echo: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> std::io::Result<()> {
    tokio::time::sleep(Duration::from_millis(arguments.delay_ms)).await;
    let echo = Arc::new(Echo {
        base_path: arguments.base_path.trim_end_matches('/').to_owned(),
        secret: std::env::var("EVENKEEL_ECHO_SECRET").ok(),
        never_ready: arguments.never_ready,
        says: Mutex::default(),
    });
    println!("evenkeel-echo: pid {}", std::process::id());
    if let Some(path) = arguments.socket {
        let listener = UnixListener::bind(path)?;
        loop {
            tokio::spawn(connection(listener.accept().await?.0, Arc::clone(&echo)));
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", arguments.port.unwrap_or_default())).await?;
    println!("evenkeel-echo: port {}", listener.local_addr()?.port());
    loop {
        tokio::spawn(connection(listener.accept().await?.0, Arc::clone(&echo)));
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, echo: Arc<Echo>) {
    let service = service_fn(move |request| {
        let echo = Arc::clone(&echo);
        async move { Ok::<_, Infallible>(echo.answer(request).await) }
    });
    // Header names are shown as they came.
    let _ = hyper::server::conn::http1::Builder::new()
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

impl Echo {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix(&self.base_path) else {
            return text(StatusCode::NOT_FOUND, format!("{path} is not below {}/\n", self.base_path));
        };
        if path != "/headers" && !self.is_authorized(&request) {
            return text(StatusCode::FORBIDDEN, "the session's secret is missing\n");
        }
        let number = |name: &str| query(&request, name).and_then(|value| value.parse::<u64>().ok());
        match path {
            "/headers" => headers(&request),
            "/ready" if self.never_ready => text(StatusCode::SERVICE_UNAVAILABLE, "not yet\n"),
            "/ready" => status(StatusCode::NO_CONTENT),
            "/says" => {
                let mut says = self.says.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(state) = query(&request, "state") {
                    state.clone_into(&mut says);
                }
                text(StatusCode::OK, serde_json::json!({ "state": *says }).to_string())
            }
            "/ws" => web_socket(request),
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(number("ms").unwrap_or(1000))).await;
                text(StatusCode::OK, "late\n")
            }
            "/stream" => parts(number("chunks").unwrap_or(3), number("ms").unwrap_or(0)),
            "/crash" => {
                println!("evenkeel-echo: asked to crash");
                let _ = std::io::stdout().flush();
                std::process::exit(number("status").and_then(|status| status.try_into().ok()).unwrap_or(1));
            }
            _ if request.method() == Method::POST => echo_body(request),
            "/" | "" => about(),
            _ => text(StatusCode::NOT_FOUND, format!("nothing is at {path}\n")),
        }
    }

    fn is_authorized(&self, request: &Request<Incoming>) -> bool {
        self.secret.as_ref().is_none_or(|secret| {
            let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            given.is_some_and(|given| given.strip_prefix("token ") == Some(secret))
        })
    }
}

fn query<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = status(code);
    *response.body_mut() = Full::new(text.into()).map_err(|never| match never {}).boxed();
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn about() -> Response<Body> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let pid = std::process::id();
    text(StatusCode::OK, format!("pid {pid}\nid {}\nuser {}\n", variable("EVENKEEL_SESSION"), variable("USER")))
}

/// The request as it was received. Headers that came more than once are all there, in order.
fn headers(request: &Request<Incoming>) -> Response<Body> {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in request.headers() {
        all.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let shown = serde_json::json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "headers": all,
    });
    let mut response = text(StatusCode::OK, shown.to_string());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn echo_body(request: Request<Incoming>) -> Response<Body> {
    let content_type = request.headers().get("content-type").cloned();
    let mut response = Response::new(request.into_body().boxed());
    if let Some(value) = content_type {
        response.headers_mut().insert("content-type", value);
    }
    response
}

/// So many parts, each flushed before the next is made.
fn parts(count: u64, pause_ms: u64) -> Response<Body> {
    let parts = stream::iter(0..count).then(move |number| async move {
        if pause_ms > 0 {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        } else {
            // Gives the connection its turn to write what there is.
            tokio::task::yield_now().await;
        }
        Ok::<_, hyper::Error>(Frame::data(Bytes::from(format!("part {number}\n"))))
    });
    Response::new(BodyExt::boxed(StreamBody::new(Box::pin(parts))))
}

fn web_socket(mut request: Request<Incoming>) -> Response<Body> {
    let asks = |name: HeaderName, what: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.to_ascii_lowercase().contains(what))
    };
    let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
    let (true, true, Some(key)) = (asks(UPGRADE, "websocket"), asks(CONNECTION, "upgrade"), key) else {
        return text(StatusCode::UPGRADE_REQUIRED, "a web-socket upgrade is expected here\n");
    };
    let protocol = request.headers().get("sec-websocket-protocol").cloned();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let echoed = message.is_text() || message.is_binary();
            // Pings and closes are answered by the library.
            if echoed && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut response = status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(first) = protocol.as_ref().and_then(|value| value.to_str().ok()?.split(',').next())
        && let Ok(value) = HeaderValue::from_str(first.trim())
    {
        headers.insert("sec-websocket-protocol", value);
    }
    response
}
