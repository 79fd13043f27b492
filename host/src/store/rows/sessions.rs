//! Sessions as they are read.

use super::{Columns, Fields};
use crate::{
    domain::{Epoch, Job, NodeId, Peer, Session, SessionId, Wanted},
    store::{LiveSession, Route, StoreError},
};

/// What a session is read from. Here and elsewhere columns are named, and where tables are joined with their table: a later
/// program may add others while a statement is kept.
macro_rules! session_columns {
    () => {
        r#"id, "user", groups, kind, name, state, wanted, node, epoch, claimed, pid, cpus, memory, labels, candidates,
           failed_nodes, failure, is_job, exit_status, note, last_activity, created, changed, placed"#
    };
}
pub(in crate::store) use session_columns;

/// A row of `sessions`.
pub(in crate::store) fn session(row: &impl Columns) -> Result<Session, StoreError> {
    let fields = Fields::new("sessions", row);
    Ok(Session {
        id: fields.parsed("id")?,
        user: fields.get("user")?,
        groups: fields.json("groups")?,
        kind: fields.get("kind")?,
        name: fields.get("name")?,
        state: fields.parsed("state")?,
        wanted: match fields.optional::<&str>("wanted")? {
            None => None,
            Some("suspended") => Some(Wanted::Suspended),
            Some("ended") => Some(Wanted::Ended),
            Some(other) => return Err(fields.corrupt("wanted", format_args!("{other}: expected suspended or ended"))),
        },
        node: NodeId(fields.get("node")?),
        epoch: Epoch(fields.get("epoch")?),
        claimed: fields.get("claimed")?,
        pid: fields.optional_number("pid")?,
        cpus: fields.get("cpus")?,
        memory: fields.number("memory")?,
        labels: fields.json("labels")?,
        candidates: fields.json("candidates")?,
        failed_nodes: fields.json("failed_nodes")?,
        failure: fields.optional("failure")?,
        is_job: fields.get("is_job")?,
        exit_status: fields.optional_number("exit_status")?,
        note: fields.optional("note")?,
        last_activity: fields.optional_time("last_activity")?,
        created: fields.time("created")?,
        changed: fields.time("changed")?,
    })
}

/// What a balancer may know of a row of `sessions`.
pub(in crate::store) fn live(row: &impl Columns) -> Result<LiveSession, StoreError> {
    let fields = Fields::new("sessions", row);
    Ok(LiveSession {
        node: NodeId(fields.get("node")?),
        user: fields.get("user")?,
        groups: fields.json("groups")?,
        placed: fields.time("placed")?,
        cpus: fields.get("cpus")?,
        memory: fields.number("memory")?,
    })
}

/// The node of a row of `sessions`, and its id.
pub(in crate::store) fn waiting(row: &impl Columns) -> Result<(NodeId, SessionId), StoreError> {
    let fields = Fields::new("sessions", row);
    Ok((NodeId(fields.get("node")?), fields.parsed("id")?))
}

/// A row of `sessions` with what leads to its node.
pub(in crate::store) fn route(row: &impl Columns) -> Result<Route, StoreError> {
    let fields = Fields::new("sessions", row);
    Ok(Route {
        id: fields.parsed("id")?,
        user: fields.get("user")?,
        kind: fields.get("kind")?,
        state: fields.parsed("state")?,
        epoch: Epoch(fields.get("epoch")?),
        node: NodeId(fields.get("node")?),
        peer: Peer {
            name: fields.get("node_name")?,
            address: fields.get("address")?,
            certificate: fields.optional("certificate")?,
        },
    })
}

/// What a row of `jobs`, with the session as `id`, is to run.
pub(in crate::store) fn job(row: &impl Columns) -> Result<Job, StoreError> {
    Fields::new("jobs", row).json("job")
}
