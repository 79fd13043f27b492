//! Ordinary requests and answers.

use std::{sync::atomic::Ordering, time::Duration};

use ::http::{HeaderName, HeaderValue, Response};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::harness::{ID, Node, Program, expect_bytes, get, read_head, read_rest};
use crate::{
    launcher::{Address, BasePath},
    proxy::Limits,
};

#[tokio::test]
async fn a_request_reaches_the_program_byte_for_byte_and_its_answer_the_browser() {
    let node = Node::start(1).await;
    let program = Program::start(|_, body| {
        let answer = Response::builder().status(201).header("x-kernel", "1").header("etag", "\"2\"");
        answer.body(body.clone()).expect("an answer")
    });
    node.has(&program);
    let answer = node
        .ask(&format!(
            "PUT /s/{ID}/api/contents/a%2Fb%20c.ipynb?x=%2e&y=/.. HTTP/1.1\r\nHost: a.example:8787\r\n\
             Origin: http://a.example:8787\r\nX-XSRFToken: 2|a\r\nCookie: _xsrf=2|a\r\nContent-Length: 5\r\n\
             Connection: close\r\n\r\nhello"
        ))
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (201, "hello"));
    assert_eq!(answer.header("x-kernel"), ["1"]);
    assert_eq!(answer.header("etag"), ["\"2\""]);
    let (target, headers, body) = program.asked_once();
    assert_eq!(target, format!("/s/{ID}/api/contents/a%2Fb%20c.ipynb?x=%2e&y=/.."));
    assert_eq!(headers["host"], "a.example:8787");
    assert_eq!(headers["origin"], "http://a.example:8787");
    assert_eq!(headers["x-xsrftoken"], "2|a");
    assert_eq!(headers["cookie"], "_xsrf=2|a");
    assert_eq!(headers["content-length"], "5");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-host"], "a.example:8787");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(body, "hello");
}

#[tokio::test]
async fn a_program_without_base_path_sees_neither_prefix_nor_wrong_redirects() {
    let node = Node::start(1).await;
    let mut program = Program::start(|_, _| {
        Response::builder().status(302).header("location", "/login").body(Bytes::new()).expect("an answer")
    });
    program.upstream.base_path = BasePath::Stripped;
    node.has(&program);
    let answer = node.get("a/b%2Fc?d=e", "").await;
    assert_eq!(answer.header("location"), [format!("/s/{ID}/login")]);
    let (target, headers, _) = program.asked_once();
    assert_eq!(target, "/a/b%2Fc?d=e");
    assert_eq!(headers["x-forwarded-prefix"], format!("/s/{ID}"));
}

#[tokio::test]
async fn the_missing_slash_is_added_by_a_redirect_that_stays_here() {
    let node = Node::start(1).await;
    let program = Program::ok();
    node.has(&program);
    let answer = node.ask(&get(&format!("/s/{ID}?a=b"), "")).await;
    assert_eq!(answer.status, 308);
    assert_eq!(answer.header("location"), [format!("/s/{ID}/?a=b")]);
    assert_eq!(program.asked_times(), 0);
}

#[tokio::test]
async fn a_head_keeps_the_length_and_has_no_body() {
    let node = Node::start(1).await;
    let program = Program::start(|_, _| Response::new(Bytes::from_static(b"seventeen bytes!!")));
    node.has(&program);
    let answer = node.ask(&get(&format!("/s/{ID}/"), "").replace("GET", "HEAD")).await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.as_str()), (200, vec!["17"], ""));
}

#[tokio::test]
async fn an_empty_post_says_that_it_is_empty() {
    let node = Node::start(1).await;
    let program = Program::ok();
    node.has(&program);
    let request = get(&format!("/s/{ID}/api/sessions"), "").replace("GET", "POST");
    assert_eq!(node.ask(&request).await.status, 200);
    assert_eq!(program.asked_once().1["content-length"], "0");
}

#[tokio::test]
async fn an_answer_and_a_body_stream_while_they_come() {
    let node = Node::start(1).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    let mut browser = node.connect().await;
    let head = format!(
        "POST /s/{ID}/stream HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    browser.write_all(head.as_bytes()).await.expect("write");
    browser.write_all(b"3\r\none\r\n").await.expect("write");
    let (mut stream, _) = listener.accept().await.expect("accept");
    let (head, rest) = read_head(&mut stream).await;
    assert!(head.contains("transfer-encoding: chunked\r\n") && !head.contains("content-length"), "{head}");
    expect_bytes(&mut stream, rest, b"3\r\none\r\n").await;
    // The first part of the answer arrives while the request is still being sent.
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n").await.expect("write");
    let (head, rest) = read_head(&mut browser).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    expect_bytes(&mut browser, rest, b"3\r\nONE\r\n").await;
    browser.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.expect("write");
    expect_bytes(&mut stream, Vec::new(), b"3\r\ntwo\r\n0\r\n\r\n").await;
    stream.write_all(b"3\r\nTWO\r\n0\r\n\r\n").await.expect("write");
    assert_eq!(read_rest(&mut browser).await, b"3\r\nTWO\r\n0\r\n\r\n");
}

#[tokio::test]
async fn the_next_start_of_a_session_gets_connections_of_its_own() {
    let node = Node::start(1).await;
    let mut program = Program::ok();
    node.has(&program);
    let mut browser = node.connect().await;
    for turn in 0..3 {
        let request = format!("GET /s/{ID}/{turn} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        browser.write_all(request.as_bytes()).await.expect("write");
        let (head, rest) = read_head(&mut browser).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        expect_bytes(&mut browser, rest, b"ok").await;
    }
    let before = program.connections.load(Ordering::Relaxed);
    program.upstream.epoch = crate::domain::Epoch(2);
    node.runs(program.upstream.clone());
    node.known.everywhere(&node.route(2));
    assert_eq!(node.get("", "").await.status, 200);
    assert_eq!(program.connections.load(Ordering::Relaxed), before + 1);
}

#[tokio::test]
async fn a_kinds_headers_are_set_on_each_request() {
    let node = Node::start(1).await;
    let mut program = Program::ok();
    program.upstream.headers = vec![(HeaderName::from_static("authorization"), HeaderValue::from_static("token 17"))];
    node.has(&program);
    node.get("", "Authorization: Bearer ours\r\nConnection: authorization\r\n").await;
    let (_, headers, _) = program.asked_once();
    assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), ["token 17"]);
}

#[tokio::test]
async fn a_program_on_a_port_is_reached_if_the_port_is_the_users() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let node = Node::start(1).await;
    let (_, mut program) = Program::listen();
    program.upstream.address = Address::Loopback(port);
    node.has(&program);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let (head, _) = read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("write");
        let (mut foreign, _) = listener.accept().await.expect("accept");
        (head, read_rest(&mut foreign).await)
    });
    assert_eq!(node.get("", "").await.status, 200);
    program.upstream.uid += 1;
    program.upstream.epoch = crate::domain::Epoch(2);
    node.runs(program.upstream.clone());
    node.known.everywhere(&node.route(2));
    assert_eq!(node.get("", "").await.status, 502, "another account took the port");
    let (head, foreign) = server.await.expect("server");
    assert!(head.starts_with(&format!("GET /s/{ID}/ HTTP/1.1\r\n")), "{head}");
    assert_eq!(foreign, b"", "it was sent nothing");
}

#[tokio::test]
async fn a_silent_program_is_a_504_and_an_absent_or_broken_one_a_502() {
    let limits = Limits { answer: Duration::from_millis(50), ..Limits::default() };
    let node = Node::with_limits(1, limits).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    let answer = node.get("", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (504, vec!["application/problem+json"]));
    drop(listener);
    assert_eq!(node.get("", "").await.status, 502);

    let node = Node::start(1).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
            .await
            .expect("write");
    });
    assert_eq!(node.get("", "").await.status, 502, "an answer that can be read in two ways");
}
