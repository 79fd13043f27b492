//! `plugin bench FILE`.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::bail;
use serde_json::{Value, json};

use super::module::Module;
use crate::{
    balancer::{Balancer, Hearing, Question, Refusal, Request, plugins::Terms, synthetic, wasm::WasmBalancer},
    cli::{balancers, output},
    config::Config,
    domain::Percentiles,
};

/// For how long one size is measured at most.
const LONGEST: Duration = Duration::from_secs(10);

/// Of so many measured decisions, one more is made before, unmeasured.
const WARM_UP: u32 = 10;

/// What is measured.
#[derive(Debug)]
pub(super) struct Sizes {
    pub(super) nodes: Vec<u32>,
    /// Over each.
    pub(super) decisions: u32,
}

/// What came of one size.
#[derive(Debug, Default)]
struct Row {
    nodes: u32,
    /// Of the decisions that did not fail.
    durations: Vec<Duration>,
    /// The most that an instance had, bytes.
    memory: usize,
    declined: u32,
    failed: u32,
    /// How the first failed.
    failure: Option<String>,
}

/// Measures a module's decisions, each in an instance of its own and under the limits that a daemon would set, and prints
/// what they took. An error where one failed.
pub(super) fn bench(config: &Config, file: &Path, sizes: &Sizes, as_json: bool) -> anyhow::Result<()> {
    let engine = balancers::engine_of_an_author()?;
    let module = Module::open(file, config, &engine)?;
    let terms = balancers::terms(config, &module.name, engine);
    let balancer = module.load(&terms)?;
    let rows: Vec<Row> = sizes.nodes.iter().map(|&nodes| measure(&balancer, nodes, sizes.decisions)).collect();
    if as_json {
        output::line(document(&balancer, &terms, &rows));
    } else {
        output::line(text(&module.name, &terms, &rows));
    }
    match rows.iter().find_map(|row| row.failure.as_ref().zip(Some(row))) {
        Some((why, row)) => {
            bail!("{}: {} of {} decisions over {} nodes failed: {why}", module.name, row.failed, row.asked(), row.nodes)
        }
        None => Ok(()),
    }
}

fn measure(balancer: &WasmBalancer, nodes: u32, decisions: u32) -> Row {
    let cluster = synthetic::question(nodes as usize);
    let start = Instant::now();
    for number in 0..=decisions / WARM_UP {
        balancer.hear(&question(&cluster, number));
        if start.elapsed() > LONGEST / WARM_UP {
            break;
        }
    }
    let mut row = Row { nodes, ..Row::default() };
    let start = Instant::now();
    for number in 0..decisions {
        row.count(balancer.hear(&question(&cluster, number)));
        if start.elapsed() > LONGEST {
            break;
        }
    }
    row
}

/// The session of another user each time, over the same nodes.
fn question(cluster: &Question, number: u32) -> Question {
    let request = Request {
        username: format!("user{number}"),
        seed: u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        sequence: number.into(),
        ..cluster.request.clone()
    };
    Question { request, ..cluster.clone() }
}

impl Row {
    fn count(&mut self, hearing: Hearing) {
        self.memory = self.memory.max(hearing.memory.unwrap_or_default());
        match hearing.outcome {
            Err(Refusal::Failed(why)) => {
                self.failed += 1;
                self.failure.get_or_insert(why);
                return;
            }
            Err(Refusal::Declined(_)) => self.declined += 1,
            Ok(_) => {}
        }
        self.durations.push(hearing.duration);
    }

    fn asked(&self) -> usize {
        self.durations.len() + self.failed as usize
    }

    /// The median, what 99 of 100 did not exceed, and the longest; in microseconds.
    fn micros(&self) -> [Option<u64>; 3] {
        let Percentiles { p50, p99 } = Percentiles::of(self.durations.clone());
        let longest = self.durations.iter().max().copied();
        [p50, p99, longest].map(|duration| duration.map(|duration| duration.as_micros() as u64))
    }
}

fn text(name: &str, terms: &Terms, rows: &[Row]) -> String {
    let limits = &terms.limits;
    let header = ["Nodes", "Decisions", "p50 µs", "p99 µs", "Max µs", "Memory KiB", "Declined", "Failed"];
    let cells = |row: &Row| {
        let [p50, p99, longest] = row.micros().map(output::number);
        let memory = row.memory.div_ceil(1 << 10).to_string();
        let counts = [row.declined, row.failed].map(|count| count.to_string());
        let [declined, failed] = counts;
        [row.nodes.to_string(), row.asked().to_string(), p50, p99, longest, memory, declined, failed]
    };
    let table = output::columns(header, &rows.iter().map(cells).collect::<Vec<_>>());
    let (deadline, memory) = (limits.deadline.as_millis(), limits.memory >> 20);
    format!("{name}, within {deadline} ms and {memory} MiB a decision\n{table}")
}

fn document(balancer: &WasmBalancer, terms: &Terms, rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let [p50, p99, longest] = row.micros();
        json!({
            "nodes": row.nodes, "decisions": row.asked(), "p50_us": p50, "p99_us": p99, "max_us": longest,
            "memory": row.memory, "declined": row.declined, "failed": row.failed, "failure": row.failure,
        })
    };
    json!({
        "balancer": balancer.name(),
        "digest": balancer.digest(),
        "deadline_ms": terms.limits.deadline.as_millis() as u64,
        "memory_limit": terms.limits.memory,
        "sizes": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hearing(outcome: Result<(), Refusal>, micros: u64) -> Hearing {
        let duration = Duration::from_micros(micros);
        let answer =
            || crate::balancer::Answer { order: vec![0], scores: None, reason: None, log: Vec::new(), duration };
        Hearing {
            outcome: outcome.map(|()| answer()),
            refused_log: Vec::new(),
            duration,
            memory: Some(micros as usize),
        }
    }

    #[test]
    fn what_fails_is_counted_with_its_reason_and_is_in_no_percentile() {
        let mut row = Row { nodes: 3, ..Row::default() };
        for micros in 1..=100 {
            row.count(hearing(Ok(()), micros));
        }
        row.count(hearing(Err(Refusal::Declined("no".to_owned())), 101));
        row.count(hearing(Err(Refusal::Failed("first".to_owned())), 900));
        row.count(hearing(Err(Refusal::Failed("second".to_owned())), 800));
        assert_eq!((row.asked(), row.declined, row.failed, row.failure.as_deref()), (103, 1, 2, Some("first")));
        assert_eq!((row.micros(), row.memory), ([Some(51), Some(100), Some(101)], 900));
        assert_eq!(Row::default().micros(), [None; 3]);
    }

    #[test]
    fn decisions_are_about_sessions_that_differ_over_the_same_nodes() {
        let cluster = synthetic::question(3);
        let [one, other] = [1, 2].map(|number| question(&cluster, number));
        assert_ne!((&one.request.username, one.request.seed), (&other.request.username, other.request.seed));
        assert!(std::sync::Arc::ptr_eq(&one.nodes, &other.nodes));
    }
}
