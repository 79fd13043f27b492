//! Ending: whatever a program started, nothing of it stays.

use std::time::{Duration, Instant};

use evenkeel::{
    domain::Epoch,
    launcher::{Exit, Launcher},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{Ground, id, is_alive, stop, until};

async fn family_is_complete(ground: &Ground) {
    until("the family runs", || {
        let all = ground.processes();
        all.iter().filter(|stat| stat.comm == "sleep").count() == 3
    })
    .await;
}

fn sleeps(seconds: &str) -> usize {
    procfs::process::all_processes()
        .unwrap()
        .filter_map(Result::ok)
        .filter(|process| process.cmdline().is_ok_and(|words| words == ["sleep", seconds]))
        .count()
}

#[tokio::test]
async fn stopping_ends_descendants_in_sessions_of_their_own_too() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    // A child, two in a session of their own whose parent is gone, and one without the session's environment.
    let unmarked = format!("1004.{}", std::process::id());
    let script = format!(
        "sleep 1001 &
        setsid sh -c 'sleep 1002 & sleep 1003 & exit 0' &
        (env -i setsid sleep {unmarked} &)
        wait; sleep 1005"
    );
    launcher.start(&ground.script(&script)).await.unwrap();
    family_is_complete(&ground).await;
    until("the unmarked one runs", || sleeps(&unmarked) == 1).await;
    stop(&ground, &launcher, Epoch::FIRST).await;
    assert_eq!(sleeps(&unmarked), 0, "a process without the mark is a descendant all the same");
}

#[tokio::test]
async fn what_a_program_leaves_running_ends_with_it() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("sleep 1011 & setsid sleep 1012 & sleep 0.2; exit 7")).await.unwrap();
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Status(7));
    assert_eq!(ground.processes().len(), 0);
    assert!(!ground.session().exists());
}

#[tokio::test]
async fn a_program_that_ignores_the_signal_is_killed_after_its_grace_period() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let launch = ground.script("trap '' TERM; echo deaf; while :; do sleep 0.05; done");
    launcher.start(&launch).await.unwrap();
    let log = ground.log();
    until("it ignores the signal", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("deaf"))).await;
    let started = Instant::now();
    stop(&ground, &launcher, Epoch::FIRST).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Signal(9));
}

#[tokio::test]
async fn signals_reach_the_program() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("trap 'exit 12' USR1; echo listening; while :; do sleep 0.05; done")).await.unwrap();
    let log = ground.log();
    until("it listens", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("listening"))).await;
    launcher.signal(id(), Epoch::FIRST, Signal::SIGUSR1).await.unwrap();
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Status(12));
}

#[tokio::test]
async fn a_killed_supervisor_is_noticed_and_what_was_below_it_ends() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let script = "sleep 1021 & setsid sh -c 'sleep 1022 & sleep 1023 & exit 0' & wait; sleep 1024";
    let running = launcher.start(&ground.script(script)).await.unwrap();
    family_is_complete(&ground).await;
    kill(Pid::from_raw(ground.supervisor()), Signal::SIGKILL).unwrap();
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Unknown);
    assert!(!is_alive(running.pid.cast_signed()));
    assert_eq!(ground.processes().len(), 0);
    assert!(!ground.session().exists());
}

#[tokio::test]
async fn a_supervisor_that_is_told_to_terminate_stops_its_program_first() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("trap 'exit 5' TERM; echo here; while :; do sleep 0.05; done")).await.unwrap();
    let log = ground.log();
    until("it is there", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("here"))).await;
    kill(Pid::from_raw(ground.supervisor()), Signal::SIGTERM).unwrap();
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Status(5));
}

#[tokio::test]
async fn a_supervisor_that_does_not_answer_is_ended_with_its_program() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("sleep 1031 & wait")).await.unwrap();
    kill(Pid::from_raw(ground.supervisor()), Signal::SIGSTOP).unwrap();
    stop(&ground, &launcher, Epoch::FIRST).await;
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Unknown);
}

#[tokio::test]
async fn a_flood_of_output_stays_within_the_log_and_its_end_is_there() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("yes 'a line of output' | head -c 12000000; echo; echo the end")).await.unwrap();
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Status(0));
    let size: u64 = std::fs::read_dir(ground.log().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size > 1 << 20 && size < 5 << 20, "{size}");
    let tail = launcher.log_tail(id(), 1_000_000).await.unwrap();
    assert!(tail.ends_with("the end") && tail.len() <= 64 * 1024, "{}", tail.len());
    assert_eq!(launcher.log_tail(id(), 1).await.unwrap(), "the end");
}
