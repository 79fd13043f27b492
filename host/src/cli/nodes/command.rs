//! The commands about nodes, and how they are asked for.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{change, list, status};
use crate::cli::{Failure, ListArguments, ask, configuration, location_flags, reset};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum NodeCommand {
    /// List the nodes of the cluster.
    ListNodes(ListArguments),
    /// Show nodes and the sessions that they have.
    NodeStatus(StatusArguments),
    /// Let a node take no new sessions; those that run go on.
    Cordon(NodeArguments),
    /// Let a node take sessions again that was cordoned, drained or in maintenance.
    Uncordon(NodeArguments),
    /// Empty a node: it takes no new sessions, and those that it has go on until the deadline, if there is one.
    Drain(DrainArguments),
    /// Put a node into maintenance: no new sessions, and those that keep their work are suspended now.
    Offline(SomeNodeArguments),
    /// End a node's maintenance.
    Online(SomeNodeArguments),
    /// Set what share of the sessions a node takes; 100 is normal.
    Weight(WeightArguments),
    /// Set how many sessions a node takes at most.
    Capacity(CapacityArguments),
    /// Set labels of a node, or unset them.
    Label(LabelArguments),
    /// Remove an offline node that will not return.
    DeleteNode(NodeArguments),
    /// Let the next node that starts define the cluster anew: its secure cookie key and its protocol.
    ResetCluster(ResetArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct NodeArguments {
    /// The node's id or its name, as `list-nodes` prints them
    node: String,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SomeNodeArguments {
    /// The node's id or its name [default: the node of this machine]
    node: Option<String>,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArguments {
    /// The node's id or its name [default: all nodes]
    node: Option<String>,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DrainArguments {
    /// The node's id or its name, as `list-nodes` prints them
    node: String,
    /// After this time, sessions that keep their work are suspended: 2h, 90m, 1h30m, 1d; 0s is now
    #[arg(long, value_name = "TIME", value_parser = time)]
    deadline: Option<Duration>,
    /// At the deadline, end all others and jobs: what they have not saved is lost
    #[arg(long, requires = "deadline")]
    end: bool,
    /// Drain it no more: it takes new sessions again
    #[arg(long, conflicts_with_all = ["deadline", "end"])]
    cancel: bool,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WeightArguments {
    /// The node's id or its name, as `list-nodes` prints them
    node: String,
    /// The weight; or `unset`, for what the node's own file says
    #[arg(value_parser = number_or(&["unset"]))]
    weight: Value,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CapacityArguments {
    /// The node's id or its name, as `list-nodes` prints them
    node: String,
    /// The most sessions; or `unlimited`; or `unset`, for what the node's own file says
    #[arg(value_parser = number_or(&["unlimited", "unset"]))]
    capacity: Value,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LabelArguments {
    /// The node's id or its name, as `list-nodes` prints them
    node: String,
    /// `KEY=VALUE` sets a label; `KEY-` unsets it, so that the node's own holds, if it has one
    #[arg(required = true, value_name = "LABEL", value_parser = label)]
    labels: Vec<(String, Option<String>)>,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ResetArguments {
    /// Also while nodes are online
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: ListArguments,
}

/// A length of time with units. A day has 24 hours.
fn time(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a time such as 2h, 90m or 1d, found `{text}`");
    let span: jiff::Span = text.parse().map_err(|_| expected())?;
    let span = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    Duration::try_from(span).map_err(|_| expected())
}

fn number_or(words: &'static [&'static str]) -> impl Fn(&str) -> Result<Value, String> + Clone {
    move |text| match text.parse::<u32>() {
        Ok(number) => Ok(number.into()),
        Err(_) if words.contains(&text) => Ok(text.into()),
        Err(_) => Err(format!("expected a number, or {}", words.join(" or "))),
    }
}

fn label(text: &str) -> Result<(String, Option<String>), String> {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) => Ok((key.to_owned(), Some(value.to_owned()))),
        (None, Some(key)) => Ok((key.to_owned(), None)),
        (None, None) => Err("expected KEY=VALUE, or KEY- to unset it".to_owned()),
    }
}

/// Runs a command.
pub(in crate::cli) fn run(command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::ListNodes(arguments) => {
            ask(&arguments.location, async |daemon| list(&daemon, arguments.json).await)
        }
        NodeCommand::NodeStatus(StatusArguments { node, output }) => {
            ask(&output.location, async |daemon| status::print(&daemon, node.as_deref(), output.json).await)
        }
        NodeCommand::Cordon(NodeArguments { node, output }) => {
            change(Some(&node), &output, Method::POST, "/cordon", None, "takes no new sessions; those that run go on")
        }
        NodeCommand::Uncordon(NodeArguments { node, output }) => {
            change(Some(&node), &output, Method::POST, "/uncordon", None, "takes sessions again")
        }
        NodeCommand::Drain(DrainArguments { node, cancel: true, output, .. }) => {
            change(Some(&node), &output, Method::DELETE, "/drain", None, "is drained no more: it takes sessions again")
        }
        NodeCommand::Drain(DrainArguments { node, deadline, end, output, .. }) => {
            let order = json!({ "deadline_seconds": deadline.map(|time| time.as_secs()), "end": end });
            change(Some(&node), &output, Method::POST, "/drain", Some(&order), "is being drained")
        }
        NodeCommand::Offline(SomeNodeArguments { node, output }) => {
            let done = "is in maintenance: it takes no new sessions";
            change(node.as_deref(), &output, Method::POST, "/offline", None, done)
        }
        NodeCommand::Online(SomeNodeArguments { node, output }) => {
            change(node.as_deref(), &output, Method::POST, "/online", None, "takes sessions")
        }
        NodeCommand::Weight(WeightArguments { node, weight, output }) => {
            let body = json!({ "weight": weight });
            change(Some(&node), &output, Method::PATCH, "", Some(&body), "is set")
        }
        NodeCommand::Capacity(CapacityArguments { node, capacity, output }) => {
            let body = json!({ "capacity": capacity });
            change(Some(&node), &output, Method::PATCH, "", Some(&body), "is set")
        }
        NodeCommand::Label(LabelArguments { node, labels, output }) => {
            let labels: Map<_, _> = labels.into_iter().map(|(key, value)| (key, value.into())).collect();
            change(Some(&node), &output, Method::PATCH, "", Some(&json!({ "labels": labels })), "is set")
        }
        NodeCommand::DeleteNode(NodeArguments { node, output }) => {
            ask(&output.location, async |daemon| change::delete(&daemon, &node, output.json).await)
        }
        NodeCommand::ResetCluster(ResetArguments { force, output }) => {
            let config = configuration(&location_flags(&output.location), false)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(reset::reset(&config, force, output.json))?)
        }
    }
}

fn change(
    node: Option<&str>,
    output: &ListArguments,
    method: Method,
    action: &str,
    body: Option<&Value>,
    done: &str,
) -> Result<(), Failure> {
    ask(&output.location, async |daemon| {
        let node = match node {
            Some(node) => node.to_owned(),
            None => daemon.own_node()?.to_string(),
        };
        change::change(&daemon, &node, method, action, body, done, output.json).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_are_not_negative() {
        for (text, seconds) in [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("1d", 86_400), ("0s", 0), ("PT2H", 7200)]
        {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "2", "h", "-2h", "2h ago", "soon", "1 month"] {
            assert!(time(wrong).is_err(), "{wrong}: {:?}", time(wrong));
        }
    }

    #[test]
    fn labels_are_set_and_unset() {
        assert_eq!(label("gpu=a100"), Ok(("gpu".to_owned(), Some("a100".to_owned()))));
        assert_eq!(label("gpu=a=b-"), Ok(("gpu".to_owned(), Some("a=b-".to_owned()))));
        assert_eq!(label("gpu-"), Ok(("gpu".to_owned(), None)));
        assert!(label("gpu").is_err());
    }

    #[test]
    fn numbers_and_the_words_that_are_known_are_taken() {
        let capacity = number_or(&["unlimited", "unset"]);
        assert_eq!(capacity("7"), Ok(json!(7)));
        assert_eq!(capacity("unset"), Ok(json!("unset")));
        assert!(capacity("many").is_err() && capacity("-1").is_err());
    }
}
