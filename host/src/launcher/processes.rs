//! The machine's processes: which are alive, which descend from which, ending all of a session's.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    path::Path,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use procfs::{
    ProcError,
    process::{Process, Stat, all_processes},
};

use super::record::{MARK, ProcessId};

pub(super) mod terminals;

/// Which start of the machine this is.
pub(super) fn boot() -> String {
    procfs::sys::kernel::random::boot_id().map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The process with this id, as of now.
pub(super) fn identify(pid: i32) -> Option<ProcessId> {
    let stat = Process::new(pid).and_then(|process| process.stat()).ok()?;
    Some(ProcessId { pid, started: stat.starttime })
}

/// Whether a process surely still runs: the same one, and not just waiting to be reaped.
pub(super) fn is_alive(id: ProcessId) -> bool {
    let stat = Process::new(id.pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.starttime == id.started && !is_over(&stat))
}

/// Whether a process has surely ended. What cannot be looked at, for want of descriptors say, may still run.
pub(super) fn is_gone(id: ProcessId) -> bool {
    match Process::new(id.pid).and_then(|process| process.stat()) {
        Ok(stat) => stat.starttime != id.started || is_over(&stat),
        Err(error) => matches!(error, ProcError::NotFound(_)),
    }
}

fn is_over(stat: &Stat) -> bool {
    matches!(stat.state, 'Z' | 'X')
}

/// The machine's processes at one moment.
#[derive(Debug)]
pub(super) struct Table {
    all: Vec<Stat>,
    /// Where in `all` the children of each are.
    children: HashMap<i32, Vec<usize>>,
    /// Why some are missing.
    problem: Option<String>,
}

impl Table {
    /// Reads them. Some thousands take some milliseconds.
    pub(super) fn read() -> Self {
        let mut problem = None;
        let mut note = |error: ProcError| match error {
            // It has ended, or the system does not show what others run.
            ProcError::NotFound(_) | ProcError::PermissionDenied(_) => {}
            error => problem = Some(error.to_string()),
        };
        let mut all = Vec::new();
        match all_processes() {
            Ok(processes) => {
                for process in processes {
                    match process.and_then(|process| process.stat()) {
                        Ok(stat) => all.push(stat),
                        Err(error) => note(error),
                    }
                }
            }
            Err(error) => problem = Some(error.to_string()),
        }
        Self::of(all, problem)
    }

    fn of(all: Vec<Stat>, problem: Option<String>) -> Self {
        let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
        for (index, stat) in all.iter().enumerate() {
            children.entry(stat.ppid).or_default().push(index);
        }
        Self { all, children, problem }
    }

    /// All that is below a process and not over, whatever it is the child of by now.
    fn below(&self, root: i32) -> Vec<&Stat> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([root]);
        let mut next = vec![root];
        while let Some(parent) = next.pop() {
            let children = self.children.get(&parent).into_iter().flatten().filter_map(|index| self.all.get(*index));
            for stat in children.filter(|stat| seen.insert(stat.pid)) {
                next.push(stat.pid);
                if !is_over(stat) {
                    found.push(stat);
                }
            }
        }
        found
    }
}

/// Kills everything below a process, once, and says how many there were. A process that forks meanwhile needs another
/// call; a caller that is the subreaper repeats until it has no children.
pub(crate) fn kill_below(root: i32) -> usize {
    Table::read().below(root).iter().filter(|stat| send(stat.pid, Signal::SIGKILL)).count()
}

/// Kills every process of this user that carries the mark of a session's directory, once, and says how many there were.
/// For what is left where the supervisor, who would have known them as its descendants, was itself killed.
pub(super) fn kill_marked(directory: &Path, uid: u32) -> usize {
    let own = std::process::id();
    let Ok(all) = all_processes() else { return 0 };
    all.filter_map(Result::ok)
        .filter(|process| process.pid.unsigned_abs() != own && process.uid().is_ok_and(|owner| owner == uid))
        .filter(|process| {
            process
                .environ()
                .is_ok_and(|all| all.get(OsStr::new(MARK)).is_some_and(|mark| mark == directory.as_os_str()))
        })
        .filter(|process| process.stat().is_ok_and(|stat| !is_over(&stat)))
        .filter(|process| send(process.pid, Signal::SIGKILL))
        .count()
}

/// Kills a process, if it is still the same one.
pub(super) fn kill(id: ProcessId) {
    if is_alive(id) {
        send(id.pid, Signal::SIGKILL);
    }
}

fn send(pid: i32, signal: Signal) -> bool {
    pid > 1 && signal::kill(Pid::from_raw(pid), signal).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_or_is_another_is_gone() {
        let own = identify(std::process::id().cast_signed()).unwrap();
        assert!(is_alive(own) && !is_gone(own));
        let other = ProcessId { started: own.started + 1, ..own };
        assert!(!is_alive(other) && is_gone(other));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = identify(child.id().cast_signed()).unwrap();
        child.wait().unwrap();
        assert!(!is_alive(id) && is_gone(id));
    }
}
