//! From the node that the browser reached to the node that has the session.

use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt;

use super::harness::{ID, Node, Program, early_hop, expect_bytes, get, handshake, id, read_head, read_rest};
use crate::{domain::Epoch, wire::hop::Hop};

/// Two nodes that know of Ada's session on the second.
async fn cluster(program: &Program) -> (Node, Node) {
    let (entry, owner) = (Node::start(1).await, Node::start(2).await);
    owner.has(program);
    entry.known.everywhere(&owner.route(1));
    (entry, owner)
}

fn statement(user: &str, epoch: i64) -> Hop {
    Hop {
        session: id(),
        epoch: Epoch(epoch),
        user: user.to_owned(),
        client: "192.0.2.7:4000".parse().expect("an address"),
        secure: false,
    }
}

#[tokio::test]
async fn a_request_reaches_a_program_on_another_node() {
    let program = Program::start(|_, body| ::http::Response::new(body.clone()));
    let (entry, owner) = cluster(&program).await;
    // Nobody needs to be signed in on the owner: the entry vouches.
    *owner.signed_in.lock().expect("lock") = None;
    let answer = entry
        .ask(&format!(
            "POST /s/{ID}/api?x=%2F HTTP/1.1\r\nHost: a.example\r\nOrigin: http://a.example\r\n\
             Cookie: evenkeel=secret; _xsrf=2\r\nAuthorization: Bearer secret\r\nX-Forwarded-For: 10.0.0.1\r\n\
             Content-Length: 5\r\nConnection: close\r\n\r\nhello"
        ))
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    assert!(!answer.head.contains("evenkeel"), "{}", answer.head);
    let (target, headers, body) = program.asked_once();
    assert_eq!((target, body.as_ref()), (format!("/s/{ID}/api?x=%2F"), &b"hello"[..]));
    assert_eq!(headers["cookie"], "_xsrf=2");
    assert_eq!(headers["origin"], "http://a.example");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert!(headers.keys().all(|name| !name.as_str().starts_with("evenkeel")), "{headers:?}");
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_web_socket_reaches_a_program_on_another_node() {
    let (listener, program) = Program::listen();
    let (entry, _owner) = cluster(&program).await;
    let mut browser = entry.connect().await;
    browser.write_all(handshake(&format!("/s/{ID}/ws"), "").as_bytes()).await.expect("write");
    let (mut stream, _) = listener.accept().await.expect("accept");
    let (head, _) = read_head(&mut stream).await;
    assert!(!head.contains("evenkeel"), "{head}");
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi";
    stream.write_all(switch).await.expect("write");
    let (head, rest) = read_head(&mut browser).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    expect_bytes(&mut browser, rest, b"hi").await;
    browser.write_all(b"ping").await.expect("write");
    expect_bytes(&mut stream, Vec::new(), b"ping").await;
    drop(stream);
    assert_eq!(read_rest(&mut browser).await, b"");
}

#[tokio::test]
async fn a_session_that_starts_elsewhere_is_reached_as_soon_as_its_own_node_has_it_active() {
    let program = Program::ok();
    let (entry, owner) = cluster(&program).await;
    let starting = crate::store::Route { state: crate::domain::State::Starting, ..owner.route(1) };
    entry.known.everywhere(&starting);
    owner.known.everywhere(&starting);
    let waiting = entry.get("", "Accept: text/html\r\n").await;
    assert_eq!((waiting.status, waiting.header("retry-after")), (503, vec!["1"]));
    assert!(waiting.body.contains("http-equiv=\"refresh\""), "{}", waiting.body);
    owner.known.everywhere(&owner.route(1));
    assert_eq!(entry.get("", "").await.status, 200);
    assert_eq!(entry.known.reads.load(Ordering::Relaxed), 0, "the store is not asked");
}

#[tokio::test]
async fn a_session_that_moved_is_found_again() {
    let program = Program::ok();
    let (entry, owner) = cluster(&program).await;
    let other = Node::start(3).await;
    // Memory has it on the third node, which never had it; the store knows better.
    entry.known.memory.lock().expect("lock").insert(id(), other.route(1));
    assert_eq!(entry.get("", "").await.status, 200);
    assert_eq!(entry.known.reads.load(Ordering::Relaxed), 1);
    // And where the owner restarted it under the next epoch.
    let mut upstream = program.upstream.clone();
    upstream.epoch = Epoch(2);
    owner.runs(upstream);
    owner.known.everywhere(&owner.route(2));
    entry.known.store.lock().expect("lock").insert(id(), owner.route(2));
    assert_eq!(entry.get("", "").await.status, 200);
    assert_eq!(entry.known.reads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_is_nowhere_is_looked_for_once_more_and_then_said_so() {
    let program = Program::ok();
    let (entry, owner) = cluster(&program).await;
    owner.programs.0.lock().expect("lock").clear();
    let answer = entry.get("", "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, vec!["1"]));
    assert_eq!(entry.known.reads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_body_that_has_been_sent_is_not_sent_again() {
    let program = Program::ok();
    let (entry, owner) = cluster(&program).await;
    let other = Node::start(3).await;
    entry.known.memory.lock().expect("lock").insert(id(), other.route(1));
    let request =
        format!("POST /s/{ID}/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    assert_eq!(entry.ask(&request).await.status, 503);
    assert_eq!(program.asked_times(), 0);
    entry.known.everywhere(&owner.route(1));
    assert_eq!(entry.ask(&request).await.status, 200, "its sender may try again");
}

#[tokio::test]
async fn a_hop_is_never_forwarded_again() {
    let program = Program::ok();
    let (entry, owner) = cluster(&program).await;
    // The entry has it on the owner; a hop that arrives at the entry is refused rather than passed on.
    let target = format!("/s/{ID}/");
    let line = entry.hop_to("node1", &target, &statement("ada", 1));
    let answer = entry.ask(&get(&target, &line)).await;
    assert_eq!((answer.status, answer.header("evenkeel-hop")), (421, vec!["misdirected"]));
    assert_eq!(program.asked_times(), 0);
    drop(owner);
}

#[tokio::test]
async fn a_hop_of_another_epoch_or_user_finds_nothing() {
    let program = Program::ok();
    let (_, owner) = cluster(&program).await;
    let target = format!("/s/{ID}/");
    for (user, epoch) in [("ada", 2), ("ada", 0), ("mallory", 1), ("", 1), ("Ada", 1)] {
        let line = owner.hop_to("node2", &target, &statement(user, epoch));
        let answer = owner.ask(&get(&target, &line)).await;
        assert_eq!((answer.status, answer.header("evenkeel-hop")), (421, vec!["misdirected"]), "{user} {epoch}");
    }
    assert_eq!(program.asked_times(), 0);
}

#[tokio::test]
async fn what_was_forwarded_before_this_daemon_had_its_port_is_to_be_forwarded_once_more() {
    let program = Program::ok();
    let (_, owner) = cluster(&program).await;
    let target = format!("/s/{ID}/a");
    let answer = owner.ask(&get(&target, &early_hop("node2", &target, &statement("ada", 1)))).await;
    assert_eq!((answer.status, answer.header("evenkeel-hop")), (421, vec!["misdirected"]));
    assert_eq!(program.asked_times(), 0);
}

/// Names are compared whole: CVE-2026-111927.
#[tokio::test]
async fn a_hop_is_taken_once_by_its_recipient_for_its_target() {
    let program = Program::ok();
    let (_, owner) = cluster(&program).await;
    let target = format!("/s/{ID}/a");
    let line = owner.hop_to("node2", &target, &statement("ada", 1));
    assert_eq!(owner.ask(&get(&format!("/s/{ID}/b"), &line)).await.status, 403, "another target");
    assert_eq!(owner.ask(&get(&target, &line).replace("GET", "DELETE")).await.status, 403, "another method");
    assert_eq!(owner.ask(&get(&target, &format!("{line}{line}"))).await.status, 403, "twice in one request");
    let mut other = statement("ada", 1);
    other.session = "0000000b".parse().expect("an id");
    let mixed = owner.hop_to("node2", &target, &other);
    assert_eq!(owner.ask(&get(&target, &mixed)).await.status, 403, "another session than the target's");
    assert_eq!(program.asked_times(), 0);
    assert_eq!(owner.ask(&get(&target, &line)).await.status, 200);
    assert_eq!(owner.ask(&get(&target, &line)).await.status, 403, "a replay");
    assert_eq!(program.asked_times(), 1);
    for name in ["node20", "node", "nod", "Node2", "", "node2 "] {
        let line = owner.hop_to(name, &format!("{target}?{name}").replace(' ', "+"), &statement("ada", 1));
        let answer = owner.ask(&get(&format!("{target}?{name}").replace(' ', "+"), &line)).await;
        assert_eq!(answer.status, 421, "for {name:?}");
    }
    assert_eq!(program.asked_times(), 1);
}

#[tokio::test]
async fn a_forged_hop_is_refused_even_beside_a_sign_in() {
    let program = Program::ok();
    let (_, owner) = cluster(&program).await;
    for line in ["evenkeel-hop: \r\n", "Evenkeel-Hop: e30.AAAA\r\n", "evenkeel-hop: misdirected\r\n"] {
        assert_eq!(owner.get("", line).await.status, 403, "{line}");
    }
    // Under another name it says nothing and is taken out.
    assert_eq!(owner.get("", "Evenkeel_Hop: e30.AAAA\r\n").await.status, 200);
    assert!(!program.asked_once().1.contains_key("evenkeel_hop"));
}

#[tokio::test]
async fn a_sessions_own_421_is_its_answer() {
    let program = Program::start(|_, _| {
        let answer = ::http::Response::builder().status(421).header("evenkeel-hop", "misdirected");
        answer.body("mine".into()).expect("an answer")
    });
    let (entry, _owner) = cluster(&program).await;
    let answer = entry.get("", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (421, "mine"));
    assert_eq!(program.asked_times(), 1);
    assert!(answer.header("evenkeel-hop").is_empty());
}

#[tokio::test]
async fn a_node_that_is_gone_is_a_502() {
    let program = Program::ok();
    let (entry, owner) = cluster(&program).await;
    let mut route = owner.route(1);
    route.peer.address = "127.0.0.1:1".to_owned();
    entry.known.everywhere(&route);
    assert_eq!(entry.get("", "").await.status, 502);
}
