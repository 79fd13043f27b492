//! The commands about nodes: `list-nodes` here, the others below.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{client::Daemon, output};
use crate::domain::{Drain, NodeId, NodeStatus, PROTOCOL, clock_trouble, disagreement};

mod change;
mod command;
mod status;

pub(super) use command::{NodeCommand, run};

/// A node as the interface lists it.
#[derive(Clone, Serialize, Deserialize)]
struct Listed {
    id: NodeId,
    name: String,
    address: String,
    ip: Option<String>,
    status: NodeStatus,
    cordoned: bool,
    drain: Option<Drain>,
    sessions: usize,
    weight: u32,
    capacity: Option<u32>,
    labels: BTreeMap<String, String>,
    set: Set,
    last_seen: Timestamp,
    balancer_digest: Option<String>,
    clock_ahead_ms: Option<i64>,
}

/// What of a node was set by command.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Set {
    weight: bool,
    capacity: bool,
    labels: Vec<String>,
}

/// The address of a node by its id or its name, and of what can be done there.
fn target(node: &str, action: &str) -> String {
    format!("/api/v1/nodes/{}{action}", utf8_percent_encode(node, NON_ALPHANUMERIC))
}

/// Prints the cluster and its nodes, in the columns that administrators know, with ours behind them.
async fn list(daemon: &Daemon, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        output::line(json!({ "protocol": PROTOCOL, "nodes": daemon.list::<Value>("/api/v1/nodes").await? }));
        return Ok(());
    }
    let nodes: Vec<Listed> = daemon.list("/api/v1/nodes").await?;
    output::line(render(&nodes));
    // What programs read on the standard output has its own form.
    apart(&nodes).into_iter().chain(nodes.iter().filter_map(clock)).for_each(output::warning);
    Ok(())
}

/// A node's status with what was ordered of it.
fn spoken(node: &Listed) -> String {
    let order = match &node.drain {
        None if node.cordoned => ", cordoned".to_owned(),
        None => String::new(),
        Some(drain) => {
            let order = if drain.maintenance { "maintenance" } else { "draining" };
            let plural = if node.sessions == 1 { "" } else { "s" };
            format!(", {order}, {} session{plural} left", node.sessions)
        }
    };
    format!("{}{order}", node.status.title())
}

/// What becomes of the sessions of a node that is being emptied.
fn drain_sentence(drain: &Drain) -> String {
    let Some(deadline) = drain.deadline else { return "Its sessions go on as long as they like".to_owned() };
    let others = if drain.end { "all others and jobs are ended then" } else { "all others and jobs go on" };
    let deadline = deadline.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("Sessions that keep their work are suspended at {deadline}, {others}")
}

fn render(nodes: &[Listed]) -> String {
    let row = |node: &Listed| {
        let (host, port) = node.address.rsplit_once(':').unwrap_or((&node.address, ""));
        [
            node.id.to_string(),
            host.to_owned(),
            node.ip.clone().unwrap_or_default(),
            port.to_owned(),
            spoken(node),
            node.last_seen.to_zoned(TimeZone::UTC).strftime("%Y-%b-%d %H:%M:%S").to_string(),
            node.name.clone(),
        ]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    let header = ["ID", "Host", "IPv4", "Port", "Status", "Last Seen", "Name"];
    format!("Cluster\n-------\nProtocol\n{PROTOCOL}\n\nNodes\n-----\n{}", output::columns(header, &rows))
}

/// Where the nodes that are online place by different balancers.
fn apart(nodes: &[Listed]) -> Option<String> {
    let online = nodes.iter().filter(|node| node.status == NodeStatus::Online);
    disagreement(online.map(|node| (node.name.as_str(), node.balancer_digest.as_deref())))
}

/// What is wrong with a node's clock.
fn clock(node: &Listed) -> Option<String> {
    let ahead = node.clock_ahead_ms.filter(|_| node.status == NodeStatus::Online)?;
    Some(format!("the clock of {} is {}", node.name, clock_trouble(SignedDuration::from_millis(ahead))?))
}

/// Where nodes place by different balancers, of the whole cluster.
pub(super) async fn find_apart(daemon: &Daemon) -> anyhow::Result<Option<String>> {
    Ok(apart(&daemon.list("/api/v1/nodes").await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn listed() -> Listed {
        Listed {
            id: NodeId(1),
            name: "left".to_owned(),
            address: "left.example:8787".to_owned(),
            ip: Some("192.0.2.1".to_owned()),
            status: NodeStatus::Online,
            cordoned: false,
            drain: None,
            sessions: 0,
            weight: 100,
            capacity: None,
            labels: BTreeMap::new(),
            set: Set::default(),
            last_seen: "2021-09-20T17:08:53Z".parse().unwrap(),
            balancer_digest: Some("ff".to_owned()),
            clock_ahead_ms: None,
        }
    }

    #[test]
    fn nodes_are_listed_in_the_columns_that_administrators_know() {
        let expected = "Cluster\n-------\nProtocol\n1\n\nNodes\n-----\n\
                        ID  Host          IPv4       Port  Status  Last Seen             Name\n\
                        1   left.example  192.0.2.1  8787  Online  2021-Sep-20 17:08:53  left";
        assert_eq!(render(&[listed()]), expected);
    }

    #[test]
    fn what_keeps_a_node_out_stands_in_the_place_of_its_status() {
        for (status, title) in [
            ("invalid-key", "Invalid secure cookie key"),
            ("invalid-protocol", "Invalid protocol"),
            ("incompatible-version", "Incompatible version"),
            ("offline", "Offline"),
        ] {
            let status = serde_json::from_value(json!(status)).unwrap();
            assert!(render(&[Listed { status, ..listed() }]).contains(&format!("  8787  {title}  ")), "{title}");
        }
    }

    #[test]
    fn what_was_ordered_of_a_node_stands_behind_its_status() {
        let drain = |maintenance| {
            let since = Timestamp::UNIX_EPOCH;
            Some(Drain { since, deadline: None, end: false, maintenance })
        };
        for (cordoned, drain, sessions, expected) in [
            (true, None, 3, "Online, cordoned"),
            (true, drain(false), 3, "Online, draining, 3 sessions left"),
            (true, drain(false), 1, "Online, draining, 1 session left"),
            (true, drain(true), 0, "Online, maintenance, 0 sessions left"),
        ] {
            assert_eq!(spoken(&Listed { cordoned, drain, sessions, ..listed() }), expected);
        }
    }

    #[test]
    fn a_name_is_encoded_where_it_stands_in_an_address() {
        assert_eq!(target("a/../b?", "/drain"), "/api/v1/nodes/a%2F%2E%2E%2Fb%3F/drain");
    }

    #[test]
    fn a_clock_far_from_the_registrys_is_told_about() {
        assert_eq!(clock(&Listed { clock_ahead_ms: Some(1_999), ..listed() }), None);
        let late = Listed { clock_ahead_ms: Some(-65_000), ..listed() };
        assert_eq!(clock(&late).as_deref(), Some("the clock of left is 65 s behind the registry's"));
        assert_eq!(clock(&Listed { status: NodeStatus::Offline, ..late }), None);
    }

    #[test]
    fn nodes_that_place_by_different_balancers_are_told_apart_unless_they_are_offline() {
        let left = listed();
        let right = Listed { name: "right".to_owned(), balancer_digest: None, ..left.clone() };
        let offline = Listed { status: NodeStatus::Offline, ..right.clone() };
        assert_eq!(apart(&[left.clone(), offline]), None);
        let told = "nodes place by different balancers: right by no module; left by ff";
        assert_eq!(apart(&[left, right]).as_deref(), Some(told));
    }
}
