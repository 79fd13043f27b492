//! What programs do by themselves.

use evenkeel::{domain::Epoch, launcher::Launcher};

use crate::support::{Ground, id, stop, until};

async fn busy_with(script: &str, count: usize) -> Option<String> {
    let ground = Ground::new();
    let launcher = ground.launcher();
    launcher.start(&ground.script(script)).await.unwrap();
    until("all of it runs", || ground.processes().iter().filter(|stat| stat.comm == "sleep").count() == count).await;
    let activity = launcher.activity(id(), Epoch::FIRST).await.unwrap();
    stop(&ground, &launcher, Epoch::FIRST).await;
    activity.busy
}

#[tokio::test]
async fn what_runs_in_a_terminal_is_seen_and_its_shell_alone_is_not() {
    // `script` gives its command a terminal, whose session a shell leads.
    let busy = busy_with("script -qfc 'sleep 1061; true' /dev/null", 1).await;
    assert_eq!(busy.as_deref(), Some("a terminal runs sleep"));
    let behind = busy_with("script -qfc 'sleep 1062 & wait' /dev/null", 1).await;
    assert_eq!(behind.as_deref(), Some("a terminal runs sleep"), "in the background too");
    let shell = busy_with("script -qfc 'exec sleep 1063' /dev/null & sleep 1064", 2).await;
    assert_eq!(shell, None, "what has no terminal, and what leads one and waits");
}

#[tokio::test]
async fn what_does_not_run_says_nothing() {
    let ground = Ground::new();
    let launcher = ground.launcher();
    assert!(launcher.activity(id(), Epoch::FIRST).await.is_err());
}
