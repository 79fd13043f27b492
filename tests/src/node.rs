//! One daemon of a cluster.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{Client, layout::NodeFiles, wait};

/// How long a daemon may take until it listens.
const START: Duration = Duration::from_secs(60);

/// How long a daemon may take to stop when it is asked to.
const STOP: Duration = Duration::from_secs(20);

/// One daemon.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its files.
    pub files: NodeFiles,
    program: PathBuf,
    path: OsString,
    listen: String,
    port: u16,
    /// Whether the port takes TLS.
    secure: bool,
    child: Option<Child>,
    client: Option<Client>,
    sign_in: String,
}

impl Node {
    /// A daemon that has not been started. Port 0 takes a free one, and keeps it over restarts.
    pub fn new(name: &str, files: NodeFiles, program: PathBuf, path: OsString, (listen, port): (&str, u16)) -> Self {
        let (child, client, sign_in) = (None, None, String::new());
        let (name, listen) = (name.to_owned(), listen.to_owned());
        Self { name, files, program, path, listen, port, secure: false, child, client, sign_in }
    }

    /// Starts the daemon; it may not listen yet.
    pub fn spawn(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("node {} has been started already", self.name);
        }
        let log = File::options().create(true).append(true).open(&self.files.log)?;
        let child = Command::new(&self.program)
            .arg("serve")
            .arg("--config-dir")
            .arg(&self.files.config)
            .arg("--data-dir")
            .arg(&self.files.data)
            .args(["--www-address", &self.listen, "--www-port", &self.port.to_string(), "--node-name", &self.name])
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .stdout(File::create(&self.files.output)?)
            .stderr(log)
            // An interrupt from the terminal is for the one who started the cluster; it then stops the daemons in order.
            .process_group(0)
            .spawn()
            .with_context(|| self.program.display().to_string())?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the daemon listens.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let what = format!("node {} to listen", self.name);
        let (place, sign_in) = wait::until(&what, START, async || {
            if let Some(status) = self.exit_status()? {
                return Ok(Err(status));
            }
            let output = fs::read_to_string(&self.files.output)?;
            let line = |start: &str| output.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
            let address = line("Serving ").context("it has not said where it serves")?;
            let sign_in = line("Sign in: ").context("it has not said how to sign in")?;
            Ok(Ok((address.trim_end_matches('/').to_owned(), sign_in)))
        })
        .await
        .with_context(|| self.log_tail())?
        .map_err(|status| anyhow::anyhow!("node {} ended ({status}):\n{}", self.name, self.log_tail()))?;
        self.port = place.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).context("no port")?;
        self.secure = place.starts_with("https://");
        self.client = Some(Client::of(&self.place(), &self.files.data)?);
        self.sign_in = sign_in;
        Ok(())
    }

    fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.as_mut().map_or(Ok(None), |child| Ok(child.try_wait()?))
    }

    /// Whether the daemon runs.
    pub fn runs(&mut self) -> bool {
        self.child.is_some() && self.exit_status().is_ok_and(|status| status.is_none())
    }

    /// What went wrong with the daemon without anybody's doing: it ended, or a part of it panicked.
    pub fn crash(&mut self) -> Option<String> {
        if let Ok(Some(status)) = self.exit_status() {
            return Some(format!("node {} ended by itself ({status}); {}", self.name, self.log_tail()));
        }
        let log = self.log();
        let panic = log.lines().find(|line| line.contains("panicked at"));
        panic.map(|line| format!("node {} has logged: {line}", self.name))
    }

    /// The daemon's process id.
    pub fn pid(&self) -> Option<i32> {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// A client of this node that signs in with its token.
    pub fn client(&self) -> Result<&Client> {
        self.client.as_ref().with_context(|| format!("node {} has not been started", self.name))
    }

    /// The address it serves, `host:port`.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same as a client is told it: with `https://` where the port takes TLS.
    pub fn place(&self) -> String {
        if self.secure { format!("https://{}", self.authority()) } else { self.authority() }
    }

    /// The one-time address that signs a browser in.
    pub fn sign_in(&self) -> &str {
        &self.sign_in
    }

    /// A browser of that user's, signed in by a link that the administrator has asked for.
    pub async fn sign_in_as(&self, user: &str) -> Result<Client> {
        // Not the node's own client: see `Cluster::end_sessions`.
        let own = Client::of(&self.place(), &self.files.data)?;
        let reply = own.post(&format!("/api/v1/sign-in-codes?user={user}"), &json!({})).await?.success()?;
        let link = reply.json::<Value>()?["link"].as_str().context("no link")?.to_owned();
        Client::by_link(&self.place(), &link).await
    }

    /// Asks the daemon to stop and waits until it has.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let what = format!("node {} to stop", self.name);
        let status = wait::until(&what, STOP, async || self.exit_status()?.context("it still runs")).await?;
        self.child = None;
        Ok(status)
    }

    /// Has the daemon read its configuration again.
    pub fn hang_up(&self) -> Result<()> {
        self.signal(Signal::SIGHUP)
    }

    /// Kills the daemon as a crash would.
    pub fn kill9(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("node {} does not run", self.name))?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("node {}", self.name))
    }

    /// Starts the daemon again, on the same port and with the same directories.
    pub async fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_ready().await
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        fs::read(&self.files.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        format!("the last lines of the log of node {}:\n{tail}", self.name)
    }

    /// Sets the load averages that the daemon reads.
    pub fn set_load(&self, load: [f64; 3]) -> Result<()> {
        self.files.set_load(load)
    }
}
