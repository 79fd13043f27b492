//! A daemon after another: sessions go on.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use evenkeel::{
    domain::Epoch,
    launcher::{Exit, Launcher},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{Ground, id, is_alive, stop, until};

#[tokio::test]
async fn a_new_daemon_finds_the_program_its_address_and_its_secret_again() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let running = launcher.start(&ground.launch("serve", "")).await.unwrap();
    launcher.ready(id(), Epoch::FIRST).await.unwrap();
    let before = launcher.upstream(id()).unwrap();
    drop(launcher);

    let launcher = ground.launcher();
    assert_eq!(launcher.running().await, []);
    assert_eq!(launcher.adopt().await.unwrap(), std::slice::from_ref(&running));
    assert!(is_alive(running.pid.cast_signed()));
    let after = launcher.upstream(id()).unwrap();
    assert_eq!((&after.address, &after.headers, after.epoch), (&before.address, &before.headers, before.epoch));
    launcher.ready(id(), Epoch::FIRST).await.unwrap();
    stop(&ground, &launcher, Epoch::FIRST).await;
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Signal(15));
}

#[tokio::test]
async fn a_program_outlives_the_process_that_started_it() {
    // The launcher in a process of its own, which is killed as a daemon may be.
    let ground = Ground::new();
    drop(ground.launcher());
    let mut daemon = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["adoption::daemon", "--exact", "--ignored", "--nocapture"])
        .env("GROUND", ground.runtime().parent().unwrap())
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let session = ground.session();
    until("the program is there", || session.join("own/ide.sock").exists()).await;
    daemon.kill().unwrap();
    daemon.wait().unwrap();

    let launcher = ground.launcher();
    let running = launcher.adopt().await.unwrap();
    assert_eq!(running.len(), 1);
    launcher.ready(id(), Epoch::FIRST).await.unwrap();
    assert!(is_alive(running[0].pid.cast_signed()));
    stop(&ground, &launcher, Epoch::FIRST).await;
}

#[tokio::test]
#[ignore = "not a test: the daemon that another test kills"]
async fn daemon() {
    let Some(directory) = std::env::var_os("GROUND") else { return };
    let ground = Ground::at(directory.as_ref());
    let launcher = ground.launcher();
    launcher.start(&ground.launch("serve", "")).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn what_ended_between_two_daemons_is_on_record() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("sleep 0.2; exit 9")).await.unwrap();
    drop(launcher);
    let session = ground.session();
    until("the record is written", || session.join("exit.json").exists()).await;
    let launcher = ground.launcher();
    assert_eq!(launcher.adopt().await.unwrap(), []);
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Status(9));
    assert!(!session.exists());
}

#[tokio::test]
async fn a_supervisor_killed_between_two_daemons_leaves_an_unknown_end_and_no_process() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("sleep 1041 & setsid sleep 1042 & wait")).await.unwrap();
    until("both run", || ground.processes().iter().filter(|stat| stat.comm == "sleep").count() == 2).await;
    // The first daemon sees nothing of it: its tasks do not run while this one blocks.
    let supervisor = ground.supervisor();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    drop(launcher);
    let launcher = ground.launcher();
    assert_eq!(launcher.adopt().await.unwrap(), []);
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Unknown);
    assert_eq!(ground.processes().len(), 0);
}

#[tokio::test]
async fn a_directory_of_an_earlier_start_of_the_machine_is_cleared_away() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("exec sleep 1051")).await.unwrap();
    let state = std::fs::read_to_string(ground.session().join("state.json")).unwrap();
    stop(&ground, &launcher, Epoch::FIRST).await;
    launcher.forget(id()).await;
    drop(launcher);

    // The same ids of processes, as of another boot: whoever has them now is a stranger.
    let mut state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let own = procfs::process::Process::myself().unwrap().stat().unwrap();
    state["program"] = serde_json::json!({ "pid": own.pid, "started": own.starttime });
    state["boot"] = "another".into();
    std::fs::create_dir(ground.session()).unwrap();
    std::fs::write(ground.session().join("state.json"), state.to_string()).unwrap();
    std::fs::create_dir(ground.runtime().join("00000000")).unwrap();
    let launcher = ground.launcher();
    assert_eq!(launcher.adopt().await.unwrap(), []);
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::MachineRestart);
    assert!(!ground.session().exists() && !ground.runtime().join("00000000").exists());
}

#[tokio::test]
async fn a_restart_of_the_machine_that_left_nothing_is_known_until_it_is_accounted_for() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    assert!(!launcher.machine_restarted(), "nothing ran before");
    launcher.note_machine_start().await;
    drop(launcher);
    assert!(!ground.launcher().machine_restarted(), "the same start of the machine");
    std::fs::write(ground.log().parent().unwrap().with_file_name("boot"), "\"another\"").unwrap();
    assert!(ground.launcher().machine_restarted());
    let launcher = ground.launcher();
    assert!(launcher.machine_restarted(), "the daemon before could not account for anything");
    assert_eq!(launcher.watch(id(), Epoch::FIRST).await, Exit::Unknown, "what it does not know of itself");
    launcher.note_machine_start().await;
    assert!(!launcher.machine_restarted());
    drop(launcher);
    assert!(!ground.launcher().machine_restarted(), "noted once");
}

#[tokio::test]
async fn two_daemons_do_not_share_a_runtime_directory() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    let error = ground.try_launcher().unwrap_err();
    assert!(error.to_string().contains("another daemon"), "{error}");
    drop(launcher);
    ground.launcher();
}

#[tokio::test]
async fn a_runtime_directory_that_is_everybodys_is_refused_and_left_as_it_is() {
    let ground = Ground::new();
    std::fs::create_dir(ground.runtime()).unwrap();
    std::fs::set_permissions(ground.runtime(), Permissions::from_mode(0o1777)).unwrap();
    let error = ground.try_launcher().unwrap_err().to_string();
    assert!(error.starts_with(ground.runtime().to_str().unwrap()) && error.contains("everybody"), "{error}");
    assert_eq!(ground.runtime().metadata().unwrap().permissions().mode() & 0o7777, 0o1777);
    std::fs::set_permissions(ground.runtime(), Permissions::from_mode(0o755)).unwrap();
    ground.launcher();
    let closed = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
    assert_eq!(ground.runtime().metadata().unwrap().permissions().mode() & 0o7777, closed);
}
