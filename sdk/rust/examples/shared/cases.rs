//! Asks a policy over nodes the cases of a file without any Wasm, for the examples' tests.

use std::path::Path;

use evenkeel_plugin_cases::{self as cases, Outcome};
use evenkeel_sdk::{Balancer, Node, Refusal, Request, Settings};

/// Asks the cases in `cases.toml` of the example's directory. Returns how many questions were asked; the error lists every
/// case that was answered otherwise.
pub(crate) fn run<B: Balancer>(directory: &str) -> Result<usize, String> {
    cases::run(&Path::new(directory).join("cases.toml"), |question| {
        let defaults = Settings::defaults(B::SETTINGS);
        let settings = question.settings.iter().fold(defaults, |settings, (key, value)| settings.with(key, value));
        let nodes: Vec<Node> = question.nodes.iter().map(node).collect();
        match B::new(&settings).map(|policy| policy.rank(&nodes, &request(&question.request))) {
            Ok(Ok(answer)) => Outcome::Ranked { order: answer.order, scores: answer.scores, reason: answer.reason },
            Ok(Err(Refusal::Declined(why))) => Outcome::Declined(why),
            Ok(Err(Refusal::Failed(why))) => Outcome::Failed(why),
            Err(why) => Outcome::Refused(why),
        }
    })
}

fn node(case: &cases::Node) -> Node {
    let mut node = Node::named(&case.name).at(case.address.clone().unwrap_or_default()).with(|node| {
        (node.cores, node.weight, node.capacity) = (case.cores, case.weight, case.capacity);
        (node.sessions, node.user_sessions) = (case.sessions, case.user_sessions);
        (node.load1, node.load5, node.load15, node.unseen5) = (case.load1, case.load5, case.load15, case.unseen5);
        (node.memory_total, node.memory_available) = (case.memory_total, case.memory_available);
        (node.cpus_promised, node.memory_promised) = (case.cpus_promised, case.memory_promised);
    });
    for (key, value) in &case.labels {
        node = node.labelled(key, value);
    }
    for (key, value) in &case.metrics {
        node = node.measured(key, *value);
    }
    node
}

fn request(case: &cases::Request) -> Request {
    let mut request = Request::of(&case.username).with(|request| {
        (request.groups, request.kind) = (case.groups.clone(), case.kind.clone());
        (request.cpus, request.memory) = (case.cpus, case.memory);
        request.previous_node = case.previous_node.clone();
        (request.now, request.seed, request.sequence) = (case.now, case.seed, case.sequence);
    });
    for (key, value) in &case.labels {
        request = request.asking(key, value);
    }
    request
}
