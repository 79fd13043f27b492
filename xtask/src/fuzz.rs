//! `cargo xtask fuzz`: looks for a while for inputs that break what reads bytes of anybody's. tests/fuzz/README.md says
//! what becomes of them.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace};

/// What it takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is given inputs.
    target: Target,
    /// How long to look.
    #[arg(long, default_value_t = 300)]
    seconds: u32,
    /// Do not look: take into the repository what earlier runs have found that goes new ways.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Target {
    /// Bytes as a module.
    Load,
    /// Bytes as an answer.
    Answer,
}

/// The longest input, bytes.
const LONGEST: u32 = 64 << 10;
/// An input may take so long, seconds: a compiler that is watched takes many times what it takes otherwise.
const PATIENCE: u32 = 60;
/// Memory that the whole may take, MiB.
const MEMORY: u32 = 4 << 10;

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let name = match arguments.target {
        Target::Load => "load",
        Target::Answer => "answer",
    };
    let found = workspace::target()?.join("fuzz-corpus").join(name);
    fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
    let kept = workspace::root().join("tests/fuzz/corpus").join(name);
    let mut fuzz = cargo_fuzz(name)?;
    // The first directory is the one that is written to.
    if arguments.keep {
        fuzz.arg(kept).arg(found).args(["--", "-merge=1"]);
    } else {
        fuzz.arg(found).arg(kept).arg("--").arg(format!("-max_total_time={}", arguments.seconds));
    }
    fuzz.args([format!("-max_len={LONGEST}"), format!("-timeout={PATIENCE}"), format!("-rss_limit_mb={MEMORY}")]);
    command::shown(fuzz)
}

/// `cargo fuzz run`, without a sanitizer: those are for nightly toolchains, and for code that is not Rust.
fn cargo_fuzz(target: &str) -> Result<Command> {
    let is_there = workspace::cargo(&["fuzz", "--version"]).output().is_ok_and(|output| output.status.success());
    if !is_there {
        bail!("cargo-fuzz is not installed: cargo install --locked cargo-fuzz");
    }
    let build: PathBuf = workspace::target()?.join("fuzz");
    let mut command = workspace::cargo(&["fuzz", "run", "--fuzz-dir", "tests/fuzz"]);
    command
        .args(["--sanitizer", "none", "--features", "libfuzzer", "--codegen-units", "16", "--target-dir"])
        .arg(build);
    // What libFuzzer counts must not be optimised away when everything is linked.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only");
    command.arg(target);
    Ok(command)
}
