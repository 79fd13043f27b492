//! What a daemon's death costs: nothing but what went through it.

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Cluster, Session, processes, wait};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

/// Launches sessions until one runs on that node, and waits until it answers.
async fn launch_on(cluster: &Cluster, node: &str) -> Result<Session> {
    for _ in 0..cluster.nodes().len() {
        let session = cluster.client(0)?.launch("echo").await?;
        if session.node.name == node {
            return cluster.client(0)?.wait_active(&session.id).await;
        }
    }
    anyhow::bail!("the balancer never chose {node}")
}

#[tokio::test]
async fn a_killed_daemon_ends_no_session_and_finds_its_own_again() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let survivor = launch_on(&cluster, "n2").await?;
    let other = launch_on(&cluster, "n3").await?;
    let pid = other.pid.context("a session that answers has a process")?;
    let process = processes::by_id(pid).context("the program runs")?;
    let mut socket = cluster.client(0)?.socket(&survivor.path("ws")).await?;

    cluster.node(2).kill9()?;
    assert!(process.runs(), "the session ended with its daemon");
    socket.send(Message::text("still there?")).await?;
    let answer = socket.next().await.context("the web socket to a session on another node was cut")??;
    assert_eq!(answer, Message::text("still there?"));

    cluster.node(2).start().await?;
    cluster.wait_online().await?;
    let again = cluster.client(0)?.wait_active(&other.id).await?;
    assert_eq!((again.pid, &again.node), (Some(pid), &other.node));
    assert!(process.runs(), "the session ended when its daemon came back");
    wait::until("the session to be reached again", wait::LONG, async || {
        let reply = cluster.client(0)?.get(&other.path("")).await?;
        ensure!(reply.status.is_success(), "status {}", reply.status);
        Ok(())
    })
    .await?;
    socket.close(None).await?;
    Ok(())
}

#[tokio::test]
async fn an_orderly_restart_ends_no_session_either() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let owner = cluster.index(&session.node.name)?;
    assert!(cluster.node(owner).stop().await?.success());
    cluster.node(owner).start().await?;
    let (_, client) = cluster.client_elsewhere(&session.node.name)?;
    let again = client.wait_active(&session.id).await?;
    assert_eq!(again.pid, session.pid);
    wait::until("the session to be reached again", wait::LONG, async || client.get(&session.path("")).await?.success())
        .await?;
    Ok(())
}

#[tokio::test]
async fn open_web_sockets_do_not_hold_up_a_restart_until_sessions_are_taken_for_lost() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let session = launch_on(&cluster, "n2").await?;
    let mut socket = cluster.client(1)?.socket(&session.path("ws")).await?;
    assert!(cluster.node(1).stop().await?.success());
    let end = socket.next().await;
    assert!(!matches!(end, Some(Ok(Message::Text(_) | Message::Binary(_)))), "{end:?}");
    // A lost session could be resumed elsewhere, and this one still runs.
    assert_eq!(cluster.client(0)?.session(&session.id).await?.state, "active");
    cluster.node(1).start().await?;
    assert!(!cluster.nodes()[0].log().contains("are lost"), "{}", cluster.nodes()[0].log_tail());
    assert_eq!(cluster.client(1)?.wait_active(&session.id).await?.pid, session.pid);
    Ok(())
}

#[tokio::test]
async fn a_session_can_be_ended_after_its_daemon_was_killed_and_came_back() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let process = processes::by_id(session.pid.context("a session that answers has a process")?).context("it runs")?;
    cluster.node(0).kill9()?;
    cluster.node(0).start().await?;
    cluster.client(0)?.end(&session.id).await?;
    cluster.client(0)?.wait_state(&session.id, |state| state == "ended").await?;
    assert!(!process.runs(), "the session is shown as ended and still runs");
    Ok(())
}

#[tokio::test]
async fn a_program_that_dies_makes_its_session_end_with_the_reason() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let process = processes::by_id(session.pid.context("a session that answers has a process")?).context("it runs")?;
    process.kill();
    let session = cluster.client(0)?.wait_state(&session.id, |state| state != "active").await?;
    assert_eq!(session.state, "failed");
    let failure = session.failure.context("a failed session says why")?;
    assert!(failure.contains("SIGKILL"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn daemons_that_are_killed_while_sessions_start_lose_none_and_start_none_twice() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let client = cluster.client(0)?.clone();
    let mut launches = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let client = client.clone();
        launches.spawn(async move { client.launch("echo").await });
    }
    for killed in [1, 2, 1, 2] {
        let session = launches.join_next().await.context("more sessions than kills")???;
        cluster.node(killed).kill9().with_context(|| session.id)?;
        cluster.node(killed).start().await?;
    }
    launches.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let mut programs = std::collections::BTreeSet::new();
    for session in cluster.client(0)?.sessions().await? {
        let session = cluster.client(0)?.wait_active(&session.id).await?;
        let pid = session.pid.context("a session that answers has a process")?;
        programs.insert(pid);
    }
    assert_eq!(programs.len(), 30);
    // What was started and is no session's is found and ended.
    wait::until("one program a session", wait::LONG, async || {
        let running: Vec<_> =
            cluster.processes().into_iter().filter(|process| process.command.contains("evenkeel-echo")).collect();
        ensure!(running.len() == 30, "{} run: {running:?}", running.len());
        Ok(())
    })
    .await
}
