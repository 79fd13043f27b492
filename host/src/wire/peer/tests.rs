//! Calls from end to end, and calls that were tampered with.

use std::sync::{Mutex, atomic::AtomicUsize};

use futures_util::FutureExt as _;
use hyper::{Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::{
    config::{ClusterKey, Step},
    domain::fakes::{Numbers, SetClock},
};

fn clock() -> Arc<SetClock> {
    Arc::new(SetClock::at(Timestamp::from_second(1_700_000_000).expect("a time")))
}

fn key() -> ClusterKey {
    ClusterKey::from_bytes(b"the cluster's".to_vec())
}

fn seal(own: &str, clock: &Arc<SetClock>) -> Seal {
    let entropy = Arc::new(Numbers::default());
    Seal::new(own.to_owned(), PURPOSE, CALL, &key(), Arc::clone(clock) as Arc<dyn Clock>, entropy)
}

fn verifier(own: &str, clock: &Arc<SetClock>) -> PeerVerifier {
    let entropy = Arc::new(Numbers::default());
    PeerVerifier::new(own.to_owned(), &key(), Arc::clone(clock) as Arc<dyn Clock>, entropy)
}

fn signed(value: HeaderValue) -> http::HeaderMap {
    [(CALL, value)].into_iter().collect()
}

#[test]
fn a_call_is_accepted_once() {
    let clock = clock();
    let (from, to) = (seal("node1", &clock), verifier("node2", &clock));
    let headers = signed(from.seal("node2", &Method::POST, "/peer/nudge?x=1", &Call { body: digest(b"{}") }));
    let caller = to.verify(&Method::POST, "/peer/nudge?x=1", &headers, b"{}").expect("a peer");
    assert_eq!(caller, Caller { node: "node1".to_owned() });
    assert_eq!(to.verify(&Method::POST, "/peer/nudge?x=1", &headers, b"{}"), Err(PeerRefusal::Replayed));
}

#[test]
fn what_was_said_before_the_port_was_this_daemons_is_refused_once_and_for_all() {
    let clock = clock();
    let (from, to) = (seal("node1", &clock), verifier("node2", &clock).since(clock.now()));
    let call = || signed(from.seal("node2", &Method::POST, "/peer/nudge", &Call { body: digest(b"") }));
    clock.set_by(-SignedDuration::from_millis(1));
    let early = call();
    clock.set_by(SignedDuration::from_millis(1));
    for _ in 0..2 {
        assert_eq!(to.verify(&Method::POST, "/peer/nudge", &early, b""), Err(PeerRefusal::Early));
    }
    assert!(to.verify(&Method::POST, "/peer/nudge", &call(), b"").is_ok());
}

#[test]
fn a_statement_may_have_fields_that_this_version_does_not_know() {
    #[derive(Serialize)]
    struct Later {
        body: String,
        urgency: u8,
    }
    let clock = clock();
    let later = Later { body: digest(b""), urgency: 3 };
    let headers = signed(seal("node1", &clock).seal("node2", &Method::GET, "/", &later));
    assert!(verifier("node2", &clock).verify(&Method::GET, "/", &headers, b"").is_ok());
}

#[test]
fn a_changed_method_target_or_body_is_refused() {
    let clock = clock();
    let (from, to) = (seal("node1", &clock), verifier("node2", &clock));
    let headers = || signed(from.seal("node2", &Method::POST, "/peer/a", &Call { body: digest(b"{}") }));
    assert_eq!(to.verify(&Method::PUT, "/peer/a", &headers(), b"{}"), Err(PeerRefusal::Mac));
    assert_eq!(to.verify(&Method::POST, "/peer/b", &headers(), b"{}"), Err(PeerRefusal::Mac));
    assert_eq!(to.verify(&Method::POST, "/peer/a", &headers(), b"{ }"), Err(PeerRefusal::Body));
    assert!(to.verify(&Method::POST, "/peer/a", &headers(), b"{}").is_ok());
}

#[test]
fn a_call_for_a_node_whose_name_only_begins_alike_is_refused() {
    let clock = clock();
    let from = seal("node1", &clock);
    for (to, own) in [("node1", "node10"), ("node10", "node1"), ("Node1", "node1"), ("", "node1"), ("node1.", "node1")]
    {
        let headers = signed(from.seal(to, &Method::GET, "/", &Call { body: digest(b"") }));
        let answer = verifier(own, &clock).verify(&Method::GET, "/", &headers, b"");
        assert_eq!(answer, Err(PeerRefusal::Recipient), "{to:?} at {own:?}");
    }
}

#[test]
fn a_call_out_of_its_time_is_refused() {
    let clock = clock();
    let (from, to) = (seal("node1", &clock), verifier("node2", &clock));
    let headers = signed(from.seal("node2", &Method::GET, "/", &Call { body: digest(b"") }));
    clock.advance(SignedDuration::from_millis(30_001));
    assert_eq!(to.verify(&Method::GET, "/", &headers, b""), Err(PeerRefusal::Time));
    clock.advance(SignedDuration::from_millis(-60_002));
    assert_eq!(to.verify(&Method::GET, "/", &headers, b""), Err(PeerRefusal::Time));
}

#[test]
fn what_is_no_statement_is_refused_and_harms_nothing() {
    let clock = clock();
    let to = verifier("node2", &clock);
    let good = seal("node1", &clock).seal("node2", &Method::GET, "/", &Call { body: digest(b"") });
    let (json, mac) = good.to_str().expect("text").split_once('.').expect("two parts");
    assert_eq!(to.verify(&Method::GET, "/", &http::HeaderMap::new(), b""), Err(PeerRefusal::Missing));
    for value in ["", ".", "a.b.c", "e30.", "=.=", json, &format!("{json}.{mac}.{mac}"), &"a".repeat(9000)] {
        let headers = signed(HeaderValue::from_str(value).expect("a value"));
        let refusal = to.verify(&Method::GET, "/", &headers, b"").expect_err("refused");
        assert!(matches!(refusal, PeerRefusal::Malformed | PeerRefusal::Mac), "{value:.20}: {refusal:?}");
    }
    let mut twice = signed(good.clone());
    twice.append(CALL, good.clone());
    assert_eq!(to.verify(&Method::GET, "/", &twice, b""), Err(PeerRefusal::Malformed));
    assert!(to.verify(&Method::GET, "/", &signed(good), b"").is_ok(), "nothing above used it up");
}

#[test]
fn another_clusters_key_opens_nothing() {
    let clock = clock();
    let other = ClusterKey::from_bytes(b"another's".to_vec());
    let entropy = Arc::new(Numbers::default());
    let shared = Arc::clone(&clock) as Arc<dyn Clock>;
    let from = Seal::new("node1".to_owned(), PURPOSE, CALL, &other, shared, entropy);
    let headers = signed(from.seal("node2", &Method::GET, "/", &Call { body: digest(b"") }));
    assert_eq!(verifier("node2", &clock).verify(&Method::GET, "/", &headers, b""), Err(PeerRefusal::Mac));
}

#[test]
fn while_the_key_is_replaced_calls_of_nodes_that_are_a_step_apart_hold() {
    let clock = clock();
    let entropy = Arc::new(Numbers::default());
    let mut before = Keys::from(&key());
    for step in [Step::Announce, Step::Use, Step::Finish] {
        let after = before.after(step, &Numbers::default()).expect("a step");
        for (signs, opens) in [(&before, &after), (&after, &before)] {
            let clock = || Arc::clone(&clock) as Arc<dyn Clock>;
            let from = Seal::new("node1".to_owned(), PURPOSE, CALL, signs, clock(), entropy.clone());
            let to = PeerVerifier::new("node2".to_owned(), opens, clock(), entropy.clone());
            let headers = signed(from.seal("node2", &Method::GET, "/", &Call { body: digest(b"") }));
            assert!(to.verify(&Method::GET, "/", &headers, b"").is_ok(), "{step:?}");
        }
        before = after;
    }
    assert_ne!(before, Keys::from(&key()));
}

/// Serves one peer that verifies each call as node2 and answers with what `answer` makes of it.
async fn peer(
    clock: &Arc<SetClock>,
    answer: impl Fn(&Caller, &[u8]) -> (u16, Vec<u8>) + Send + Sync + 'static,
) -> (Peer, Arc<Mutex<Vec<Caller>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let (to, answer) = (Arc::new(verifier("node2", clock)), Arc::new(answer));
    let callers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&callers);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (to, answer, seen) = (Arc::clone(&to), Arc::clone(&answer), Arc::clone(&seen));
            let service = service_fn(move |request: Request<Incoming>| {
                let (to, answer, seen) = (Arc::clone(&to), Arc::clone(&answer), Arc::clone(&seen));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    let target = head.uri.path_and_query().expect("a target").as_str();
                    let caller = to.verify(&head.method, target, &head.headers, &body).expect("a peer");
                    let (status, body) = answer(&caller, &body);
                    seen.lock().expect("lock").push(caller);
                    let answer = Response::builder().status(status).body(Full::new(Bytes::from(body)));
                    Ok::<_, hyper::Error>(answer.expect("an answer"))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (Peer { name: "node2".to_owned(), address, certificate: None }, callers)
}

fn client(clock: &Arc<SetClock>) -> PeerClient {
    PeerClient { seal: seal("node1", clock), limit: PeerLimit::default() }
}

#[tokio::test]
async fn a_call_arrives_with_its_body_and_brings_the_answer() {
    let clock = clock();
    let (to, callers) = peer(&clock, |_, body| (200, body.to_vec())).await;
    let client = client(&clock);
    let answer = client.call(&to, Method::POST, "/peer/nudge?a=%2F", &json!({"id": "x"})).await.expect("an answer");
    assert_eq!(answer, r#"{"id":"x"}"#);
    let answer = client.call(&to, Method::GET, "/peer/log", &Value::Null).await.expect("an answer");
    assert_eq!(answer, "", "null is no body");
    assert_eq!(callers.lock().expect("lock").len(), 2);
}

#[tokio::test]
async fn a_refusal_is_told_in_one_bounded_line() {
    let clock = clock();
    let problem = json!({"title": "no", "detail": format!("no such session\n{}", "x".repeat(1000))}).to_string();
    for (body, start) in [(problem, "no such session x"), ("plain\nsecond".to_owned(), "plain")] {
        let (to, _) = peer(&clock, move |_, _| (404, body.clone().into_bytes())).await;
        let error = client(&clock).call(&to, Method::GET, "/", &Value::Null).await.expect_err("refused");
        let PeerError::Refused { status: 404, detail, .. } = error else { panic!("{error}") };
        assert!(detail.starts_with(start) && detail.len() <= LONGEST_DETAIL, "{detail}");
        assert!(!detail.contains('\n'));
    }
}

#[tokio::test]
async fn neither_body_nor_answer_is_over_a_mebibyte() {
    let clock = clock();
    let (to, callers) = peer(&clock, |_, _| (200, vec![b' '; LARGEST + 1])).await;
    let client = client(&clock);
    let large = Value::String("x".repeat(LARGEST));
    let error = client.call(&to, Method::POST, "/", &large).await.expect_err("too large");
    assert!(matches!(error, PeerError::TooLarge { what: "body", .. }), "{error}");
    assert_eq!(callers.lock().expect("lock").len(), 0, "nothing was sent");
    let error = client.call(&to, Method::GET, "/", &Value::Null).await.expect_err("too large");
    assert!(matches!(error, PeerError::TooLarge { what: "answer", .. }), "{error}");
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_named() {
    let to = Peer { name: "node2".to_owned(), address: "127.0.0.1:1".to_owned(), certificate: None };
    let error = client(&clock()).call(&to, Method::GET, "/", &Value::Null).await.expect_err("nobody");
    assert!(matches!(error, PeerError::Unreachable { .. }), "{error}");
    assert!(error.to_string().starts_with("127.0.0.1:1 does not answer: "), "{error}");
}

/// Randomness whose second use is the moment at which a peer begins to listen.
#[derive(Debug)]
struct ListensAtTheSecond {
    address: std::net::SocketAddr,
    draws: AtomicUsize,
    listening: Mutex<Option<std::net::TcpListener>>,
}

impl Entropy for ListensAtTheSecond {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
        if self.draws.fetch_add(1, Ordering::Relaxed) == 1 {
            let listener = std::net::TcpListener::bind(self.address).expect("bind");
            *self.listening.lock().expect("lock") = Some(listener);
        }
    }
}

#[tokio::test]
async fn a_peer_that_is_being_restarted_is_tried_again_under_a_statement_of_its_own() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = reserved.local_addr().expect("address");
    drop(reserved);
    let to = Peer { name: "node2".to_owned(), address: address.to_string(), certificate: None };
    let entropy = Arc::new(ListensAtTheSecond { address, draws: AtomicUsize::new(0), listening: Mutex::new(None) });
    let drawn: Arc<dyn Entropy> = entropy.clone();
    let client =
        PeerClient::new("node1".to_owned(), &key(), clock(), drawn).with_limit(PeerLimit::new(Duration::from_secs(2)));
    // It listens, but nobody answers: that is the end of it.
    let error = client.call(&to, Method::GET, "/", &Value::Null).await.expect_err("nobody answers");
    assert!(error.to_string().contains("no whole answer within 2 s"), "{error}");
    assert_eq!(entropy.draws.load(Ordering::Relaxed), 2, "one statement for each attempt, and no third");
    let listener = entropy.listening.lock().expect("lock").take().expect("it was tried again");
    listener.accept().expect("a connection");
}

#[tokio::test]
async fn a_peer_that_hangs_is_given_up_after_the_limit_and_asked_once() {
    let clock = clock();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let to = Peer {
        name: "node2".to_owned(),
        address: listener.local_addr().expect("address").to_string(),
        certificate: None,
    };
    // As a reload sets it.
    let limit = PeerLimit::default();
    let client = client(&clock).with_limit(limit.clone());
    limit.set(Duration::from_millis(700));
    let error = client.call(&to, Method::POST, "/", &json!({})).await.expect_err("it hangs");
    assert!(error.to_string().contains("no whole answer within 0.7 s"), "{error}");
    listener.accept().await.expect("one connection");
    assert!(listener.accept().now_or_never().is_none(), "what was sent is not sent again");
}
