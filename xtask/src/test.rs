//! `cargo xtask test`: everything that must hold.
//!
//! The steps run one after the other, the cheap ones first, and the first that fails ends the run. The tests come last,
//! so that the runner's own summary ends the output.

use std::{
    cell::RefCell,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result};
use evenkeel_tests::vscode;

use crate::{
    command, plugins,
    setup::{self, Lacks, Needs},
    workspace,
};

mod rooms;
mod source;
mod tidy;

/// What it takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do not ask before anything is installed.
    #[arg(long, short)]
    yes: bool,
    /// Passed on to the test runner: the tests to run, and its options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    runner: Vec<String>,
}

/// A step: its name and what it does.
type Step<'a> = (&'a str, &'a dyn Fn() -> Result<()>);

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let lacks = RefCell::new(Lacks::default());
    let setup = || {
        *lacks.borrow_mut() = setup::provide(Needs::ALL, arguments.yes)?;
        Ok(())
    };
    let steps: [Step<'_>; 10] = [
        ("setup", &setup),
        ("formatting", &|| cargo(&["fmt", "--all", "--check"])),
        ("tidiness", &|| tidy::check(workspace::root())),
        ("lints", &|| cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
        ("documentation", &document),
        ("plugins are fresh", &|| plugins::run(&plugins::Arguments { check: true, examples: false })),
        ("examples of the SDK", &|| plugins::run(&plugins::Arguments { check: false, examples: true })),
        ("programs", &|| cargo(&["build", "--workspace", "--bins"])),
        ("examples in the documentation", &|| cargo(&["test", "--workspace", "--doc", "--quiet"])),
        ("tests", &|| run_tests(&arguments.runner, &lacks.borrow())),
    ];
    for (index, (name, work)) in steps.iter().enumerate() {
        eprintln!("\n== {} of {}: {name}", index + 1, steps.len());
        let start = Instant::now();
        work().with_context(|| format!("step {} of {} ({name})", index + 1, steps.len()))?;
        // The last words are the test runner's.
        if index + 1 < steps.len() {
            eprintln!("== {name}: {:.1} s", start.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    command::shown(workspace::cargo(arguments))
}

fn document() -> Result<()> {
    let mut cargo = workspace::cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    command::shown(cargo)
}

fn run_tests(arguments: &[String], lacks: &Lacks) -> Result<()> {
    let mut cargo = if has_nextest() {
        workspace::cargo(&["nextest", "run", "--workspace"])
    } else {
        eprintln!("cargo-nextest is not installed, so that tests of one file share a process.");
        eprintln!("To have it: cargo install --locked cargo-nextest");
        workspace::cargo(&["test", "--workspace", "--bins", "--lib", "--tests", "--no-fail-fast"])
    };
    cargo.args(arguments);
    let Some(problem) = &lacks.vscode else { return command::shown(cargo) };
    cargo.env(vscode::ABSENT, problem);
    let outcome = command::shown(cargo);
    eprintln!("\nNOT TESTED on this machine: VS Code, since {problem}");
    outcome
}

fn has_nextest() -> bool {
    let mut nextest: Command = workspace::cargo(&["nextest", "--version"]);
    nextest.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
