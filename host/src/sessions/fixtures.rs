//! Stand-ins for the tests of this room: nodes, a launcher in memory, a policy, a store that can be away.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    balancer::{Answer, Balancer, Question, Refusal},
    domain::{Node, NodeId, NodeStatus, Reading},
    sessions::NewSession,
};

mod cluster;
mod fragile;
mod programs;

pub(super) use cluster::{Cluster, Daemon, START_LIMIT, registration};
pub(super) use fragile::Fragile;
pub(super) use programs::Programs;

/// The kind that the stand-ins offer.
pub(super) const KIND: &str = "jupyterlab";

/// An idle node that offers [`KIND`].
pub(super) fn node(id: i64) -> Node {
    Node {
        id: NodeId(id),
        name: format!("node{id}"),
        address: format!("127.0.0.1:{}", 8786 + id),
        ip: None,
        version: "1".to_owned(),
        balancer_digest: None,
        certificate: None,
        cores: 4,
        memory_total: 8 << 30,
        weight: 100,
        capacity: None,
        promise_cpus: None,
        promise_memory: None,
        labels: BTreeMap::new(),
        kinds: BTreeSet::from([KIND.to_owned()]),
        kind_versions: BTreeMap::new(),
        overrides: Default::default(),
        cordoned: false,
        drain: None,
        reading: Reading::default(),
        metrics: BTreeMap::new(),
        status: NodeStatus::Online,
        last_seen: jiff::Timestamp::UNIX_EPOCH,
        clock_ahead: None,
    }
}

/// A session that `user` asks for.
pub(super) fn new_session(user: &str) -> NewSession {
    NewSession { user: user.to_owned(), kind: KIND.to_owned(), ..NewSession::default() }
}

/// Orders the nodes by their sessions, fewest first.
#[derive(Debug)]
pub(super) struct Fewest;

impl Balancer for Fewest {
    fn name(&self) -> &str {
        "fewest"
    }

    fn digest(&self) -> Option<&str> {
        None
    }

    fn rank(&self, question: &Question) -> Result<Answer, Refusal> {
        if question.request.username == "unwelcome" {
            return Err(Refusal::Declined("no sessions for you".to_owned()));
        }
        let sessions = &question.nodes.sessions;
        let mut order: Vec<u32> = (0..).take(question.nodes.count()).collect();
        order.sort_by_key(|&node| sessions[node as usize]);
        let scores = Some(sessions.iter().map(|&count| -f64::from(count)).collect());
        Ok(Answer { order, scores, reason: None, log: Vec::new(), duration: Duration::ZERO })
    }
}

/// Waits until something holds, at most 20 seconds.
pub(super) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
