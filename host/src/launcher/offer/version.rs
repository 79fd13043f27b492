//! Asking a program for its version: for so long, so many bytes, as nobody.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

/// What a program may take. An interpreter with a cold cache reads much until it can say anything.
const LIMIT: Duration = Duration::from_secs(30);
/// How often is looked whether it has ended.
const PERIOD: Duration = Duration::from_millis(10);
/// What is read of it.
const MOST_BYTES: u64 = 4096;
/// What is kept of it.
const MOST_CHARS: usize = 80;

/// An account without rights.
#[derive(Clone, Copy, Debug)]
pub struct Nobody {
    /// Its user id.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Whoever asks.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) search_path: OsString,
    pub(super) nobody: Option<Nobody>,
}

impl Asker {
    /// The first line that the program prints.
    pub(super) async fn ask(&self, program: &Path, arguments: &[String], search: &[PathBuf]) -> Result<String, String> {
        let search = search.iter().cloned().chain(std::env::split_paths(&self.search_path));
        let path = std::env::join_paths(search).unwrap_or_else(|_| self.search_path.clone());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs([("PATH", path), ("LANG", "C.UTF-8".into()), ("HOME", "/nonexistent".into())])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        if nix::unistd::geteuid().is_root() {
            let nobody = self.nobody.ok_or("there is no account nobody to ask it as")?;
            command.uid(nobody.uid).gid(nobody.gid);
        }
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw) else {
            return Err("it has no process id".to_owned());
        };
        let mut text = Vec::new();
        let said = async {
            if let Some(output) = child.stdout.take() {
                output.take(MOST_BYTES).read_to_end(&mut text).await?;
            }
            ended(pid).await
        };
        let said = timeout(LIMIT, said).await;
        // Not reaped yet, so that the group is still its own.
        let _ = killpg(pid, Signal::SIGKILL);
        let _ = child.wait().await;
        match said {
            Err(_) => Err(format!("not within {} s", LIMIT.as_secs())),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(WaitStatus::Exited(_, 0))) => line(&text).ok_or_else(|| "it says nothing".to_owned()),
            Ok(Ok(status)) => Err(format!("{status:?}")),
        }
    }
}

/// Waits until it has ended, and leaves it to be reaped.
async fn ended(pid: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG)? {
            WaitStatus::StillAlive => tokio::time::sleep(PERIOD).await,
            status => return Ok(status),
        }
    }
}

fn line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|char| !char.is_control()).take(MOST_CHARS).collect())
}
