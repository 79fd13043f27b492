//! Web sockets: the handshake, the bytes, the end.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::super::Limits;
use super::harness::{ID, Node, Program, expect_bytes, get, handshake, read_head, read_rest};

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: evenkeel=forged\r\nevenkeel-hop: x\r\n\r\n";

fn lab() -> String {
    handshake(&format!("/s/{ID}/api/kernels?x=%2F"), "Origin: http://a.example\r\nCookie: evenkeel=1; _xsrf=2\r\n")
}

#[tokio::test]
async fn bytes_flow_both_ways_once_the_program_has_agreed() {
    let node = Node::start(1).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    let mut browser = node.connect().await;
    // The browser does not wait for the answer: what it sends early arrives, later.
    browser.write_all(format!("{}early", lab()).as_bytes()).await.expect("write");
    let (mut stream, _) = listener.accept().await.expect("accept");
    let (head, rest) = read_head(&mut stream).await;
    assert_eq!(rest, b"");
    assert!(head.starts_with(&format!("GET /s/{ID}/api/kernels?x=%2F HTTP/1.1\r\n")), "{head}");
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        "origin: http://a.example",
        "host: a.example",
        "cookie: _xsrf=2",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "x-forwarded-for: 127.0.0.1",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    stream.write_all(&[SWITCH, b"first"].concat()).await.expect("write");
    let (head, rest) = read_head(&mut browser).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    assert!(!head.contains("evenkeel"), "{head}");
    expect_bytes(&mut browser, rest, b"first").await;
    expect_bytes(&mut stream, Vec::new(), b"early").await;
    browser.write_all(b"ping").await.expect("write");
    expect_bytes(&mut stream, Vec::new(), b"ping").await;
    // Each direction ends on its own.
    browser.shutdown().await.expect("shutdown");
    assert_eq!(read_rest(&mut stream).await, b"");
    stream.write_all(b"pong").await.expect("write");
    drop(stream);
    assert_eq!(read_rest(&mut browser).await, b"pong");
    node.drain.tracker.close();
    node.drain.tracker.wait().await;
}

#[tokio::test]
async fn nobody_holds_more_than_their_share_and_the_others_are_served() {
    let node = Node::with_limits(1, Limits { of_user: 2, ..Limits::default() }).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut browser = node.connect().await;
        browser.write_all(lab().as_bytes()).await.expect("write");
        let (mut stream, _) = listener.accept().await.expect("accept");
        read_head(&mut stream).await;
        stream.write_all(SWITCH).await.expect("write");
        assert!(read_head(&mut browser).await.0.starts_with("HTTP/1.1 101 "));
        open.push((browser, stream));
    }
    let refused = node.get("", "").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, vec!["1"]));
    let mut browser = node.connect().await;
    browser.write_all(lab().as_bytes()).await.expect("write");
    assert!(read_head(&mut browser).await.0.starts_with("HTTP/1.1 429 "));
    // Whoever else comes gets as far as ever.
    *node.signed_in.lock().expect("lock") = Some("bob".to_owned());
    assert_eq!(node.get("", "").await.status, 404);
    *node.signed_in.lock().expect("lock") = Some("ada".to_owned());

    // What is closed is free again, and so is what has been answered.
    drop(open.pop());
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            read_head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                .await
                .expect("write");
        }
    });
    for _ in 0..3 {
        let mut status = node.get("", "").await.status;
        while status == 429 {
            tokio::task::yield_now().await;
            status = node.get("", "").await.status;
        }
        assert_eq!(status, 200);
    }
    answering.abort();
}

/// CVE-2026-2833.
#[tokio::test]
async fn a_program_that_declines_is_sent_nothing_but_the_handshake() {
    let node = Node::start(1).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    let mut browser = node.connect().await;
    let smuggled = get(&format!("/s/{ID}/smuggled"), "");
    browser.write_all(format!("{}{smuggled}", lab()).as_bytes()).await.expect("write");
    let (mut stream, _) = listener.accept().await.expect("accept");
    let (_, rest) = read_head(&mut stream).await;
    assert_eq!(rest, b"");
    stream
        .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        .await
        .expect("write");
    let (head, rest) = read_head(&mut browser).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert!(rest.starts_with(b"no"));
    drop(listener);
    // What follows is a request of its own to the proxy, over a connection of its own to the program.
    assert_eq!(read_rest(&mut stream).await, b"");
}

/// CVE-2026-130647.
#[tokio::test]
async fn a_handshake_may_follow_a_request_at_once() {
    let node = Node::start(1).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    let mut browser = node.connect().await;
    let first = format!("GET /s/{ID}/first HTTP/1.1\r\nHost: a.example\r\n\r\n");
    browser.write_all(format!("{first}{}early", lab()).as_bytes()).await.expect("write");
    let (mut stream, _) = listener.accept().await.expect("accept");
    let (head, rest) = read_head(&mut stream).await;
    assert!(head.starts_with(&format!("GET /s/{ID}/first ")), "{head}");
    assert_eq!(rest, b"");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("write");
    let (head, rest) = read_head(&mut browser).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    expect_bytes(&mut browser, rest, b"ok").await;
    let (mut stream, _) = listener.accept().await.expect("a connection of its own");
    read_head(&mut stream).await;
    stream.write_all(SWITCH).await.expect("write");
    let (head, rest) = read_head(&mut browser).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(rest, b"");
    expect_bytes(&mut stream, Vec::new(), b"early").await;
}

#[tokio::test]
async fn a_program_that_switches_to_something_else_or_unasked_is_not_believed() {
    let node = Node::start(1).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    let server = tokio::spawn(async move {
        for answer in [
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        ] {
            let (mut stream, _) = listener.accept().await.expect("accept");
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.expect("write");
            assert_eq!(read_rest(&mut stream).await, b"");
        }
    });
    for request in [lab(), lab(), get(&format!("/s/{ID}/"), "")] {
        let mut browser = node.connect().await;
        browser.write_all(request.as_bytes()).await.expect("write");
        let (head, _) = read_head(&mut browser).await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
    server.await.expect("server");
}

#[tokio::test]
async fn other_protocols_are_not_asked_for_on_a_clients_behalf() {
    let node = Node::start(1).await;
    let program = Program::ok();
    node.has(&program);
    let lines = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    assert_eq!(node.get("", lines).await.status, 200);
    assert_eq!(node.get("", "Upgrade: websocket\r\n").await.status, 200, "Connection does not name it");
    for (head, _) in program.asked.lock().expect("lock").iter() {
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(!head.headers.contains_key(name), "{head:?}");
        }
    }
}

#[tokio::test]
async fn open_web_sockets_hold_the_drain_until_it_cuts_them() {
    let node = Node::start(1).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    let mut browser = node.connect().await;
    browser.write_all(lab().as_bytes()).await.expect("write");
    let (mut stream, _) = listener.accept().await.expect("accept");
    read_head(&mut stream).await;
    stream.write_all(SWITCH).await.expect("write");
    read_head(&mut browser).await;
    node.drain.tracker.close();
    let waited = tokio::time::timeout(Duration::from_millis(30), node.drain.tracker.wait()).await;
    assert!(waited.is_err(), "it is open");
    browser.write_all(b"still").await.expect("write");
    expect_bytes(&mut stream, Vec::new(), b"still").await;
    node.drain.cut.cancel();
    node.drain.tracker.wait().await;
    assert_eq!(read_rest(&mut stream).await, b"");
    assert_eq!(read_rest(&mut browser).await, b"");
}

/// CVE-2026-129500.
#[tokio::test]
async fn an_end_that_breaks_ends_the_other_and_nothing_else() {
    let node = Node::start(1).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    for broken_end in ["browser", "program", "program before it agrees", "browser before it agrees"] {
        let mut browser = node.connect().await;
        browser.write_all(lab().as_bytes()).await.expect("write");
        let (mut stream, _) = listener.accept().await.expect("accept");
        read_head(&mut stream).await;
        match broken_end {
            "browser" => {
                stream.write_all(SWITCH).await.expect("write");
                read_head(&mut browser).await;
                // Closed with bytes unread: a reset.
                stream.write_all(b"unread").await.expect("write");
                reset(browser);
                assert_eq!(read_rest(&mut stream).await, b"");
            }
            "program" => {
                stream.write_all(SWITCH).await.expect("write");
                read_head(&mut browser).await;
                drop(stream);
                assert_eq!(read_rest(&mut browser).await, b"");
            }
            "program before it agrees" => {
                drop(stream);
                let (head, _) = read_head(&mut browser).await;
                assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
            }
            _ => {
                reset(browser);
                let _ = stream.write_all(SWITCH).await;
                assert_eq!(read_rest(&mut stream).await, b"");
            }
        }
    }
    node.drain.tracker.close();
    node.drain.tracker.wait().await;
}

/// Closes a connection with a reset.
fn reset(stream: tokio::net::TcpStream) {
    stream.set_zero_linger().expect("linger");
    drop(stream);
}
