//! The commands that ask a running daemon.

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::Cluster;
use serde_json::Value;

/// Runs a command against the first node and yields what it prints.
fn run(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.command(arguments)?.arg("--data-dir").arg(&cluster.nodes()[0].files.data).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {}: {error}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn list_nodes_shows_every_node_in_the_legacy_columns() -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let text = run(&cluster, &["list-nodes"])?;
    let heads = text.lines().find(|line| line.starts_with("ID")).context("no line of column heads")?;
    let heads: Vec<_> = heads.split("  ").map(str::trim).filter(|head| !head.is_empty()).collect();
    assert_eq!(heads[..6], ["ID", "Host", "IPv4", "Port", "Status", "Last Seen"]);
    for node in cluster.nodes() {
        let port = node.authority().rsplit(':').next().context("a port")?.to_owned();
        assert!(text.lines().any(|line| line.contains(&port) && line.contains("Online")), "{text}");
    }
    let json: Value = serde_json::from_str(&run(&cluster, &["list-nodes", "--json"])?)?;
    assert_eq!(json["nodes"].as_array().map(Vec::len), Some(3), "{json}");
    Ok(())
}

#[tokio::test]
async fn sessions_and_why_tell_of_a_session_and_its_placement() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let session = cluster.client(1)?.launch_active("echo").await?;
    let text = run(&cluster, &["sessions"])?;
    assert!(text.lines().any(|line| line.contains(&session.id) && line.contains(&session.node.name)), "{text}");
    let json: Value = serde_json::from_str(&run(&cluster, &["sessions", "--json"])?)?;
    assert_eq!(json["sessions"][0]["id"], session.id.as_str(), "{json}");
    let text = run(&cluster, &["why", &session.id])?;
    assert!(text.contains(&session.node.name) && text.contains("sessions"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_daemon_is_asked_whatever_is_wrong_with_the_files_by_now() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let node = &cluster.nodes()[0];
    node.files.add_setting("www-port", "not-a-port")?;
    let output = cluster
        .command(&["list-nodes", "--config-dir"])?
        .arg(&node.files.config)
        .arg("--data-dir")
        .arg(&node.files.data)
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{error}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Online"));
    Ok(())
}

#[tokio::test]
async fn a_command_that_fails_says_so_in_one_line_and_its_status() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let data = cluster.nodes()[0].files.data.clone();
    let nowhere = cluster.root().join("nowhere");
    for (arguments, data) in [(&["why", "00000000"][..], &data), (&["sessions"], &nowhere), (&["list-nodes"], &nowhere)]
    {
        let output = cluster.command(arguments)?.arg("--data-dir").arg(data).output()?;
        assert!(!output.status.success(), "{arguments:?}");
        let message = String::from_utf8(output.stderr)?;
        assert_eq!(message.trim_end().lines().count(), 1, "{arguments:?}: {message}");
    }
    Ok(())
}
