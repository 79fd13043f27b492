//! Many sessions on one node: what the daemon takes while they idle, and how soon they are back after it was killed.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Client, Cluster, Session};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use procfs::process::Process;

use crate::{by_hand::PATIENCE, target};

/// MiB that the daemon may have.
const MEMORY: f64 = 150.0;
/// Hundredths of a processor that it may take while all idle.
const LOAD: f64 = 5.0;
/// Seconds until all are back in service.
const BACK: f64 = 2.0;
/// MiB, proportional, of a supervisor.
const SUPERVISOR: f64 = 5.0;
/// Requests at once.
const AT_ONCE: usize = 16;

pub(crate) async fn run(count: usize, hold: Duration) -> Result<Vec<String>> {
    let mut cluster = Builder::new(1).echo()?.start().await?;
    let start = Instant::now();
    let client = cluster.client(0)?;
    let sessions: Vec<Session> =
        stream::iter(0..count).map(|_| client.launch("echo")).buffered(AT_ONCE).try_collect().await?;
    all_answer(client, &sessions, start).await?;
    let started = start.elapsed();

    let (before, held) = (Usage::of(&cluster)?, Instant::now());
    tokio::time::sleep(hold).await;
    let (after, held) = (Usage::of(&cluster)?, held.elapsed());
    let load = (after.busy - before.busy) / held.as_secs_f64() * 100.0;
    let supervisor = supervisors(&cluster)?;

    cluster.node(0).kill9()?;
    let killed = Instant::now();
    cluster.node(0).start().await?;
    all_answer(cluster.client(0)?, &sessions, killed).await?;
    let back = killed.elapsed().as_secs_f64();
    cluster.close().await?;

    let memory = after.memory;
    println!("\n{count} sessions on one node, held for {:.0} s:\n", held.as_secs_f64());
    println!("| all started, s | daemon, MiB | daemon, % of a processor | supervisor, MiB | back after kill -9, s |");
    println!("|--:|--:|--:|--:|--:|");
    println!("| {:.1} | {memory:.0} | {load:.1} | {supervisor:.1} | {back:.2} |", started.as_secs_f64());
    let missed = [
        target("the daemon's memory", memory, MEMORY, "MiB"),
        target("the daemon's load while all idle", load, LOAD, "%"),
        target("a supervisor's memory", supervisor, SUPERVISOR, "MiB"),
        target("all back in service", back, BACK, "s"),
    ];
    Ok(missed.into_iter().flatten().collect())
}

/// Until a page of each has been read.
async fn all_answer(client: &Client, sessions: &[Session], since: Instant) -> Result<()> {
    let answers = async |session: &Session| {
        while !client.get(&session.path("")).await?.status.is_success() {
            ensure!(since.elapsed() < PATIENCE, "session {} does not answer", session.id);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    stream::iter(sessions).map(answers).buffer_unordered(AT_ONCE).try_collect().await
}

/// What a daemon has taken.
struct Usage {
    /// MiB.
    memory: f64,
    /// Seconds of a processor.
    busy: f64,
}

impl Usage {
    fn of(cluster: &Cluster) -> Result<Self> {
        let pid = cluster.nodes()[0].pid().context("the daemon runs")?;
        let process = Process::new(pid)?;
        let (stat, status) = (process.stat()?, process.status()?);
        let memory = status.vmrss.context("it has memory")? as f64 / 1024.0;
        let busy = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        Ok(Self { memory, busy })
    }
}

/// The median proportional memory of the cluster's supervisors, MiB.
fn supervisors(cluster: &Cluster) -> Result<f64> {
    let mut sizes = Vec::new();
    for process in cluster.processes() {
        if process.command.split(' ').nth(1) == Some("supervisor")
            && let Ok(rollup) = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid))
            && let Some(size) = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))
        {
            sizes.push(size.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0);
        }
    }
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() / 2).copied().context("there are no supervisors")
}
