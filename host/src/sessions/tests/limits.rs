//! What users may have.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::JoinSet;

use crate::{
    balancer::{Fallback, Question, Refusal},
    domain::{NodeId, State, limit::Over},
    sessions::{
        NewSession, SessionError,
        fixtures::{Cluster, Fewest, KIND, eventually, new_session, registration},
        placement::{Policy, Ruling},
    },
    store::Store,
};

/// The selected balancer, beside the queue or in it, that notes what it is asked.
#[derive(Debug)]
struct Asked {
    inner: Fallback,
    slow: bool,
    questions: Arc<Mutex<Vec<Question>>>,
}

impl Asked {
    fn new(slow: bool) -> (Arc<Self>, Arc<Mutex<Vec<Question>>>) {
        let questions = Arc::<Mutex<Vec<_>>>::default();
        let inner = Fallback::new(Arc::new(Fewest), None);
        (Arc::new(Self { inner, slow, questions: Arc::clone(&questions) }), questions)
    }
}

impl Policy for Asked {
    fn rank(&self, question: &Question) -> Result<Ruling, Refusal> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).push(question.clone());
        Policy::rank(&self.inner, question)
    }

    fn is_slow(&self) -> bool {
        self.slow
    }
}

/// What became of so many starts at once, from all nodes in turn.
async fn start_at_once(cluster: &Cluster, count: usize, user: impl Fn(usize) -> NewSession) -> Vec<SessionError> {
    let mut starts = JoinSet::new();
    for number in 0..count {
        let (sessions, new) = (cluster.daemons[number % cluster.daemons.len()].sessions.clone(), user(number));
        starts.spawn(async move { sessions.start(new).await });
    }
    starts.join_all().await.into_iter().filter_map(Result::err).collect()
}

async fn live(cluster: &Cluster) -> usize {
    cluster.store.snapshot().await.expect("the store answers").live.len()
}

fn is_limit(error: &SessionError) -> bool {
    matches!(error, SessionError::Limit(_))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_exact_under_a_hundred_starts_at_once_from_three_nodes() {
    for slow in [false, true] {
        let cluster = Cluster::start_under(Asked::new(slow).0, 3).await;
        cluster.set_profiles("[*]\nsession-limit=7\n");
        let refused = start_at_once(&cluster, 100, |_| new_session("ada")).await;
        assert_eq!((live(&cluster).await, refused.len()), (7, 93), "slow: {slow}");
        assert!(refused.iter().all(is_limit), "{refused:?}");
        let told = refused[0].to_string();
        assert!(
            told.starts_with("ada has 7 sessions now, and session-limit=7 under [*] allows ada no more;"),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processors_and_memory_are_summed_over_the_cluster() {
    let cluster = Cluster::start(3).await;
    cluster.set_profiles("[*]\nmax-cpus=2\ndefault-cpus=0.1\n[bob]\nmax-cpus=unlimited\nmax-memory=3000\n");
    let refused = start_at_once(&cluster, 60, |_| new_session("ada")).await;
    assert_eq!((live(&cluster).await, refused.len()), (20, 40));
    let bobs = |_| NewSession { memory: 1000 << 20, ..new_session("bob") };
    let refused = start_at_once(&cluster, 30, bobs).await;
    assert_eq!((live(&cluster).await, refused.len()), (23, 27));
    assert!(refused.iter().all(is_limit), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_group_and_all_users_share_their_totals() {
    let cluster = Cluster::start(3).await;
    cluster.set_profiles("[*]\ntotal-session-limit=9\n[@staff]\nsession-limit=4\ntotal-session-limit=5\n");
    // Both are staff; eve has no account and no group.
    let refused = start_at_once(&cluster, 60, |number| new_session(["ada", "bob"][number % 2])).await;
    assert_eq!((live(&cluster).await, refused.len()), (5, 55));
    let by_group = |error: &&SessionError| matches!(error, SessionError::Limit(reached) if reached.limit.over == Over::Group("staff".to_owned()));
    assert!(refused.iter().any(|error| by_group(&error)), "{refused:?}");
    let refused = start_at_once(&cluster, 20, |_| new_session("eve")).await;
    assert_eq!((live(&cluster).await, refused.len()), (9, 16));
    assert!(refused[0].to_string().starts_with("all users have 9 sessions now"), "{}", refused[0]);
}

#[tokio::test]
async fn a_session_that_stopped_counts_no_more_and_is_checked_when_it_is_resumed() {
    let cluster = Cluster::start(2).await;
    let sessions = &cluster.daemons[0].sessions;
    cluster.set_profiles("[@lab]\nsession-limit=1\n");
    let first = sessions.start(new_session("ada")).await.expect("a start").id;
    cluster.reaches(first, State::Active).await;
    assert!(is_limit(&sessions.start(new_session("ada")).await.expect_err("one is there")));
    sessions.suspend(first).await.expect("it can be suspended");
    cluster.reaches(first, State::Suspended).await;
    let second = sessions.start(new_session("ada")).await.expect("a start").id;
    let error = cluster.daemons[1].sessions.resume(first, false).await.expect_err("the second is there");
    assert!(is_limit(&error), "{error}");
    assert_eq!(cluster.row(first).await.state, State::Suspended);
    sessions.end(second).await.expect("it can be ended");
    cluster.reaches(second, State::Ended).await;
    cluster.daemons[1].sessions.resume(first, false).await.expect("there is room");
    cluster.reaches(first, State::Active).await;
}

#[tokio::test]
async fn a_session_that_counts_already_is_placed_again_whatever_the_limits_say() {
    let cluster = Cluster::start(2).await;
    let daemon = &cluster.daemons[0];
    daemon.programs.hang(true);
    let session = daemon.sessions.start(new_session("ada")).await.expect("a start");
    eventually("it is claimed", async || cluster.row(session.id).await.claimed).await;
    // There is no candidate left, so that the balancer has to be asked again.
    cluster.store.set_cordoned(NodeId(2), true).await.expect("the store answers");
    cluster.set_profiles("[*]\nsession-limit=0\ntotal-session-limit=0\n");
    let late = registration_of_a_third(&cluster).await;
    daemon.programs.break_down();
    daemon.programs.hang(false);
    eventually("it moves", async || cluster.row(session.id).await.node == late).await;
    assert!(is_limit(&daemon.sessions.start(new_session("ada")).await.expect_err("none is allowed")));
}

/// A node that came after the session was placed; nothing runs it.
async fn registration_of_a_third(cluster: &Cluster) -> NodeId {
    cluster.store.register(&registration("node3", KIND)).await.expect("it registers")
}

#[tokio::test]
async fn a_session_has_the_usual_resources_and_the_balancer_is_told_of_them_and_of_the_groups() {
    let (policy, questions) = Asked::new(false);
    let cluster = Cluster::start_under(policy, 1).await;
    cluster.set_profiles("[*]\ndefault-cpus=2\n[@staff]\ndefault-memory=512\n");
    let sessions = &cluster.daemons[0].sessions;
    let session = sessions.start(new_session("ada")).await.expect("a start");
    assert_eq!((session.cpus, session.memory), (2.0, 512 << 20));
    assert_eq!(cluster.row(session.id).await.groups, ["staff"], "those that limits may be set for");
    let own = NewSession { cpus: 0.5, memory: 1, ..new_session("eve") };
    let session = sessions.start(own).await.expect("a start");
    assert_eq!((session.cpus, session.memory), (0.5, 1));
    let asked = questions.lock().unwrap_or_else(PoisonError::into_inner);
    let requests: Vec<_> = asked.iter().map(|asked| (asked.request.groups.clone(), asked.request.cpus)).collect();
    let groups = ["ada", "staff", "lab"].map(ToOwned::to_owned).to_vec();
    assert_eq!(requests, [(groups, 2.0), (Vec::new(), 0.5)]);
}

#[tokio::test]
async fn a_node_that_cannot_hold_what_is_promised_is_passed_over() {
    let cluster = Cluster::start(2).await;
    let mut small = registration("node1", KIND);
    small.id = Some(NodeId(1));
    small.promise_cpus = Some(4.0);
    small.promise_memory = Some(8 << 30);
    cluster.store.register(&small).await.expect("it registers");
    cluster.store.set_cordoned(NodeId(2), true).await.expect("the store answers");
    let sessions = &cluster.daemons[0].sessions;
    let three = NewSession { cpus: 3.0, memory: 1 << 30, ..new_session("ada") };
    sessions.start(three.clone()).await.expect("there is room");
    let error = sessions.start(three.clone()).await.expect_err("no room").to_string();
    assert_eq!(error, "no node can take the session: 2 nodes: 1 cordoned, 1 has too few processors left to promise");
    let large = NewSession { cpus: 1.0, memory: 8 << 30, ..new_session("ada") };
    let error = sessions.start(large).await.expect_err("no room").to_string();
    assert!(error.ends_with("1 has too little memory left to promise"), "{error}");
    cluster.store.set_cordoned(NodeId(2), false).await.expect("the store answers");
    assert_eq!(sessions.start(three).await.expect("the other has room").node, NodeId(2));
}

#[tokio::test]
async fn labels_of_a_kind_are_required_of_its_node_and_told() {
    let (policy, questions) = Asked::new(false);
    let cluster = Cluster::start_under(policy, 1).await;
    let sessions = &cluster.daemons[0].sessions;
    let kind = "labelled".to_owned();
    let new = || NewSession {
        kind: kind.clone(),
        labels: BTreeMap::from([("rack".to_owned(), "7".to_owned())]),
        ..new_session("ada")
    };
    let mut node = registration("node1", &kind);
    node.id = Some(NodeId(1));
    node.labels = BTreeMap::from([("rack".to_owned(), "7".to_owned())]);
    cluster.store.register(&node).await.expect("it registers");
    let error = sessions.start(new()).await.expect_err("it lacks a label").to_string();
    assert_eq!(error, "no node can take the session: 1 node: 1 does not have gpu=yes, which labelled requires");
    node.labels.insert("gpu".to_owned(), "yes".to_owned());
    cluster.store.register(&node).await.expect("it registers");
    let session = sessions.start(new()).await.expect("a start");
    assert_eq!(session.labels, new().labels, "the kind's are the kind's");
    let asked = questions.lock().unwrap_or_else(PoisonError::into_inner);
    let request = &asked.last().expect("a question").request;
    assert_eq!(request.labels, node.labels);
    assert_eq!(request.kind_labels, BTreeMap::from([("gpu".to_owned(), "yes".to_owned())]));
}

#[tokio::test]
async fn a_name_service_that_hangs_or_fails_holds_up_nobody_else() {
    let cluster = Cluster::start(1).await;
    cluster.set_profiles("[@staff]\nsession-limit=1\n");
    let sessions = Arc::clone(&cluster.daemons[0].sessions);
    let hung = tokio::spawn({
        let sessions = Arc::clone(&sessions);
        async move { sessions.start(new_session("hung")).await }
    });
    let error = sessions.start(new_session("broken")).await.expect_err("its groups are not known");
    assert!(matches!(&error, SessionError::Accounts(_)), "{error}");
    sessions.start(new_session("ada")).await.expect("a start");
    assert!(is_limit(&sessions.start(new_session("ada")).await.expect_err("one is there")));
    assert!(!hung.is_finished());
    hung.abort();
    assert_eq!(live(&cluster).await, 1);
}
