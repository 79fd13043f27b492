//! `GET /load-balancer/status`: nodes and sessions as plain text, in the format that scripts of Workbench's administrators
//! read, to the nodes of the cluster and to this machine only.

use std::{fmt::Write, net::IpAddr, sync::Arc};

use axum::{
    Extension,
    extract::State as Piece,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header, uri::Authority};

use super::{Client, problem::Problem};
use crate::{
    domain::{Node, NodeStatus, Session, State},
    store::{SessionFilter, Store},
};

mod figure;

pub(super) use figure::two_digits;

pub(super) async fn show(
    Piece(store): Piece<Arc<dyn Store>>,
    client: Option<Extension<Client>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let client = client.map(|Extension(Client(address))| address.ip().to_canonical());
    // Before the store is asked: strangers cause no work.
    let Some(client) = client.filter(|_| !is_forwarded(&headers)) else { return Ok(refused()) };
    let nodes = store.nodes().await?;
    if (!client.is_loopback() && !is_node(client, &nodes)) || (is_browser(&headers) && !is_named(&headers, &nodes)) {
        return Ok(refused());
    }
    let filter = SessionFilter { states: vec![State::Starting, State::Active], ..SessionFilter::default() };
    let sessions = store.sessions(&filter).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], page(&nodes, &sessions)).into_response())
}

fn refused() -> Response {
    let text = "the status page is for the cluster's own machines, and browsers there ask for it by a node's address\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

fn is_node(client: IpAddr, nodes: &[Node]) -> bool {
    // Not of whoever stays out: anybody who reaches the registry could be that.
    let members = nodes.iter().filter(|node| node.status.exclusion().is_none());
    members.filter_map(|node| node.ip).any(|ip| ip.to_canonical() == client)
}

/// Whether something passed the request on: then the connection's address is not its sender's.
fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str().replace(['_', '.'], "-");
        name.starts_with("x-forwarded")
            || name.starts_with("x-original-")
            || matches!(
                name.as_str(),
                "forwarded" | "via" | "x-real-ip" | "x-client-ip" | "x-cluster-client-ip" | "true-client-ip"
            )
    })
}

/// Whether a browser asks. Programs send neither of these, and pages cannot keep a browser from sending them both.
fn is_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"));
    agent || headers.contains_key(header::ACCEPT_LANGUAGE)
}

/// Whether the request names this server by what no stranger can make a name of it: a page of another site can have its
/// own name stand for this machine's address (DNS rebinding) and then read what it asks for.
fn is_named(headers: &HeaderMap, nodes: &[Node]) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(host) = host else { return false };
    let name = host.host().trim_end_matches('.');
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let of_a_node = || {
        let announced = nodes.iter().filter_map(|node| Some(node.address.rsplit_once(':')?.0));
        announced.chain(nodes.iter().map(|node| node.name.as_str())).any(|own| own.eq_ignore_ascii_case(name))
    };
    // Names of one label are not the public's.
    address || !name.contains('.') || of_a_node()
}

/// For each node that is online its address, its IP and its load averages divided by cores, then the process id and the
/// user of each session that runs as a process, then an empty line.
fn page(nodes: &[Node], sessions: &[Session]) -> String {
    let mut text = String::new();
    for node in nodes.iter().filter(|node| node.status == NodeStatus::Online) {
        let host = node.address.rsplit_once(':').map_or(node.address.as_str(), |(host, _)| host);
        let ip = node.ip.map_or_else(|| host.trim_matches(['[', ']']).to_owned(), |ip| ip.to_string());
        let [one, five, fifteen] = node.reading.load.map(|load| two_digits(load / f64::from(node.cores.max(1))));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} - {ip}  Load: {one}, {five}, {fifteen}", node.address);
        for session in sessions.iter().filter(|session| session.node == node.id) {
            if let Some(pid) = session.pid {
                let _ = writeln!(text, "   {pid} - {}", session.user);
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::fixture::{node, session};

    #[test]
    fn the_page_has_the_legacy_format_to_the_letter() {
        let mut first = node(1, "ip-172-31-29-53");
        first.ip = Some([172, 31, 29, 53].into());
        first.cores = 2;
        first.reading.load = [0.0126, 0.038, 0.0];
        let mut second = node(2, "ip-172-31-28-224");
        second.ip = Some([172, 31, 28, 224].into());
        second.reading.load = [0.051, 0.041, 0.029];
        let mut gone = node(3, "gone");
        gone.status = NodeStatus::Offline;
        let on = |node, pid, user: &str| {
            let mut session = session(node, user);
            session.pid = pid;
            session
        };
        let sessions = [
            on(1, Some(48751), "user1"),
            on(2, Some(39959), "user1"),
            on(1, Some(39972), "user1"),
            on(1, None, "user1"),
        ];
        assert_eq!(
            page(&[first, second, gone], &sessions),
            "ip-172-31-29-53:8787 - 172.31.29.53  Load: 0.0063, 0.019, 0\n\
             \x20  48751 - user1\n\
             \x20  39972 - user1\n\
             \n\
             ip-172-31-28-224:8787 - 172.31.28.224  Load: 0.051, 0.041, 0.029\n\
             \x20  39959 - user1\n\
             \n"
        );
    }

    #[test]
    fn any_forwarding_header_under_any_alias_is_seen() {
        for name in ["Forwarded", "X-Forwarded-For", "x_forwarded_host", "X.Forwarded.Proto", "Via", "X-Real-IP"] {
            let mut headers = HeaderMap::new();
            headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), "127.0.0.1".parse().unwrap());
            assert!(is_forwarded(&headers), "{name}");
        }
        assert!(!is_forwarded(&HeaderMap::new()));
    }

    #[test]
    fn only_whole_addresses_of_nodes_match() {
        let mut node = node(1, "a");
        node.ip = Some([10, 0, 0, 1].into());
        let nodes = [node];
        assert!(is_node([10, 0, 0, 1].into(), &nodes));
        assert!(!is_node([10, 0, 0, 11].into(), &nodes));
        assert!(!is_node([10, 0, 0, 10].into(), &nodes));
    }
}
