//! How long a decision takes: each builtin balancer as WebAssembly, beside the same function run natively, beside a shell
//! script called the legacy way. Run by `cargo xtask bench placement`.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Parser;
use evenkeel::balancer::{
    Balancer as _, builtin,
    wasm::{Engine, Limits, WasmBalancer},
};

#[path = "placement/cluster.rs"]
mod cluster;
#[path = "placement/measure.rs"]
mod measure;
#[path = "placement/script.rs"]
mod script;

use measure::{Times, measure};

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

fn run(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let engine = Engine::new()?;
    for name in builtin::NAMES {
        let balancer = WasmBalancer::load(
            &engine,
            name,
            builtin::module(name).unwrap_or_default(),
            BTreeMap::new(),
            Limits::default(),
        )?;
        for &count in &arguments.nodes {
            let question = cluster::question(count);
            let times: Times = measure(arguments.iterations, || balancer.rank(&question).is_ok())?;
            println!("{name} {count} {times:?}");
        }
    }
    for &count in &arguments.nodes {
        println!("{:?}", script::measure(count, arguments.iterations / 10)?);
    }
    Ok(Vec::new())
}
