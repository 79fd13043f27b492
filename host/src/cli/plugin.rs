//! `plugin …`: the commands for administrators of balancers and for their authors, one a file.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

use super::{Failure, ListArguments, ask, configuration, location_flags, output};

mod bench;
mod check;
mod list;
mod log;
mod module;
mod new;
mod run;
mod selected;
mod shadow;
mod test;
mod wit;

pub(super) use selected::selected;

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
    /// Measure decisions over clusters of several sizes, under the real limits.
    Bench(BenchArguments),
    /// Print what a balancer wrote in its decisions.
    Log(LogArguments),
    /// Make a balancer in Rust to begin with: its policy, tests, cases, and the SDK.
    New(NewArguments),
    /// Print the contract between host and balancers, in WIT.
    Wit(WitArguments),
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
pub(super) struct BenchArguments {
    /// The module, NAME.wasm, or the name of a builtin balancer
    file: PathBuf,
    /// The numbers of nodes, separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "3,100,1000", value_parser = value_parser!(u32).range(1..=100_000))]
    nodes: Vec<u32>,
    /// How many decisions are measured over each; fewer where they take more than 10 seconds
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    decisions: u32,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(super) struct LogArguments {
    /// The balancer's name, as `plugin list` prints it
    name: String,
    /// Go on with the lines to come
    #[arg(long, short)]
    follow: bool,
    /// How many of the newest lines
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=i64::from(log::MOST)))]
    lines: u32,
    #[command(flatten)]
    output: ListArguments,
}

#[derive(Debug, Args)]
pub(super) struct NewArguments {
    /// The balancer's name: small letters, digits and hyphens
    name: String,
    /// The directory to make [default: NAME]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct WitArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
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
        PluginCommand::Bench(BenchArguments { file, nodes, decisions, output }) => {
            let config = configuration(&location_flags(&output.location), false)?;
            Ok(bench::bench(&config, &file, &bench::Sizes { nodes, decisions }, output.json)?)
        }
        PluginCommand::Log(LogArguments { name, follow, lines, output }) => {
            let wanted = log::Wanted { name, lines, json: output.json };
            ask(&output.location, async |daemon| match follow {
                true => log::follow(&daemon, &wanted).await,
                false => log::print(&daemon, &wanted).await,
            })
        }
        PluginCommand::New(NewArguments { name, directory, json }) => Ok(new::make(&name, directory.as_deref(), json)?),
        PluginCommand::Wit(WitArguments { json }) => {
            output::line(wit::print(json));
            Ok(())
        }
        PluginCommand::Shadow(ShadowArguments { since, output }) => {
            ask(&output.location, async |daemon| shadow::shadow(&daemon, since.as_deref(), output.json).await)
        }
    }
}
