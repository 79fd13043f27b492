//! Which node a session goes to, as the whole system answers it.

use std::collections::BTreeMap;

use anyhow::Result;
use evenkeel_tests::{Builder, Cluster, Session};
use futures_util::future::try_join_all;

/// How many sessions each node got.
fn counts(sessions: &[Session]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::from([("n1", 0), ("n2", 0), ("n3", 0)]);
    for session in sessions {
        *counts.entry(session.node.name.as_str()).or_default() += 1;
    }
    counts
}

fn assert_even(sessions: &[Session]) {
    let counts = counts(sessions);
    let most = counts.values().max().copied().unwrap_or_default();
    let least = counts.values().min().copied().unwrap_or_default();
    assert!(most - least <= 1, "no two nodes may differ by more than one session: {counts:?}");
}

/// Launches one session after the other, each at the next node.
async fn launch_in_turn(cluster: &Cluster, count: usize) -> Result<Vec<Session>> {
    let mut sessions = Vec::new();
    for index in 0..count {
        sessions.push(cluster.client(index % cluster.nodes().len())?.launch("echo").await?);
    }
    Ok(sessions)
}

/// Launches that many sessions at once, at all nodes.
async fn launch_at_once(cluster: &Cluster, count: usize) -> Result<Vec<Session>> {
    try_join_all((0..count).map(async |index| cluster.client(index % cluster.nodes().len())?.launch("echo").await))
        .await
}

#[tokio::test]
async fn sessions_spread_evenly_over_equal_nodes() -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let sessions = launch_in_turn(&cluster, 9).await?;
    assert_even(&sessions);
    Ok(())
}

#[tokio::test]
async fn two_hundred_launches_at_once_from_three_nodes_spread_evenly() -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let sessions = launch_at_once(&cluster, 200).await?;
    assert_eq!(sessions.len(), 200);
    assert_even(&sessions);
    Ok(())
}

#[tokio::test]
async fn launches_at_once_see_the_sessions_that_are_there_already() -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let mut sessions = launch_at_once(&cluster, 4).await?;
    sessions.extend(launch_at_once(&cluster, 7).await?);
    assert_even(&sessions);
    Ok(())
}

#[tokio::test]
async fn a_node_of_double_weight_takes_double_the_sessions() -> Result<()> {
    let mut cluster = Builder::for_test(3)?.prepare()?;
    cluster.node(1).files.add_setting("node-weight", "200")?;
    cluster.start_all().await?;
    let sessions = launch_in_turn(&cluster, 8).await?;
    assert_eq!(counts(&sessions), BTreeMap::from([("n1", 2), ("n2", 4), ("n3", 2)]));
    Ok(())
}

#[tokio::test]
async fn under_user_hash_a_user_keeps_their_node_from_every_daemon_and_after_a_restart() -> Result<()> {
    let mut cluster = Builder::for_test(3)?.balancer("user-hash").start().await?;
    let before = launch_in_turn(&cluster, 6).await?;
    let home = before[0].node.name.clone();
    for session in &before {
        assert_eq!(session.node.name, home, "session {} of the same user went elsewhere", session.id);
    }
    for index in 0..3 {
        cluster.node(index).stop().await?;
    }
    cluster.start_all().await?;
    for session in launch_in_turn(&cluster, 3).await? {
        assert_eq!(session.node.name, home, "after the restart, session {} went elsewhere", session.id);
    }
    Ok(())
}

#[tokio::test]
async fn under_system_load_the_least_loaded_node_is_chosen_by_its_five_minute_average() -> Result<()> {
    let builder = Builder::for_test(3)?.balancer("system-load").balancer_setting("expected-load", "0");
    let cluster = builder.loads(&[[0.0, 4.0, 0.0], [9.0, 0.5, 9.0], [0.0, 2.0, 0.0]]).start().await?;
    for session in launch_in_turn(&cluster, 6).await? {
        assert_eq!(session.node.name, "n2");
    }
    Ok(())
}

#[tokio::test]
async fn under_system_load_a_change_of_load_changes_the_choice() -> Result<()> {
    let builder = Builder::for_test(3)?.balancer("system-load").balancer_setting("expected-load", "0");
    let cluster = builder.loads(&[[0.0; 3], [3.0; 3], [3.0; 3]]).start().await?;
    assert_eq!(cluster.client(0)?.launch("echo").await?.node.name, "n1");
    cluster.nodes()[0].set_load([6.0; 3])?;
    cluster.nodes()[2].set_load([0.25; 3])?;
    cluster.wait_loads(&[[6.0; 3], [3.0; 3], [0.25; 3]]).await?;
    assert_eq!(cluster.client(0)?.launch("echo").await?.node.name, "n3");
    Ok(())
}

#[tokio::test]
async fn under_system_load_launches_in_a_row_do_not_all_go_to_the_machine_that_was_idle() -> Result<()> {
    let builder = Builder::for_test(3)?.balancer("system-load");
    let cluster = builder.loads(&[[0.02; 3], [0.01; 3], [0.0; 3]]).start().await?;
    let sessions = launch_in_turn(&cluster, 9).await?;
    assert_even(&sessions);
    Ok(())
}

#[tokio::test]
async fn a_placement_tells_who_decided_and_why() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let session = cluster.client(0)?.launch("echo").await?;
    let placements: serde_json::Value = cluster.client(1)?.get("/api/v1/placements").await?.success()?.json()?;
    let placement = &placements["items"][0];
    assert_eq!(placement["session"], session.id.as_str());
    assert_eq!(placement["balancer"], "sessions");
    assert_eq!(placement["digest"].as_str().map(str::len), Some(64));
    assert_eq!(placement["eligible"], 2);
    assert_eq!(placement["candidates"][0]["name"], session.node.name.as_str());
    assert_eq!(placement["fallback"], serde_json::Value::Null);
    Ok(())
}
