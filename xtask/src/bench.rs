//! `cargo xtask bench`: measurements, as docs/benchmarks.md shows them.

use std::{
    env,
    ffi::OsString,
    process::{Command, ExitStatus},
};

use anyhow::{Context, bail};

use crate::{
    plugins,
    setup::{self, JUPYTER, Needs},
    workspace,
};

/// What it takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The time of a decision: each builtin balancer as WebAssembly, run natively, and a shell script.
    Placement(Placement),
    /// What plugins cost: decisions of builtin ones and of the SDK's examples, a file that is taken up, a runaway, memory.
    Plugins(Plugins),
    /// Placements a second that three daemons and Postgres on this machine make together.
    Cluster(Rate),
    /// What sessions cost: the time until one answers, beside the same program by hand and by JupyterHub, and what a daemon
    /// takes for many that idle.
    Sessions(Sessions),
}

#[derive(clap::Args)]
struct Rate {
    /// Launches measured.
    #[arg(long, default_value_t = 2_000)]
    launches: u32,
    /// How many are asked for at once.
    #[arg(long, default_value_t = 192)]
    at_once: u32,
    /// Have the registry in SQLite, for comparison.
    #[arg(long)]
    sqlite: bool,
    /// Fail where the target is missed.
    #[arg(long)]
    assert: bool,
}

#[derive(clap::Args)]
struct Sessions {
    /// Starts measured of the small program, and of JupyterLab.
    #[arg(long, default_value_t = 20)]
    starts: u32,
    /// Sessions at once on one node; none where 0.
    #[arg(long, default_value_t = 500)]
    sessions: u32,
    /// Seconds that these are held.
    #[arg(long, default_value_t = 600)]
    hold: u32,
    /// Leave JupyterHub out, which takes an installation of its own.
    #[arg(long)]
    no_hub: bool,
    /// Fail where a target is missed.
    #[arg(long)]
    assert: bool,
}

#[derive(clap::Args)]
struct Plugins {
    /// Files that a daemon takes up one after the other.
    #[arg(long, default_value_t = 1_000)]
    reloads: u32,
    #[command(flatten)]
    decisions: Placement,
}

#[derive(clap::Args)]
struct Placement {
    /// The numbers of nodes.
    #[arg(long, value_delimiter = ',', default_value = "3,100,1000,10000")]
    nodes: Vec<u32>,
    /// Decisions measured a row, those of the script a tenth of them.
    #[arg(long, default_value_t = 5_000)]
    iterations: u32,
    /// Fail where a target is missed.
    #[arg(long)]
    assert: bool,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.what {
        What::Placement(placement) => measure("evenkeel", "placement", &placement.arguments()),
        What::Plugins(Plugins { reloads, decisions }) => {
            let mut arguments = decisions.arguments();
            arguments.extend(["--reloads".to_owned(), reloads.to_string()]);
            for example in plugins::examples::make(workspace::root())? {
                arguments.extend(["--module".to_owned(), example.display().to_string()]);
            }
            measure("evenkeel", "plugins", &arguments)
        }
        What::Cluster(rate) => {
            setup::provide(Needs { postgres: !rate.sqlite, ..Needs::NONE }, false)?;
            optimised_programs()?;
            measure("evenkeel-tests", "cluster", &rate.arguments())
        }
        What::Sessions(sessions) => {
            optimised_programs()?;
            measure("evenkeel-tests", "sessions", &sessions.arguments()?)
        }
    }
}

/// The whole programs, as they are run.
fn optimised_programs() -> anyhow::Result<()> {
    let mut build = workspace::cargo(&["build", "--release", "--bins", "-p", "evenkeel", "-p", "evenkeel-tests"]);
    eprintln!("building the optimised programs: some minutes the first time");
    succeed(&mut build, "they cannot be built")
}

impl Rate {
    fn arguments(&self) -> Vec<String> {
        let mut arguments =
            vec!["--launches".to_owned(), self.launches.to_string(), "--at-once".to_owned(), self.at_once.to_string()];
        for (is_on, flag) in [(self.sqlite, "--sqlite"), (self.assert, "--assert")] {
            if is_on {
                arguments.push(flag.to_owned());
            }
        }
        arguments
    }
}

impl Sessions {
    fn arguments(&self) -> anyhow::Result<Vec<String>> {
        setup::provide(Needs { jupyter: true, ..Needs::NONE }, false)?;
        let programs = JUPYTER.programs()?.display().to_string();
        let number = |name: &str, value: u32| [format!("--{name}"), value.to_string()];
        let mut arguments = [
            number("starts", self.starts),
            number("notebooks", self.starts),
            number("sessions", self.sessions),
            number("hold", self.hold),
            ["--jupyter".to_owned(), programs],
        ]
        .concat();
        if !self.no_hub {
            arguments.extend(["--hub".to_owned(), setup::hub::provide()?.display().to_string()]);
        }
        if self.assert {
            arguments.push("--assert".to_owned());
        }
        Ok(arguments)
    }
}

impl Placement {
    /// What the benchmark is called with.
    fn arguments(&self) -> Vec<String> {
        let nodes: Vec<String> = self.nodes.iter().map(u32::to_string).collect();
        let mut arguments =
            vec!["--nodes".to_owned(), nodes.join(","), "--iterations".to_owned(), self.iterations.to_string()];
        if self.assert {
            arguments.push("--assert".to_owned());
        }
        arguments
    }
}

/// Builds a benchmark of a package, optimised, and runs it.
fn measure(package: &str, name: &str, arguments: &[String]) -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let command = |last: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(["bench", "--package", package, "--bench", name]).args(last);
        command
    };
    eprintln!("building the optimised benchmark `{name}`: some minutes the first time");
    succeed(&mut command(&["--no-run"]), "it cannot be built")?;
    let mut run = command(&["--"]);
    run.args(arguments);
    succeed(&mut run, "it failed, or missed a target")
}

fn succeed(command: &mut Command, problem: &str) -> anyhow::Result<()> {
    let status: ExitStatus = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?}: {problem} ({status})");
    }
    Ok(())
}
