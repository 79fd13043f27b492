//! `node-status`: nodes and their sessions.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Listed, spoken};
use crate::{
    cli::{client::Daemon, output},
    domain::{State, Wanted},
};

/// A node and what occupies it.
#[derive(Deserialize)]
pub(super) struct Details {
    pub(super) node: Listed,
    sessions: Vec<Remaining>,
}

#[derive(Deserialize)]
struct Remaining {
    id: String,
    user: String,
    kind: String,
    name: String,
    state: State,
    wanted: Option<Wanted>,
    at_deadline: Option<Wanted>,
}

/// Prints one node, or all of them.
pub(super) async fn print(daemon: &Daemon, node: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let asked = match node {
        Some(node) => vec![node.to_owned()],
        None => {
            let all: Vec<Listed> = daemon.list("/api/v1/nodes").await?;
            all.into_iter().map(|node| node.id.to_string()).collect()
        }
    };
    let mut all = Vec::with_capacity(asked.len());
    for node in &asked {
        all.push(daemon.get::<Value>(&super::target(node, "")).await?);
    }
    if as_json {
        output::line(json!({ "nodes": all }));
        return Ok(());
    }
    for (index, one) in all.into_iter().enumerate() {
        if index > 0 {
            output::line("");
        }
        output::line(render(&serde_json::from_value(one)?));
    }
    Ok(())
}

/// How a node is, and a line for each of its sessions.
pub(super) fn render(Details { node, sessions }: &Details) -> String {
    let mut text = format!("{} (node {}) at {}: {}", node.name, node.id, node.address, spoken(node));
    if let Some(drain) = &node.drain {
        let _ = write!(text, "\n{}", super::drain_sentence(drain));
    }
    let by = |is_set: bool| if is_set { ", set by command" } else { "" };
    let capacity = node.capacity.map_or_else(|| "no limit".to_owned(), |capacity| capacity.to_string());
    let (weight, set) = (node.weight, &node.set);
    let _ = write!(text, "\nWeight: {weight}{}\nCapacity: {capacity}{}", by(set.weight), by(set.capacity));
    for (key, value) in &node.labels {
        let _ = write!(text, "\nLabel: {key}={value}{}", by(set.labels.contains(key)));
    }
    if let Some(ahead) = node.clock_ahead_ms {
        let direction = if ahead < 0 { "behind" } else { "ahead of" };
        let _ = write!(text, "\nClock: {} ms {direction} the registry's", ahead.unsigned_abs());
    }
    if sessions.is_empty() {
        text.push_str("\nNo sessions");
        return text;
    }
    let row = |session: &Remaining| {
        let asked = session.wanted.map(|wanted| format!(", to be {}", wanted.as_str())).unwrap_or_default();
        [
            session.id.clone(),
            session.user.clone(),
            session.kind.clone(),
            format!("{}{asked}", session.state.as_str()),
            session.at_deadline.map_or_else(|| "-".to_owned(), |wanted| wanted.as_str().to_owned()),
            session.name.clone(),
        ]
    };
    let rows: Vec<_> = sessions.iter().map(row).collect();
    let _ = write!(text, "\n{}", output::columns(["ID", "User", "Kind", "State", "At the deadline", "Name"], &rows));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_shown_with_what_it_has_and_where_that_is_from() {
        let mut node = json!(super::super::tests::listed());
        node["drain"] = json!({"since": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T02:00:00Z", "end": true,
                               "maintenance": false});
        node["cordoned"] = json!(true);
        node["set"] = json!({"weight": true, "capacity": false, "labels": ["gpu"]});
        node["labels"] = json!({"gpu": "a100", "team": "x"});
        node["sessions"] = json!(1);
        let session = json!({"id": "7k3n9v2q", "user": "ada", "kind": "echo", "name": "My work", "state": "active",
                             "wanted": "suspended", "at_deadline": "ended"});
        let details = serde_json::from_value(json!({"node": node, "sessions": [session]})).unwrap();
        assert_eq!(
            render(&details),
            "left (node 1) at left.example:8787: Online, draining, 1 session left\n\
             Sessions that keep their work are suspended at 2026-01-01 02:00:00 UTC, all others and jobs are ended then\n\
             Weight: 100, set by command\n\
             Capacity: no limit\n\
             Label: gpu=a100, set by command\n\
             Label: team=x\n\
             ID        User  Kind  State                    At the deadline  Name\n\
             7k3n9v2q  ada   echo  active, to be suspended  ended            My work"
        );
    }
}
