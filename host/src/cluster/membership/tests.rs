//! A node joins, beats and leaves a real store.

use std::{collections::BTreeMap, fs, path::Path};

use evenkeel_test_postgres::certificates::Authority;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::{
    config::{TlsOptions, TlsVersion},
    domain::{Clock, Decision, Epoch, NodeStatus, SessionId, State, fakes::SetClock},
    store::{
        NodeDeletion, Reservation,
        sqlite::SqliteStore,
        story::{charter, registration},
    },
    wire::tls,
};

mod published;

const TIMEOUT: Duration = Duration::from_secs(600);
const TICK: Duration = Duration::from_millis(10);

struct Bed {
    directory: TempDir,
    timeout: Duration,
}

impl Bed {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), timeout: TIMEOUT }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn set_load(&self, load: &str) {
        fs::write(self.path("loadavg.new"), load).unwrap();
        fs::rename(self.path("loadavg.new"), self.path("loadavg")).unwrap();
    }

    async fn store(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(&self.path("store"), self.timeout).await.unwrap())
    }

    async fn joining(&self, name: &str) -> Joining {
        if !self.path("loadavg").exists() {
            self.set_load("1 2 3");
        }
        Joining {
            store: self.store().await,
            clock: Arc::new(StoreClock::new(Arc::new(SetClock::at(Timestamp::UNIX_EPOCH)))),
            load: LoadSource::new(self.path("loadavg")),
            metrics: MetricsSource::new(
                self.path("metrics.d"),
                Duration::from_secs(300),
                Arc::new(SetClock::at(Timestamp::UNIX_EPOCH)),
            ),
            data_dir: self.path("data"),
            node_timeout: self.timeout,
            delete_on_exit: Arc::default(),
            registration: registration(name),
        }
    }

    /// A certificate of its own.
    fn certified(&self, name: &str) -> tls::Identity {
        let certified = Authority::new(name).server(&[name]);
        let [certificate, key] = ["pem", "key"].map(|end| self.path(name).with_extension(end));
        fs::write(&certificate, certified.certificate).unwrap();
        fs::write(&key, certified.key).unwrap();
        let versions = vec![TlsVersion::V1_3];
        tls::Identity::load(&TlsOptions { certificate, key, versions, hsts: None, redirect_http: true }).unwrap()
    }

    async fn join(&self, name: &str) -> Membership {
        Membership::join(self.joining(name).await).await.unwrap()
    }
}

/// A membership that runs.
struct Running {
    node: NodeId,
    stop: CancellationToken,
    task: JoinHandle<()>,
    pending: mpsc::Receiver<Vec<Session>>,
}

impl Running {
    fn of(membership: Membership) -> Self {
        let (sender, pending) = mpsc::channel(1);
        let stop = CancellationToken::new();
        Self { node: membership.node(), task: tokio::spawn(membership.run(TICK, sender, stop.clone())), stop, pending }
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(60), self.task).await.expect("stops").unwrap();
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(TICK).await;
        }
    };
    timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("{what}: not within a minute"));
}

async fn status(store: &dyn Store, node: NodeId) -> Option<NodeStatus> {
    store.nodes().await.unwrap().into_iter().find(|known| known.id == node).map(|node| node.status)
}

async fn load(store: &dyn Store, node: NodeId) -> [f64; 3] {
    store.nodes().await.unwrap().into_iter().find(|known| known.id == node).expect("known").reading.load
}

/// A session reserved on a node.
async fn reserved(store: &dyn Store, node: NodeId) -> SessionId {
    let id: SessionId = "abcdefgh".parse().unwrap();
    loop {
        let seen = store.snapshot().await.unwrap();
        let session = Session {
            id,
            user: "ada".to_owned(),
            groups: Vec::new(),
            kind: "echo".to_owned(),
            name: "Echo".to_owned(),
            state: State::Starting,
            wanted: None,
            node,
            epoch: Epoch::FIRST,
            claimed: false,
            pid: None,
            cpus: 0.0,
            memory: 0,
            labels: BTreeMap::new(),
            candidates: vec![],
            failed_nodes: vec![],
            failure: None,
            is_job: false,
            exit_status: None,
            note: None,
            last_activity: None,
            created: seen.now,
            changed: seen.now,
        };
        let decision = Decision {
            balancer: "sessions".to_owned(),
            digest: None,
            candidates: vec![node],
            scores: None,
            reason: None,
            fallback: None,
            instead_of: None,
            eligible: 1,
            duration: Duration::ZERO,
        };
        if store.reserve(seen.revision, &[Reservation { session, new: true, decision, job: None }]).await.unwrap() {
            return id;
        }
    }
}

#[tokio::test]
async fn a_node_that_joins_is_online_with_what_it_measures_and_knows_the_time() {
    let bed = Bed::new();
    let joining = bed.joining("a").await;
    let clock = Arc::clone(&joining.clock);
    let membership = Membership::join(joining).await.unwrap();
    let store = bed.store().await;
    assert_eq!(status(&*store, membership.node()).await, Some(NodeStatus::Online));
    assert_eq!(load(&*store, membership.node()).await, [1.0, 2.0, 3.0]);
    let apart = clock.now().duration_since(store.now().await.unwrap()).unsigned_abs();
    assert!(apart < Duration::from_secs(60), "{apart:?}");
}

#[tokio::test]
async fn a_node_keeps_its_id_over_restarts_and_renames() {
    let bed = Bed::new();
    let first = bed.join("a").await;
    let id = first.node();
    first.leave().await;
    let second = bed.join("b").await;
    assert_eq!(second.node(), id);
    // Killed, so that it did not leave.
    drop(second);
    assert_eq!(bed.join("b").await.node(), id);
    assert_eq!(bed.store().await.nodes().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_id_from_another_store_does_not_take_over_the_node_that_has_it_in_this_one() {
    let bed = Bed::new();
    let id = bed.join("a").await.node();
    fs::remove_dir_all(bed.path("store")).unwrap();
    let store = bed.store().await;
    assert_eq!(store.register(&registration("other")).await.unwrap(), id);
    store.leave(id).await.unwrap();
    assert_ne!(bed.join("a").await.node(), id);
    assert_eq!(store.nodes().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_node_that_cannot_keep_its_id_is_not_left_online() {
    let bed = Bed::new();
    let joining = Joining { data_dir: "/proc/evenkeel".into(), ..bed.joining("a").await };
    let error = Membership::join(joining).await.unwrap_err();
    assert!(matches!(error, JoinError::Identity(_)), "{error}");
    let nodes = bed.store().await.nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|node| node.status).collect::<Vec<_>>(), [NodeStatus::Offline]);
}

#[tokio::test]
async fn a_node_whose_load_cannot_be_read_does_not_join() {
    let bed = Bed::new();
    let joining = bed.joining("a").await;
    bed.set_load("nonsense");
    let error = Membership::join(joining).await.unwrap_err();
    assert!(error.to_string().contains(bed.path("loadavg").to_str().unwrap()), "{error}");
    assert!(bed.store().await.nodes().await.unwrap().is_empty());
}

#[tokio::test]
async fn heartbeats_bring_the_load_and_the_last_good_reading_stands() {
    let bed = Bed::new();
    let running = Running::of(bed.join("a").await);
    let store = bed.store().await;
    bed.set_load("4 5 6");
    until("the new load", async || load(&*store, running.node).await == [4.0, 5.0, 6.0]).await;
    bed.set_load("nonsense");
    let seen = store.now().await.unwrap();
    until("a later heartbeat", async || store.nodes().await.unwrap()[0].last_seen > seen).await;
    assert_eq!(load(&*store, running.node).await, [4.0, 5.0, 6.0]);
    bed.set_load("7 8 9");
    until("the next load", async || load(&*store, running.node).await == [7.0, 8.0, 9.0]).await;
    running.stop().await;
}

#[tokio::test]
async fn sessions_that_want_something_of_the_node_are_sent_on() {
    let bed = Bed::new();
    let mut running = Running::of(bed.join("a").await);
    let store = bed.store().await;
    let id = reserved(&*store, running.node).await;
    let pending = timeout(Duration::from_secs(60), running.pending.recv()).await.unwrap().unwrap();
    assert_eq!(pending.iter().map(|session| session.id).collect::<Vec<_>>(), [id]);
    running.stop().await;
}

#[tokio::test]
async fn heartbeats_go_on_where_nobody_takes_what_they_bring() {
    let bed = Bed::new();
    let running = Running::of(bed.join("a").await);
    let store = bed.store().await;
    reserved(&*store, running.node).await;
    for load_now in [4.0, 5.0] {
        bed.set_load(&format!("{load_now} 0 0"));
        until("the load", async || load(&*store, running.node).await[0] == load_now).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn lost_sessions_are_sent_on_as_soon_as_somebody_takes_them() {
    let bed = Bed::new();
    let mut membership = bed.join("a").await;
    let store = bed.store().await;
    let id = reserved(&*store, membership.node()).await;
    let session = store.session(id).await.unwrap().expect("known");
    let lost = Session { state: State::Lost, ..session.clone() };
    let (sender, mut pending) = mpsc::channel(1);
    sender.try_send(vec![]).unwrap();
    membership.send_on(vec![session, lost.clone()], &sender);
    membership.send_on(vec![], &sender);
    assert_eq!(pending.recv().await, Some(vec![]));
    membership.send_on(vec![], &sender);
    assert_eq!(pending.recv().await, Some(vec![lost]));
    membership.send_on(vec![], &sender);
    assert!(pending.try_recv().is_err());
}

#[tokio::test]
async fn a_node_that_stops_is_offline_at_once() {
    let bed = Bed::new();
    let running = Running::of(bed.join("a").await);
    let (store, node) = (bed.store().await, running.node);
    running.stop().await;
    assert_eq!(status(&*store, node).await, Some(NodeStatus::Offline));
}

#[tokio::test]
async fn a_node_that_was_removed_registers_again() {
    let bed = Bed::new();
    let running = Running::of(bed.join("a").await);
    let (store, node) = (bed.store().await, running.node);
    // It may be back between the two calls.
    until("the removal", async || {
        store.leave(node).await.unwrap();
        store.delete_node(node).await.unwrap() == NodeDeletion::Deleted(vec![])
    })
    .await;
    until("its return", async || status(&*store, node).await == Some(NodeStatus::Online)).await;
    running.stop().await;
}

#[tokio::test]
async fn a_node_whose_store_was_replaced_takes_its_new_id_and_keeps_it() {
    let bed = Bed::new();
    let mut membership = bed.join("a").await;
    let before = membership.node();
    // What a replaced store looks like to a daemon that opened the new one: another node's row under its id.
    fs::remove_dir_all(bed.path("store")).unwrap();
    let store = bed.store().await;
    membership.joining.store = Arc::clone(&store) as Arc<dyn Store>;
    membership.joining.registration.id = None;
    let ids = membership.watch_node();
    assert_eq!(store.register(&registration("other")).await.unwrap(), before);
    store.leave(before).await.unwrap();
    let running = Running::of(membership);
    until("its row", async || store.nodes().await.unwrap().len() == 2).await;
    until("its id", async || *ids.borrow() != before).await;
    let new = *ids.borrow();
    assert_eq!(status(&*store, new).await, Some(NodeStatus::Online));
    until("the file", async || kept(&bed.path("data")) == Some(new)).await;
    running.stop().await;
}

fn kept(data_dir: &Path) -> Option<NodeId> {
    Identity::read(data_dir).unwrap().map(|identity| identity.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_stops_neither_the_heartbeats_for_ever_nor_the_stop() {
    let bed = Bed::new();
    let mut membership = bed.join("a").await;
    membership.patience = Duration::from_millis(50);
    let (sender, _pending) = mpsc::channel(1);
    let (store, node) = (bed.store().await, membership.node());
    let held = bed.store().await.hold().await.unwrap();
    bed.set_load("4 5 6");
    membership.beat(&sender).await;
    let told = membership.store_condition.failure().expect("a failure");
    assert!(told.contains("did not answer within"), "{told}");
    assert_eq!(load(&*store, node).await, [1.0, 2.0, 3.0]);
    drop(held);
    let running = Running::of(membership);
    until("the load", async || load(&*store, node).await == [4.0, 5.0, 6.0]).await;
    let held = bed.store().await.hold().await.unwrap();
    running.stop().await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_a_node_that_went_silent_are_lost() {
    let bed = Bed { timeout: Duration::from_millis(400), ..Bed::new() };
    let store = bed.store().await;
    let silent = store.register(&registration("silent")).await.unwrap();
    let id = reserved(&*store, silent).await;
    assert!(store.claim(id, Epoch::FIRST, silent).await.unwrap());
    let running = Running::of(bed.join("a").await);
    until("the loss", async || store.session(id).await.unwrap().expect("known").state == State::Lost).await;
    running.stop().await;
}

#[tokio::test]
async fn how_far_the_machines_clock_is_from_the_stores_is_measured_and_published() {
    let bed = Bed::new();
    let store = bed.store().await;
    let mut joining = bed.joining("a").await;
    let ahead = SignedDuration::from_secs(65);
    joining.clock = Arc::new(StoreClock::new(Arc::new(SetClock::at(store.now().await.unwrap() + ahead))));
    let mut membership = Membership::join(joining).await.unwrap();
    let (sender, _pending) = mpsc::channel(1);
    // The second heartbeat tells what the first has measured.
    membership.beat(&sender).await;
    membership.beat(&sender).await;
    let known = store.nodes().await.unwrap()[0].clock_ahead.expect("measured");
    assert!((known - ahead).abs() < SignedDuration::from_secs(60), "{known}");
    assert_eq!(membership.clock_condition.failure(), Some("ahead"));
}

#[tokio::test]
async fn an_answer_that_took_long_says_nothing_of_the_clock() {
    let bed = Bed::new();
    let mut membership = bed.join("a").await;
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    for (before, store, after, known) in
        [(100, 200, 103, None), (100, 200, 99, None), (100, 99, 102, Some(2)), (100, 101, 100, Some(-1))]
    {
        membership.clock_ahead = None;
        membership.measure_clock(at(before), at(store), at(after));
        assert_eq!(membership.clock_ahead, known.map(SignedDuration::from_secs), "{before} {store} {after}");
    }
}

#[tokio::test]
async fn a_node_that_does_not_fit_joins_as_such_and_becomes_a_member_once_it_fits() {
    let bed = Bed::new();
    let store = bed.store().await;
    store.register(&registration("first")).await.unwrap();
    let mut joining = bed.joining("a").await;
    joining.registration.charter = charter("another key");
    let membership = Membership::join(joining).await.unwrap();
    let mut standing = membership.watch_standing();
    assert!(standing.borrow().as_ref().is_some_and(|why| why.contains("secure cookie key")));
    let running = Running::of(membership);
    assert_eq!(status(&*store, running.node).await, Some(NodeStatus::InvalidKey));
    store.reset_cluster(true).await.unwrap();
    timeout(Duration::from_secs(60), standing.wait_for(Option::is_none)).await.expect("it fits now").unwrap();
    assert_eq!(status(&*store, running.node).await, Some(NodeStatus::Online));
    running.stop().await;
}

#[tokio::test]
async fn a_copy_of_a_data_directory_waits_whether_its_node_goes_silent() {
    let bed = Bed { timeout: Duration::from_millis(800), ..Bed::new() };
    let store = bed.store().await;
    let at = |place: &str| Registration { place: place.to_owned(), ..registration("a") };
    let id = store.register(&at("there")).await.unwrap();
    Identity { id, name: "a".to_owned() }.write(&bed.path("data")).unwrap();
    let copy = async || Joining { registration: at("here"), ..bed.joining("a").await };
    let beats = async {
        loop {
            store.heartbeat(id, &Beat { place: "there".to_owned(), ..Beat::default() }).await.unwrap().expect("known");
            tokio::time::sleep(TICK).await;
        }
    };
    let refused = tokio::select! {
        joined = Membership::join(copy().await) => joined.expect_err("its node is online"),
        () = beats => unreachable!("it beats for ever"),
    };
    assert!(matches!(refused, JoinError::Register(RegisterError::IdTaken { .. })), "{refused}");
    assert_eq!(Membership::join(copy().await).await.unwrap().node(), id, "it has gone silent");
}
