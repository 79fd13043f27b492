//! What a session costs beside its program: the time until it answers, and what the daemon takes for many that idle. Run by
//! `cargo xtask bench sessions`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

#[path = "sessions/by_hand.rs"]
mod by_hand;
#[path = "sessions/hub.rs"]
mod hub;
#[path = "sessions/many.rs"]
mod many;
#[path = "sessions/start.rs"]
mod start;

#[derive(Parser)]
struct Arguments {
    /// Starts measured of the small program.
    #[arg(long, default_value_t = 20)]
    starts: usize,
    /// Starts measured of JupyterLab.
    #[arg(long, default_value_t = 20)]
    notebooks: usize,
    /// Sessions at once on one node; none where 0.
    #[arg(long, default_value_t = 500)]
    sessions: usize,
    /// Seconds that these are held.
    #[arg(long, default_value_t = 600)]
    hold: u64,
    /// Where `jupyter-lab` lies.
    #[arg(long, value_name = "DIRECTORY")]
    jupyter: Option<PathBuf>,
    /// Where `jupyterhub` and its proxy lie.
    #[arg(long, value_name = "DIRECTORY")]
    hub: Option<PathBuf>,
    /// Fail where a target is missed.
    #[arg(long)]
    assert: bool,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
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
async fn run(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let mut missed = start::small(arguments.starts).await?;
    if let Some(jupyter) = &arguments.jupyter {
        start::jupyterlab(arguments.notebooks, jupyter, arguments.hub.as_deref()).await?;
    }
    if arguments.sessions > 0 {
        missed.extend(many::run(arguments.sessions, Duration::from_secs(arguments.hold)).await?);
    }
    Ok(missed)
}

/// Says that a target was missed, where it was.
fn target(what: &str, reached: f64, limit: f64, unit: &str) -> Option<String> {
    (reached > limit).then(|| format!("{what}: {reached:.1} {unit}, and should be within {limit:.0}"))
}
