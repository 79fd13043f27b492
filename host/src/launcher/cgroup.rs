//! The control group of a session, where control groups (v2) can be made: whatever a session starts stays in it, its
//! processors and its memory are limited by it, and it ends at one word.
//!
//! Groups are made below the daemon's own, or beside it where that is named `daemon`, as systemd's `DelegateSubgroup=`
//! does: a group that has controllers for those below it can have no processes of its own. Where a controller is not to be
//! had, its limit is not kept; the group serves for the rest.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::Process;
use serde::{Deserialize, Serialize};

use super::mounts;

/// The name that tells of a group of the daemon's own beside those of its sessions.
const DAEMON: &str = "daemon";
/// What a session's group wants of those above it.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// Of what the share of the processors is, microseconds.
const PERIOD: u64 = 100_000;
/// The least that the kernel takes.
const LEAST_QUOTA: u64 = 1_000;
/// How long a group may take to be empty once its processes have been killed.
const LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// A session's group as it is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CgroupOrder {
    pub path: PathBuf,
    /// Processors; 0 for no limit.
    pub cpus: f64,
    /// Memory, bytes; 0 for no limit.
    pub memory: u64,
}

/// Where the groups of this daemon's sessions are made; none where none can be. `name` tells it from other daemons.
pub(super) fn place(name: &str) -> Option<PathBuf> {
    let process = Process::myself().ok()?;
    let own = process.cgroups().ok()?.into_iter().find(|group| group.hierarchy == 0)?.pathname;
    let mount = mounts::all().ok()?.into_iter().find(|mount| mount.kind == "cgroup2")?;
    let below = Path::new(&own).strip_prefix(&mount.root).ok()?;
    let place = beside(&mount.point.join(below)).join(format!("evenkeel-{name}"));
    // Whether it can be made is only known by making it. It is made again with the first group.
    let probe = place.join("probe");
    let made = make_directories(&probe);
    let _ = fs::remove_dir(&probe);
    let _ = fs::remove_dir(&place);
    made.ok().map(|()| place)
}

fn beside(own: &Path) -> &Path {
    match own.parent() {
        Some(parent) if own.file_name().is_some_and(|name| name == DAEMON) => parent,
        _ => own,
    }
}

/// Makes a group and the one above it, which may go with the last group below it at any time.
fn make_directories(path: &Path) -> io::Result<()> {
    let above = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut tries = 0;
    loop {
        match fs::create_dir(above) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for directory in above.parent().into_iter().chain([above]) {
            hand_down_controllers(directory);
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < 10 => tries += 1,
            result => return result,
        }
    }
}

/// Lets the groups below have what this one has. Each for itself: one that cannot be had keeps none of the others away.
fn hand_down_controllers(directory: &Path) {
    let there = fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
    for name in CONTROLLERS.into_iter().filter(|name| there.split_whitespace().any(|word| word == *name)) {
        let _ = write(&directory.join("cgroup.subtree_control"), &format!("+{name}"));
    }
}

/// A session's group.
#[derive(Clone, Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes the group. One that an earlier start has left is taken.
    pub(super) fn make(order: &CgroupOrder) -> io::Result<Self> {
        match make_directories(&order.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let group = Self::at(&order.path);
        group.limit(order)?;
        Ok(group)
    }

    /// The group of a session that has one.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Sets the limits of the controllers that are there.
    fn limit(&self, order: &CgroupOrder) -> io::Result<()> {
        if order.cpus > 0.0 {
            self.set("cpu.max", &format!("{} {PERIOD}", quota(order.cpus)))?;
        }
        if order.memory > 0 {
            self.set("memory.max", &order.memory.to_string())?;
        }
        Ok(())
    }

    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        let file = self.path.join(name);
        if file.exists() { write(&file, value) } else { Ok(()) }
    }

    /// Where a process that writes `0` becomes one of the group.
    pub(super) fn entrance(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    /// How many of its processes the system has killed for want of memory.
    pub(super) fn out_of_memory(&self) -> u64 {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill ")).map(str::trim);
        count.and_then(|count| count.parse().ok()).unwrap_or_default()
    }

    /// Kills every process of the group, those that are just being forked too, and says how many there were at least.
    pub(super) fn kill(&self) -> usize {
        let processes = self.processes();
        if !processes.is_empty() && write(&self.path.join("cgroup.kill"), "1").is_err() {
            // A kernel before 5.14.
            for pid in &processes {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
        }
        processes.len()
    }

    fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        // One of another namespace of processes reads as 0.
        text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1).collect()
    }

    /// Kills what is in the group and removes it, and the one above it where this was the last.
    pub(super) fn remove(&self) -> io::Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            self.kill();
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(PAUSE),
                Ok(()) => break,
            }
        }
        if let Some(above) = self.path.parent() {
            let _ = fs::remove_dir(above);
        }
        Ok(())
    }
}

/// How many microseconds of each period.
fn quota(cpus: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of processors that is checked"
    )]
    let quota = (cpus * PERIOD as f64).round().clamp(0.0, 1e15) as u64;
    quota.max(LEAST_QUOTA)
}

/// The kernel takes a value by one write, to a file that is there.
fn write(path: &Path, value: &str) -> io::Result<()> {
    use io::Write;
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What looks like a group whose controllers are there, as far as files can.
    fn mimic(path: &Path, files: &[&str]) {
        for file in files {
            fs::write(path.join(file), "").expect("written");
        }
    }

    #[test]
    fn limits_are_written_in_the_kernels_words_where_their_controllers_are_there() {
        let directory = tempfile::tempdir().expect("directory");
        mimic(directory.path(), &["cpu.max", "memory.max"]);
        let order = CgroupOrder { path: directory.path().to_owned(), cpus: 1.5, memory: 2 << 30 };
        Cgroup::at(&order.path).limit(&order).expect("limited");
        let read = |name| fs::read_to_string(directory.path().join(name)).expect("there");
        assert_eq!((read("cpu.max").as_str(), read("memory.max").as_str()), ("150000 100000", "2147483648"));
        assert_eq!((quota(0.001), quota(64.0)), (1_000, 6_400_000));

        let bare = tempfile::tempdir().expect("directory");
        let order = CgroupOrder { path: bare.path().to_owned(), ..order };
        Cgroup::at(&order.path).limit(&order).expect("nothing to limit by");
        assert_eq!(fs::read_dir(bare.path()).expect("there").count(), 0);
    }

    #[test]
    fn no_limit_is_written_where_none_was_asked_for() {
        let directory = tempfile::tempdir().expect("directory");
        mimic(directory.path(), &["cpu.max", "memory.max"]);
        let order = CgroupOrder { path: directory.path().to_owned(), cpus: 0.0, memory: 0 };
        Cgroup::at(&order.path).limit(&order).expect("nothing to do");
        assert_eq!(fs::read_to_string(directory.path().join("memory.max")).expect("there"), "");
    }

    #[test]
    fn controllers_are_handed_down_as_far_as_they_are_there() {
        let directory = tempfile::tempdir().expect("directory");
        fs::write(directory.path().join("cgroup.controllers"), "cpuset io memory\n").expect("written");
        mimic(directory.path(), &["cgroup.subtree_control"]);
        hand_down_controllers(directory.path());
        let written = fs::read_to_string(directory.path().join("cgroup.subtree_control")).expect("there");
        assert_eq!(written, "+memory");
    }

    #[test]
    fn kills_for_want_of_memory_are_counted() {
        let directory = tempfile::tempdir().expect("directory");
        let group = Cgroup::at(directory.path());
        assert_eq!(group.out_of_memory(), 0);
        let events = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n";
        fs::write(directory.path().join("memory.events"), events).expect("written");
        assert_eq!(group.out_of_memory(), 1);
    }

    #[test]
    fn groups_of_sessions_lie_beside_a_daemon_that_has_its_own() {
        let service = Path::new("/sys/fs/cgroup/system.slice/evenkeel.service");
        assert_eq!(beside(&service.join("daemon")), service);
        assert_eq!(beside(service), service);
        assert_eq!(beside(Path::new("/")), Path::new("/"));
    }
}
