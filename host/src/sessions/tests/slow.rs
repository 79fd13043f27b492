//! Policies that take their time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Barrier, Mutex, PoisonError, mpsc},
    time::Duration,
};

use evenkeel_fixtures::Fixture;

use crate::{
    balancer::{
        Answer, Balancer, Fallback, Question, Refusal,
        wasm::{Engine, Limits, WasmBalancer},
    },
    domain::{NodeId, State},
    sessions::{
        SessionError,
        fixtures::{Cluster, Fewest, eventually, new_session},
        placement::{Policy, Ruling},
    },
    store::{SessionFilter, Store},
};

/// A policy that does something for a while before it names a node by its name.
struct Slow<F>(F);

impl<F> fmt::Debug for Slow<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slow")
    }
}

impl<F: Fn(&Question) -> String + Send + Sync> Policy for Slow<F> {
    fn rank(&self, question: &Question) -> Result<Ruling, Refusal> {
        let name = (self.0)(question);
        let found = question.nodes.names.iter().position(|node| *node == name);
        let node = found.ok_or_else(|| Refusal::Declined(format!("there is no {name}")))?;
        let order = vec![u32::try_from(node).expect("few")];
        let answer = Answer { order, scores: None, reason: None, log: Vec::new(), duration: Duration::ZERO };
        Ok(Ruling {
            answer,
            balancer: "slow".to_owned(),
            digest: None,
            settings: Arc::default(),
            fallback: None,
            instead_of: None,
        })
    }

    fn is_slow(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_slow_policy_is_asked_about_several_orders_at_once() {
    // Nobody is answered until eight have been asked about.
    let all = Barrier::new(8);
    let cluster = Cluster::start_under(
        Arc::new(Slow(move |_: &Question| {
            all.wait();
            "node1".to_owned()
        })),
        2,
    )
    .await;
    let starts = (0..8).map(|_| {
        let sessions = Arc::clone(&cluster.daemons[0].sessions);
        tokio::spawn(async move { sessions.start(new_session("ada")).await })
    });
    for start in starts.collect::<Vec<_>>() {
        let session = start.await.expect("no panic").expect("a start");
        assert_eq!(session.node, NodeId(1));
        cluster.reaches(session.id, State::Active).await;
        assert_eq!(cluster.starts(session.id), 1);
    }
}

/// Tells of each question, and answers with what it is told in turn.
fn told() -> (impl Fn(&Question) -> String + Send + Sync, mpsc::Receiver<Vec<String>>, mpsc::Sender<&'static str>) {
    let (asked, questions) = mpsc::channel();
    let (answers, answer) = mpsc::channel::<&'static str>();
    let answer = Mutex::new(answer);
    let policy = move |question: &Question| {
        asked.send(question.nodes.names.to_vec()).expect("the test listens");
        let answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.recv_timeout(Duration::from_secs(20)).expect("the test answers").to_owned()
    };
    (policy, questions, answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slow_policy_said_holds_though_the_cluster_changed_while_the_node_may_still_be_chosen() {
    let (policy, questions, answers) = told();
    let cluster = Cluster::start_under(Arc::new(Slow(policy)), 3).await;
    let sessions = Arc::clone(&cluster.daemons[0].sessions);
    let start = tokio::spawn(async move { sessions.start(new_session("ada")).await });
    assert_eq!(questions.recv().expect("it is asked").len(), 3);
    cluster.store.set_cordoned(NodeId(1), true).await.expect("the store answers");
    answers.send("node3").expect("it waits");
    assert_eq!(start.await.expect("no panic").expect("a start").node, NodeId(3));
    assert!(questions.try_recv().is_err(), "it is asked once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_chosen_node_may_no_longer_be_chosen_a_slow_policy_is_asked_again_without_it() {
    let (policy, questions, answers) = told();
    let cluster = Cluster::start_under(Arc::new(Slow(policy)), 2).await;
    let sessions = Arc::clone(&cluster.daemons[0].sessions);
    let start = tokio::spawn(async move { sessions.start(new_session("ada")).await });
    questions.recv().expect("it is asked");
    cluster.store.set_cordoned(NodeId(2), true).await.expect("the store answers");
    answers.send("node2").expect("it waits");
    assert_eq!(questions.recv().expect("it is asked again"), ["node1"]);
    answers.send("node1").expect("it waits");
    assert_eq!(start.await.expect("no panic").expect("a start").node, NodeId(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_policys_refusal_reaches_the_user_and_the_next_order_is_placed() {
    let (policy, questions, answers) = told();
    let cluster = Cluster::start_under(Arc::new(Slow(policy)), 1).await;
    let sessions = Arc::clone(&cluster.daemons[0].sessions);
    answers.send("node9").expect("it will wait");
    let error = sessions.start(new_session("ada")).await.expect_err("declined");
    assert!(matches!(&error, SessionError::Declined(reason) if reason == "there is no node9"), "{error}");
    answers.send("node1").expect("it will wait");
    sessions.start(new_session("ada")).await.expect("a start");
    assert_eq!(questions.iter().take(2).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_orders_under_a_slow_policy_are_all_placed_once() {
    let cluster = Cluster::start_under(Arc::new(Slow(|_: &Question| "node2".to_owned())), 2).await;
    let starts = (0..60).map(|number: usize| {
        let sessions = Arc::clone(&cluster.daemons[number % 2].sessions);
        tokio::spawn(async move { sessions.start(new_session("ada")).await })
    });
    for start in starts.collect::<Vec<_>>() {
        assert_eq!(start.await.expect("no panic").expect("a start").node, NodeId(2));
    }
    let all = cluster.store.sessions(&SessionFilter::default()).await.expect("the store answers");
    assert_eq!(all.len(), 60);
}

/// A policy that never comes to an end but for the user `trial`, with a deadline of many seconds.
fn hangs(other: Option<Arc<dyn Balancer>>) -> Arc<dyn Policy> {
    let limits = Limits { deadline: Duration::from_secs(8), ..Limits::default() };
    let (engine, bytes) = (Engine::new().expect("an engine"), Fixture::EndlessLoop.bytes());
    let hanging = WasmBalancer::load(&engine, "hanging", &bytes, BTreeMap::new(), limits).expect("it loads");
    Arc::new(Fallback::new(Arc::new(hanging), other))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balancer_that_hangs_within_a_long_deadline_keeps_only_those_waiting_that_it_hangs_on() {
    for other in [None, Some(Arc::new(Fewest) as Arc<dyn Balancer>)] {
        let refuses = other.is_none();
        let policy = hangs(other);
        let cluster = Cluster::start_under(Arc::clone(&policy), 1).await;
        let start = |user: &'static str| {
            let sessions = Arc::clone(&cluster.daemons[0].sessions);
            tokio::spawn(async move { sessions.start(new_session(user)).await })
        };
        assert!(!policy.is_slow());
        let stuck: Vec<_> = (0..3).map(|_| start("ada")).collect();
        eventually("it has overrun the patience of those who wait", async || policy.is_slow()).await;
        for _ in 0..20 {
            start("trial").await.expect("no panic").expect("a start");
        }
        assert!(!stuck.iter().any(tokio::task::JoinHandle::is_finished), "they were waited for");
        for one in stuck {
            assert_eq!(one.await.expect("no panic").is_err(), refuses);
        }
    }
}
