//! `sessions`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{client::Daemon, node_ref::NodeRef, output};
use crate::domain::{SessionId, State};

#[derive(Deserialize)]
struct Session {
    id: SessionId,
    user: String,
    kind: String,
    name: String,
    state: State,
    node: NodeRef,
    pid: Option<u32>,
    created: Timestamp,
}

/// Prints the sessions, newest first.
pub(super) async fn list(daemon: &Daemon, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        output::line(json!({ "sessions": daemon.list::<Value>("/api/v1/sessions").await? }));
        return Ok(());
    }
    let sessions: Vec<Session> = daemon.list("/api/v1/sessions").await?;
    let rows: Vec<_> = sessions
        .into_iter()
        .map(|session| {
            [
                session.id.to_string(),
                session.user,
                session.kind,
                session.state.to_string(),
                session.node.title(),
                session.pid.map(|pid| pid.to_string()).unwrap_or_default(),
                session.created.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                session.name,
            ]
        })
        .collect();
    output::line(output::columns(["ID", "User", "Kind", "State", "Node", "PID", "Created", "Name"], &rows));
    Ok(())
}
