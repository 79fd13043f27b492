//! Starts that nobody has claimed, on nodes that will not: they are placed again, and run once.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use evenkeel_tests::{Cluster, Registry, Session, on_each_registry, wait};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::time::timeout;

on_each_registry!(
    what_a_silent_node_never_claimed_runs_on_another_and_there_alone,
    what_waits_for_a_place_on_a_node_that_is_drained_starts_on_another,
    what_no_node_can_take_waits_until_one_can,
);

async fn launch(cluster: &Cluster, request: &Value) -> Result<Session> {
    cluster.client(0)?.post("/api/v1/sessions", request).await?.success()?.json()
}

/// Orders something of a node by its name.
async fn order(cluster: &Cluster, node: &str, order: &str) -> Result<()> {
    let nodes = cluster.client(0)?.nodes().await?;
    let id = nodes.iter().find(|known| known.name == node).context("it is known")?.id;
    cluster.client(0)?.post(&format!("/api/v1/nodes/{id}/{order}"), &json!({})).await?.success()?;
    Ok(())
}

/// Stops a daemon where it stands, or lets it go on.
fn signal(cluster: &Cluster, index: usize, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(cluster.nodes()[index].pid().context("it runs")?), signal)?)
}

/// Keeps sessions off the first node, and stops the second where it stands; but not in a transaction, whose lock would hold
/// up the first one until the registry cuts it off.
async fn freeze_the_second(cluster: &Cluster) -> Result<()> {
    const NO_LOCK: Duration = Duration::from_secs(1);
    wait::until("the second node to stand still without a lock", wait::LONG, async || {
        signal(cluster, 1, Signal::SIGSTOP)?;
        match timeout(NO_LOCK, order(cluster, "n1", "cordon")).await {
            Ok(done) => done,
            Err(_) => {
                signal(cluster, 1, Signal::SIGCONT)?;
                bail!("it holds a lock")
            }
        }
    })
    .await
}

async fn what_a_silent_node_never_claimed_runs_on_another_and_there_alone(registry: Registry) -> Result<()> {
    let cluster = registry.builder(2)?.setting("node-timeout-seconds", "6").start().await?;
    let ran = cluster.root().join("ran");
    freeze_the_second(&cluster).await?;
    let script = format!("echo once >> {}; sleep 600", ran.display());
    // Both before its silence is noticed.
    let (echo, once) = (json!({ "kind": "echo" }), json!({ "kind": "job", "command": ["/bin/sh", "-c", script] }));
    let (session, job) = tokio::try_join!(launch(&cluster, &echo), launch(&cluster, &once))?;
    for placed in [&session, &job] {
        assert_eq!((placed.node.name.as_str(), placed.state.as_str()), ("n2", "starting"));
    }
    order(&cluster, "n1", "uncordon").await?;
    let client = cluster.client(0)?.clone();
    let mut moved = Vec::new();
    for id in [&session.id, &job.id] {
        let active = client.wait_active(id).await?;
        assert_eq!(active.node.name, "n1");
        moved.push(active);
    }
    wait::until("the job to have run", wait::LONG, async || Ok(fs::read_to_string(&ran)?)).await?;

    signal(&cluster, 1, Signal::SIGCONT)?;
    cluster.wait_online().await?;
    // By then the node has read its rows more than once.
    order(&cluster, "n1", "cordon").await?;
    let other = launch(&cluster, &json!({ "kind": "echo" })).await?;
    assert_eq!(client.wait_active(&other.id).await?.node.name, "n2");
    for before in moved {
        let now = client.session(&before.id).await?;
        assert_eq!((now.state.as_str(), &now.node, now.pid), ("active", &before.node, before.pid));
    }
    assert_eq!(fs::read_to_string(&ran)?, "once\n");
    Ok(())
}

async fn what_waits_for_a_place_on_a_node_that_is_drained_starts_on_another(registry: Registry) -> Result<()> {
    let echo = include_str!("../kinds/echo.toml");
    let stuck = echo
        .replace("name = \"echo\"", "name = \"stuck\"")
        .replace("\"--base-path={base_path}\"]", "\"--base-path={base_path}\", \"--never-ready\"]");
    let builder = registry.builder(2)?.kind("stuck", stuck).setting("node-start-limit", "1");
    let cluster = builder.start().await?;
    let client = cluster.client(0)?;
    order(&cluster, "n1", "cordon").await?;
    let first = launch(&cluster, &json!({ "kind": "stuck" })).await?;
    wait::until("the only place to be taken", wait::LONG, async || {
        ensure!(client.session(&first.id).await?.pid.is_some(), "it has no process");
        Ok(())
    })
    .await?;
    let waiting = launch(&cluster, &json!({ "kind": "echo" })).await?;
    assert_eq!((first.node.name.as_str(), waiting.node.name.as_str()), ("n2", "n2"));
    order(&cluster, "n1", "uncordon").await?;
    assert_eq!(client.session(&waiting.id).await?.node.name, "n2");
    order(&cluster, "n2", "drain").await?;
    assert_eq!(client.wait_active(&waiting.id).await?.node.name, "n1");
    let same = client.session(&first.id).await?;
    assert_eq!((same.state.as_str(), same.node.name.as_str()), ("starting", "n2"), "it has been claimed");
    client.end(&first.id).await
}

async fn what_no_node_can_take_waits_until_one_can(registry: Registry) -> Result<()> {
    let mut cluster = registry.builder(2)?.setting("node-timeout-seconds", "4").start().await?;
    freeze_the_second(&cluster).await?;
    let session = launch(&cluster, &json!({ "kind": "echo" })).await?;
    assert_eq!(session.node.name, "n2");
    cluster.node(1).kill9()?;
    let client = cluster.client(0)?.clone();
    wait::until("the node to be offline", wait::LONG, async || {
        let nodes = client.nodes().await?;
        ensure!(nodes.iter().any(|node| node.name == "n2" && node.status == "offline"), "{nodes:?}");
        Ok(())
    })
    .await?;
    let id = client.nodes().await?.iter().find(|node| node.name == "n2").context("it is known")?.id;
    client.delete(&format!("/api/v1/nodes/{id}")).await?.success()?;
    assert_eq!(client.session(&session.id).await?.state, "starting");
    cluster.node(1).start().await?;
    let active = client.wait_active(&session.id).await?;
    assert_eq!(active.node.name, "n2");
    Ok(())
}
