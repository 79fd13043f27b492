//! The process groups that run, so that a daemon that stops leaves none behind.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// The process groups of a script's runs.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<Groups>);

#[derive(Debug, Default)]
struct Groups {
    running: BTreeSet<Pid>,
    stopped: bool,
}

/// A process group that runs. It is killed when this goes; only then may its leader be reaped, so that the number cannot have
/// become another's.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) leader: Pid,
    among: Arc<Running>,
}

impl Running {
    /// Counts a group as running; one that comes too late is killed.
    pub(super) fn enter(self: &Arc<Self>, leader: Pid) -> Group {
        let mut groups = self.groups();
        groups.running.insert(leader);
        if groups.stopped {
            kill(leader);
        }
        Group { leader, among: Arc::clone(self) }
    }

    /// Kills all that run, and all to come.
    pub(super) fn stop(&self) {
        let mut groups = self.groups();
        groups.stopped = true;
        groups.running.iter().copied().for_each(kill);
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.among.groups().running.remove(&self.leader);
        kill(self.leader);
    }
}

fn kill(leader: Pid) {
    // Fails where nothing of the group is left.
    let _ = killpg(leader, Signal::SIGKILL);
}
