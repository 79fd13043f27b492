//! A question to put.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel::balancer::{Columns, Question, Request, columns::name_hash};

/// A question over `count` nodes. One of its columns has these numbers, however many: a way to hand a guest anything.
pub(crate) fn question(count: usize, input: &[u64]) -> Question {
    let names: Arc<[String]> = (0..count).map(|index| format!("node{index}")).collect();
    let small = |value: u32| -> Arc<[u32]> { vec![value; count].into() };
    let share = |value: f64| -> Arc<[f64]> { vec![value; count].into() };
    let pairs = |index: usize| ("rack".to_owned(), format!("r{index}"));
    let columns = Columns {
        addresses: names.iter().map(|name| format!("{name}:8787")).collect(),
        ips: vec![None; count].into(),
        name_hashes: names.iter().map(|name| name_hash(name)).collect(),
        names,
        cores: small(4),
        weights: small(100),
        capacities: small(u32::MAX),
        sessions: (0..count).map(|index| index as u32).collect(),
        load1: share(0.5),
        load5: share(0.5),
        load15: share(0.5),
        unseen5: share(0.25),
        memory_total: input.into(),
        memory_available: vec![1 << 30; count].into(),
        cpus_promised: share(1.0),
        memory_promised: vec![1 << 30; count].into(),
        labels: (0..count).map(|index| BTreeMap::from([pairs(index)])).collect(),
        metrics: vec![BTreeMap::from([("gpus-free".to_owned(), 2.0)]); count].into(),
    };
    let request = Request {
        username: "ada".to_owned(),
        groups: vec!["research".to_owned(), "staff".to_owned()],
        kind: "jupyterlab".to_owned(),
        labels: BTreeMap::from([("rack".to_owned(), "r1".to_owned())]),
        previous_node: Some("node0".to_owned()),
        now: 1_800_000_000_000,
        seed: 7,
        sequence: 42,
        ..Request::default()
    };
    Question { nodes: Arc::new(columns), user_sessions: small(1), request, session: None }
}
