//! Attacks that broke other products, against sockets. Those on hops are beside the other behaviours of hops, those on
//! early bytes and broken ends beside the web sockets'.

use std::sync::atomic::Ordering;

use ::http::Response;
use bytes::Bytes;

use super::harness::{ID, Node, Program, get, handshake};

async fn node_with(program: &Program) -> Node {
    let node = Node::start(1).await;
    node.has(program);
    node
}

#[tokio::test]
async fn an_upgrade_without_a_sign_in_is_refused() {
    let program = Program::ok();
    let node = node_with(&program).await;
    *node.signed_in.lock().expect("lock") = None;
    let request = handshake(&format!("/s/{ID}/api/kernels"), "Origin: http://a.example\r\nConnection: close\r\n");
    assert_eq!(node.ask(&request).await.status, 401);
    *node.signed_in.lock().expect("lock") = Some("mallory".to_owned());
    assert_eq!(node.ask(&request).await.status, 404);
    assert_eq!(program.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn another_sites_page_opens_no_web_socket_and_changes_nothing() {
    let program = Program::ok();
    let node = node_with(&program).await;
    for lines in [
        "Origin: http://evil.example\r\n",
        "Origin: http://a.example.evil.example\r\n",
        "Origin: http://a.example:8080\r\n",
        "Origin: null\r\n",
        "Origin: http://a.example\r\nOrigin: http://evil.example\r\n",
        "Origin: http://a.example\r\nSec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        let lines = format!("{lines}Connection: close\r\n");
        assert_eq!(node.ask(&handshake(&format!("/s/{ID}/ws"), &lines)).await.status, 403, "{lines}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let request = get(&format!("/s/{ID}/api"), &lines).replacen("GET", method, 1);
            assert_eq!(node.ask(&request).await.status, 403, "{method} {lines}");
        }
    }
    assert_eq!(program.connections.load(Ordering::Relaxed), 0);
    assert_eq!(node.get("", "Origin: http://evil.example\r\n").await.status, 200, "a link");
}

#[tokio::test]
async fn the_programs_own_check_sees_origin_and_host_as_the_browser_sent_them() {
    let program = Program::ok();
    let node = node_with(&program).await;
    let lines = "Origin: http://evil.example\r\nReferer: http://evil.example/x\r\nSec-Fetch-Site: cross-site\r\n\
                 Connection: origin, host, referer, sec-fetch-site\r\n";
    node.get("", lines).await;
    let (_, headers, _) = program.asked_once();
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("host", "a.example"),
        ("referer", "http://evil.example/x"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(headers[name], value);
    }
}

#[tokio::test]
async fn a_target_that_names_a_host_is_refused() {
    let program = Program::ok();
    let node = node_with(&program).await;
    for target in [
        format!("//a.example/s/{ID}/"),
        format!("http://a.example/s/{ID}/"),
        format!("http://evil.example/s/{ID}/"),
        format!("/s/{ID}@evil.example/"),
        format!("/s/{ID}:80@evil.example/"),
        format!("/s/evil.example/{ID}/"),
        "*".to_owned(),
    ] {
        for request in [
            get(&target, "Origin: http://a.example\r\n"),
            handshake(&target, "Origin: http://a.example\r\nConnection: close\r\n"),
        ] {
            let answer = node.ask(&request).await;
            assert!(matches!(answer.status, 400 | 404), "{target}: {answer:?}");
        }
    }
    let tunnel = node.ask("CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await;
    assert_eq!(tunnel.status, 400);
    assert_eq!(program.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn no_path_leads_out_of_the_session_on_either_route() {
    let program = Program::ok();
    let node = node_with(&program).await;
    for rest in [
        "../0000000b/",
        "%2e%2e/0000000b/",
        "..%2f0000000b/",
        "%2e%2e%2f0000000b",
        "..;x=y/0000000b/",
        "..%3b/0000000b/",
        "..%5c0000000b/",
        "%252e%252e/0000000b/",
        "a/../../0000000b/#",
        "..\\0000000b\\",
        "a\\b",
        "%00",
    ] {
        let target = format!("/s/{ID}/{rest}");
        for request in [get(&target, ""), handshake(&target, "Connection: close\r\n")] {
            let answer = node.ask(&request).await;
            assert_eq!(answer.status, 400, "{target}: {answer:?}");
        }
    }
    assert_eq!(program.connections.load(Ordering::Relaxed), 0);
    // A fragment is not part of a target: it is cut off before anything looks at the path.
    assert_eq!(node.get("a#/../../0000000b/", "").await.status, 200);
    assert_eq!(program.asked_once().0, format!("/s/{ID}/a"));
}

#[tokio::test]
async fn an_upgrade_that_is_not_a_plain_handshake_is_refused() {
    let program = Program::ok();
    let node = node_with(&program).await;
    let target = format!("/s/{ID}/ws");
    let close = "Connection: close\r\n";
    let plain = handshake(&target, close);
    for request in [
        format!("{}hello", handshake(&target, &format!("{close}Content-Length: 5\r\n"))),
        format!("{}0\r\n\r\n", handshake(&target, &format!("{close}Transfer-Encoding: chunked\r\n"))),
        plain.replacen("GET", "POST", 1),
        plain.replacen("HTTP/1.1", "HTTP/1.0", 1),
        plain.replacen("WebSocket", "websocket, h2c", 1),
        plain.replacen("Upgrade: WebSocket", "Upgrade: websocket\r\nUpgrade: h2c", 1),
        plain.replacen("Sec-WebSocket-Key", "X-Other", 1),
    ] {
        let answer = node.ask(&request).await;
        assert_eq!(answer.status, 400, "{request}\n{answer:?}");
    }
    assert_eq!(program.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused_or_made_plain() {
    let program = Program::ok();
    let node = node_with(&program).await;
    let smuggled = format!("GET /s/{ID}/smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let post = |lines: &str, body: &str| {
        format!("POST /s/{ID}/ HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n{body}")
    };
    for request in [
        post("Content-Length: +3\r\n", "abc"),
        post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
        post("Content-Length: 3, 4\r\n", "abcd"),
        post("Content-Length: 0x3\r\n", "abc"),
        post("Transfer-Encoding: identity\r\n", &smuggled),
        post("Transfer-Encoding: chunked, identity\r\n", &smuggled),
        post("Transfer-Encoding: xchunked\r\n", &smuggled),
        post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n").replacen("HTTP/1.1", "HTTP/1.0", 1),
        post("Content-Length : 3\r\n", "abc"),
        post("X: y\r\n Content-Length: 3\r\n", "abc"),
    ] {
        let status = node.try_ask(&request).await.map(|answer| answer.status);
        assert!(matches!(status, None | Some(400)), "{request:?}: {status:?}");
    }
    assert_eq!(program.asked_times(), 0);
    // Both lengths: one body, framed anew, and nothing after it is taken for a request.
    let both = post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", &format!("3\r\nabc\r\n0\r\n\r\n{smuggled}"));
    if node.ask(&both).await.status == 200 {
        let (_, headers, body) = program.asked_once();
        assert_eq!(body, "abc");
        assert!(!(headers.contains_key("content-length") && headers.contains_key("transfer-encoding")));
    }
    let without_length = post("", &smuggled).replacen("HTTP/1.1", "HTTP/1.0", 1);
    let before = program.asked_times();
    node.ask(&without_length).await;
    let asked = program.asked.lock().expect("lock");
    assert_eq!(asked.len(), before + 1);
    assert!(asked.iter().all(|(head, _)| !head.uri.path().contains("smuggled")), "{asked:?}");
}

#[tokio::test]
async fn nobodys_claims_and_nothing_of_ours_reach_the_program() {
    let mut program = Program::ok();
    let kind = (::http::HeaderName::from_static("x-session-user"), ::http::HeaderValue::from_static("ada"));
    program.upstream.headers = vec![kind];
    let node = node_with(&program).await;
    node.get(
        "",
        "Connection: x-forwarded-for, x-session-user, x-forwarded-host\r\nX-Forwarded-For: 10.0.0.1\r\n\
         X_Forwarded_For: 10.0.0.1\r\nX.Session.User: root\r\nX_Session_User: root\r\nX-Session-User: root\r\n\
         X-Forwarded-User: root\r\nRemote-User: root\r\nAuthorization: Bearer ours\r\nProxy-Authorization: x\r\n\
         Cookie: a=1; evenkeel=ours; b=2\r\nCookie: __Host-evenkeel=ours\r\nEvenkeel-Call: x\r\nX-Real-IP: 10.0.0.1\r\n",
    )
    .await;
    let (_, headers, _) = program.asked_once();
    let mut seen: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            "cookie: a=1; b=2",
            "host: a.example",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: a.example",
            "x-forwarded-proto: http",
            "x-session-user: ada",
        ]
    );
}

#[tokio::test]
async fn a_programs_cookie_stays_with_the_browser_that_got_it_and_below_the_session() {
    let program = Program::start(|_, _| {
        let answer = Response::builder()
            .header("set-cookie", "token=ada; Path=/; Domain=example")
            .header("set-cookie", "evenkeel=forged; Path=/")
            .header("set-cookie", "=evenkeel=forged; Path=/");
        answer.body(Bytes::new()).expect("an answer")
    });
    let node = node_with(&program).await;
    let answer = node.get("", "").await;
    assert_eq!(answer.header("set-cookie"), [format!("token=ada; Path=/s/{ID}/")]);
    node.get("", "").await;
    for (head, _) in program.asked.lock().expect("lock").iter() {
        assert!(!head.headers.contains_key("cookie"), "{head:?}");
    }
}

#[tokio::test]
async fn nothing_of_a_request_or_an_answer_comes_back_in_an_error() {
    let node = Node::start(1).await;
    let (listener, program) = Program::listen();
    node.has(&program);
    drop(listener);
    let script = "%3Cscript%3Ealert(1)%3C/script%3E'\"<script>alert(1)</script>";
    for accept in ["text/html", "application/json"] {
        let lines = format!("Accept: {accept}\r\nX-Probe: {script}\r\nReferer: http://a.example/{script}\r\n");
        for target in [format!("/s/{ID}/alert(1)?alert(1)"), "/s/alert(1)/".to_owned(), format!("/s/{ID}/../alert(1)")]
        {
            let answer = node.ask(&get(&target, &lines)).await;
            assert!(matches!(answer.status, 502 | 404 | 400), "{answer:?}");
            assert!(!answer.body.contains("alert") && !answer.head.contains("alert"), "{answer:?}");
            assert!(!answer.body.contains(".sock"), "{answer:?}");
            assert_eq!(answer.header("x-content-type-options"), ["nosniff"]);
        }
    }
}

#[tokio::test]
async fn another_accounts_socket_is_not_the_session() {
    let mut program = Program::ok();
    program.upstream.uid += 1;
    let node = node_with(&program).await;
    assert_eq!(node.get("", "").await.status, 502);
    assert_eq!(node.ask(&handshake(&format!("/s/{ID}/"), "Connection: close\r\n")).await.status, 502);
    assert_eq!(program.asked_times(), 0);
}

#[tokio::test]
async fn a_method_that_shows_headers_or_opens_tunnels_is_refused() {
    let program = Program::ok();
    let node = node_with(&program).await;
    assert_eq!(node.ask(&get(&format!("/s/{ID}/"), "").replacen("GET", "TRACE", 1)).await.status, 405);
    assert_eq!(program.asked_times(), 0);
}

#[tokio::test]
async fn a_request_with_no_host_or_two_is_refused() {
    let program = Program::ok();
    let node = node_with(&program).await;
    let plain = get(&format!("/s/{ID}/"), "");
    assert_eq!(node.ask(&plain.replacen("Host: a.example\r\n", "", 1)).await.status, 400);
    assert_eq!(node.ask(&plain.replacen("Host", "Host: b.example\r\nHost", 1)).await.status, 400);
    assert_eq!(program.asked_times(), 0);
}
