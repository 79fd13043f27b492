//! The time until a balancer that never ends is stopped.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use evenkeel::balancer::{
    Balancer as _, Refusal, synthetic,
    wasm::{Engine, Limits, WasmBalancer},
};
use evenkeel_fixtures::Fixture;

use crate::{measure::percentile, target};

const RUNS: usize = 200;
/// What it should take beyond the deadline, ms.
const BEYOND: f64 = 5.0;

pub(crate) fn run() -> anyhow::Result<Option<String>> {
    let (engine, limits) = (Engine::new()?, Limits::default());
    let name = Fixture::EndlessLoop.name();
    let balancer = WasmBalancer::load(&engine, name, &Fixture::EndlessLoop.bytes(), BTreeMap::new(), limits)?;
    let mut question = synthetic::question(3);
    // The fixture behaves while it is tried.
    "ada".clone_into(&mut question.request.username);
    let mut beyond = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        let outcome = balancer.rank(&question);
        beyond.push(start.elapsed().saturating_sub(limits.deadline));
        let Err(Refusal::Failed(why)) = outcome else { anyhow::bail!("{name} was to fail: {outcome:?}") };
        anyhow::ensure!(why.contains("it had not answered"), "{name} failed otherwise: {why}");
    }
    beyond.sort_unstable();
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| millis(percentile(&beyond, share)));
    println!("\nA runaway is stopped after its deadline of {} ms and, ms:\n", limits.deadline.as_millis());
    println!("| p50 | p99 | most of {RUNS} |\n|--:|--:|--:|\n| {p50:.2} | {p99:.2} | {most:.2} |");
    Ok(target("a runaway is stopped, p99 beyond the deadline", p99, BEYOND, "ms"))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
