//! What a daemon and a supervisor write for each other: the order to start, the state on disk, the record of the end.
//!
//! A supervisor months old talks to a new daemon, so these grow by addition: new fields have defaults, unknown ones are
//! passed over, nothing changes its meaning.

use std::{
    collections::BTreeMap,
    fmt, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Exit, kind::BasePath};
use crate::domain::{Epoch, SessionId};

/// The socket a supervisor answers on.
pub(super) const CONTROL: &str = "control.sock";
/// The socket a program listens on, where its kind uses one.
pub(super) const PROGRAM: &str = "program.sock";
/// What runs in this directory.
pub(super) const STATE: &str = "state.json";
/// How it ended.
pub(super) const EXIT: &str = "exit.json";
/// Whether a file in a session's directory is the server's own.
pub(super) fn is_reserved(name: &str) -> bool {
    [CONTROL, PROGRAM, STATE, EXIT, SCRIPT].contains(&name) || name.ends_with(".new")
}

/// The script's file, where a job is one.
pub(super) const SCRIPT: &str = "script";
/// The variable by which every process of a session is known, whatever became of its parents: the session's directory.
pub(super) const MARK: &str = "EVENKEEL_SESSION_DIR";
/// Longer lines and files than this are no messages.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// The order to start a program, on the supervisor's standard input.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub session: SessionId,
    pub epoch: Epoch,
    pub user: String,
    pub kind: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub directory: PathBuf,
    /// The file for its output.
    pub log: PathBuf,
    /// How large that grows before it is rotated.
    pub log_limit: u64,
    pub stop: StopOrder,
    pub service: Service,
    /// Files to be made in the session's directory before the program starts, for its user alone.
    #[serde(default)]
    pub files: Vec<OrderFile>,
}

/// A file of the session's own.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct OrderFile {
    /// Its name in the session's directory.
    pub name: String,
    pub content: String,
}

impl fmt::Debug for Order {
    /// Without environment and headers, which hold the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("session", &self.session).field("program", &self.program).finish_non_exhaustive()
    }
}

/// How to stop a program.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct StopOrder {
    pub signal: i32,
    pub grace_ms: u64,
}

/// Where a program is reached and when it is ready: what a daemon needs to know of it again after a restart, whatever
/// has become of the file of its kind.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Service {
    /// Whether it listens at all; a job does not.
    #[serde(default = "yes")]
    pub listens: bool,
    /// The port it listens on; `None`: the socket in its directory.
    pub port: Option<u16>,
    pub base_path: BasePath,
    pub headers: Vec<(String, String)>,
    pub uid: u32,
    pub ready_path: String,
    pub ready_statuses: Vec<u16>,
    pub ready_seconds: u64,
}

/// What every program does that a supervisor of an earlier release has started.
fn yes() -> bool {
    true
}

/// One process: its id alone may have passed to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pub pid: i32,
    /// When it started, in ticks since the machine did.
    pub started: u64,
}

/// The file `state.json`, written by the supervisor before the program starts, and again when it has.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub session: SessionId,
    pub epoch: Epoch,
    pub user: String,
    pub kind: String,
    /// Which start of the machine this belongs to.
    pub boot: String,
    pub supervisor: ProcessId,
    pub program: Option<ProcessId>,
    pub stop: StopOrder,
    pub service: Service,
}

/// The file `exit.json`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct ExitRecord {
    pub epoch: Epoch,
    #[serde(flatten)]
    pub ended: Ended,
}

/// How a program ended; all empty where nobody saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ended {
    pub status: Option<i32>,
    pub signal: Option<i32>,
    /// The signal was the system's, for want of memory.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub out_of_memory: bool,
    /// How much memory it might use, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// The machine has started anew since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub machine_restarted: bool,
}

impl From<&Exit> for Ended {
    fn from(exit: &Exit) -> Self {
        let none = Self::default();
        match *exit {
            Exit::Status(status) => Self { status: Some(status), ..none },
            Exit::Signal(signal) => Self { signal: Some(signal), ..none },
            // A daemon that does not know of the rest sees the signal.
            Exit::OutOfMemory { limit } => {
                Self { signal: Some(Signal::SIGKILL as i32), out_of_memory: true, memory_limit: limit, ..none }
            }
            Exit::MachineRestart => Self { machine_restarted: true, ..none },
            Exit::Unknown => none,
        }
    }
}

impl From<Ended> for Exit {
    fn from(ended: Ended) -> Self {
        match (ended.status, ended.signal) {
            (Some(status), _) => Self::Status(status),
            (None, _) if ended.out_of_memory => Self::OutOfMemory { limit: ended.memory_limit },
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) if ended.machine_restarted => Self::MachineRestart,
            (None, None) => Self::Unknown,
        }
    }
}

/// What the supervisor says on its standard output, one line, once it knows whether the program runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// It does.
    Started { program: ProcessId, supervisor: ProcessId },
    /// It could not be executed.
    Failed { program: String, problem: String },
    /// The supervisor could not do its part.
    Broken { context: String, problem: String },
}

/// Reads a file, bounded; none where there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    use io::Read;
    let mut text = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(MOST_BYTES).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(serde_json::from_slice(&text)?))
}

/// Writes a file that only this user can read, whole or not at all.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    use io::Write;
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    drop(file);
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_read_back_as_it_was_written() {
        for exit in [
            Exit::Status(3),
            Exit::Signal(15),
            Exit::OutOfMemory { limit: None },
            Exit::OutOfMemory { limit: Some(512 << 20) },
            Exit::MachineRestart,
            Exit::Unknown,
        ] {
            let text = serde_json::to_string(&Ended::from(&exit)).unwrap();
            assert_eq!(Exit::from(serde_json::from_str::<Ended>(&text).unwrap()), exit, "{text}");
        }
    }

    #[test]
    fn an_older_supervisors_record_is_read_and_a_newer_ones_by_what_is_known() {
        let exit = |text: &str| Exit::from(serde_json::from_str::<ExitRecord>(text).unwrap().ended);
        assert_eq!(exit(r#"{"epoch": 1, "status": null, "signal": 9}"#), Exit::Signal(9));
        assert_eq!(exit(r#"{"epoch": 1, "signal": 9, "abducted": true}"#), Exit::Signal(9));
    }

    #[test]
    fn an_end_is_told_in_a_sentence() {
        let limit = Some(1536 << 20);
        let told = Exit::OutOfMemory { limit }.to_string();
        assert_eq!(told, "killed for using more memory than its limit of 1536 MiB");
    }
}
