//! The port, with raw sockets.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::{Limits, serve};
use crate::{
    config::ClusterKey,
    domain::{Peer, fakes::Numbers},
    web::fixture::{KEY, Site, USER},
    wire::peer::{PeerClient, PeerError},
};

mod tls;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Port {
    site: Site,
    address: std::net::SocketAddr,
    serving: JoinHandle<()>,
}

impl Port {
    async fn open(limits: Limits) -> Self {
        Self::with(Site::open().await, limits).await
    }

    async fn with(site: Site, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, site.app.clone(), limits, Duration::from_millis(200)));
        Self { site, address, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end like any other.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: node1:8787\r\nConnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn sessions_go_to_the_proxy_for_whoever_is_signed_in() {
    let port = Port::open(Limits::default()).await;
    let cookie = format!("Cookie: {}\r\n", port.site.cookie());
    let answer = port.exchange(&get("/s/7k3n9v2q/lab", &cookie)).await;
    assert!(answer.ends_with("GET /s/7k3n9v2q/lab for alice"), "{answer}");
    assert!(!answer.contains("content-security-policy"), "the programs have headers of their own");
    let answer = port.exchange(&get("/s/7k3n9v2q/lab", "X-Forwarded-User: alice\r\n")).await;
    assert!(answer.ends_with("for nobody"), "{answer}");
}

#[tokio::test]
async fn a_person_who_is_not_signed_in_is_sent_to_sign_in_and_no_program_is() {
    let port = Port::open(Limits::default()).await;
    let html = "Accept: text/html\r\n";
    let answer = port.exchange(&get("/s/7k3n9v2q/lab?a=b", html)).await;
    assert!(
        answer.starts_with("HTTP/1.1 303") && answer.contains("/sign-in?next=/s/7k3n9v2q/lab%3Fa%3Db\r\n"),
        "{answer}"
    );
    for headers in [
        "",
        "Accept: application/json\r\n",
        &format!("{html}Evenkeel-Hop: x\r\n"),
        &format!("{html}Upgrade: websocket\r\n"),
    ] {
        let answer = port.exchange(&get("/s/7k3n9v2q/lab", headers)).await;
        assert!(answer.ends_with("for nobody"), "{headers}: {answer}");
    }
}

#[tokio::test]
async fn a_sign_in_that_is_used_through_a_session_lasts() {
    let port = Port::open(Limits::default()).await;
    let cookie = format!("Cookie: {}\r\n", port.site.cookie());
    port.site.advance(2000).await;
    let answer = port.exchange(&get("/s/7k3n9v2q/lab", &cookie)).await;
    assert!(answer.contains("set-cookie: evenkeel=1."), "{answer}");
}

#[tokio::test]
async fn targets_that_name_other_servers_are_refused_and_lead_nowhere() {
    let port = Port::open(Limits::default()).await;
    for target in [
        "//evil.example/s/x",
        "///evil.example",
        "http://evil.example/",
        "http://node1:8787.evil.example/",
        "/\\evil.example",
    ] {
        let answer = port.exchange(&get(target, "Accept: text/html\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
        assert!(!answer.contains("location:") && !answer.contains("evil"), "{target}: {answer}");
    }
    let own = port.exchange(&get("http://node1:8787/health-check", "")).await;
    assert!(own.starts_with("HTTP/1.1 200") && own.ends_with("ok\n"), "{own}");
    let two_hosts = "GET /health-check HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n";
    assert!(port.exchange(two_hosts).await.starts_with("HTTP/1.1 400"));
    assert!(port.exchange("GET /health-check HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert!(port.exchange("GET /health-check HTTP/1.0\r\n\r\n").await.contains(" 200 "));
}

#[tokio::test]
async fn an_ambiguous_length_smuggles_no_second_request() {
    let port = Port::open(Limits::default()).await;
    let inner = "GET /health-check HTTP/1.1\r\nHost: node1:8787\r\n\r\n";
    for head in [
        "POST /api/v1/sessions HTTP/1.1\r\nHost: node1:8787\r\nContent-Length: +3\r\n",
        "POST /api/v1/sessions HTTP/1.1\r\nHost: node1:8787\r\nContent-Length: 3\r\nContent-Length: 4\r\n",
        "POST /api/v1/sessions HTTP/1.1\r\nHost: node1:8787\r\nTransfer-Encoding: xchunked\r\n",
        "POST /api/v1/sessions HTTP/1.1\r\nHost: node1:8787\r\nTransfer-Encoding: chunked, identity\r\n",
        "POST /api/v1/sessions HTTP/1.1\r\nHost: node1:8787\r\nTransfer-Encoding: gzip, chunked\r\n",
        "POST /api/v1/sessions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let answer = port.exchange(&format!("{head}\r\n0\r\n\r\n{inner}")).await;
        assert!(answer.contains(" 400 "), "{head}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{head}: {answer}");
    }
    // Chunks win over the length, and the connection ends behind them.
    let both =
        "POST /api/v1/sessions HTTP/1.1\r\nHost: node1:8787\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let answer = port.exchange(&format!("{both}\r\n0\r\n\r\n{inner}")).await;
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
}

#[tokio::test]
async fn an_upgrade_that_is_none_takes_nothing_down() {
    let port = Port::open(Limits::default()).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    // In HTTP/1.0 there is no upgrade; pipelined, with a body, and broken off.
    for bytes in [
        format!("GET /s/7k3n9v2q/ws HTTP/1.0\r\nHost: node1:8787\r\n{upgrade}\r\n"),
        format!("GET /health-check HTTP/1.1\r\nHost: node1:8787\r\n{upgrade}\r\n{}", get("/health-check", "")),
        format!(
            "GET /s/7k3n9v2q/ws HTTP/1.1\r\nHost: node1:8787\r\nContent-Length: 4\r\n{upgrade}\r\nbody{}",
            get("/health-check", "")
        ),
    ] {
        let answer = port.exchange(&bytes).await;
        assert!(!answer.contains(" 101 ") && !answer.contains(" 500 "), "{answer}");
    }
    let mut stream = port.connect().await;
    stream.write_all(format!("GET /s/7k3n9v2q/ws HTTP/1.1\r\nHost: node1:8787\r\n{upgrade}").as_bytes()).await.unwrap();
    drop(stream);
    assert!(port.exchange(&get("/health-check", "")).await.ends_with("ok\n"));
}

#[tokio::test]
async fn a_head_that_does_not_end_or_is_too_large_is_cut_off() {
    let limits = Limits { head: Duration::from_millis(300), head_bytes: 8192, headers: 20, ..Limits::default() };
    let port = Port::open(limits).await;
    let mut slow = port.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: node1").await.unwrap();
    read_to_end(&mut slow).await;
    let large = port.exchange(&get("/health-check", &format!("X-Large: {}\r\n", "x".repeat(20_000)))).await;
    assert!(large.is_empty() || large.starts_with("HTTP/1.1 431"), "{large}");
    let many = port.exchange(&get("/health-check", &"X-Many: x\r\n".repeat(30))).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let port = Port::open(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = port.connect().await;
    first.write_all(b"GET /health-check HTTP/1.1\r\nHost: node1:8787\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    first.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let mut second = port.connect().await;
    second.write_all(get("/health-check", "").as_bytes()).await.unwrap();
    let mut byte = [0];
    let early = timeout(Duration::from_millis(200), second.read(&mut byte)).await;
    assert!(early.is_err(), "answered while the first is open");
    drop(first);
    assert!(read_to_end(&mut second).await.ends_with("ok\n"));
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_streams_and_accepts_no_more() {
    let port = Port::open(Limits::default()).await;
    let mut idle = port.connect().await;
    let mut events = port.connect().await;
    let cookie = port.site.cookie();
    events.write_all(get("/api/v1/events", &format!("Cookie: {cookie}\r\n")).as_bytes()).await.unwrap();
    let mut head = [0; 12];
    timeout(PATIENCE, events.read_exact(&mut head)).await.unwrap().unwrap();
    port.site.app.stopping.cancel();
    timeout(PATIENCE, port.serving).await.expect("serving ends").unwrap();
    read_to_end(&mut idle).await;
    assert!(read_to_end(&mut events).await.ends_with("0\r\n\r\n"), "the stream ends in good order");
    assert!(TcpStream::connect(port.address).await.is_err());
}

#[tokio::test]
async fn peers_ask_for_logs_and_nudge_and_name_whom_they_mean() {
    let port = Port::open(Limits::default()).await;
    let id = port.site.start(USER).await.id;
    let client = |key: &[u8]| {
        let key = ClusterKey::from_bytes(key.to_vec());
        PeerClient::new("node2".to_owned(), &key, port.site.clock.clone(), Arc::new(Numbers::default()))
    };
    let node1 = Peer { name: "node1".to_owned(), address: port.address.to_string(), certificate: None };
    let (get, post) = (http::Method::GET, http::Method::POST);
    let log = format!("/peer/v1/sessions/{id}/log?lines=3");
    let peer = client(KEY);
    let text = peer.call(&node1, get.clone(), &log, &Value::Null).await.unwrap();
    assert_eq!(text, format!("{id}: 3 <lines>\n"));
    peer.call(&node1, post.clone(), "/peer/v1/nudge", &json!({"session": id})).await.unwrap();
    let status = async |peer: &PeerClient, to: &Peer, body: Value| match peer
        .call(to, post.clone(), "/peer/v1/nudge", &body)
        .await
    {
        Err(PeerError::Refused { status, .. }) => status,
        other => panic!("{other:?}"),
    };
    assert_eq!(status(&peer, &node1, json!({"session": "00000000"})).await, 404);
    assert_eq!(status(&peer, &node1, json!({"session": "no id"})).await, 400);
    assert_eq!(status(&client(b"another key"), &node1, json!({"session": id})).await, 403);
    let other = Peer { name: "node11".to_owned(), ..node1 };
    assert_eq!(status(&peer, &other, json!({"session": id})).await, 403);
}
