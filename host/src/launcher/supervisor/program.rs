//! The program: starting it, waiting for it, ending it with all that it started.

use std::{
    collections::BTreeMap,
    io::PipeReader,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};

use super::{control::Writer, protocol::Answer};
use crate::{
    domain::Epoch,
    launcher::{
        Exit, processes,
        record::{Ended, Order, ProcessId, Report, State, StopOrder},
    },
};

/// How long the last of the output may take to reach the log once every process is gone; what keeps the pipe open then
/// is no process of the session's.
const DRAIN: Duration = Duration::from_secs(1);

/// Starts the program in a process group of its own. Its output comes out of the pipe.
pub(super) fn spawn(order: &Order) -> Result<(ProcessId, PipeReader), Report> {
    let broken = |context: &str, problem: &dyn ToString| Report::Broken {
        context: context.to_owned(),
        problem: problem.to_string(),
    };
    if !order.directory.is_dir() {
        let problem = "the directory it is to start in does not exist or cannot be entered".to_owned();
        return Err(Report::Failed { program: order.directory.display().to_string(), problem });
    }
    let (output, input) = std::io::pipe().map_err(|error| broken("making a pipe", &error))?;
    let also = input.try_clone().map_err(|error| broken("making a pipe", &error))?;
    let child = Command::new(&order.program)
        .args(&order.arguments)
        .env_clear()
        .envs(&order.environment)
        .current_dir(&order.directory)
        .stdin(Stdio::null())
        .stdout(input)
        .stderr(also)
        .process_group(0)
        .spawn()
        .map_err(|error| Report::Failed { program: order.program.display().to_string(), problem: error.to_string() })?;
    // It is not reaped yet, so it has an entry even if it has ended.
    processes::identify(child.id().cast_signed())
        .map(|id| (id, output))
        .ok_or_else(|| broken("/proc", &"does not show the program"))
}

/// Starts a thread. Stacks are address space, not memory, until they are used.
pub(super) fn thread(name: &str, body: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(1 << 20).spawn(body).map(drop)
}

/// What the threads share.
pub(super) struct Shared {
    pub(super) about: Answer,
    stop: StopOrder,
    life: Mutex<Life>,
    changed: Condvar,
}

struct Life {
    /// The program, until it is reaped: no other process can have its id before.
    program: Option<Pid>,
    exit: Option<Exit>,
    kill_at: Option<Instant>,
    waiting: BTreeMap<u64, Writer>,
}

/// The program and what is kept for it; the main thread's.
pub(super) struct Supervised {
    pub(super) shared: Arc<Shared>,
    /// Set once the output has ended.
    pub(super) drained: Arc<Flag>,
    directory: PathBuf,
    epoch: Epoch,
}

/// Something that happens once.
#[derive(Default)]
pub(super) struct Flag(Mutex<bool>, Condvar);

impl Flag {
    pub(super) fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    fn wait(&self, limit: Duration) {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.1.wait_timeout_while(guard, limit, |set| !*set);
    }
}

impl Shared {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the program ended, if it has.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.life().exit.clone()
    }

    /// Sends the program a signal.
    pub(super) fn signal(&self, number: i32) -> Result<(), String> {
        let signal = Signal::try_from(number).map_err(|_| format!("{number} is no signal"))?;
        let life = self.life();
        let program = life.program.ok_or("the program has ended")?;
        kill(program, signal).map_err(|error| error.to_string())
    }

    /// Begins to stop the program: the signal now, force after the grace period. Asked again, the earlier end holds.
    pub(super) fn stop(self: &Arc<Self>, signal: Option<i32>, grace_ms: Option<u64>) {
        let grace = Duration::from_millis(grace_ms.unwrap_or(self.stop.grace_ms));
        let at = Instant::now().checked_add(grace);
        let mut life = self.life();
        let first = life.kill_at.is_none();
        life.kill_at = match (life.kill_at, at) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
        drop(life);
        let _ = self.signal(signal.unwrap_or(self.stop.signal));
        self.changed.notify_all();
        if first {
            let shared = Arc::clone(self);
            if thread("stop", Box::new(move || shared.kill_in_time())).is_err() {
                let _ = self.signal(Signal::SIGKILL as i32);
            }
        }
    }

    fn kill_in_time(&self) {
        let mut life = self.life();
        while let (Some(program), Some(at)) = (life.program, life.kill_at) {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The rest goes when the main thread has seen this.
                let _ = kill(program, Signal::SIGKILL);
                return;
            }
            life = self.changed.wait_timeout(life, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has the end told to a connection, or tells it now.
    pub(super) fn wait(&self, connection: u64, writer: &Writer) {
        let mut life = self.life();
        match &life.exit {
            Some(exit) => {
                let answer = Answer { exit: Some(Ended::from(exit)), ..Answer::default() };
                drop(life);
                writer.send(&answer);
            }
            None => drop(life.waiting.insert(connection, writer.clone())),
        }
    }

    /// A connection is closed.
    pub(super) fn forget(&self, connection: u64) {
        self.life().waiting.remove(&connection);
    }
}

impl Supervised {
    pub(super) fn new(directory: PathBuf, state: &State, program: ProcessId) -> Self {
        let life =
            Life { program: Some(Pid::from_raw(program.pid)), exit: None, kill_at: None, waiting: BTreeMap::new() };
        let shared = Shared {
            about: Answer::about(state, program),
            stop: state.stop,
            life: Mutex::new(life),
            changed: Condvar::new(),
        };
        Self { shared: Arc::new(shared), drained: Arc::default(), directory, epoch: state.epoch }
    }

    /// Waits for the program to end, ends what it leaves behind, and writes the record.
    pub(super) fn run(&self) {
        let exit = self.reap();
        self.sweep();
        self.drained.wait(DRAIN);
        super::leave(&self.directory, self.epoch, &exit);
        let waiting = {
            let mut life = self.shared.life();
            life.exit = Some(exit.clone());
            std::mem::take(&mut life.waiting)
        };
        let answer = Answer { exit: Some(Ended::from(&exit)), ..Answer::default() };
        for writer in waiting.values() {
            writer.send(&answer);
        }
    }

    /// Ends the program at once: its start could not be finished.
    pub(super) fn end_all(&self) {
        let _ = self.shared.signal(Signal::SIGKILL as i32);
        self.reap();
        self.sweep();
    }

    /// Reaps whatever ends below this process until the program has.
    fn reap(&self) -> Exit {
        loop {
            // First looked at, then reaped under the lock: a signal never goes to a process that took over the id.
            let ended = match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(_) => return Exit::Unknown,
            };
            let Some(pid) = ended.pid() else { continue };
            let mut life = self.shared.life();
            let status = waitpid(pid, None);
            if life.program == Some(pid) {
                life.program = None;
                drop(life);
                self.shared.changed.notify_all();
                return match status {
                    Ok(WaitStatus::Exited(_, status)) => Exit::Status(status),
                    Ok(WaitStatus::Signaled(_, signal, _)) => Exit::Signal(signal as i32),
                    _ => Exit::Unknown,
                };
            }
        }
    }

    /// Kills until there is no child: all descendants become children when their parents end.
    fn sweep(&self) {
        let own = std::process::id().cast_signed();
        let mut pause = Duration::from_millis(1);
        loop {
            processes::kill_below(own);
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(1));
            loop {
                match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::StillAlive) => break,
                    Err(Errno::ECHILD) => return,
                    _ => {}
                }
            }
        }
    }
}
