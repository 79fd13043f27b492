//! The proxy's own answers: constants, so that nothing a request or a program sent can come back in them.

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::{BodyExt, Full};

use super::ProxyBody;
use crate::wire::{hop::MISDIRECTED, names::HOP};

/// Why a request does not reach a program, or brings no answer of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The target could be read as one outside the session, or names a host.
    Target,
    /// None, several or a broken `Host`.
    Host,
    /// A method that is not for programs.
    Method,
    /// An upgrade that is not a plain web-socket handshake.
    Upgrade,
    /// Nobody is signed in.
    SignIn,
    /// No such session, or none of this user's: the answer must not tell which.
    NotFound,
    /// Another site's page asks.
    CrossOrigin,
    /// A hop that is not a peer's.
    Peer,
    /// A hop for a session that does not run here.
    Misdirected,
    /// The session starts.
    Starting,
    /// The session is suspended.
    Suspended,
    /// The session's node is gone.
    Lost,
    /// The session is over.
    Ended,
    /// The session failed.
    Failed,
    /// The user has too much under way at this node.
    TooMany,
    /// The registry does not answer and memory does not know the session.
    Registry,
    /// The session runs where its node does not find it.
    Moving,
    /// The program or its node takes no connection, or broke it off.
    Unreachable,
    /// The program or its node took too long.
    TimedOut,
    /// What the program answered is not an answer to this request.
    Answer,
}

impl Refusal {
    fn text(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Target => {
                (StatusCode::BAD_REQUEST, "Bad request target", "The path leads out of the session or names a host.")
            }
            Self::Host => {
                (StatusCode::BAD_REQUEST, "Bad Host header", "Exactly one Host header, host:port, is needed.")
            }
            Self::Method => {
                (StatusCode::NOT_IMPLEMENTED, "No such method here", "Programs are not asked with this method.")
            }
            Self::Upgrade => (
                StatusCode::BAD_REQUEST,
                "Bad upgrade",
                "A web socket is opened with a GET of HTTP/1.1 that has no body and asks for websocket alone.",
            ),
            Self::SignIn => (StatusCode::UNAUTHORIZED, "Not signed in", "Sign in, then open the session again."),
            Self::NotFound => (StatusCode::NOT_FOUND, "No such session", "You have no session under this address."),
            Self::CrossOrigin => {
                (StatusCode::FORBIDDEN, "Another site's request", "Only pages of this site may do this in a session.")
            }
            Self::Peer => (
                StatusCode::FORBIDDEN,
                "Not a peer",
                "The request says that a node forwarded it, and does not prove it. The nodes' log says more.",
            ),
            Self::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "Not here", "The session does not run on this node under this epoch.")
            }
            Self::Starting => {
                (StatusCode::SERVICE_UNAVAILABLE, "The session is starting", "It will be here in a moment.")
            }
            Self::Suspended => {
                (StatusCode::CONFLICT, "The session is suspended", "Resume it on the home page, then open it again.")
            }
            Self::Lost => (
                StatusCode::CONFLICT,
                "The session's node is lost",
                "It can be resumed on the home page; what the program did not save may be gone.",
            ),
            Self::Ended => (StatusCode::GONE, "The session has ended", "Start a new one on the home page."),
            Self::Failed => (StatusCode::GONE, "The session failed", "The home page says why. Start a new one there."),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too much at once",
                "You have as many requests and open pages under way at this node as anybody may. Close some.",
            ),
            Self::Registry => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The registry does not answer",
                "Sessions that were known before go on; this one is not known here. Try again.",
            ),
            Self::Moving => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The session is not at its node",
                "It may be stopping or starting elsewhere. Try again; the home page shows its state.",
            ),
            Self::Unreachable => (
                StatusCode::BAD_GATEWAY,
                "The session does not answer",
                "Its program or its node takes no connection. The home page shows its state.",
            ),
            Self::TimedOut => {
                (StatusCode::GATEWAY_TIMEOUT, "The session takes too long", "Its program did not answer in time.")
            }
            Self::Answer => (
                StatusCode::BAD_GATEWAY,
                "The session's answer makes no sense",
                "Its program switched protocols without being asked to, or to another one.",
            ),
        }
    }

    /// Whether trying again soon makes sense.
    fn retry(self) -> bool {
        matches!(self, Self::Starting | Self::TooMany | Self::Registry | Self::Moving)
    }

    /// The answer, as a page for somebody who looks at it, else as a problem document (RFC 9457).
    pub fn answer(self, page: bool) -> Response<ProxyBody> {
        let (status, title, detail) = self.text();
        let (kind, body) = if page {
            let refresh = if self == Self::Starting { "<meta http-equiv=\"refresh\" content=\"1\">" } else { "" };
            let body = format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
                 <meta name=\"color-scheme\" content=\"light dark\">{refresh}<title>{title}</title>\
                 <style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:20vh auto;padding:0 1rem}}\
                 </style><h1>{title}</h1><p>{detail}</p><p><a href=\"/\">Home</a></p></html>\n"
            );
            ("text/html; charset=utf-8", body)
        } else {
            let body = serde_json::json!({"title": title, "status": status.as_u16(), "detail": detail});
            ("application/problem+json", body.to_string())
        };
        let mut response = Response::new(Full::from(body).map_err(|never| match never {}).boxed());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"),
        );
        if self.retry() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self == Self::SignIn {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self == Self::Misdirected {
            headers.insert(HOP, HeaderValue::from_static(MISDIRECTED));
        }
        response
    }
}

/// Whether a request is somebody's who wants to look at a page.
pub fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    (method == Method::GET || method == Method::HEAD)
        && headers
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"))
}
