//! The port with TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use evenkeel_test_postgres::certificates::Authority;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Limits, PATIENCE, Port, get, read_to_end};
use crate::{
    config::{Hsts, TlsOptions, TlsVersion},
    web::{Tls, fixture::Site},
    wire::{
        client::{self, Socket},
        names,
        tls::{Identity, OwnTls},
    },
};

/// A port that takes TLS, and the certificate that it shows.
async fn open(limits: Limits, hsts: Option<Hsts>, redirect_http: bool) -> (Port, String) {
    let directory = tempfile::tempdir().unwrap();
    let certified = Authority::new("an authority").server(&["node1"]);
    let (certificate, key) = (directory.path().join("certificate.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, certified.certificate).unwrap();
    std::fs::write(&key, certified.key).unwrap();
    let versions = vec![TlsVersion::V1_3];
    let options = TlsOptions { certificate, key, versions, hsts, redirect_http };
    let identity = Identity::load(&options).unwrap();
    let shown = identity.fingerprint.clone();
    let mut site = Site::open().await;
    site.app.tls = Some(Tls::new(Arc::new(OwnTls::new(identity)), &options));
    (Port::with(site, limits).await, shown)
}

/// What a request over TLS is answered with.
async fn ask(address: SocketAddr, certificate: &str, path: &str) -> (StatusCode, HeaderMap, Bytes) {
    let socket = Socket::of(&address.to_string(), Some(certificate));
    let request = Request::get(path).header(header::HOST, "node1:8787").body(Empty::<Bytes>::new()).unwrap();
    let (head, body) = client::send(&socket, request, PATIENCE).await.unwrap().into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn what_comes_with_tls_is_answered_and_told_to_come_so_again() {
    let hsts = Hsts { max_age: Duration::from_secs(60), subdomains: false };
    let (port, certificate) = open(Limits::default(), Some(hsts), true).await;
    for (path, status) in
        [("/health-check", StatusCode::OK), ("/s/7k3n9v2q/lab", StatusCode::OK), ("/none", StatusCode::NOT_FOUND)]
    {
        let (answered, headers, body) = ask(port.address, &certificate, path).await;
        assert_eq!(answered, status, "{path}: {body:?}");
        assert_eq!(headers["strict-transport-security"], "max-age=60", "{path}");
    }
    let (port, certificate) = open(Limits::default(), None, true).await;
    let (_, headers, _) = ask(port.address, &certificate, "/health-check").await;
    assert!(!headers.contains_key("strict-transport-security"));
}

#[tokio::test]
async fn a_browser_that_comes_without_is_sent_on_and_a_form_is_not_taken() {
    let (port, _) = open(Limits::default(), None, true).await;
    let answer = port.exchange(&get("/s/7k3n9v2q/lab?a=b", "")).await;
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(answer.contains("\r\nlocation: https://node1:8787/s/7k3n9v2q/lab?a=b\r\n"), "{answer}");
    assert!(!answer.contains("strict-transport-security"), "it holds with TLS only (RFC 6797): {answer}");
    let form = "POST /sign-in HTTP/1.1\r\nHost: node1:8787\r\nContent-Length: 3\r\n\r\na=b";
    assert!(port.exchange(form).await.starts_with("HTTP/1.1 426 "));
    let (port, _) = open(Limits::default(), None, false).await;
    let answer = port.exchange(&get("/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 426 ") && answer.contains("begins with https://"), "{answer}");
}

#[tokio::test]
async fn a_node_that_comes_without_is_told_to_read_again_where_the_session_is() {
    let (port, _) = open(Limits::default(), None, true).await;
    let answer = port.exchange(&get("/s/7k3n9v2q/lab", &format!("{}: sealed\r\n", names::HOP))).await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(answer.contains(&format!("\r\n{}: misdirected\r\n", names::HOP)), "{answer}");
}

#[tokio::test]
async fn a_handshake_may_take_as_long_as_a_head_and_no_longer() {
    let limits = Limits { head: Duration::from_millis(200), connections: 1, ..Limits::default() };
    let (port, certificate) = open(limits, None, true).await;
    let mut silent = port.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
    let mut halfway = port.connect().await;
    halfway.write_all(&[22, 3, 1, 2]).await.unwrap();
    assert_eq!(read_to_end(&mut halfway).await, "");
    let mut strange = port.connect().await;
    strange.write_all(&[22; 600]).await.unwrap();
    let mut alert = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, strange.read_to_end(&mut alert)).await.expect("the server closes");
    assert_eq!(ask(port.address, &certificate, "/health-check").await.0, StatusCode::OK, "the one place is free again");
}

#[tokio::test]
async fn a_daemon_that_stops_waits_for_no_handshake() {
    let limits = Limits { head: Duration::from_secs(600), ..Limits::default() };
    let (port, _) = open(limits, None, true).await;
    let mut silent = port.connect().await;
    // Once the server has it: another is answered after it.
    assert!(port.exchange(&get("/", "")).await.starts_with("HTTP/1.1 307 "));
    port.site.app.stopping.cancel();
    assert_eq!(read_to_end(&mut silent).await, "");
    tokio::time::timeout(PATIENCE, port.serving).await.expect("in time").expect("no panic");
}
