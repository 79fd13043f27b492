//! What is done to one node.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{Listed, status};
use crate::cli::{client::Daemon, output};

/// What the interface answers: the node, alone or with what occupies it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Details(Box<status::Details>),
    Node(Box<Listed>),
}

/// Changes a node and says how it then is.
pub(super) async fn change(
    daemon: &Daemon,
    node: &str,
    method: Method,
    action: &str,
    body: Option<&Value>,
    done: &str,
    as_json: bool,
) -> anyhow::Result<()> {
    let answer = daemon.send(method, &super::target(node, action), body).await?;
    if as_json {
        output::line(serde_json::from_slice::<Value>(&answer)?);
        return Ok(());
    }
    match serde_json::from_slice(&answer)? {
        Answer::Node(node) => output::line(format_args!("node {} {done}", node.name)),
        Answer::Details(details) => {
            output::line(format_args!("node {} {done}", details.node.name));
            output::line(status::render(&details));
        }
    }
    Ok(())
}

/// Removes a node.
pub(super) async fn delete(daemon: &Daemon, node: &str, as_json: bool) -> anyhow::Result<()> {
    let answer: Value = serde_json::from_slice(&daemon.ask(Method::DELETE, &super::target(node, "")).await?)?;
    if as_json {
        output::line(answer);
        return Ok(());
    }
    let lost = answer["lost"].as_array().map_or(0, Vec::len);
    output::line(format_args!("node {node} is removed; {lost} sessions were on it and are lost"));
    Ok(())
}
