//! Starting and supervising the programs of sessions.
//!
//! A [`Launcher`] starts programs and finds them again; the local one keeps each under a supervisor process of its own
//! that outlives the daemon. A [`kind`] describes a program as data.

use std::{fmt::Debug, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use nix::sys::signal::Signal;

use crate::{
    accounts::Account,
    config::data_dir::DataDirError,
    domain::{Epoch, Job, SessionId},
};

pub mod activity;
mod cgroup;
pub mod kind;
mod leftover;
pub mod listener;
pub mod local;
mod login;
mod mounts;
pub mod offer;
pub(crate) mod processes;
mod record;
pub mod supervisor;

pub use activity::Activity;
pub use kind::{BasePath, Kind, Kinds};

/// What starts programs.
#[async_trait]
pub trait Launcher: Send + Sync + Debug {
    /// Starts a session's program and returns once it runs as a process. It may not answer yet.
    async fn start(&self, launch: &Launch) -> Result<Running, LaunchError>;

    /// Waits until the program answers its kind's readiness probe, or says why it will not: it ended, or its start-up
    /// time is over.
    async fn ready(&self, id: SessionId, epoch: Epoch) -> Result<(), LaunchError>;

    /// Stops the program and everything under it: its kind's signal first, force after its grace period. Returns when
    /// nothing of it is left; also where there is nothing to stop.
    async fn stop(&self, id: SessionId, epoch: Epoch) -> Result<(), LaunchError>;

    /// As [`Launcher::stop`], but by the signal upon which a program of its kind suspends itself, where it has one.
    async fn suspend(&self, id: SessionId, epoch: Epoch) -> Result<(), LaunchError>;

    /// What the program does by itself, without anybody who uses it now, and when it last did something: asked of it as its
    /// kind says, within seconds, and seen by what runs in its terminals. An error where it does not say.
    async fn activity(&self, id: SessionId, epoch: Epoch) -> Result<Activity, LaunchError>;

    /// Whether the machine has started anew since [`Launcher::note_machine_start`]: what ran before ended with it.
    fn machine_restarted(&self) -> bool {
        false
    }

    /// What ran before this start of the machine has been accounted for. May be called often.
    async fn note_machine_start(&self) {}

    /// Sends a signal to the program.
    async fn signal(&self, id: SessionId, epoch: Epoch, signal: Signal) -> Result<(), LaunchError>;

    /// Waits for the program to end and says how it did. Returns at once where it has ended or is not known.
    async fn watch(&self, id: SessionId, epoch: Epoch) -> Exit;

    /// The programs that run, found again after a restart of the daemon too.
    async fn running(&self) -> Vec<Running>;

    /// Where the proxy finds the program, if it is one that listens; no input or output, so that the proxy may ask for each
    /// request.
    fn upstream(&self, id: SessionId) -> Option<Arc<Upstream>>;

    /// The last lines of the session's log, at most `lines` of them and 64 KiB; lossy where it is not UTF-8.
    async fn log_tail(&self, id: SessionId, lines: usize) -> Result<String, LaunchError>;

    /// A part of the session's log, from a position in all that was ever written to it.
    async fn log_part(&self, id: SessionId, from: u64) -> Result<LogPart, LaunchError>;

    /// The sessions of which something is kept here, a log at least.
    async fn kept(&self) -> Result<Vec<SessionId>, LaunchError>;

    /// Forgets a session that is over: its log and its directories go.
    async fn forget(&self, id: SessionId);
}

/// A program to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The session.
    pub id: SessionId,
    /// The epoch that was claimed.
    pub epoch: Epoch,
    /// The Unix account it belongs to, as it is on this machine.
    pub account: Account,
    /// The ids of the account's groups, all of them.
    pub groups: Vec<u32>,
    /// What to run.
    pub kind: Arc<Kind>,
    /// Processors it may use; 0 for no limit.
    pub cpus: f64,
    /// Memory it may use, bytes; 0 for no limit.
    pub memory: u64,
    /// What to run where the kind leaves that to each session: a job.
    pub job: Option<Arc<Job>>,
}

/// A program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The session.
    pub id: SessionId,
    /// The epoch it was started under.
    pub epoch: Epoch,
    /// The user it belongs to.
    pub user: String,
    /// The name of its kind.
    pub kind: String,
    /// The program's own process id.
    pub pid: u32,
}

/// Where the proxy finds a program and what its kind wants of a request.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The epoch it was started under.
    pub epoch: Epoch,
    /// The socket it listens on.
    pub address: Address,
    /// Whether it expects the prefix `/s/<id>/` in the request target.
    pub base_path: BasePath,
    /// Headers to be set on each request, the per-session secret among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The user id that the listener must belong to.
    pub uid: u32,
}

/// Where a program listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On a Unix socket.
    Unix(PathBuf),
    /// On a port of 127.0.0.1.
    Loopback(u16),
}

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPart {
    /// Where it begins. Later than asked for where what was asked for is not kept any more; earlier, at 0, where the log
    /// has begun anew.
    pub from: u64,
    /// What it says; at most [`LogPart::MOST`] bytes, and nothing at the log's present end.
    pub bytes: Vec<u8>,
}

impl LogPart {
    /// The most bytes of one part.
    pub const MOST: usize = 256 << 10;

    /// Where the next part begins.
    pub fn next(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// Killed by the system for using more memory than it may.
    OutOfMemory {
        /// Its limit, bytes, where that is known.
        limit: Option<u64>,
    },
    /// With the machine, which has started anew since.
    MachineRestart,
    /// Nobody saw it: its supervisor was killed.
    Unknown,
}

/// Why a program could not be started or managed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program could not be executed.
    #[error("{program}: {problem}")]
    Program {
        /// What was to be run.
        program: String,
        /// What the system said.
        problem: String,
    },
    /// It ended before it answered.
    #[error("the program ended before it was ready: {exit}{}", log_lines(.log))]
    EndedEarly {
        /// How.
        exit: Exit,
        /// The log's last lines.
        log: String,
    },
    /// It did not answer in time.
    #[error("the program did not answer within {seconds} s{}", log_lines(.log))]
    NotReady {
        /// The kind's start-up time.
        seconds: u64,
        /// The log's last lines.
        log: String,
    },
    /// A directory of the daemon's own cannot be used.
    #[error(transparent)]
    Directory(#[from] DataDirError),
    /// The user cannot have sessions here.
    #[error("{0}")]
    User(String),
    /// Nothing is kept of what it wrote.
    #[error("the log of session {0} is not kept, or not any more")]
    NoLog(SessionId),
    /// There is no such session here.
    #[error("no program of session {0} runs here")]
    Unknown(SessionId),
    /// The supervisor or its files failed.
    #[error("{context}: {problem}")]
    Supervisor {
        /// What was being done.
        context: String,
        /// What went wrong.
        problem: String,
    },
}

impl Exit {
    /// As a shell tells it: the status, or 128 and the number of the signal; none where nobody saw it.
    pub fn as_status(&self) -> Option<u8> {
        match *self {
            Self::Status(status) => u8::try_from(status & 0xff).ok(),
            Self::Signal(signal) => u8::try_from(128 + (signal & 0x7f)).ok(),
            Self::OutOfMemory { .. } => Some(137),
            Self::MachineRestart | Self::Unknown => None,
        }
    }
}

impl LaunchError {
    /// Whether it is sure that nothing of the program was run.
    pub fn nothing_ran(&self) -> bool {
        matches!(self, Self::Program { .. } | Self::Directory(_) | Self::User(_))
    }
}

fn log_lines(log: &str) -> String {
    if log.is_empty() { "; its log is empty".to_owned() } else { format!("; the last lines of its log:\n{log}") }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
            Self::OutOfMemory { limit: None } => f.write_str("killed for using more memory than its limit"),
            Self::OutOfMemory { limit: Some(limit) } => {
                write!(f, "killed for using more memory than its limit of {} MiB", limit >> 20)
            }
            Self::MachineRestart => f.write_str("with the machine, which has started anew since"),
            Self::Unknown => f.write_str("nobody saw how"),
        }
    }
}
