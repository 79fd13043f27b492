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
use procfs::process::{Process, Stat, all_processes};

use super::record::{MARK, ProcessId};

/// Which start of the machine this is.
pub(super) fn boot() -> String {
    procfs::sys::kernel::random::boot_id().map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The process with this id, as of now.
pub(super) fn identify(pid: i32) -> Option<ProcessId> {
    let stat = Process::new(pid).and_then(|process| process.stat()).ok()?;
    Some(ProcessId { pid, started: stat.starttime })
}

/// Whether a process still runs: the same one, and not just waiting to be reaped.
pub(super) fn is_alive(id: ProcessId) -> bool {
    let stat = Process::new(id.pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.starttime == id.started && !is_over(&stat))
}

fn is_over(stat: &Stat) -> bool {
    matches!(stat.state, 'Z' | 'X')
}

/// Kills everything below a process, once, and says how many there were. A process that forks meanwhile needs another
/// call; a caller that is the subreaper repeats until it has no children.
pub(super) fn kill_below(root: i32) -> usize {
    let stats: Vec<Stat> = all_processes()
        .map(|all| all.filter_map(Result::ok).filter_map(|process| process.stat().ok()).collect())
        .unwrap_or_default();
    let mut children: HashMap<i32, Vec<&Stat>> = HashMap::new();
    for stat in &stats {
        children.entry(stat.ppid).or_default().push(stat);
    }
    let mut found = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for stat in children.get(&parent).into_iter().flatten().filter(|stat| seen.insert(stat.pid)) {
            next.push(stat.pid);
            if !is_over(stat) {
                found.push(stat.pid);
            }
        }
    }
    found.iter().filter(|pid| send(**pid, Signal::SIGKILL)).count()
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
