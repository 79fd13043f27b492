//! TLS at the port, and what becomes of browsers that come without.

use std::{io, sync::Arc};

use axum::{body::Body, response::IntoResponse};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::Authority};
use tokio::net::TcpStream;

use super::slot::Slotted;
use crate::{
    config::{Hsts, TlsOptions},
    web::Problem,
    wire::{
        hop::MISDIRECTED,
        names,
        tls::{OwnTls, Secured},
    },
};

/// The TLS of a port.
#[derive(Clone, Debug)]
pub struct Tls {
    own: Arc<OwnTls>,
    /// What every answer says, where browsers are to remember that they need TLS here.
    hsts: Option<HeaderValue>,
    redirect_http: bool,
}

/// How a connection begins.
pub(super) enum Beginning {
    /// With TLS.
    Secure(Box<Secured<Slotted<TcpStream>>>),
    /// As one without.
    Plain(Slotted<TcpStream>),
}

impl Tls {
    /// That of a node which shows `own`.
    pub fn new(own: Arc<OwnTls>, options: &TlsOptions) -> Self {
        Self { own, hsts: options.hsts.map(sent), redirect_http: options.redirect_http }
    }

    /// Finds out how a connection begins, and shakes hands where that is with TLS. The caller bounds how long that may take.
    pub(super) async fn begin(&self, stream: Slotted<TcpStream>) -> io::Result<Beginning> {
        // The record that begins a handshake (RFC 8446, section 5.1); no request begins so.
        const HANDSHAKE: u8 = 22;
        let mut first = [0];
        match stream.get_ref().peek(&mut first).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if first == [HANDSHAKE] => Ok(Beginning::Secure(Box::new(self.own.accept(stream).await?))),
            _ => Ok(Beginning::Plain(stream)),
        }
    }

    /// Has an answer say what browsers are to remember.
    pub(super) fn mark<B>(&self, response: &mut Response<B>) {
        if let Some(hsts) = &self.hsts {
            response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }

    /// The answer to a request that came without TLS. Nothing of it is done: it could be anybody's on the way.
    pub(super) fn send_on<B>(&self, request: &Request<B>, door: Door) -> Response<Body> {
        // A node that has not heard yet that this one takes TLS: it is to read where the session is again.
        if request.headers().contains_key(names::HOP) {
            let mut answer = StatusCode::MISDIRECTED_REQUEST.into_response();
            answer.headers_mut().insert(names::HOP, HeaderValue::from_static(MISDIRECTED));
            return answer;
        }
        let is_visit = self.redirect_http && matches!(*request.method(), Method::GET | Method::HEAD);
        let Some(location) = location(request, door).filter(|_| is_visit) else {
            return Problem::wants_tls().into_response();
        };
        // Not for ever: what a browser is to remember, it is told with TLS.
        let mut answer = StatusCode::TEMPORARY_REDIRECT.into_response();
        answer.headers_mut().insert(header::LOCATION, location);
        answer
    }
}

/// Where a request without TLS came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// At the port that takes TLS.
    Own,
    /// At the usual port of HTTP, beside the usual one of TLS.
    Beside,
}

fn sent(hsts: Hsts) -> HeaderValue {
    let age = HeaderValue::from_str(&format!(
        "max-age={}{}",
        hsts.max_age.as_secs(),
        if hsts.subdomains { "; includeSubDomains" } else { "" }
    ));
    age.unwrap_or_else(|_| HeaderValue::from_static("max-age=0"))
}

/// The same with TLS.
fn location<B>(request: &Request<B>, door: Door) -> Option<HeaderValue> {
    let host: Authority = request.headers().get(header::HOST)?.to_str().ok()?.parse().ok()?;
    let host = match door {
        Door::Own => host.as_str(),
        Door::Beside => host.host(),
    };
    let target = request.uri().path_and_query()?.as_str();
    let location = format!("https://{host}{target}");
    // Nothing that is no address in the end.
    location.parse::<Uri>().ok()?;
    HeaderValue::from_str(&location).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(target: &str, host: &str, door: Door) -> Option<String> {
        let request = Request::get(target).header(header::HOST, host).body(()).unwrap();
        location(&request, door).map(|location| location.to_str().unwrap().to_owned())
    }

    #[test]
    fn whoever_comes_without_is_sent_to_the_same_place_with_tls() {
        assert_eq!(
            asked("/s/0000000a/lab?a=%2F", "node1:8787", Door::Own).unwrap(),
            "https://node1:8787/s/0000000a/lab?a=%2F"
        );
        assert_eq!(asked("/", "node1", Door::Beside).unwrap(), "https://node1/");
        assert_eq!(asked("/", "node1:80", Door::Beside).unwrap(), "https://node1/");
        assert_eq!(asked("/", "[::1]:80", Door::Beside).unwrap(), "https://[::1]/");
        assert_eq!(asked("/", "not a host", Door::Own), None);
    }

    #[test]
    fn what_browsers_are_to_remember_is_in_seconds() {
        let hsts = |subdomains| sent(Hsts { max_age: Duration::from_secs(60), subdomains });
        assert_eq!(hsts(false), "max-age=60");
        assert_eq!(hsts(true), "max-age=60; includeSubDomains");
    }
}
