//! `cargo xtask demo`: a cluster with real sessions on this machine.
//!
//! Three daemons that share one embedded store and one plugins directory, four sessions on them, the status page and the
//! address to open. It stays until it is interrupted, or with `--once` checks every session through a node that does not run it, and leaves
//! nothing behind.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::value_parser;
use evenkeel_tests::{Builder, Client, Cluster, Session, binaries, status, wait};

use crate::{
    command::{self, Progress},
    interrupt::Interrupt,
    setup::{self, Needs},
    workspace,
};

mod checks;
mod table;

/// The balancer of a daemon that is told of none.
const DEFAULT_BALANCER: &str = "sessions";

/// The kind that code-server runs.
const VSCODE: &str = "vscode";

/// How many sessions are launched.
const SESSIONS: usize = 4;

/// How long the sessions may take until the status page shows their processes.
const SHOWN: Duration = Duration::from_secs(60);

/// What it takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Check every session through another node than its own, print a table, and end.
    #[arg(long)]
    once: bool,
    /// How many daemons to start.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..=32))]
    nodes: u16,
    /// The balancer that places the sessions; the program's default where none is named.
    #[arg(long, value_name = "NAME")]
    balancer: Option<String>,
    /// What the sessions run: jupyterlab, jupyter-notebook, vscode or echo.
    #[arg(long, value_name = "NAME", default_value = "jupyterlab")]
    kind: String,
    /// The port of the first daemon; the others take the ones after it.
    #[arg(long, value_name = "PORT", default_value_t = 8787, value_parser = value_parser!(u16).range(1..))]
    port: u16,
    /// Do not ask before anything is installed.
    #[arg(long, short)]
    yes: bool,
    /// Use the programs that are built already.
    #[arg(long, hide = true)]
    built: bool,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let jupyter = arguments.kind.starts_with("jupyter");
    let vscode = arguments.kind == VSCODE;
    let lacks = setup::provide(Needs { jupyter, vscode, ..Needs::NONE }, arguments.yes)?;
    if let Some(problem) = lacks.vscode {
        bail!("VS Code cannot be had on this machine: {problem}");
    }
    if !arguments.built {
        // All of them at once, as the tests build them, so that nothing is compiled twice.
        command::shown(workspace::cargo(&["build", "--workspace", "--bins"]))?;
    }
    let builder = arguments.cluster()?;
    for port in arguments.ports()? {
        TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!("port {port} of 127.0.0.1 cannot be had: stop what uses it, or choose others with --port")
        })?;
    }
    command::runtime()?.block_on(play(builder.prepare()?, arguments))
}

impl Arguments {
    fn ports(&self) -> Result<std::ops::RangeInclusive<u16>> {
        let last = self.port.checked_add(self.nodes - 1).context("the ports after --port end at 65535")?;
        Ok(self.port..=last)
    }

    fn cluster(&self) -> Result<Builder> {
        let mut builder = Builder::new(usize::from(self.nodes)).first_port(self.port).shared_plugins();
        if let Some(balancer) = &self.balancer {
            builder = builder.balancer(balancer);
        }
        if self.kind.starts_with("jupyter") {
            builder = builder.programs(setup::JUPYTER.programs()?);
        }
        if self.kind == VSCODE {
            builder = builder.programs(setup::node::programs()?);
        }
        if self.kind == "echo" {
            builder = builder.echo()?;
        }
        Ok(builder)
    }
}

/// The whole play: whatever happens in it, the cluster is taken down at its end.
async fn play(mut cluster: Cluster, arguments: &Arguments) -> Result<()> {
    let mut interrupt = Interrupt::listen()?;
    let outcome = tokio::select! {
        outcome = perform(&mut cluster, arguments) => outcome,
        () = interrupt.received() => Err(anyhow!("interrupted")),
    };
    if outcome.is_ok() && !arguments.once {
        println!("Ctrl-C ends the sessions and the cluster.");
        interrupt.received().await;
    }
    let progress = Progress::start("Ending the sessions and the daemons");
    let ended = cluster.close().await.context("the end was not clean");
    match ended {
        Ok(()) => progress.finish(),
        Err(_) => progress.fail(),
    }
    outcome.and(ended)
}

async fn perform(cluster: &mut Cluster, arguments: &Arguments) -> Result<()> {
    let progress = Progress::start(&format!("Starting {} daemons", arguments.nodes));
    cluster.start_all().await?;
    progress.finish();

    let progress = Progress::start(&format!("Launching {SESSIONS} sessions of kind {}", arguments.kind));
    let sessions = launch(cluster, &arguments.kind).await?;
    let page = status_page(cluster.client(0)?, cluster.nodes().len(), &sessions).await?;
    progress.finish();
    println!("\nhttp://{}/load-balancer/status\n\n{page}", cluster.nodes()[0].authority());

    let progress = Progress::start("Waiting until every session answers");
    let mut active = Vec::new();
    for session in sessions {
        let owner = cluster.client(cluster.index(&session.node.name)?)?;
        active.push(owner.wait_active(&session.id).await?);
        progress.say(&format!("{} of {SESSIONS}", active.len()));
    }
    progress.finish();

    if arguments.once {
        return check(cluster, &active, &arguments.kind).await;
    }
    println!("\nSign in, once: {}", cluster.nodes()[0].sign_in());
    for session in &active {
        println!(
            "  {} on {}: http://{}{}",
            session.id,
            session.node.name,
            cluster.nodes()[0].authority(),
            session.path("")
        );
    }
    let balancer = arguments.balancer.as_deref().unwrap_or(DEFAULT_BALANCER);
    println!("{}", policy_hint(cluster, balancer, active.first())?);
    Ok(())
}

/// How to change the policy of the daemons while they run, and how to see what came of it.
fn policy_hint(cluster: &Cluster, balancer: &str, session: Option<&Session>) -> Result<String> {
    let another = if balancer == "user-hash" { "sessions" } else { "user-hash" };
    let module = workspace::root().canonicalize()?.join(format!("plugins/dist/{another}.wasm"));
    let plugins = cluster.plugins();
    let evenkeel = binaries::find("evenkeel")?;
    let data = &cluster.nodes()[0].files.data;
    let session = session.map_or("SESSION", |session| &session.id);
    Ok(format!(
        "\nThe plugins directory of all daemons is {}. To place the next sessions as {another} does:\n  \
         cp {} {}/{balancer}.wasm\n\
         To see which module placed a session, by its SHA-256:\n  {} why {session} --data-dir {}\n",
        plugins.display(),
        module.display(),
        plugins.display(),
        evenkeel.display(),
        data.display()
    ))
}

async fn launch(cluster: &Cluster, kind: &str) -> Result<Vec<Session>> {
    let mut sessions = Vec::new();
    for index in 0..SESSIONS {
        sessions.push(cluster.client(index % cluster.nodes().len())?.launch(kind).await?);
    }
    Ok(sessions)
}

/// The status page, once every session has a process on it.
async fn status_page(client: &Client, nodes: usize, sessions: &[Session]) -> Result<String> {
    wait::until("the status page to show every session", SHOWN, async || {
        let page = client.get("/load-balancer/status").await?.success()?.text();
        let shown = status::parse(&page)?;
        let processes: usize = shown.iter().map(|node| node.sessions.len()).sum();
        if processes < sessions.len() {
            for session in sessions {
                let session = client.session(&session.id).await?;
                if !session.is_live() {
                    // The page will never show it; what became of it is the better answer.
                    return Ok(Err(anyhow!(
                        "session {} is {}: {}",
                        session.id,
                        session.state,
                        session.failure.unwrap_or_default()
                    )));
                }
            }
        }
        ensure!(shown.len() == nodes, "it shows {} of {nodes} nodes", shown.len());
        ensure!(processes == sessions.len(), "it shows {processes} of {} sessions", sessions.len());
        Ok(Ok(page))
    })
    .await?
}

async fn check(cluster: &Cluster, sessions: &[Session], kind: &str) -> Result<()> {
    let progress = Progress::start("Checking each session through another node");
    let checks = checks::of(kind);
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for session in sessions {
        let (via, client) = cluster.client_elsewhere(&session.node.name)?;
        let via = &cluster.nodes()[via].name;
        let mut row = vec![session.id.clone(), session.node.name.clone(), via.clone()];
        for check in checks {
            progress.say(&format!("{} of session {}", check.name(), session.id));
            row.push(match check.run(client, session).await {
                Ok(result) => result,
                Err(error) => {
                    failures.push(format!("{} of session {} through {via}: {error:#}", check.name(), session.id));
                    "failed".to_owned()
                }
            });
        }
        rows.push(row);
    }
    progress.finish();
    let mut heads = vec!["session", "runs on", "asked at"];
    heads.extend(checks.iter().map(|check| check.name()));
    println!("{}", table::render(&heads, &rows));
    let own = rows.iter().any(|row| row[1] == row[2]);
    if own {
        println!("With one node there is no other to ask.");
    }
    if !failures.is_empty() {
        bail!("{} failed:\n{}", failures.len(), failures.join("\n"));
    }
    Ok(())
}
