//! Whose a session is, and what is answered while it cannot be reached.

use std::sync::atomic::Ordering;

use super::harness::{ID, Node, Program, get, id};
use crate::domain::State;

#[tokio::test]
async fn anothers_session_and_no_session_are_the_same_answer() {
    let node = Node::start(1).await;
    let program = Program::ok();
    node.has(&program);
    *node.signed_in.lock().expect("lock") = Some("mallory".to_owned());
    let reads = || node.known.reads.load(Ordering::Relaxed);
    let before = reads();
    let anothers = node.get("lab", "").await;
    assert_eq!(reads(), before + 2, "both look as much at the store, so that they take as long");
    let none = node.ask(&get("/s/0000000b/lab", "")).await;
    assert_eq!(reads(), before + 4);
    node.known.over.lock().expect("lock").insert("0000000c".parse().expect("an id"), ("ada".to_owned(), State::Ended));
    let ended = node.ask(&get("/s/0000000c/lab", "")).await;
    let no_id = node.ask(&get("/s/nothing/lab", "")).await;
    for answer in [&none, &ended, &no_id] {
        assert_eq!(answer.status, 404);
        assert_eq!((answer.status, &answer.body), (anothers.status, &anothers.body));
        let without_date = |head: &str| head.lines().filter(|line| !line.starts_with("date:")).count();
        assert_eq!(without_date(&answer.head), without_date(&anothers.head));
    }
    assert_eq!(program.asked_times(), 0);
}

#[tokio::test]
async fn nobody_is_told_whether_a_session_exists() {
    let node = Node::start(1).await;
    let program = Program::ok();
    node.has(&program);
    *node.signed_in.lock().expect("lock") = None;
    for target in [format!("/s/{ID}/"), format!("/s/{ID}"), "/s/0000000b/".to_owned(), "/s/nothing/".to_owned()] {
        let answer = node.ask(&get(&target, "")).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, vec!["Bearer"]), "{target}");
    }
    assert_eq!(program.asked_times(), 0);
}

#[tokio::test]
async fn a_session_that_cannot_be_reached_says_why_and_when_to_try_again() {
    let node = Node::start(1).await;
    for (state, status, retry) in [
        (State::Starting, 503, true),
        (State::Suspended, 409, false),
        (State::Lost, 409, false),
        (State::Ended, 410, false),
        (State::Failed, 410, false),
    ] {
        if state.is_live() {
            node.known.everywhere(&crate::store::Route { state, ..node.route(1) });
        } else {
            // Only live sessions have routes; memory still has it as active, without its program.
            node.known.everywhere(&node.route(1));
            node.known.store.lock().expect("lock").clear();
            node.known.over.lock().expect("lock").insert(id(), ("ada".to_owned(), state));
        }
        let answer = node.get("", "").await;
        assert_eq!(answer.status, status, "{state}");
        assert_eq!(answer.header("retry-after").len(), usize::from(retry), "{state}");
        assert_eq!(answer.header("content-type"), ["application/problem+json"]);
    }
}

#[tokio::test]
async fn somebody_who_looks_at_a_starting_session_gets_a_page_that_comes_back() {
    let node = Node::start(1).await;
    node.known.everywhere(&crate::store::Route { state: State::Starting, ..node.route(1) });
    let answer = node.get("", "Accept: text/html,*/*\r\n").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, vec!["1"]));
    assert_eq!(answer.header("content-type"), ["text/html; charset=utf-8"]);
    assert!(answer.body.contains("http-equiv=\"refresh\""), "{}", answer.body);
    assert!(answer.header("content-security-policy")[0].starts_with("default-src 'none'"));
}

#[tokio::test]
async fn a_session_that_starts_here_is_active_once_memory_says_so() {
    let node = Node::start(1).await;
    let program = Program::ok();
    node.has(&program);
    let starting = crate::store::Route { state: State::Starting, ..node.route(1) };
    node.known.memory.lock().expect("lock").insert(starting.id, starting);
    let reads = node.known.reads.load(Ordering::Relaxed);
    assert_eq!(node.get("", "").await.status, 503);
    node.known.memory.lock().expect("lock").insert(id(), node.route(1));
    assert_eq!(node.get("", "").await.status, 200);
    assert_eq!(node.known.reads.load(Ordering::Relaxed), reads, "the store is not asked");
}

#[tokio::test]
async fn known_sessions_are_served_while_the_store_is_away() {
    let node = Node::start(1).await;
    let program = Program::ok();
    node.has(&program);
    node.known.store_is_down.store(true, Ordering::Relaxed);
    assert_eq!(node.get("", "").await.status, 200);
    let unknown = node.ask(&get("/s/0000000b/", "")).await;
    assert_eq!((unknown.status, unknown.header("retry-after")), (503, vec!["1"]));
    *node.signed_in.lock().expect("lock") = Some("mallory".to_owned());
    let anothers = node.get("", "").await;
    assert_eq!((anothers.status, anothers.body), (unknown.status, unknown.body), "and nobody is told more");
}

#[tokio::test]
async fn a_program_of_another_epoch_is_not_the_session() {
    let node = Node::start(1).await;
    let program = Program::ok();
    node.has(&program);
    node.known.everywhere(&node.route(2));
    let answer = node.get("", "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, vec!["1"]));
    assert_eq!(program.asked_times(), 0);
}
