//! HTTP/1.1 to one socket.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, header::HOST};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// A Unix socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[from] io::Error),
    /// No answer that is HTTP.
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    /// A target that is none.
    #[error("no request: {0}")]
    Request(#[from] http::Error),
    /// None in time.
    #[error("no answer within {0:?}")]
    Slow(Duration),
}

/// The status that a GET is answered with.
pub async fn probe(
    socket: &Socket,
    path: &str,
    headers: &[(HeaderName, HeaderValue)],
    limit: Duration,
) -> Result<StatusCode, ClientError> {
    let ask = async {
        match socket {
            Socket::Unix(path_of_socket) => get(UnixStream::connect(path_of_socket).await?, path, headers).await,
            Socket::Tcp(address) => get(TcpStream::connect(address).await?, path, headers).await,
        }
    };
    tokio::time::timeout(limit, ask).await.unwrap_or(Err(ClientError::Slow(limit)))
}

async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
    headers: &[(HeaderName, HeaderValue)],
) -> Result<StatusCode, ClientError> {
    let mut request = Request::get(path).header(HOST, "localhost").body(Empty::<Bytes>::new())?;
    request.headers_mut().extend(headers.iter().cloned());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    // Nothing of the probe stays behind.
    connection.abort();
    Ok(answer?.status())
}
