//! Decisions that a module makes on trial, before it makes any that count.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::balancer::{Balancer, Columns, Hearing, Question, Refusal, Request, columns::name_hash};

/// How many nodes a trial has where there is no cluster to take them from.
const NODES: usize = 3;

/// A decision on trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Over how many nodes.
    pub nodes: usize,
    /// How long it took; none where it gave no order.
    pub duration: Option<Duration>,
    /// With which words the module declined, which is its right.
    pub declined: Option<String>,
}

/// The question of a trial on the present cluster, and that of one twice its size.
pub(super) fn questions(cluster: Option<Question>) -> [Question; 2] {
    let present = cluster.filter(|question| question.nodes.count() > 0).unwrap_or_else(|| made_up(NODES));
    let twice = doubled(&present);
    [present, twice]
}

/// Puts the question; a failure says why.
pub(super) fn trial(balancer: &dyn Balancer, question: &Question) -> Result<Trial, String> {
    let nodes = question.nodes.count();
    match Hearing::patient(balancer, question).outcome {
        Ok(answer) => Ok(Trial { nodes, duration: Some(answer.duration), declined: None }),
        Err(Refusal::Declined(why)) => Ok(Trial { nodes, duration: None, declined: Some(why) }),
        Err(Refusal::Failed(why)) => Err(why),
    }
}

fn doubled(question: &Question) -> Question {
    fn twice<T: Clone>(column: &[T]) -> Arc<[T]> {
        column.iter().chain(column).cloned().collect()
    }
    let nodes = &question.nodes;
    let second = |name: &String| format!("{name}-2");
    let names: Arc<[String]> = nodes.names.iter().cloned().chain(nodes.names.iter().map(second)).collect();
    let columns = Columns {
        addresses: names.iter().map(|name| format!("{name}:8787")).collect(),
        name_hashes: names.iter().map(|name| name_hash(name)).collect(),
        names,
        ips: twice(&nodes.ips),
        cores: twice(&nodes.cores),
        weights: twice(&nodes.weights),
        capacities: twice(&nodes.capacities),
        sessions: twice(&nodes.sessions),
        load1: twice(&nodes.load1),
        load5: twice(&nodes.load5),
        load15: twice(&nodes.load15),
        unseen5: twice(&nodes.unseen5),
        memory_total: twice(&nodes.memory_total),
        memory_available: twice(&nodes.memory_available),
        cpus_promised: twice(&nodes.cpus_promised),
        memory_promised: twice(&nodes.memory_promised),
        labels: twice(&nodes.labels),
        metrics: twice(&nodes.metrics),
    };
    Question {
        nodes: Arc::new(columns),
        user_sessions: twice(&question.user_sessions),
        request: question.request.clone(),
    }
}

/// A question over nodes that there are not.
pub(super) fn made_up(count: usize) -> Question {
    let names: Arc<[String]> = (1..=count).map(|number| format!("node{number}")).collect();
    let same = |value: u32| -> Arc<[u32]> { vec![value; count].into() };
    let bytes = |value: u64| -> Arc<[u64]> { vec![value; count].into() };
    let number = |value: f64| -> Arc<[f64]> { vec![value; count].into() };
    let columns = Columns {
        addresses: names.iter().map(|name| format!("{name}:8787")).collect(),
        name_hashes: names.iter().map(|name| name_hash(name)).collect(),
        names,
        ips: vec![None; count].into(),
        cores: same(8),
        weights: same(100),
        capacities: same(u32::MAX),
        sessions: (0..count).map(|index| (index % 7) as u32).collect(),
        load1: number(0.5),
        load5: number(0.5),
        load15: number(0.5),
        unseen5: number(0.25),
        memory_total: bytes(32 << 30),
        memory_available: bytes(16 << 30),
        cpus_promised: number(1.0),
        memory_promised: bytes(1 << 30),
        labels: vec![BTreeMap::new(); count].into(),
        metrics: vec![BTreeMap::new(); count].into(),
    };
    Question { nodes: Arc::new(columns), user_sessions: same(0), request: request() }
}

/// Somebody's everyday session.
pub(super) fn request() -> Request {
    Request {
        username: "trial".to_owned(),
        groups: vec!["trial".to_owned()],
        kind: "jupyterlab".to_owned(),
        cpus: 1.0,
        memory: 1 << 30,
        now: 1_800_000_000_000,
        ..Request::default()
    }
}
