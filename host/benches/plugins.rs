//! What balancers cost: a decision of each, the time until a file decides, the time until a runaway is stopped, and what a
//! thousand files leave in the daemon's memory. Run by `cargo xtask bench plugins`.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

#[path = "plugins/daemon.rs"]
mod daemon;
#[path = "plugins/decisions.rs"]
mod decisions;
#[path = "placement/measure.rs"]
mod measure;
#[path = "plugins/reloads.rs"]
mod reloads;
#[path = "plugins/runaway.rs"]
mod runaway;

#[derive(Parser)]
struct Arguments {
    /// The numbers of nodes.
    #[arg(long, value_delimiter = ',', default_value = "3,100,1000,10000")]
    nodes: Vec<usize>,
    /// Decisions measured a row.
    #[arg(long, default_value_t = 5_000)]
    iterations: usize,
    /// Files that a daemon takes up one after the other.
    #[arg(long, default_value_t = 1_000)]
    reloads: u32,
    /// A module beside the builtin ones.
    #[arg(long, value_name = "FILE")]
    module: Vec<PathBuf>,
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

/// Measures, prints, and returns the targets that were missed.
fn run(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let mut missed = decisions::run(&arguments.nodes, arguments.iterations, &arguments.module)?;
    missed.extend(runaway::run()?);
    missed.extend(reloads::run(arguments.reloads)?);
    Ok(missed)
}

/// Says that a target was missed, where it was.
fn target(what: &str, reached: f64, limit: f64, unit: &str) -> Option<String> {
    (reached > limit).then(|| format!("{what}: {reached:.1} {unit}, and should be within {limit:.0}"))
}
