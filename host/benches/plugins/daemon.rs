//! A daemon of one node, with a plugins directory.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// How long it may take to do anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program, as this benchmark's profile makes it.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_evenkeel");

/// A running daemon; stopped on drop.
pub(crate) struct Daemon {
    root: TempDir,
    child: Child,
    /// The lines of its log, each with the time when it came.
    lines: Receiver<(Instant, String)>,
}

impl Daemon {
    /// Starts one that places by the plugin `measured`, which these bytes are at first.
    pub(crate) fn start(plugin: &[u8]) -> anyhow::Result<Self> {
        let root = TempDir::new()?;
        let config = root.path().join("config");
        fs::create_dir(&config)?;
        fs::create_dir(root.path().join("plugins"))?;
        let plugins = root.path().join("plugins");
        fs::write(config.join("load-balancer"), format!("balancer=measured\nplugins-dir={}\n", plugins.display()))?;
        fs::write(config.join("rserver.conf"), format!("server-data-dir={}\n", root.path().join("run").display()))?;
        fs::write(plugins.join("measured.wasm"), plugin)?;
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--www-address", "127.0.0.1", "--www-port", "0"])
            .arg("--config-dir")
            .arg(&config)
            .arg("--data-dir")
            .arg(root.path().join("data"))
            .env_remove("EVENKEEL_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context(PROGRAM)?;
        let errors = child.stderr.take().context("it has a standard error")?;
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if send.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        let mut daemon = Self { root, child, lines };
        daemon.wait_for("data/address.json")?;
        Ok(daemon)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Copies a plugin into its directory, and waits until it decides: how long that took from its last byte.
    pub(crate) fn take(&self, plugin: &[u8], digest: &str) -> anyhow::Result<Duration> {
        fs::write(self.root.path().join("plugins/measured.wasm"), plugin)?;
        let written = Instant::now();
        while let Ok((at, line)) = self.lines.recv_timeout(PATIENCE) {
            if line.contains(digest) {
                return Ok(at.saturating_duration_since(written));
            }
            if line.contains("is not taken") {
                bail!("{line}");
            }
        }
        bail!("the plugin {digest} does not come to decide")
    }

    fn wait_for(&mut self, file: &str) -> anyhow::Result<()> {
        let path = self.root.path().join(file);
        let deadline = Instant::now() + PATIENCE;
        while !path.is_file() {
            if let Some(status) = self.child.try_wait()? {
                let said: Vec<String> = self.lines.try_iter().map(|(_, line)| line).collect();
                bail!("the daemon ended with {status}: {}", said.join("\n"));
            }
            anyhow::ensure!(Instant::now() < deadline, "the daemon does not start");
            thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}
