//! Running other programs: shown as they are, or behind a progress display.

use std::{
    io::{IsTerminal as _, stderr},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Child,
    runtime::{Builder, Runtime},
};

use crate::interrupt::Interrupt;

/// A runtime for waiting on programs and signals.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Runs a program that writes to the terminal by itself.
pub(crate) fn shown(command: Command) -> Result<()> {
    let what = describe(&command);
    runtime()?.block_on(async {
        let mut child = tokio::process::Command::from(command).spawn().context(what.clone())?;
        succeeded(wait(&mut child).await?, &what)
    })
}

/// Runs a program behind a progress display that shows its last line; all of its output where it fails.
pub(crate) fn behind_progress(title: &str, mut command: Command) -> Result<()> {
    let what = describe(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    runtime()?.block_on(async {
        let progress = Progress::start(title);
        let mut child = tokio::process::Command::from(command).spawn().context(what.clone())?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (out, err, status) = tokio::join!(collect(out, &progress), collect(err, &progress), wait(&mut child));
        let status = status?;
        if !status.success() {
            progress.fail();
            eprintln!("{out}{err}");
        }
        succeeded(status, &what)?;
        progress.finish();
        Ok(())
    })
}

fn describe(command: &Command) -> String {
    let parts = [command.get_program()].into_iter().chain(command.get_args());
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn succeeded(status: ExitStatus, what: &str) -> Result<()> {
    if !status.success() {
        bail!("`{what}` failed: {status}");
    }
    Ok(())
}

/// Waits for the program to end. Told to stop, it passes that on and waits all the same, so that whatever has to be put
/// back afterwards is.
async fn wait(child: &mut Child) -> Result<ExitStatus> {
    let mut interrupt = Interrupt::listen()?;
    tokio::select! {
        status = child.wait() => return Ok(status?),
        () = interrupt.received() => {}
    }
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may have had the signal from the terminal too, or have ended on it.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    child.wait().await?;
    bail!("interrupted");
}

async fn collect(stream: Option<impl AsyncRead + Unpin>, progress: &Progress) -> String {
    let mut all = String::new();
    let Some(stream) = stream else { return all };
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        progress.say(line.trim());
        all.push_str(&line);
        all.push('\n');
    }
    all
}

/// A piece of work that takes a while: a spinner on a terminal, else a line at its start and one at its end.
#[derive(Debug)]
pub(crate) struct Progress {
    title: String,
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// Shows that the work has begun.
    pub(crate) fn start(title: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        if stderr().is_terminal() {
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} ({elapsed}) {wide_msg:.dim}") {
                bar.set_style(style);
            }
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            eprintln!("{title} …");
        }
        Self { title: title.to_owned(), bar, start: Instant::now() }
    }

    /// Shows what it is at.
    pub(crate) fn say(&self, message: &str) {
        self.bar.set_message(message.to_owned());
    }

    /// Shows that it is done.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
        eprintln!("{}: done in {:.1} s", self.title, self.start.elapsed().as_secs_f64());
    }

    /// Shows that it has failed.
    pub(crate) fn fail(&self) {
        self.bar.finish_and_clear();
        eprintln!("{}: failed", self.title);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
