//! How many placements a cluster makes a second: three daemons and Postgres on this machine. Run by
//! `cargo xtask bench cluster`.
//!
//! The sessions are reserved and not started, but for one program a node, which never answers and so holds up the others:
//! what is measured is the way from a request to a reservation that is written down.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use clap::Parser;
use evenkeel_test_postgres::{Options, Server};
use evenkeel_tests::{Builder, Cluster};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

/// Placements a second that are aimed at.
const TARGET: f64 = 300.0;

#[derive(Parser)]
struct Arguments {
    /// Launches measured.
    #[arg(long, default_value_t = 2_000)]
    launches: usize,
    /// How many are asked for at once.
    #[arg(long, default_value_t = 192)]
    at_once: usize,
    /// Nodes of the cluster.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Have the registry in SQLite, for comparison.
    #[arg(long)]
    sqlite: bool,
    /// Fail where the target is missed.
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
        Ok(rate) if rate >= TARGET || !arguments.assert => ExitCode::SUCCESS,
        Ok(rate) => {
            println!("missed: {rate:.0} placements a second, and should be at least {TARGET:.0}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints, and returns the placements a second.
async fn run(arguments: &Arguments) -> anyhow::Result<f64> {
    // It waits for the disk at each commit, as a real one does.
    let server = (!arguments.sqlite).then(|| Server::start(&Options { durable: true, ..Options::default() }));
    let database = server.as_ref().map(|server| Arc::new(server.database()));
    let held = include_str!("../kinds/echo.toml")
        .replace("name = \"echo\"", "name = \"held\"")
        .replace("statuses = [204]", "statuses = [299]")
        .replace("seconds = 30", "seconds = 3600");
    let mut builder = Builder::for_test(arguments.nodes)?
        .kind("held", held)
        .setting("node-start-limit", "1")
        .setting("heartbeat-interval-ms", "1000");
    if let Some(database) = &database {
        builder = builder.on_postgres(database);
    }
    let cluster = builder.start().await?;
    launch(&cluster, arguments.nodes * 20, arguments.at_once).await?;
    let begin = Instant::now();
    let mut times = launch(&cluster, arguments.launches, arguments.at_once).await?;
    let took = begin.elapsed();
    ensure!(times.len() == arguments.launches, "{} of {} were placed", times.len(), arguments.launches);
    times.sort_unstable();
    let percentile = |hundredths: usize| times[(times.len() - 1) * hundredths / 100].as_secs_f64() * 1000.0;
    let rate = arguments.launches as f64 / took.as_secs_f64();
    println!("| registry | nodes | launches | at once | placements/s | p50, ms | p99, ms |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    println!(
        "| {} | {} | {} | {} | {rate:.0} | {:.0} | {:.0} |",
        if arguments.sqlite { "SQLite" } else { "Postgres" },
        arguments.nodes,
        arguments.launches,
        arguments.at_once,
        percentile(50),
        percentile(99),
    );
    if let Some(database) = &database {
        let batches = database.sql(
            "SELECT round(count(*)::numeric / greatest(count(DISTINCT decided), 1), 1) FROM placements WHERE epoch = 1",
        );
        println!("{batches} placements were written together on average");
    }
    cluster.close().await?;
    Ok(rate)
}

/// Launches so many, at all nodes in turn, and tells how long each took.
async fn launch(cluster: &Cluster, launches: usize, at_once: usize) -> anyhow::Result<Vec<Duration>> {
    let nodes = cluster.nodes().len();
    let one = |index: usize| async move {
        let begin = Instant::now();
        cluster.client(index % nodes)?.launch("held").await?;
        anyhow::Ok(begin.elapsed())
    };
    stream::iter((0..launches).map(one)).buffer_unordered(at_once).try_collect().await
}
