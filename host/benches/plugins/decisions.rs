//! The time of a decision: each builtin balancer, and modules from files.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use evenkeel::balancer::{
    Balancer as _, builtin, synthetic,
    wasm::{Engine, Limits, WasmBalancer},
};

use crate::{measure::measure, target};

/// By the number of nodes, within how many µs the median and the 99th percentile should be.
const TARGETS: [(usize, f64, f64); 2] = [(1_000, 100.0, 250.0), (10_000, 1_000.0, f64::INFINITY)];

const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn run(sizes: &[usize], iterations: usize, modules: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let engine = Engine::new()?;
    // A machine that is busy with other things ends no measurement.
    let limits = Limits { deadline: DEADLINE, ..Limits::default() };
    let load = |name: &str, bytes: &[u8]| {
        WasmBalancer::load(&engine, name, bytes, BTreeMap::new(), limits).context(name.to_owned())
    };
    let mut balancers = Vec::new();
    for name in builtin::NAMES {
        balancers.push(load(name, builtin::module(name).context(name)?)?);
    }
    for path in modules {
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("a module's name is not text")?;
        balancers.push(load(name, &fs::read(path).with_context(|| path.display().to_string())?)?);
    }
    let mut missed = Vec::new();
    println!("\nA decision, µs:\n\n| nodes | balancer | p50 | p99 | mean |\n|--:|---|--:|--:|--:|");
    for &nodes in sizes {
        let question = synthetic::question(nodes);
        for balancer in &balancers {
            let name = balancer.name();
            let times = measure(iterations, || balancer.rank(&question).is_ok())
                .with_context(|| format!("{name} over {nodes} nodes: {:?}", balancer.rank(&question).err()))?;
            let [p50, p99, mean] = [times.p50, times.p99, times.mean].map(micros);
            println!("| {nodes} | {name} | {p50:.1} | {p99:.1} | {mean:.1} |");
            for (_, most50, most99) in TARGETS.iter().filter(|(size, ..)| *size == nodes) {
                missed.extend(target(&format!("{name} over {nodes} nodes, p50"), p50, *most50, "µs"));
                missed.extend(target(&format!("{name} over {nodes} nodes, p99"), p99, *most99, "µs"));
            }
        }
    }
    Ok(missed)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
