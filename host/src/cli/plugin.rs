//! `plugin …`: the commands for administrators of balancers and for their authors, one a file.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, ListArguments, ask, configuration, location_flags};

mod check;
mod list;
mod module;
mod run;
mod shadow;
mod test;

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// List the balancers of this node, and what went wrong with them.
    List(ListArguments),
    /// Tell whether a file would be taken as a balancer, without taking it.
    Check(CheckArguments),
    /// Ask a module the cases of a file, and print its answers.
    Run(RunArguments),
    /// Ask modules the cases of files, and tell which are answered otherwise than expected.
    Test(TestArguments),
    /// Tell where the balancer that is asked beside (balancer-shadow) would have decided otherwise.
    Shadow(ShadowArguments),
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The module, NAME.wasm, or the name of a builtin balancer; its settings are those of section [balancer NAME]
    file: PathBuf,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The module, NAME.wasm; or the name of a builtin balancer, or the SHA-256 of a module that has decided on this node
    file: PathBuf,
    /// A file of cases, as `why SESSION --case` writes one
    #[arg(long, value_name = "CASE.toml")]
    case: PathBuf,
    /// Only the case of this name
    #[arg(long, value_name = "CASE-NAME")]
    name: Option<String>,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(super) struct TestArguments {
    /// Files of cases, or directories of them
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// The module to ask [default: the NAME.wasm beside the cases, else the builtin NAME]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(super) struct ShadowArguments {
    /// Only what was decided since: a time (2026-01-02T03:04:05Z) or so long ago (2h)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    #[command(flatten)]
    output: ListArguments,
}

/// Runs one of the commands.
pub(super) fn run(command: PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::List(arguments) => {
            ask(&arguments.location, async |daemon| list::list(&daemon, arguments.json).await)
        }
        PluginCommand::Check(CheckArguments { file, output }) => {
            let config = configuration(&location_flags(&output.location), false)?;
            Ok(check::check(&config, &file, output.json)?)
        }
        PluginCommand::Run(RunArguments { file, case, name, output }) => {
            let config = configuration(&location_flags(&output.location), false)?;
            Ok(run::run(&config, &file, &case, name.as_deref(), output.json)?)
        }
        PluginCommand::Test(TestArguments { paths, module, output }) => {
            let config = configuration(&location_flags(&output.location), false)?;
            Ok(test::test(&config, &paths, module.as_deref(), output.json)?)
        }
        PluginCommand::Shadow(ShadowArguments { since, output }) => {
            ask(&output.location, async |daemon| shadow::shadow(&daemon, since.as_deref(), output.json).await)
        }
    }
}
