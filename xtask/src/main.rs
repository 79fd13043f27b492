//! The project's own commands: `cargo xtask setup | demo | test | plugins | bench | fuzz`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod command;
mod demo;
mod fuzz;
mod interrupt;
mod plugins;
mod setup;
mod test;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the demo and the tests need.
    Setup(setup::Arguments),
    /// Run a cluster with real sessions on this machine.
    Demo(demo::Arguments),
    /// Run everything that must hold: formatting, lints, docs, every test.
    Test(test::Arguments),
    /// Compile the builtin balancers to plugins/dist, or prove that they are fresh.
    Plugins(plugins::Arguments),
    /// Measure.
    Bench(bench::Arguments),
    /// Look for inputs that break what reads anybody's bytes.
    Fuzz(fuzz::Arguments),
    /// Put the programs that an author of balancers has on the path into a directory, for a test.
    #[command(hide = true)]
    Toolchain(plugins::author::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Plugins(arguments) => plugins::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Toolchain(arguments) => plugins::author::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
