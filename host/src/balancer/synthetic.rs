//! A cluster that there is not, to try balancers on and to measure them.

use std::{collections::BTreeMap, sync::Arc};

use super::{Columns, Question, Request, columns::name_hash};

/// One node of so many has a GPU.
const GPU: usize = 4;

/// Somebody's everyday session over `count` nodes that differ; the same at each run.
pub fn question(count: usize) -> Question {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut numbers = |below: u64| -> Vec<u64> { (0..count).map(|_| random.below(below)).collect() };
    let small = |values: &[u64]| -> Arc<[u32]> { values.iter().map(|&value| value as u32).collect() };
    let share = |values: &[u64]| -> Arc<[f64]> { values.iter().map(|&value| value as f64 / 100.0).collect() };
    let gib = |values: &[u64]| -> Arc<[u64]> { values.iter().map(|&value| value << 30).collect() };
    let names: Arc<[String]> = (1..=count).map(|number| format!("node-{number:05}")).collect();
    let cores: Vec<u64> = numbers(63).into_iter().map(|cores| cores + 1).collect();
    let sessions = numbers(40);
    let mine: Vec<u64> = numbers(4).into_iter().zip(&sessions).map(|(mine, &all)| mine.min(all)).collect();
    let total: Vec<u64> = cores.iter().map(|cores| 4 * cores).collect();
    let available: Vec<u64> = numbers(100).into_iter().zip(&total).map(|(share, total)| total * share / 100).collect();
    let nodes = Columns {
        addresses: names.iter().map(|name| format!("{name}:8787")).collect(),
        ips: vec![None; count].into(),
        name_hashes: names.iter().map(|name| name_hash(name)).collect(),
        names,
        cores: small(&cores),
        weights: vec![100; count].into(),
        capacities: vec![u32::MAX; count].into(),
        sessions: small(&sessions),
        load1: share(&numbers(3_000)),
        load5: share(&numbers(3_000)),
        load15: share(&numbers(3_000)),
        unseen5: share(&numbers(400)),
        memory_total: gib(&total),
        memory_available: gib(&available),
        cpus_promised: share(&numbers(3_000)),
        memory_promised: gib(&sessions),
        labels: (0..count).map(labels).collect(),
        metrics: (0..count).map(metrics).collect(),
    };
    Question { nodes: Arc::new(nodes), user_sessions: small(&mine), request: request(), session: None }
}

fn request() -> Request {
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

fn labels(index: usize) -> BTreeMap<String, String> {
    let zone = ("zone".to_owned(), ["north", "south"][index % 2].to_owned());
    let gpu = index.is_multiple_of(GPU).then(|| ("gpu".to_owned(), "a100".to_owned()));
    std::iter::once(zone).chain(gpu).collect()
}

fn metrics(index: usize) -> BTreeMap<String, f64> {
    let gpus = if index.is_multiple_of(GPU) { (index / GPU % 9) as f64 } else { 0.0 };
    BTreeMap::from([("gpus_free".to_owned(), gpus)])
}

/// Xorshift: numbers without any order, the same at each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::question;

    #[test]
    fn a_cluster_is_the_same_at_each_run_and_its_nodes_differ() {
        let (once, again) = (question(100), question(100));
        assert_eq!((&once.nodes, &once.user_sessions), (&again.nodes, &again.user_sessions));
        let mut loads: Vec<_> = once.nodes.load5.iter().map(|load| load.to_bits()).collect();
        loads.sort_unstable();
        loads.dedup();
        assert!(loads.len() > 90, "{loads:?}");
    }

    #[test]
    fn no_node_has_what_no_node_can_have() {
        let question = question(1_000);
        let nodes = &question.nodes;
        for node in 0..nodes.count() {
            assert!(nodes.cores[node] > 0 && nodes.memory_available[node] <= nodes.memory_total[node]);
            assert!(question.user_sessions[node] <= nodes.sessions[node]);
        }
    }
}
