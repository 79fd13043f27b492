//! Questions as case files, in the format of `plugins/cases`, and back.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel_plugin_cases as cases;

use super::{Answer, Columns, Question, Refusal, Request, columns::name_hash};

/// The question that a case asks.
pub fn question(nodes: &[cases::Node], request: &cases::Request) -> Question {
    fn column<T>(nodes: &[cases::Node], pick: impl Fn(&cases::Node) -> T) -> Arc<[T]> {
        nodes.iter().map(pick).collect()
    }
    Question {
        nodes: Arc::new(Columns {
            addresses: column(nodes, |node| node.address.clone().unwrap_or_else(|| address(&node.name))),
            ips: column(nodes, |node| node.ip),
            names: column(nodes, |node| node.name.clone()),
            name_hashes: column(nodes, |node| name_hash(&node.name)),
            cores: column(nodes, |node| node.cores),
            weights: column(nodes, |node| node.weight),
            capacities: column(nodes, |node| node.capacity),
            sessions: column(nodes, |node| node.sessions),
            load1: column(nodes, |node| node.load1),
            load5: column(nodes, |node| node.load5),
            load15: column(nodes, |node| node.load15),
            unseen5: column(nodes, |node| node.unseen5),
            memory_total: column(nodes, |node| node.memory_total),
            memory_available: column(nodes, |node| node.memory_available),
            cpus_promised: column(nodes, |node| node.cpus_promised),
            memory_promised: column(nodes, |node| node.memory_promised),
            labels: column(nodes, |node| node.labels.clone()),
            metrics: column(nodes, |node| node.metrics.clone()),
        }),
        user_sessions: column(nodes, |node| node.user_sessions),
        request: Request {
            username: request.username.clone(),
            groups: request.groups.clone(),
            kind: request.kind.clone(),
            cpus: request.cpus,
            memory: request.memory,
            labels: request.labels.clone(),
            kind_labels: BTreeMap::new(),
            previous_node: request.previous_node.clone(),
            now: request.now,
            seed: request.seed,
            sequence: request.sequence,
        },
        session: None,
    }
}

/// What a balancer said, to be compared with what a case expects.
pub fn outcome(said: Result<Answer, Refusal>) -> cases::Outcome {
    match said {
        Ok(Answer { order, scores, reason, .. }) => cases::Outcome::Ranked { order, scores, reason },
        Err(Refusal::Declined(why)) => cases::Outcome::Declined(why),
        Err(Refusal::Failed(why)) => cases::Outcome::Failed(why),
    }
}

/// The case that asks a question, with the settings that the balancer had.
pub fn case(
    name: &str,
    question: &Question,
    settings: &BTreeMap<String, String>,
    expect: Option<cases::Expect>,
) -> cases::Case {
    let request = &question.request;
    cases::Case {
        name: name.to_owned(),
        any_order: false,
        expect,
        settings: settings.clone(),
        request: cases::Request {
            username: request.username.clone(),
            groups: request.groups.clone(),
            kind: request.kind.clone(),
            cpus: request.cpus,
            memory: request.memory,
            labels: request.labels.clone(),
            previous_node: request.previous_node.clone(),
            now: request.now,
            seed: request.seed,
            sequence: request.sequence,
        },
        nodes: (0..question.nodes.count()).map(|index| node(question, index)).collect(),
    }
}

fn node(question: &Question, index: usize) -> cases::Node {
    let nodes = &question.nodes;
    cases::Node {
        address: Some(nodes.addresses[index].clone()).filter(|given| *given != address(&nodes.names[index])),
        ip: nodes.ips[index],
        name: nodes.names[index].clone(),
        cores: nodes.cores[index],
        weight: nodes.weights[index],
        capacity: nodes.capacities[index],
        sessions: nodes.sessions[index],
        user_sessions: question.user_sessions[index],
        load1: nodes.load1[index],
        load5: nodes.load5[index],
        load15: nodes.load15[index],
        unseen5: nodes.unseen5[index],
        cpus_promised: nodes.cpus_promised[index],
        memory_total: nodes.memory_total[index],
        memory_available: nodes.memory_available[index],
        memory_promised: nodes.memory_promised[index],
        labels: nodes.labels[index].clone(),
        metrics: nodes.metrics[index].clone(),
    }
}

fn address(name: &str) -> String {
    format!("{name}:8787")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_survives_as_a_case_file() {
        let labels = BTreeMap::from([("gpu".to_owned(), "a100 \"x\"\n".to_owned())]);
        let nodes = [
            cases::Node { name: "a".to_owned(), load5: 0.1 + 0.2, ..cases::Node::default() },
            cases::Node {
                name: "b".to_owned(),
                address: Some("[fd00::1]:80".to_owned()),
                ip: Some("fd00::1".parse().unwrap()),
                memory_total: 1 << 40,
                labels: labels.clone(),
                metrics: BTreeMap::from([("gpus free".to_owned(), 0.5)]),
                ..cases::Node::default()
            },
        ];
        let request = cases::Request { username: "ada".to_owned(), seed: u64::MAX, labels, ..Default::default() };
        let asked = question(&nodes, &request);
        let settings = BTreeMap::from([("scheme".to_owned(), "modulo".to_owned())]);
        let expect = cases::Expect { order: Some(vec!["b".to_owned()]), ..cases::Expect::default() };
        let written = cases::File {
            balancer: "user-hash".to_owned(),
            case: vec![case("as decided", &asked, &settings, Some(expect))],
        };
        let text = written.to_text().unwrap();
        let read = cases::File::from_text(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read, written);
        let again = question(&read.case[0].nodes, &read.case[0].request);
        assert_eq!(
            (&again.nodes, &again.user_sessions, &again.request),
            (&asked.nodes, &asked.user_sessions, &asked.request)
        );
    }
}
