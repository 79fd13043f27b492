//! `list-nodes`, `cordon`, `uncordon` and `delete-node`.

use http::Method;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{client::Daemon, output};
use crate::domain::{NodeId, NodeStatus, PROTOCOL, clock_trouble, disagreement};

#[derive(Clone, Deserialize)]
struct Node {
    id: NodeId,
    name: String,
    address: String,
    ip: Option<String>,
    status: NodeStatus,
    cordoned: bool,
    last_seen: Timestamp,
    balancer_digest: Option<String>,
    clock_ahead_ms: Option<i64>,
}

/// Prints the cluster and its nodes, in the columns that administrators know, with ours behind them.
pub(super) async fn list(daemon: &Daemon, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        output::line(json!({ "protocol": PROTOCOL, "nodes": daemon.list::<Value>("/api/v1/nodes").await? }));
        return Ok(());
    }
    let nodes: Vec<Node> = daemon.list("/api/v1/nodes").await?;
    output::line(render(&nodes));
    // What programs read on the standard output has its own form.
    apart(&nodes).into_iter().chain(nodes.iter().filter_map(clock)).for_each(output::warning);
    Ok(())
}

fn render(nodes: &[Node]) -> String {
    let row = |node: &Node| {
        let (host, port) = node.address.rsplit_once(':').unwrap_or((&node.address, ""));
        let cordon = if node.cordoned { ", cordoned" } else { "" };
        let status = format!("{}{cordon}", node.status.title());
        [
            node.id.to_string(),
            host.to_owned(),
            node.ip.clone().unwrap_or_default(),
            port.to_owned(),
            status,
            node.last_seen.to_zoned(TimeZone::UTC).strftime("%Y-%b-%d %H:%M:%S").to_string(),
            node.name.clone(),
        ]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    let header = ["ID", "Host", "IPv4", "Port", "Status", "Last Seen", "Name"];
    format!("Cluster\n-------\nProtocol\n{PROTOCOL}\n\nNodes\n-----\n{}", output::columns(header, &rows))
}

/// Where the nodes that are online place by different balancers.
fn apart(nodes: &[Node]) -> Option<String> {
    let online = nodes.iter().filter(|node| node.status == NodeStatus::Online);
    disagreement(online.map(|node| (node.name.as_str(), node.balancer_digest.as_deref())))
}

/// What is wrong with a node's clock.
fn clock(node: &Node) -> Option<String> {
    let ahead = node.clock_ahead_ms.filter(|_| node.status == NodeStatus::Online)?;
    Some(format!("the clock of {} is {}", node.name, clock_trouble(SignedDuration::from_millis(ahead))?))
}

/// The same of the whole cluster.
pub(super) async fn find_apart(daemon: &Daemon) -> anyhow::Result<Option<String>> {
    Ok(apart(&daemon.list("/api/v1/nodes").await?))
}

/// What an administrator may do to a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// It takes no new sessions.
    Cordon,
    /// It takes them again.
    Uncordon,
    /// It is forgotten.
    Delete,
}

/// Changes a node and says how it then is.
pub(super) async fn change(daemon: &Daemon, node: NodeId, change: Change, as_json: bool) -> anyhow::Result<()> {
    let (method, action) = match change {
        Change::Cordon => (Method::POST, "/cordon"),
        Change::Uncordon => (Method::POST, "/uncordon"),
        Change::Delete => (Method::DELETE, ""),
    };
    let answer: Value = serde_json::from_slice(&daemon.ask(method, &format!("/api/v1/nodes/{node}{action}")).await?)?;
    if as_json {
        output::line(answer);
        return Ok(());
    }
    match change {
        Change::Cordon => output::line(format_args!("node {node} takes no new sessions; those that run go on")),
        Change::Uncordon => output::line(format_args!("node {node} takes sessions again")),
        Change::Delete => {
            let lost = answer["lost"].as_array().map_or(0, Vec::len);
            output::line(format_args!("node {node} is removed; {lost} sessions were on it and are lost"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node {
            id: NodeId(1),
            name: "left".to_owned(),
            address: "left.example:8787".to_owned(),
            ip: Some("192.0.2.1".to_owned()),
            status: NodeStatus::Online,
            cordoned: false,
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
        assert_eq!(render(&[node()]), expected);
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
            assert!(render(&[Node { status, ..node() }]).contains(&format!("  8787  {title}  ")), "{title}");
        }
    }

    #[test]
    fn a_clock_far_from_the_registrys_is_told_about() {
        assert_eq!(clock(&Node { clock_ahead_ms: Some(1_999), ..node() }), None);
        let late = Node { clock_ahead_ms: Some(-65_000), ..node() };
        assert_eq!(clock(&late).as_deref(), Some("the clock of left is 65 s behind the registry's"));
        assert_eq!(clock(&Node { status: NodeStatus::Offline, ..late }), None);
    }

    #[test]
    fn nodes_that_place_by_different_balancers_are_told_apart_unless_they_are_offline() {
        let left = node();
        let right = Node { name: "right".to_owned(), balancer_digest: None, ..left.clone() };
        let offline = Node { status: NodeStatus::Offline, ..right.clone() };
        assert_eq!(apart(&[left.clone(), offline]), None);
        let told = "nodes place by different balancers: right by no module; left by ff";
        assert_eq!(apart(&[left, right]).as_deref(), Some(told));
    }
}
