//! Finding what a cluster has started, whoever its parent is by now.

use std::{collections::HashSet, os::unix::ffi::OsStrExt as _, process};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::all_processes;

/// A process, told apart from a later one with the same id.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// When it started, in ticks since the machine did.
    start: u64,
    /// Its command line.
    pub command: String,
}

impl PartialEq for Process {
    fn eq(&self, other: &Self) -> bool {
        (self.pid, self.start) == (other.pid, other.start)
    }
}

impl Process {
    /// Whether it still runs. A process that has ended and waits for its parent does not.
    pub fn runs(&self) -> bool {
        by_id(self.pid).is_some_and(|now| now == *self)
    }

    /// Kills it, if it still runs.
    pub fn kill(&self) {
        if self.runs() {
            // It may end by itself in the meantime, which is just as well.
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }
}

/// The running process with that id.
pub fn by_id(pid: i32) -> Option<Process> {
    read(&procfs::process::Process::new(pid).ok()?)
}

fn read(process: &procfs::process::Process) -> Option<Process> {
    let stat = process.stat().ok()?;
    if matches!(stat.state, 'Z' | 'X') {
        return None;
    }
    let command = process.cmdline().unwrap_or_default().join(" ");
    let command = if command.is_empty() { format!("[{}]", stat.comm) } else { command };
    Some(Process { pid: stat.pid, parent: stat.ppid, start: stat.starttime, command })
}

/// The processes whose command line or environment holds `marker`, and everything below them. Not this one.
pub fn marked(marker: &str) -> Vec<Process> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    for process in all_processes().into_iter().flatten().flatten() {
        if process.pid == i32::try_from(process::id()).unwrap_or(0) {
            continue;
        }
        let Some(read) = read(&process) else { continue };
        let in_environment = || {
            process.environ().is_ok_and(|environment| {
                environment.values().any(|value| contains(value.as_bytes(), marker.as_bytes()))
            })
        };
        if read.command.contains(marker) || in_environment() { found.push(read) } else { others.push(read) }
    }
    let mut known: HashSet<i32> = found.iter().map(|process| process.pid).collect();
    loop {
        let (below, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|process| known.contains(&process.parent));
        if below.is_empty() {
            return found;
        }
        known.extend(below.iter().map(|process| process.pid));
        found.extend(below);
        others = rest;
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_marked_process_and_its_children_are_found_and_killed() {
        let marker = format!("evenkeel-marker-{}", process::id());
        let mut child =
            Command::new("/bin/sh").args(["-c", "env -i sleep 60; exit"]).env("MARKER", &marker).spawn().unwrap();
        let found = loop {
            let found = marked(&marker);
            if found.iter().any(|process| process.command == "sleep 60") {
                break found;
            }
            assert!(child.try_wait().unwrap().is_none());
        };
        assert!(found.iter().any(|process| process.pid == i32::try_from(child.id()).unwrap()));
        for process in &found {
            process.kill();
        }
        child.wait().unwrap();
        while found.iter().any(Process::runs) {}
        assert!(marked(&marker).is_empty());
    }
}
