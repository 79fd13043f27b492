//! A program on a Unix socket.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use ::http::{HeaderMap, Request, Response, request};
use bytes::Bytes;
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

use super::own_uid;
use crate::{
    domain::Epoch,
    launcher::{Address, BasePath, Upstream},
};

type Reply = Response<BoxBody<Bytes, hyper::Error>>;

/// A program on a Unix socket that records what it is asked.
pub(crate) struct Program {
    pub(crate) upstream: Upstream,
    pub(crate) asked: Arc<Mutex<Vec<(request::Parts, Bytes)>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    _directory: Option<tempfile::TempDir>,
}

impl Program {
    /// One that answers each request, gathered, with what `reply` makes of it.
    pub(crate) fn start(reply: impl Fn(&request::Parts, &Bytes) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let (listener, mut program) = Self::listen();
        let (asked, connections) = (Arc::clone(&program.asked), Arc::clone(&program.connections));
        let reply = Arc::new(reply);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let (asked, reply) = (Arc::clone(&asked), Arc::clone(&reply));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (asked, reply) = (Arc::clone(&asked), Arc::clone(&reply));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let answer = reply(&head, &body);
                        asked.lock().expect("lock").push((head, body));
                        let full = |body| http_body_util::Full::new(body).map_err(|never| match never {}).boxed();
                        Ok::<Reply, hyper::Error>(answer.map(full))
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        program.upstream.epoch = Epoch(1);
        program
    }

    /// One that answers `ok`.
    pub(crate) fn ok() -> Self {
        Self::start(|_, _| Response::new(Bytes::from_static(b"ok")))
    }

    /// A socket whose connections the test accepts itself.
    pub(crate) fn listen() -> (UnixListener, Self) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("p.sock");
        let listener = UnixListener::bind(&path).expect("bind");
        let upstream = Upstream {
            epoch: Epoch(1),
            address: Address::Unix(path),
            base_path: BasePath::Kept,
            headers: Vec::new(),
            uid: own_uid(),
        };
        let asked = Arc::default();
        (listener, Self { upstream, asked, connections: Arc::default(), _directory: Some(directory) })
    }

    pub(crate) fn asked_times(&self) -> usize {
        self.asked.lock().expect("lock").len()
    }

    /// The only request that it got.
    pub(crate) fn asked_once(&self) -> (String, HeaderMap, Bytes) {
        let asked = self.asked.lock().expect("lock");
        assert_eq!(asked.len(), 1, "{asked:?}");
        let (head, body) = &asked[0];
        (head.uri.to_string(), head.headers.clone(), body.clone())
    }
}
