//! The commands.
//!
//! Errors are `anyhow` here and nowhere else in the library: a command prints the chain in one line and exits non-zero,
//! with 78 (`EX_CONFIG`) where the configuration is wrong.

use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{self, Config, Flags, Problem, Severity},
    domain::SessionId,
};

mod balancers;
mod client;
mod config_check;
mod connections;
mod encrypt_password;
mod expiry;
mod import;
mod in_force;
mod keys;
mod legacy;
mod lifecycle;
mod log;
mod node_ref;
mod nodes;
mod output;
mod passwords;
mod plugin;
mod ports;
mod registry;
mod reload;
mod reset;
mod rotate_key;
mod run;
mod script;
mod serve;
mod sessions;
mod sign_in_link;
mod system;
mod user_ids;
mod why;

/// One address behind which a cluster's machines run people's sessions.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run this machine's daemon.
    Serve(ServeArguments),
    #[command(flatten)]
    Nodes(nodes::NodeCommand),
    /// List sessions, newest first; suspend, resume, rename or end one's own.
    Sessions(SessionsArguments),
    /// Run a script or a command as a job, show its output, and end with its exit status.
    Run(Box<run::RunArguments>),
    /// Tell why a session runs where it does.
    Why(WhyArguments),
    /// Encrypt a password, read from standard input, as `database.conf` wants it.
    EncryptPassword(LocationArguments),
    RotateKey(rotate_key::RotateArguments),
    /// Copy a configuration of Posit Workbench, and say of each line what becomes of it.
    Import(import::ImportArguments),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(config_check::ConfigCommand),
    /// List balancers, and help those who write them.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Forget which user id a user has throughout the cluster; the next start of a session of theirs says it anew.
    ForgetUserId(UserArguments),
    /// Print a link that signs a browser in, once.
    SignInLink(SignInLinkArguments),
}

/// Where the daemon keeps its files.
#[derive(Debug, Args)]
struct LocationArguments {
    /// Directory of the configuration files [default: /etc/evenkeel, where it exists]
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Directory of the daemon's own data [default: /var/lib/evenkeel as root, else ~/.local/share/evenkeel]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ServeArguments {
    #[command(flatten)]
    location: LocationArguments,
    /// Address to listen on [default: 127.0.0.1 without configuration files, 0.0.0.0 with them]
    #[arg(long, value_name = "ADDRESS")]
    www_address: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one [default: 8787]
    #[arg(long, value_name = "PORT")]
    www_port: Option<u16>,
    /// This node's name in the cluster [default: the host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
}

impl ServeArguments {
    fn flags(&self) -> Flags {
        Flags {
            config_dir: self.location.config_dir.clone(),
            data_dir: self.location.data_dir.clone(),
            www_address: self.www_address,
            www_port: self.www_port,
            node_name: self.node_name.clone(),
        }
    }
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    location: LocationArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
struct SessionsArguments {
    #[command(subcommand)]
    command: Option<sessions::SessionsCommand>,
    /// Whose sessions: `*` are everybody's, for administrators [default: one's own]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Args)]
struct UserArguments {
    /// The user's name
    user: String,
    #[command(flatten)]
    location: LocationArguments,
}

#[derive(Debug, Args)]
struct SignInLinkArguments {
    #[command(flatten)]
    location: LocationArguments,
    /// Whom it signs in: where the daemon runs as root, any user [default: the user that the daemon runs as]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

#[derive(Debug, Args)]
struct WhyArguments {
    /// The session's id
    session: SessionId,
    /// Print the newest decision as a file of one case, for `plugin run` and `plugin test`
    #[arg(long)]
    case: bool,
    /// With --case: the decision of this start
    #[arg(long, value_name = "N", requires = "case")]
    epoch: Option<i64>,
    #[command(flatten)]
    output: ListArguments,
}

/// Why a command failed.
enum Failure {
    /// The configuration is wrong, and every problem has been printed.
    Configuration,
    /// The command did its work; this is what it has to say.
    Status(u8),
    /// Anything else.
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// `EX_CONFIG` of sysexits.h.
const EXIT_CONFIGURATION: u8 = 78;

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let arguments = match legacy::arguments(std::env::args_os().collect()) {
        Ok(arguments) => Arguments::parse_from(arguments),
        Err(answer) => {
            eprintln!("{}: {answer}", legacy::NAME);
            return ExitCode::FAILURE;
        }
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Status(status)) => ExitCode::from(status),
        Err(Failure::Configuration) => ExitCode::from(EXIT_CONFIGURATION),
        Err(Failure::Other(error)) => {
            eprintln!("evenkeel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(arguments) => serve::run(arguments.flags()),
        Command::Nodes(command) => nodes::run(command),
        Command::Sessions(SessionsArguments { command: Some(command), .. }) => {
            ask(&command.output().location, async |daemon| sessions::change(&daemon, &command).await)
        }
        Command::Sessions(SessionsArguments { user, list, .. }) => {
            ask(&list.location, async |daemon| sessions::list(&daemon, user.as_deref(), list.json).await)
        }
        Command::Run(arguments) => {
            let mut status = 0;
            ask(&arguments.location, async |daemon| {
                status = run::run(daemon, &arguments).await?;
                Ok(())
            })?;
            if status == 0 { Ok(()) } else { Err(Failure::Status(status)) }
        }
        Command::Why(WhyArguments { session, case: true, epoch, output }) => {
            ask(&output.location, async |daemon| why::case(&daemon, session, epoch).await)
        }
        Command::Why(WhyArguments { session, output, .. }) => {
            ask(&output.location, async |daemon| why::print(&daemon, session, output.json).await)
        }
        Command::EncryptPassword(location) => encrypt_password::run(&location),
        Command::Import(arguments) => import::run(&arguments),
        Command::RotateKey(arguments) => rotate_key::run(&arguments),
        Command::Config(command) => config_check::run(command),
        Command::Plugin(command) => plugin::run(command),
        Command::ForgetUserId(UserArguments { user, location }) => {
            ask(&location, async |daemon| user_ids::forget(&daemon, &user).await)
        }
        Command::SignInLink(SignInLinkArguments { location, user }) => {
            ask(&location, async |daemon| sign_in_link::print(&daemon, user.as_deref()).await)
        }
    }
}

/// The effective configuration. Errors are all printed; warnings where `warn` says so: they are the daemon's to tell.
fn configuration(flags: &Flags, warn: bool) -> Result<Config, Failure> {
    let (config, problems) = config::load(flags, &system::surroundings());
    report(&problems, warn);
    config.ok_or(Failure::Configuration)
}

/// Tells all problems; those that are warnings where `warn` says so.
fn report(problems: &[Problem], warn: bool) {
    for problem in problems {
        match problem.severity {
            Severity::Error => eprintln!("evenkeel: {problem}"),
            Severity::Warning if warn => eprintln!("evenkeel: warning: {problem}"),
            Severity::Warning => {}
        }
    }
}

fn location_flags(location: &LocationArguments) -> Flags {
    Flags { config_dir: location.config_dir.clone(), data_dir: location.data_dir.clone(), ..Flags::default() }
}

/// Runs a command that asks the daemon of this machine.
fn ask(
    location: &LocationArguments,
    command: impl AsyncFnOnce(client::Daemon) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    let data_dir = config::data_directory(&location_flags(location), &system::surroundings()).map_err(|problems| {
        report(&problems, false);
        Failure::Configuration
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async { command(client::Daemon::find(&data_dir)?).await })?)
}
