//! A session's control group, where the machine lets one be made.

use std::{fs, path::PathBuf};

use evenkeel::{
    domain::Epoch,
    launcher::{Exit, Launch, Launcher},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{Ground, id, stop, until};

/// The group of the session that runs; none where none can be made here, which this test's output says.
fn group(ground: &Ground) -> Option<PathBuf> {
    let state = fs::read(ground.session().join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let path = state["cgroup"].as_str().map(PathBuf::from);
    if path.is_none() {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let writable = mounts.lines().any(|line| line.contains(" cgroup2 rw"));
        assert!(!(writable && nix::unistd::geteuid().is_root()), "a group could be made");
        eprintln!("not tried: this machine lets no control group be made");
    }
    path
}

#[tokio::test]
async fn whatever_a_session_starts_is_in_its_group_which_goes_with_it() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let script = ground.script("setsid sleep 1091 & sleep 1092 & wait; sleep 1093");
    let launch = Launch { cpus: 0.5, memory: 64 << 20, ..script };
    launcher.start(&launch).await.unwrap();
    let sleeps = || ground.processes().iter().filter(|stat| stat.comm == "sleep").count();
    until("both run", || sleeps() == 2).await;
    let path = group(&ground);
    if let Some(path) = &path {
        let processes = fs::read_to_string(path.join("cgroup.procs")).unwrap();
        assert_eq!(processes.lines().count(), 3, "{processes}");
        let supervisor = ground.supervisor().to_string();
        assert!(!processes.lines().any(|pid| pid == supervisor), "the supervisor is none of its user's");
        for (file, expected) in [("cpu.max", "50000 100000\n"), ("memory.max", "67108864\n")] {
            if let Ok(limit) = fs::read_to_string(path.join(file)) {
                assert_eq!(limit, expected, "{file}");
            }
        }
    }
    stop(&ground, &launcher, Epoch::FIRST).await;
    assert!(path.is_none_or(|path| !path.exists()));
}

#[tokio::test]
async fn a_group_is_emptied_where_the_supervisor_was_killed() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    // Neither a descendant of what is known nor marked, once its parent is gone.
    launcher.start(&ground.script("(env -i setsid sleep 1094 &) ; sleep 1095")).await.unwrap();
    let path = group(&ground);
    if let Some(path) = &path {
        let count = || fs::read_to_string(path.join("cgroup.procs")).unwrap().lines().count();
        until("all run", || count() == 3).await;
    }
    kill(Pid::from_raw(ground.supervisor()), Signal::SIGKILL).unwrap();
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Unknown);
    assert!(path.is_none_or(|path| !path.exists()), "the group is still there");
}
