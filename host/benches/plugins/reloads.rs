//! The time from a file's last byte until it decides, and what many files leave in the daemon's memory.

use std::fs;

use anyhow::Context as _;
use evenkeel::balancer::{builtin, wasm};

use crate::{daemon::Daemon, measure::percentile, target};

/// Files before the memory is read for the first time.
const FIRST: u32 = 50;
/// Within how many ms a file should decide, what compiling it takes included.
const ACTIVE: f64 = 500.0;
/// What may be left of each file, KiB: a small part of what one takes.
const LEFT: f64 = 2.0;

pub(crate) fn run(reloads: u32) -> anyhow::Result<Vec<String>> {
    let module = builtin::module("sessions").context("there is a module")?;
    let variant = |number: u32| evenkeel_fixtures::with_custom(module, "number", &number.to_le_bytes());
    let daemon = Daemon::start(&variant(0))?;
    let take = |number: u32| {
        let bytes = variant(number);
        daemon.take(&bytes, &wasm::digest(&bytes))
    };
    for number in 1..=FIRST {
        take(number)?;
    }
    let before = own(daemon.pid())?;
    let mut times = Vec::new();
    for number in FIRST + 1..=FIRST + reloads {
        times.push(take(number)?);
    }
    let after = own(daemon.pid())?;
    times.sort_unstable();
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| percentile(&times, share).as_secs_f64() * 1e3);
    let settle = evenkeel::balancer::plugins::SETTLE;
    println!("\nFrom a file's last byte until it decides, of which it must lie still for {settle:?}, ms:\n");
    println!("| p50 | p99 | most of {reloads} |\n|--:|--:|--:|\n| {p50:.0} | {p99:.0} | {most:.0} |");
    println!(
        "\nThe daemon's own memory, KiB:\n\n| before | after {reloads} reloads |\n|--:|--:|\n| {before} | {after} |"
    );
    let left = (after as f64 - before as f64) / f64::from(reloads.max(1));
    let missed =
        [target("a file decides, p99", p99, ACTIVE, "ms"), target("each reload leaves in memory", left, LEFT, "KiB")];
    Ok(missed.into_iter().flatten().collect())
}

/// Memory that belongs to a process alone, KiB.
fn own(pid: u32) -> anyhow::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let size = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).context("it says so")?;
    Ok(size.trim().trim_end_matches(" kB").parse()?)
}
