//! The daemon's side: a child that checks one password.

use std::{
    io::{self, ErrorKind},
    net::IpAddr,
    os::{
        fd::OwnedFd,
        unix::{net, process::ExitStatusExt as _},
    },
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::{Child, Command},
    sync::{OwnedSemaphorePermit, oneshot},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{Pam, PamError, Password, Verdict, inside::Order};
use crate::{domain::text::clean, launcher::processes::kill_below};

/// A verdict's line, bytes.
const MOST_WORDS: u64 = 16 << 10;
/// What is shown of a problem, bytes.
const LONGEST_PROBLEM: usize = 400;
/// How long a child that has closed its socket may take to be gone, so that it can be said how it ended.
const END: Duration = Duration::from_millis(500);

/// Checks a password. Where the caller does not wait to the end, the child is looked after all the same.
pub(super) async fn check(
    pam: &Pam,
    user: &str,
    password: Password,
    client: Option<IpAddr>,
) -> Result<Verdict, PamError> {
    let slot = timeout(pam.turn, pam.slots.clone().acquire_owned()).await;
    let Ok(Ok(slot)) = slot else { return Err(PamError::Busy) };
    let order = Order {
        service: pam.service.clone(),
        user: user.to_owned(),
        client,
        // One second passes between the signal that tells what is the matter and the one that ends it.
        processor: pam.limit.as_secs().max(1),
    };
    let (tell, told) = oneshot::channel();
    tokio::spawn(see_through(pam.clone(), order, password, slot, tell));
    told.await.unwrap_or_else(|_| Err(failed(pam, "the check was given up")))
}

/// Runs a child from its start to its end. A process that cannot even be killed, since its disk does not answer, keeps its slot.
async fn see_through(
    pam: Pam,
    order: Order,
    password: Password,
    slot: OwnedSemaphorePermit,
    tell: oneshot::Sender<Result<Verdict, PamError>>,
) {
    let (mut running, socket) = match start(&pam) {
        Ok(started) => started,
        Err(error) => {
            let problem = format!("{} cannot be started: {error}", pam.program.display());
            return drop(tell.send(Err(failed(&pam, &problem))));
        }
    };
    let answer = match timeout(pam.limit, talk(socket, &order, password)).await {
        Err(_) => Err(PamError::TimedOut { service: pam.service.clone(), limit: pam.limit }),
        Ok(Ok(Ok(verdict))) => Ok(verdict),
        Ok(Ok(Err(problem))) => Err(failed(&pam, &problem)),
        Ok(Err(_)) => Err(failed(&pam, &running.why().await)),
    };
    running.kill().await;
    // Who does not wait any more has no use for it.
    let _ = tell.send(answer);
    let _ = running.0.wait().await;
    drop(slot);
}

fn failed(pam: &Pam, problem: &str) -> PamError {
    PamError::Failed { service: pam.service.clone(), problem: clean(problem, LONGEST_PROBLEM) }
}

fn start(pam: &Pam) -> io::Result<(Running, UnixStream)> {
    let (ours, its) = net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new(&pam.program);
    command.args(&pam.arguments).env_clear().current_dir("/").process_group(0);
    // For what modules start.
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(OwnedFd::from(its)).stdout(Stdio::null()).stderr(Stdio::null());
    Ok((Running(command.spawn()?), UnixStream::from_std(ours)?))
}

/// A verdict, or what was the matter with PAM, in the child's words.
async fn talk(mut socket: UnixStream, order: &Order, password: Password) -> io::Result<Result<Verdict, String>> {
    let order = serde_json::to_vec(order)?;
    let length = u32::try_from(order.len()).map_err(io::Error::other)?;
    socket.write_all(&length.to_le_bytes()).await?;
    socket.write_all(&order).await?;
    socket.write_all(password.bytes()).await?;
    drop(password);
    socket.shutdown().await?;
    let mut line = Vec::new();
    BufReader::new(socket).take(MOST_WORDS).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

/// How often is looked for what a child has started, while there is any of it.
const ROUNDS: usize = 100;

/// A child that is killed, with all that it has started, when this goes.
struct Running(Child);

impl Running {
    fn pid(&self) -> Option<Pid> {
        // None once it is reaped: its number may then be another's.
        self.0.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
    }

    /// Kills it once nothing is left below it. Some modules start programs in sessions of their own, so its process group is
    /// not all of it.
    async fn kill(&self) {
        let Some(pid) = self.pid() else { return };
        let below = move || {
            for _ in 0..ROUNDS {
                if kill_below(pid.as_raw()) == 0 {
                    return;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        let _ = spawn_blocking(below).await;
        kill_group(pid);
    }

    /// How it came to end without a verdict. It is not reaped by this.
    async fn why(&self) -> String {
        let Some(pid) = self.pid() else { return "nobody knows what became of the check".to_owned() };
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        let ended = async {
            loop {
                match waitid(Id::Pid(pid), look) {
                    Ok(WaitStatus::StillAlive) => sleep(Duration::from_millis(5)).await,
                    other => return other,
                }
            }
        };
        match timeout(END, ended).await {
            Ok(Ok(WaitStatus::Signaled(_, signal, _))) => format!("a module broke down ({signal})"),
            Ok(Ok(WaitStatus::Exited(_, status))) => {
                format!("a module ended the check ({})", ExitStatus::from_raw(status << 8))
            }
            _ => "a module broke off the check".to_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Not reaped: the daemon stops meanwhile.
        if let Some(pid) = self.pid() {
            kill_below(pid.as_raw());
            kill_group(pid);
        }
    }
}

fn kill_group(leader: Pid) {
    // Fails where nothing of the group is left.
    let _ = killpg(leader, Signal::SIGKILL);
}
