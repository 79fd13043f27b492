//! What programs do by themselves.

use evenkeel::{domain::Epoch, launcher::Launcher};

use procfs::process::Stat;

use crate::support::{Ground, id, stop, until};

/// What a script is busy with once its processes are as they are to be.
async fn busy_with(script: &str, as_wanted: impl Fn(&[Stat]) -> bool) -> Option<String> {
    let ground = Ground::new();
    let launcher = ground.launcher_of_scripts();
    launcher.start(&ground.script(script)).await.unwrap();
    until("all of it runs", || as_wanted(&ground.processes())).await;
    let activity = launcher.activity(id(), Epoch::FIRST).await.unwrap();
    stop(&ground, &launcher, Epoch::FIRST).await;
    activity.busy
}

fn has(all: &[Stat], count: usize, is_it: impl Fn(&Stat) -> bool) -> bool {
    all.iter().filter(|stat| is_it(stat)).count() == count
}

#[tokio::test]
async fn what_runs_in_a_terminal_is_seen_and_a_shell_that_waits_is_not() {
    let sleeps = |count| move |all: &[Stat]| has(all, count, |stat| stat.comm == "sleep");
    // `script` gives its command a terminal, whose session a shell leads.
    let busy = busy_with("script -qfc 'sleep 1061; true' /dev/null", sleeps(1)).await;
    assert_eq!(busy.as_deref(), Some("a terminal runs sleep"));
    let behind = busy_with("script -qfc 'sleep 1062 & wait' /dev/null", sleeps(1)).await;
    assert_eq!(behind.as_deref(), Some("a terminal runs sleep"), "in the background too");
    // As a task's `bash -c` becomes its command.
    let leader = busy_with("script -qfc 'exec sleep 1063' /dev/null", sleeps(1)).await;
    assert_eq!(leader.as_deref(), Some("a terminal runs sleep"), "what leads a terminal and is no shell");
    let waits = |all: &[Stat]| has(all, 1, |stat| stat.tty_nr != 0 && stat.comm == "bash" && stat.tpgid == stat.pid);
    let shell = "tail -f /dev/null | script -qfc 'exec bash --norc --noprofile -i' /dev/null & sleep 1064";
    let shell = busy_with(shell, |all| sleeps(1)(all) && waits(all)).await;
    assert_eq!(shell, None, "a shell that waits, and what has no terminal");
}

#[tokio::test]
async fn a_program_of_a_kind_that_is_not_known_any_more_does_not_say_what_it_does() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script("exec sleep 1065")).await.unwrap();
    let error = launcher.activity(id(), Epoch::FIRST).await.unwrap_err().to_string();
    stop(&ground, &launcher, Epoch::FIRST).await;
    assert!(error.contains("there is no kind script any more"), "{error}");
}

#[tokio::test]
async fn what_does_not_run_says_nothing() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    assert!(launcher.activity(id(), Epoch::FIRST).await.is_err());
}
