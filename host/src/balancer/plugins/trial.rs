//! Decisions that a module makes on trial, before it makes any that count.

use std::{sync::Arc, time::Duration};

pub(super) use crate::balancer::synthetic::question as made_up;
use crate::balancer::{Balancer, Columns, Hearing, Question, Refusal, columns::name_hash};

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
        session: None,
    }
}
