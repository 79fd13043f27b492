//! Web sockets: what counts as asking for one, and the bytes both ways once the program has agreed.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE},
};
use hyper::{
    body::{Body, Incoming},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{frames::Frames, headers::tokens, refusal::Refusal, share::Share};
use crate::{domain::SessionId, sessions::Traffic};

const WEBSOCKET: &str = "websocket";

/// Whether a request asks for a web socket. Other protocols are not asked for on a client's behalf: their `Upgrade` is
/// the connection's own matter, and goes. A web-socket handshake that is not plain is refused, since the two ends could
/// disagree about where it ends.
pub fn asks(request: &Request<Incoming>) -> Result<bool, Refusal> {
    let headers = request.headers();
    let mentioned = tokens(headers, &UPGRADE).any(|protocol| protocol.eq_ignore_ascii_case(WEBSOCKET));
    let named = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    if !mentioned || !named {
        return Ok(false);
    }
    let plain = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && is_websocket(headers)
        && headers.contains_key(SEC_WEBSOCKET_KEY)
        && !headers.contains_key(TRANSFER_ENCODING)
        && headers.get_all(CONTENT_LENGTH).iter().all(|length| length == "0")
        && request.body().is_end_stream();
    if plain { Ok(true) } else { Err(Refusal::Upgrade) }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(UPGRADE).iter();
    let value = values.next().map(|value| value.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()));
    value == Some(true) && values.next().is_none()
}

/// Whether a program's 101 is to the protocol that was asked for.
pub fn agrees<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS && is_websocket(response.headers())
}

/// Sets what makes a request or an answer a handshake.
pub fn mark(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// Makes what ends when the sign-in that a request came with is ended before its time: in the request's extensions. An open
/// web socket asks for nothing any more that could be refused, so it is closed then.
#[derive(Clone)]
pub struct SignInEnd(pub Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>);

impl fmt::Debug for SignInEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInEnd(…)")
    }
}

/// How open web sockets take part in the daemon's drain: `tracker` waits for them, `cut` closes them.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    /// Each open web socket is a task of it.
    pub tracker: TaskTracker,
    /// Ends those that are still open.
    pub cut: CancellationToken,
}

/// Passes bytes both ways until both ends have closed, an end breaks, the sign-in is ended, or the drain's time is over. The
/// browser's bytes are read only now, after the program's 101; what it sent early has waited.
/// The browser's messages are told to `used` as that session's.
pub fn pump(
    (browser, program): (OnUpgrade, OnUpgrade),
    used: Option<(Arc<Traffic>, SessionId)>,
    sign_in: Option<&SignInEnd>,
    drain: &Drain,
    share: Option<Share>,
) {
    let cut = drain.cut.clone();
    let signed_out = sign_in.map_or_else(|| Box::pin(std::future::pending()) as _, |SignInEnd(end)| end());
    drain.tracker.spawn(async move {
        let _share = share;
        let both_ways = async {
            let Ok((browser, program)) = tokio::try_join!(browser, program) else { return };
            // A reset is an ordinary end of a web socket: a laptop's lid closed, a kernel restarted.
            let mut browser = BrowserEnd { stream: TokioIo::new(browser), frames: Frames::default(), used };
            let _ = tokio::io::copy_bidirectional(&mut browser, &mut TokioIo::new(program)).await;
        };
        tokio::select! {
            () = both_ways => {}
            () = cut.cancelled() => {}
            () = signed_out => {}
        }
    });
}

/// The browser's end, whose messages are told as they are read.
struct BrowserEnd<S> {
    stream: S,
    frames: Frames,
    used: Option<(Arc<Traffic>, SessionId)>,
}

impl<S: AsyncRead + Unpin> AsyncRead for BrowserEnd<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let Self { frames, used: Some((traffic, id)), .. } = &mut *self else { return Poll::Ready(Ok(())) };
        if let Some(length) = frames.feed(&buf.filled()[before..]) {
            traffic.message(*id, length);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BrowserEnd<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
