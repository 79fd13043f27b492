//! The browser's traffic to a session, `/s/<id>/…`: HTTP and upgrades, here or by one hop to the session's node.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;

/// What the proxy answers with: streamed, never gathered.
pub type ProxyBody = BoxBody<Bytes, std::io::Error>;

/// The proxy of one node.
#[derive(Debug)]
pub struct Proxy {}

impl Proxy {
    /// Passes one request on. `user` is who is signed in by cookie or token, as `web` found out; a request that carries a
    /// peer's hop headers is judged by their MAC instead.
    pub async fn serve(
        &self,
        _request: Request<Incoming>,
        _client: SocketAddr,
        _user: Option<&str>,
    ) -> Response<ProxyBody> {
        todo!()
    }
}
