//! HTTP/1.1 to one socket: a fresh connection each time, or one kept for the same session (see [`pool`]).

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, HOST},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

mod pinned;
pub mod pool;

use pinned::Pinned;

use super::tls;
use crate::domain::Peer;

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Socket {
    /// A Unix socket, by its path.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
    /// The same, with TLS.
    Tls {
        /// `host:port`.
        address: String,
        /// What must be shown there, as in [`Peer`].
        certificate: String,
    },
}

impl Socket {
    /// `host:port`, with TLS where a certificate is known of it.
    pub fn of(address: &str, certificate: Option<&str>) -> Self {
        let address = address.to_owned();
        match certificate {
            None => Self::Tcp(address),
            Some(certificate) => Self::Tls { address, certificate: certificate.to_owned() },
        }
    }
}

impl From<&Peer> for Socket {
    fn from(peer: &Peer) -> Self {
        Self::of(&peer.address, peer.certificate.as_deref())
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) | Self::Tls { address, .. } => f.write_str(address),
        }
    }
}

/// Looks up whose the listener is that an address of this machine leads to. It may read files: it is called off the async
/// threads.
pub type ListenerUid = Arc<dyn Fn(SocketAddr) -> Option<u32> + Send + Sync>;

/// Whose the listener must be. It is checked on each new connection before a byte is sent, since what is sent first may
/// be a secret: another account could have taken the port or the path of a program that ended.
#[derive(Clone)]
pub struct Owner {
    /// The user id.
    pub uid: u32,
    /// How to find out for an address; a Unix socket's own credentials say it.
    pub of_port: ListenerUid,
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("uid", &self.uid).finish_non_exhaustive()
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing accepts connections there.
    #[error("cannot connect to {socket}: {problem}")]
    Connect {
        /// Where.
        socket: Socket,
        /// What the system said.
        problem: io::Error,
    },
    /// Whoever listens there does not prove to be who is meant. Nothing of the request was sent.
    #[error("{socket}: no TLS with it: {problem}")]
    Tls {
        /// Where.
        socket: Socket,
        /// What went wrong.
        problem: io::Error,
    },
    /// The time is over.
    #[error("{socket} did not answer within {} ms", .limit.as_millis())]
    Timeout {
        /// Where.
        socket: Socket,
        /// How long was waited.
        limit: Duration,
    },
    /// Somebody else listens there.
    #[error("{socket} is listened on by {}, not by the session's user id {expected}", uid_found(*.found))]
    Owner {
        /// Where.
        socket: Socket,
        /// Who should be.
        expected: u32,
        /// Who is, where that can be told.
        found: Option<u32>,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("{socket}: {problem}")]
    Http {
        /// Where.
        socket: Socket,
        /// What went wrong.
        problem: hyper::Error,
    },
    /// The answer broke off, or is too long.
    #[error("{socket}: the answer cannot be read whole: {problem}")]
    Body {
        /// Where.
        socket: Socket,
        /// What went wrong.
        problem: String,
    },
    /// The request cannot be expressed.
    #[error("{0}")]
    Request(#[from] http::Error),
}

fn uid_found(uid: Option<u32>) -> String {
    uid.map_or_else(|| "nobody that can be found out".to_owned(), |uid| format!("user id {uid}"))
}

impl ClientError {
    /// Whether it is a matter of time, not of refusal.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }
}

/// Sends a request over a connection of its own, which can be upgraded. The target goes out as it stands in the request;
/// `Host` is the caller's to set.
pub async fn send<B>(
    socket: &Socket,
    request: Request<B>,
    connect_limit: Duration,
) -> Result<Response<Incoming>, ClientError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    send_to(socket, None, request, connect_limit).await
}

/// As [`send`], but only to a listener of `owner`.
pub async fn send_to<B>(
    socket: &Socket,
    owner: Option<&Owner>,
    request: Request<B>,
    connect_limit: Duration,
) -> Result<Response<Incoming>, ClientError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut sender = open(socket, owner, connect_limit).await?;
    sender.send_request(request).await.map_err(|problem| ClientError::Http { socket: socket.clone(), problem })
}

/// Asks a program of `owner` whether it answers: the status of a GET, within `limit` in all. The headers may carry the
/// session's secret.
pub async fn probe(
    socket: &Socket,
    owner: &Owner,
    path: &str,
    headers: &[(HeaderName, HeaderValue)],
    limit: Duration,
) -> Result<StatusCode, ClientError> {
    let asked = async { Ok(ask(socket, owner, path, headers, limit).await?.status()) };
    within(socket, limit, asked).await
}

/// As [`probe`], with the answer's body, of which at most `most` bytes are taken.
pub async fn get(
    socket: &Socket,
    owner: &Owner,
    path: &str,
    headers: &[(HeaderName, HeaderValue)],
    limit: Duration,
    most: usize,
) -> Result<(StatusCode, Bytes), ClientError> {
    let asked = async {
        let answer = ask(socket, owner, path, headers, limit).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), most).collect().await;
        let body =
            body.map_err(|problem| ClientError::Body { socket: socket.clone(), problem: problem.to_string() })?;
        Ok((status, body.to_bytes()))
    };
    within(socket, limit, asked).await
}

async fn within<T>(
    socket: &Socket,
    limit: Duration,
    asked: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    timeout(limit, asked).await.unwrap_or_else(|_| Err(ClientError::Timeout { socket: socket.clone(), limit }))
}

/// A GET over a connection of its own.
async fn ask(
    socket: &Socket,
    owner: &Owner,
    path: &str,
    headers: &[(HeaderName, HeaderValue)],
    limit: Duration,
) -> Result<Response<Incoming>, ClientError> {
    let mut request = Request::get(path).body(Empty::<Bytes>::new())?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in headers {
        request.headers_mut().insert(name, value.clone());
    }
    send_to(socket, Some(owner), request, limit).await
}

async fn open<B>(socket: &Socket, owner: Option<&Owner>, limit: Duration) -> Result<http1::SendRequest<B>, ClientError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connect = async {
        match socket {
            Socket::Unix(path) => {
                let connected = async { UnixStream::connect(Pinned::open(path)?.path()).await }.await;
                let stream = connected.map_err(|problem| not_connected(socket, problem))?;
                if let Some(owner) = owner {
                    let found = stream.peer_cred().ok().map(|credentials| credentials.uid());
                    expect_owner(socket, owner.uid, found)?;
                }
                handshake(socket, stream).await
            }
            Socket::Tcp(address) => handshake(socket, tcp(socket, address, owner).await?).await,
            Socket::Tls { address, certificate } => {
                let stream = tls::connect(tcp(socket, address, owner).await?, certificate).await;
                handshake(socket, stream.map_err(|problem| ClientError::Tls { socket: socket.clone(), problem })?).await
            }
        }
    };
    timeout(limit, connect).await.unwrap_or_else(|_| Err(ClientError::Timeout { socket: socket.clone(), limit }))
}

async fn tcp(socket: &Socket, address: &str, owner: Option<&Owner>) -> Result<TcpStream, ClientError> {
    let stream = TcpStream::connect(address).await.map_err(|problem| not_connected(socket, problem))?;
    // Latency over throughput: a key press in a terminal is one small packet.
    let _ = stream.set_nodelay(true);
    notice_absence(&stream);
    if let Some(owner) = owner {
        let address = stream.peer_addr().map_err(|problem| not_connected(socket, problem))?;
        let of_port = Arc::clone(&owner.of_port);
        let found = tokio::task::spawn_blocking(move || of_port(address)).await.unwrap_or_default();
        expect_owner(socket, owner.uid, found)?;
    }
    Ok(stream)
}

/// Has the system find out when the other end of an idle connection is gone without a word, a machine that lost its power
/// or a laptop that left the network: an open web socket would stay open for ever.
pub fn notice_absence(stream: &TcpStream) {
    // Where one fails, the system's own, longer times hold.
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &60);
    let _ = setsockopt(stream, sockopt::TcpKeepInterval, &15);
    let _ = setsockopt(stream, sockopt::TcpKeepCount, &4);
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
}

fn not_connected(socket: &Socket, problem: io::Error) -> ClientError {
    ClientError::Connect { socket: socket.clone(), problem }
}

fn expect_owner(socket: &Socket, expected: u32, found: Option<u32>) -> Result<(), ClientError> {
    if found == Some(expected) {
        return Ok(());
    }
    Err(ClientError::Owner { socket: socket.clone(), expected, found })
}

async fn handshake<S, B>(socket: &Socket, stream: S) -> Result<http1::SendRequest<B>, ClientError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|problem| ClientError::Http { socket: socket.clone(), problem })?;
    // Ends with the connection; what breaks it reaches the request or the body being read.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, UnixListener},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Answers one connection with `answer` and returns what it was sent: up to the end of the head, or nothing.
    async fn answer_once(listener: UnixListener, answer: &'static [u8]) -> Vec<u8> {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut seen).await.expect("read") == 0 {
                return seen;
            }
        }
        stream.write_all(answer).await.expect("write");
        seen
    }

    fn listener_in(directory: &tempfile::TempDir) -> (UnixListener, Socket) {
        let path = directory.path().join("program.sock");
        (UnixListener::bind(&path).expect("bind"), Socket::Unix(path))
    }

    fn own() -> Owner {
        Owner { uid: nix::unistd::getuid().as_raw(), of_port: Arc::new(|_| None) }
    }

    #[tokio::test]
    async fn a_probe_brings_the_status_and_sends_the_headers() {
        let directory = tempfile::tempdir().expect("directory");
        let (listener, socket) = listener_in(&directory);
        let server = tokio::spawn(answer_once(listener, b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"));
        let headers = [(HeaderName::from_static("authorization"), HeaderValue::from_static("token 17"))];
        let status = probe(&socket, &own(), "/s/0000000a/api?x=%2F", &headers, LIMIT).await.expect("an answer");
        assert_eq!(status, StatusCode::FOUND);
        let seen = String::from_utf8(server.await.expect("server")).expect("text");
        assert!(seen.starts_with("GET /s/0000000a/api?x=%2F HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains("authorization: token 17\r\n"), "{seen}");
    }

    #[tokio::test]
    async fn a_program_that_accepts_and_stays_silent_is_out_of_time() {
        let directory = tempfile::tempdir().expect("directory");
        let (_listener, socket) = listener_in(&directory);
        let error = probe(&socket, &own(), "/", &[], Duration::from_millis(30)).await.expect_err("no answer");
        assert!(error.is_timeout(), "{error}");
    }

    #[tokio::test]
    async fn an_answer_is_read_whole_or_refused_for_its_length() {
        let directory = tempfile::tempdir().expect("directory");
        for (most, whole) in [(5, true), (4, false)] {
            let (listener, socket) = listener_in(&directory);
            let server = tokio::spawn(answer_once(listener, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"));
            let answer = get(&socket, &own(), "/", &[], LIMIT, most).await;
            assert_eq!(answer.as_ref().is_ok_and(|(_, body)| body == "hello"), whole, "{answer:?}");
            server.await.expect("server");
            std::fs::remove_file(directory.path().join("program.sock")).expect("removed");
        }
        let (listener, socket) = listener_in(&directory);
        let endless = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello";
        let _server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accept");
            stream.write_all(endless).await.expect("write");
            std::future::pending::<()>().await;
        });
        let error = get(&socket, &own(), "/", &[], Duration::from_millis(50), 1000).await.expect_err("it does not end");
        assert!(error.is_timeout(), "{error}");
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_is_named() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("gone.sock");
        let error = probe(&Socket::Unix(path.clone()), &own(), "/", &[], LIMIT).await.expect_err("nobody");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_is_not_http_is_an_error() {
        let directory = tempfile::tempdir().expect("directory");
        let (listener, socket) = listener_in(&directory);
        let server = tokio::spawn(answer_once(listener, b"SSH-2.0-OpenSSH_9.2\r\n"));
        assert!(matches!(probe(&socket, &own(), "/", &[], LIMIT).await, Err(ClientError::Http { .. })));
        server.await.expect("server");
    }

    #[tokio::test]
    async fn another_accounts_socket_is_sent_nothing() {
        let directory = tempfile::tempdir().expect("directory");
        let (listener, socket) = listener_in(&directory);
        let server = tokio::spawn(answer_once(listener, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
        let owner = Owner { uid: own().uid + 1, ..own() };
        let error = probe(&socket, &owner, "/", &[], LIMIT).await.expect_err("another account");
        assert!(matches!(error, ClientError::Owner { .. }), "{error}");
        assert_eq!(server.await.expect("server"), b"", "not a byte");
    }

    #[tokio::test]
    async fn a_port_must_belong_to_the_owner_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("address").port();
        let socket = Socket::Tcp(format!("127.0.0.1:{port}"));
        for found in [None, Some(7)] {
            let owner = Owner { uid: 8, of_port: Arc::new(move |asked| found.filter(|_| asked.port() == port)) };
            let (answer, accepted) = tokio::join!(probe(&socket, &owner, "/", &[], LIMIT), listener.accept());
            assert!(matches!(answer, Err(ClientError::Owner { .. })), "{answer:?}");
            let mut seen = Vec::new();
            accepted.expect("accepted").0.read_to_end(&mut seen).await.expect("read");
            assert_eq!(seen, b"", "not a byte");
        }
    }
}
