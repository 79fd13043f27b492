//! A cluster to decide over.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel::balancer::{Columns, Question, Request, columns::name_hash};

/// A question over `count` nodes that differ, the same at each run.
pub(crate) fn question(count: usize) -> Question {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let mut numbers = |below: u64| -> Vec<u64> { (0..count).map(|_| random() % below).collect() };
    let small = |values: Vec<u64>| -> Arc<[u32]> { values.iter().map(|&value| value as u32).collect() };
    let share = |values: Vec<u64>| -> Arc<[f64]> { values.iter().map(|&value| value as f64 / 100.0).collect() };
    let names: Vec<String> = (0..count).map(|index| format!("node-{index:05}")).collect();
    let nodes = Columns {
        addresses: names.iter().map(|name| format!("{name}:8787")).collect(),
        ips: vec![None; count].into(),
        name_hashes: names.iter().map(|name| name_hash(name)).collect(),
        names: names.into(),
        cores: small(numbers(63)).iter().map(|cores| cores + 1).collect(),
        weights: vec![100; count].into(),
        capacities: vec![u32::MAX; count].into(),
        sessions: small(numbers(40)),
        load1: share(numbers(3_000)),
        load5: share(numbers(3_000)),
        load15: share(numbers(3_000)),
        unseen5: share(numbers(400)),
        memory_total: vec![64 << 30; count].into(),
        memory_available: vec![32 << 30; count].into(),
        cpus_promised: share(numbers(3_000)),
        memory_promised: vec![8 << 30; count].into(),
        labels: vec![BTreeMap::new(); count].into(),
        metrics: vec![BTreeMap::new(); count].into(),
    };
    Question {
        nodes: Arc::new(nodes),
        user_sessions: vec![0; count].into(),
        request: Request {
            username: "ada".to_owned(),
            groups: vec!["research".to_owned()],
            kind: "jupyterlab".to_owned(),
            now: 1_767_225_600_000,
            seed: 7,
            sequence: 42,
            ..Request::default()
        },
    }
}
