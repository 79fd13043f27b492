//! How long a decision takes: each builtin balancer as WebAssembly, beside the same function run natively, beside a shell
//! script called the legacy way. Run by `cargo xtask bench placement`.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use evenkeel::balancer::{
    Balancer as _, builtin, synthetic,
    wasm::{Engine, Limits, WasmBalancer},
};

#[path = "placement/measure.rs"]
mod measure;
#[path = "placement/native.rs"]
mod native;
#[path = "placement/script.rs"]
mod script;
#[path = "placement/table.rs"]
mod table;

use measure::measure;
use table::Row;

#[derive(Parser)]
struct Arguments {
    /// The numbers of nodes.
    #[arg(long, value_delimiter = ',', default_value = "3,100,1000,10000")]
    nodes: Vec<usize>,
    /// Decisions measured a row, those of the script a tenth of them.
    #[arg(long, default_value_t = 5_000)]
    iterations: usize,
    /// Fail where a target is missed.
    #[arg(long)]
    assert: bool,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            for target in missed {
                println!("missed: {target}");
            }
            if arguments.assert { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints the table, and returns the targets that were missed.
fn run(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let engine = Engine::new()?;
    if !engine.is_pooled() {
        println!("instances are not pooled: the address space is limited");
    }
    let mut balancers = Vec::new();
    for name in builtin::NAMES {
        let module = builtin::module(name).with_context(|| format!("there is no module {name}"))?;
        balancers.push((name, WasmBalancer::load(&engine, name, module, BTreeMap::new(), Limits::default())?));
    }
    let mut rows = Vec::new();
    for &nodes in &arguments.nodes {
        let question = synthetic::question(nodes);
        let script = script::measure(&question, arguments.iterations / 10)?;
        for (name, balancer) in &balancers {
            rows.push(Row {
                nodes,
                balancer: name,
                wasm: measure(arguments.iterations, || balancer.rank(&question).is_ok())?,
                native: measure(arguments.iterations, || native::decide(name, &question))?,
                script,
            });
        }
    }
    table::print(&rows);
    Ok(table::missed(&rows))
}
