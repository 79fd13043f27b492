//! A program that is started without Evenkeel, with the arguments that its kind has.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use http_body_util::Empty;
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::net::UnixStream;

/// How often it is asked whether it answers.
pub(crate) const PERIOD: Duration = Duration::from_millis(2);

/// How long anything may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What the program asks of whoever asks it.
const SECRET: &str = "by-hand";

/// The time from starting the small program of the tests until it answers.
pub(crate) async fn small(program: &Path) -> Result<Duration> {
    let directory = TempDir::new()?;
    let socket = directory.path().join("socket");
    let mut command = Command::new(program);
    command.arg(format!("--socket={}", socket.display())).arg("--base-path=/s/by-hand/");
    answer_of(command, &socket, "/s/by-hand/").await
}

/// The time from starting JupyterLab until it answers.
pub(crate) async fn jupyterlab(programs: &Path) -> Result<Duration> {
    let directory = TempDir::new()?;
    let socket = directory.path().join("socket");
    let mut command = Command::new(programs.join("jupyter-lab"));
    command
        .args(["--no-browser", "--ServerApp.sock_mode=0600", "--ServerApp.base_url=/s/by-hand/"])
        .args(["--ServerApp.allow_remote_access=True", "--ServerApp.allow_root=True"])
        .arg(format!("--ServerApp.sock={}", socket.display()))
        .arg(format!("--ServerApp.root_dir={}", directory.path().display()))
        .env("JUPYTER_TOKEN", SECRET);
    answer_of(command, &socket, "/s/by-hand/api/status").await
}

async fn answer_of(mut command: Command, socket: &Path, target: &str) -> Result<Duration> {
    let what = format!("{command:?}");
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut program = Group(command.spawn().context(what.clone())?);
    loop {
        if asked(socket, target).await.is_ok_and(|status| status.is_success()) {
            return Ok(start.elapsed());
        }
        ensure!(program.0.try_wait()?.is_none(), "{what} has ended");
        ensure!(start.elapsed() < PATIENCE, "{what} does not answer");
        tokio::time::sleep(PERIOD).await;
    }
}

async fn asked(socket: &Path, target: &str) -> Result<StatusCode> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(target)
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, format!("token {SECRET}"))
        .body(Empty::<Bytes>::new())?;
    let status = sender.send_request(request).await?.status();
    connection.abort();
    Ok(status)
}

/// A program with everything that it has started; killed on drop.
pub(crate) struct Group(pub(crate) Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}
