//! What this room's tests share.

use crate::domain::{Epoch, Node, NodeId, NodeStatus, Reading, Session, SessionId, State};
use jiff::Timestamp;

/// An online node with one core.
pub(super) fn node(id: i64, name: &str) -> Node {
    Node {
        id: NodeId(id),
        name: name.to_owned(),
        address: format!("{name}:8787"),
        ip: None,
        version: "0.1.0".to_owned(),
        balancer_digest: None,
        cores: 1,
        memory_total: 1 << 30,
        weight: 100,
        capacity: None,
        labels: Default::default(),
        kinds: ["echo".to_owned()].into(),
        cordoned: false,
        reading: Reading::default(),
        status: NodeStatus::Online,
        last_seen: Timestamp::UNIX_EPOCH,
    }
}

/// An active session.
pub(super) fn session(node: i64, user: &str) -> Session {
    Session {
        id: "7k3n9v2q".parse::<SessionId>().unwrap(),
        user: user.to_owned(),
        kind: "echo".to_owned(),
        name: "Echo".to_owned(),
        state: State::Active,
        wanted: None,
        node: NodeId(node),
        epoch: Epoch::FIRST,
        claimed: true,
        pid: Some(4711),
        cpus: 0.0,
        memory: 0,
        labels: Default::default(),
        candidates: Vec::new(),
        failed_nodes: Vec::new(),
        failure: None,
        created: Timestamp::UNIX_EPOCH,
        changed: Timestamp::UNIX_EPOCH,
    }
}
