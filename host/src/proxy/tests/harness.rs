//! Nodes, programs and clients for the tests.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::http::Request;
use async_trait::async_trait;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    config::{ClusterKey, Keys},
    domain::{
        Clock, Epoch, NodeId, Peer, SessionId, State,
        fakes::{Numbers, SetClock},
    },
    launcher::{Activity, Exit, Launch, LaunchError, Launcher, LogPart, Running, Upstream},
    proxy::{Drain, Limits, Parts, Proxy, Routes},
    sessions::Traffic,
    store::{Route, StoreError},
    wire::{hop, names::HOP, seal::Seal},
};

mod program;

pub(super) use program::Program;

/// The session of all tests, Ada's.
pub(super) const ID: &str = "0000000a";
/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(10);

pub(super) fn id() -> SessionId {
    ID.parse().expect("an id")
}

pub(super) fn key() -> ClusterKey {
    ClusterKey::from_bytes(b"the cluster's".to_vec())
}

/// The time of all tests.
fn noon() -> Arc<SetClock> {
    Arc::new(SetClock::at(Timestamp::from_second(1_700_000_000).expect("a time")))
}

/// The routes of one node: its memory and the store.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) memory: Mutex<HashMap<SessionId, Route>>,
    pub(super) store: Mutex<HashMap<SessionId, Route>>,
    /// Sessions of the store that are not live.
    pub(super) over: Mutex<HashMap<SessionId, (String, State)>>,
    pub(super) store_is_down: AtomicBool,
    pub(super) reads: AtomicUsize,
}

impl Known {
    pub(super) fn everywhere(&self, route: &Route) {
        self.memory.lock().expect("lock").insert(route.id, route.clone());
        self.store.lock().expect("lock").insert(route.id, route.clone());
    }
}

#[async_trait]
impl Routes for Known {
    fn route(&self, id: SessionId) -> Option<Route> {
        self.memory.lock().expect("lock").get(&id).cloned()
    }

    async fn refresh(&self, id: SessionId) -> Result<Option<Route>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.store_is_down.load(Ordering::Relaxed) {
            return Err(StoreError::Unusable("down".to_owned()));
        }
        let fresh = self.store.lock().expect("lock").get(&id).cloned();
        if let Some(route) = &fresh {
            self.memory.lock().expect("lock").insert(id, route.clone());
        }
        Ok(fresh)
    }

    async fn whose(&self, id: SessionId) -> Result<Option<(String, State)>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let live = self.store.lock().expect("lock").get(&id).map(|route| (route.user.clone(), route.state));
        Ok(live.or_else(|| self.over.lock().expect("lock").get(&id).cloned()))
    }
}

/// The programs of one node; it starts none.
#[derive(Debug, Default)]
pub(super) struct Programs(pub(super) Mutex<HashMap<SessionId, Arc<Upstream>>>);

#[async_trait]
impl Launcher for Programs {
    async fn start(&self, launch: &Launch) -> Result<Running, LaunchError> {
        Err(LaunchError::Unknown(launch.id))
    }
    async fn ready(&self, id: SessionId, _: Epoch) -> Result<(), LaunchError> {
        Err(LaunchError::Unknown(id))
    }
    async fn stop(&self, id: SessionId, _: Epoch) -> Result<(), LaunchError> {
        Err(LaunchError::Unknown(id))
    }
    async fn suspend(&self, id: SessionId, _: Epoch) -> Result<(), LaunchError> {
        Err(LaunchError::Unknown(id))
    }
    async fn activity(&self, id: SessionId, _: Epoch) -> Result<Activity, LaunchError> {
        Err(LaunchError::Unknown(id))
    }
    async fn signal(&self, id: SessionId, _: Epoch, _: Signal) -> Result<(), LaunchError> {
        Err(LaunchError::Unknown(id))
    }
    async fn watch(&self, _: SessionId, _: Epoch) -> Exit {
        Exit::Unknown
    }
    async fn running(&self) -> Vec<Running> {
        Vec::new()
    }
    fn upstream(&self, id: SessionId) -> Option<Arc<Upstream>> {
        self.0.lock().expect("lock").get(&id).cloned()
    }
    async fn log_tail(&self, id: SessionId, _: usize) -> Result<String, LaunchError> {
        Err(LaunchError::Unknown(id))
    }
    async fn log_part(&self, id: SessionId, _: u64) -> Result<LogPart, LaunchError> {
        Err(LaunchError::NoLog(id))
    }
    async fn kept(&self) -> Result<Vec<SessionId>, LaunchError> {
        Ok(Vec::new())
    }
    async fn forget(&self, _: SessionId) {}
}

/// One node that serves.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) known: Arc<Known>,
    pub(super) programs: Arc<Programs>,
    pub(super) drain: Drain,
    /// Whose cookie every request carries, a hop too.
    pub(super) signed_in: Arc<Mutex<Option<String>>>,
    /// Another node's, for hops that the test makes itself.
    peer: Seal,
}

impl Node {
    pub(super) async fn start(number: i64) -> Self {
        Self::with_limits(number, Limits { answer: DEADLINE, ..Limits::default() }).await
    }

    pub(super) async fn with_limits(number: i64, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let node = Self {
            id: NodeId(number),
            name: format!("node{number}"),
            address: listener.local_addr().expect("an address"),
            known: Arc::default(),
            programs: Arc::default(),
            drain: Drain::default(),
            signed_in: Arc::new(Mutex::new(Some("ada".to_owned()))),
            peer: seal("node9"),
        };
        let proxy = Arc::new(Proxy::new(Parts {
            node: node.id,
            name: node.name.clone(),
            secure: false,
            routes: Arc::clone(&node.known) as Arc<dyn Routes>,
            launcher: Arc::clone(&node.programs) as Arc<dyn Launcher>,
            traffic: Arc::new(Traffic::new(noon())),
            listener_uid: Arc::new(|_| Some(own_uid())),
            keys: Keys::from(&key()),
            clock: noon(),
            since: Clock::now(&*noon()),
            entropy: Arc::new(Numbers::of(number.unsigned_abs())),
            limits,
            drain: node.drain.clone(),
        }));
        let signed_in = Arc::clone(&node.signed_in);
        tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                let (proxy, signed_in) = (Arc::clone(&proxy), Arc::clone(&signed_in));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (proxy, signed_in) = (Arc::clone(&proxy), Arc::clone(&signed_in));
                    async move {
                        let user = signed_in.lock().expect("lock").clone();
                        Ok::<_, Infallible>(proxy.serve(request, client, user.as_deref()).await)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                tokio::spawn(connection);
            }
        });
        node
    }

    /// A route to Ada's session on this node.
    pub(super) fn route(&self, epoch: i64) -> Route {
        Route {
            id: id(),
            user: "ada".to_owned(),
            kind: "echo".to_owned(),
            state: State::Active,
            epoch: Epoch(epoch),
            node: self.id,
            peer: Peer { name: self.name.clone(), address: self.address.to_string(), certificate: None },
        }
    }

    /// Has the program as Ada's session, under epoch 1, and its route.
    pub(super) fn has(&self, program: &Program) {
        self.runs(program.upstream.clone());
        self.known.everywhere(&self.route(1));
    }

    pub(super) fn runs(&self, upstream: Upstream) {
        self.programs.0.lock().expect("lock").insert(id(), Arc::new(upstream));
    }

    /// What the node answers to these bytes; the request is to end with its connection.
    pub(super) async fn ask(&self, request: &str) -> Answer {
        self.try_ask(request).await.expect("an answer")
    }

    /// As [`Self::ask`]; none where the node closes without an answer.
    pub(super) async fn try_ask(&self, request: &str) -> Option<Answer> {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut seen = Vec::new();
        // A reset after a refusal is as good as a close.
        let _ = timeout(DEADLINE, stream.read_to_end(&mut seen)).await.expect("an end");
        (!seen.is_empty()).then(|| Answer::read(&seen))
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connect")
    }

    /// A GET below the session, with more header lines.
    pub(super) async fn get(&self, rest: &str, lines: &str) -> Answer {
        self.ask(&get(&format!("/s/{ID}/{rest}"), lines)).await
    }

    /// What another node states of a request to this one.
    pub(super) fn hop_to(&self, to: &str, target: &str, hop: &hop::Hop) -> String {
        let value = self.peer.seal(to, &::http::Method::GET, target, hop);
        format!("evenkeel-hop: {}\r\n", value.to_str().expect("text"))
    }
}

fn seal(own: &str) -> Seal {
    sealing(own, noon())
}

fn sealing(own: &str, clock: Arc<SetClock>) -> Seal {
    Seal::new(own.to_owned(), hop::PURPOSE, HOP, &key(), clock, Arc::new(Numbers::default()))
}

/// What another node has stated to this one a moment before this one had its port.
pub(super) fn early_hop(to: &str, target: &str, hop: &hop::Hop) -> String {
    let clock = noon();
    clock.set_by(-SignedDuration::from_millis(1));
    let value = sealing("early", clock).seal(to, &::http::Method::GET, target, hop);
    format!("evenkeel-hop: {}\r\n", value.to_str().expect("text"))
}

pub(super) fn own_uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// A GET that ends its connection.
pub(super) fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n")
}

/// A web-socket handshake.
pub(super) fn handshake(target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

/// An answer as bytes, taken apart.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(super) fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// Reads a head, and what came with it.
pub(super) async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> (String, Vec<u8>) {
    let mut seen = Vec::new();
    loop {
        if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = seen.split_off(end + 4);
            return (String::from_utf8(seen).expect("text"), rest);
        }
        let read = timeout(DEADLINE, stream.read_buf(&mut seen)).await.expect("in time").expect("read");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
    }
}

/// Reads exactly these bytes, of which `first` have come.
pub(super) async fn expect_bytes(stream: &mut (impl AsyncReadExt + Unpin), first: Vec<u8>, expected: &[u8]) {
    let mut seen = first;
    while seen.len() < expected.len() {
        let read = timeout(DEADLINE, stream.read_buf(&mut seen)).await.expect("in time").expect("read");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
    }
    assert_eq!(seen, expected);
}

/// Reads to the end, or to the reset.
pub(super) async fn read_rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut seen = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut seen)).await.expect("an end in time");
    seen
}
