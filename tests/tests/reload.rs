//! SIGHUP has a daemon take up its configuration while its sessions go on.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Cluster, Node, wait};
use serde_json::{Value, json};

const MORE: &str = r#"
name = "more"
title = "More"
program = "/bin/sh"
arguments = ["-c", "exit 0", "sh", "{socket}"]
listen = "unix"
base-path = "kept"
suspend = "loses"

[ready]
path = "{base_path}"
"#;

fn write(node: &Node, name: &str, text: &str) -> Result<()> {
    let file = node.files.config.join(name);
    fs::write(&file, text).with_context(|| file.display().to_string())
}

/// Waits until the daemon has logged a line that holds this text, so often.
async fn logged(node: &Node, text: &str, times: usize) -> Result<()> {
    wait::until(&format!("the log to say {text:?}"), wait::LONG, async || {
        let count = node.log().matches(text).count();
        ensure!(count >= times, "{count} times; {}", node.log_tail());
        Ok(())
    })
    .await
}

/// The name of the balancer that decides.
async fn balancer(cluster: &Cluster) -> Result<String> {
    let list: Value = cluster.client(0)?.get("/api/v1/balancers").await?.success()?.json()?;
    let items = list["items"].as_array().context("items")?;
    let active: Vec<_> = items.iter().filter(|one| one["state"] == "active").collect();
    ensure!(active.len() == 1, "{list}");
    Ok(active[0]["name"].as_str().context("a name")?.to_owned())
}

#[tokio::test]
async fn what_can_be_reloaded_is_and_a_session_survives_it() -> Result<()> {
    let cluster = Builder::for_test(1)?.balancer("sessions").start().await?;
    let (node, client) = (&cluster.nodes()[0], cluster.client(0)?);
    let session = client.launch_active("echo").await?;
    assert_eq!(balancer(&cluster).await?, "sessions");

    write(node, "load-balancer", "balancer=user-hash\n[balancer user-hash]\nscheme=modulo\n")?;
    write(node, "profiles", "[*]\nsession-limit=1\n")?;
    write(node, "logging.conf", "[*]\nlog-level=debug\n")?;
    write(node, "kinds/more.toml", MORE)?;
    let set = [("node-weight", "50"), ("node-label-rack", "7"), ("node-capacity", "9"), ("auth-timeout-minutes", "70")];
    for (name, value) in set {
        node.files.add_setting(name, value)?;
    }
    node.hang_up()?;
    logged(node, "the configuration is reloaded: profiles, balancer, node, log level, kinds", 1).await?;
    logged(node, "rserver.conf: auth-timeout-minutes has changed, and holds after a restart of the daemon", 1).await?;
    wait::until("the node's own settings to be known", wait::LONG, async || {
        let nodes = client.nodes().await?;
        let known = &nodes.first().context("a node")?.rest;
        ensure!(known["weight"] == 50 && known["labels"]["rack"] == "7" && known["capacity"] == 9, "{known:?}");
        ensure!(known["kind_versions"].is_object() && known["cordoned"] == false, "{known:?}");
        Ok(())
    })
    .await?;

    assert_eq!(balancer(&cluster).await?, "user-hash");
    wait::until("the new kind to be offered", wait::LONG, async || {
        let kinds: Value = client.get("/api/v1/kinds").await?.success()?.json()?;
        let is_there = kinds["items"].as_array().is_some_and(|all| all.iter().any(|kind| kind["title"] == "More"));
        ensure!(is_there, "{kinds}");
        Ok(())
    })
    .await?;
    let refused = client.post("/api/v1/sessions", &json!({ "kind": "echo" })).await?;
    assert_eq!(refused.status.as_u16(), 409, "the limit of one session holds");

    let same = client.session(&session.id).await?;
    assert_eq!((same.state.as_str(), same.pid), ("active", session.pid));
    client.get(&format!("/s/{}/", session.id)).await?.success()?;
    client.end(&session.id).await?;
    client.wait_state(&session.id, |state| state == "ended").await?;
    client.launch_active("echo").await?;
    let placements: Value = client.get("/api/v1/placements").await?.success()?.json()?;
    assert_eq!(placements["items"][0]["balancer"], "user-hash", "{placements}");
    Ok(())
}

#[tokio::test]
async fn a_reload_with_an_error_changes_nothing_and_tells_every_error() -> Result<()> {
    let cluster = Builder::for_test(1)?.balancer("sessions").start().await?;
    let (node, client) = (&cluster.nodes()[0], cluster.client(0)?);
    let session = client.launch_active("echo").await?;

    // Each of these alone would be taken.
    write(node, "profiles", "[*]\nsession-limit=1\n")?;
    write(node, "load-balancer", "balancer=user-hash\nbalancer-timeout=0\n")?;
    node.files.add_setting("www-port", "http")?;
    node.hang_up()?;
    logged(node, "the configuration is not reloaded: nothing has changed", 1).await?;
    let log = node.log();
    assert!(
        log.contains("load-balancer:2: balancer-timeout: expected a whole number from 1 to 20, found `0`"),
        "{log}"
    );
    assert!(log.contains("www-port: expected a port from 0 to 65535, found `http`"), "{log}");
    assert_eq!(balancer(&cluster).await?, "sessions");
    let second = client.launch_active("echo").await?;

    // A balancer that cannot be had, and a kind that is wrong, are found before anything holds as well.
    let server = fs::read_to_string(node.files.config.join("rserver.conf"))?.replace("www-port=http\n", "");
    write(node, "rserver.conf", &server)?;
    write(node, "load-balancer", "balancer=user-hash\nbalancer-fallback=refuse\n[balancer user-hash]\nscheme=none\n")?;
    write(node, "kinds/more.toml", "name = \"more\"\n")?;
    node.hang_up()?;
    logged(node, "the configuration is not reloaded: nothing has changed", 2).await?;
    let log = node.log();
    assert!(log.contains("balancer=user-hash: ") && log.contains("more.toml:1: "), "{log}");
    assert_eq!(balancer(&cluster).await?, "sessions");

    write(node, "load-balancer", "balancer=user-hash\n")?;
    fs::remove_file(node.files.config.join("kinds/more.toml"))?;
    node.hang_up()?;
    logged(node, "the configuration is reloaded: profiles, balancer, kinds", 1).await?;
    assert_eq!(balancer(&cluster).await?, "user-hash");
    for id in [session.id, second.id] {
        assert_eq!(client.session(&id).await?.state, "active");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_said_of_other_nodes_and_of_the_end_is_reloaded_too() -> Result<()> {
    let mut cluster = Builder::for_test(2)?.start().await?;
    let node = &cluster.nodes()[1];
    write(node, "load-balancer", "delete-node-on-exit=1\ntimeout=3\n")?;
    node.hang_up()?;
    logged(node, "the configuration is reloaded: timeout, delete-node-on-exit, kinds", 1).await?;
    for name in ["timeout", "delete-node-on-exit"] {
        assert!(!node.log().contains(&format!("{name} has changed, and holds")), "{}", node.log_tail());
    }
    cluster.node(1).stop().await?;
    let names: Vec<_> = cluster.client(0)?.nodes().await?.into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["n1"]);
    Ok(())
}

#[tokio::test]
async fn where_a_node_is_reached_its_shadow_and_what_is_kept_are_reloaded_too() -> Result<()> {
    let cluster = Builder::for_test(2)?.start().await?;
    let (node, [here, there]) = (&cluster.nodes()[1], [cluster.client(1)?, cluster.client(0)?]);
    let session = wait::until("a session at the second node", wait::LONG, async || {
        let session = here.launch_active("echo").await?;
        ensure!(session.node.name == "n2", "it is at {}", session.node.name);
        Ok(session)
    })
    .await?;
    let shown = async |session: &str| {
        let placements: Value = here.get(&format!("/api/v1/placements?session={session}")).await?.success()?.json()?;
        let placement = placements["items"][0].clone();
        let shown = here.get(&format!("/api/v1/placements/{}/shown", placement["id"])).await?;
        anyhow::Ok((placement, shown.status.as_u16()))
    };
    let is_kept = async |session: &str, kept: bool| {
        wait::until("what is kept of a decision", wait::LONG, async || {
            let (placement, status) = shown(session).await?;
            ensure!((status == 200) == kept, "{status}: {placement}");
            Ok(placement)
        })
        .await
    };
    is_kept(&session.id, true).await?;

    write(node, "load-balancer", "www-host-name=localhost\nbalancer-shadow=user-hash\nplacement-records-mb=0\n")?;
    node.hang_up()?;
    logged(node, "the configuration is reloaded: shadow, placement records, host name, node, kinds", 1).await?;
    assert!(!node.log().contains("holds after a restart"), "{}", node.log_tail());
    let address = node.authority().replace("127.0.0.1", "localhost");
    wait::until("the other node to know where this one is", wait::LONG, async || {
        let nodes = there.nodes().await?;
        ensure!(nodes.iter().any(|known| known.name == "n2" && known.address == address), "{nodes:?}");
        Ok(())
    })
    .await?;
    there.get(&session.path("")).await?.success()?;
    is_kept(&session.id, false).await?;

    let second = here.launch_active("echo").await?;
    wait::until("the shadow to have been asked", wait::LONG, async || {
        let (placement, status) = shown(&second.id).await?;
        ensure!(placement["shadow"]["balancer"] == "user-hash" && status == 404, "{status}: {placement}");
        Ok(())
    })
    .await?;

    write(node, "load-balancer", "www-host-name=localhost\n")?;
    node.hang_up()?;
    logged(node, "the configuration is reloaded: shadow, placement records, kinds", 1).await?;
    let third = here.launch_active("echo").await?;
    let placement = is_kept(&third.id, true).await?;
    assert_eq!(placement["shadow"], Value::Null, "{placement}");
    let list: Value = here.get("/api/v1/balancers").await?.success()?.json()?;
    assert!(list["items"].as_array().is_some_and(|all| all.iter().all(|one| one["state"] != "shadow")), "{list}");
    Ok(())
}

#[tokio::test]
async fn what_was_set_by_command_holds_before_what_a_reload_brings() -> Result<()> {
    let cluster = Builder::for_test(1)?.start().await?;
    let (node, client) = (&cluster.nodes()[0], cluster.client(0)?);
    let id = client.nodes().await?.first().context("a node")?.id;
    client.patch(&format!("/api/v1/nodes/{id}"), &json!({ "weight": 30 })).await?.success()?;
    client.post(&format!("/api/v1/nodes/{id}/cordon"), &json!({})).await?.success()?;
    node.files.add_setting("node-weight", "50")?;
    node.files.add_setting("node-label-rack", "7")?;
    node.hang_up()?;
    wait::until("the label to be known", wait::LONG, async || {
        let nodes = client.nodes().await?;
        let known = &nodes.first().context("a node")?.rest;
        ensure!(known["labels"]["rack"] == "7", "{known:?}");
        ensure!(known["weight"] == 30 && known["cordoned"] == true, "{known:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_hangup_that_comes_while_the_daemon_starts_is_a_reload_and_not_its_end() -> Result<()> {
    let mut cluster = Builder::for_test(1)?.prepare()?;
    cluster.node(0).spawn()?;
    let pid = cluster.node(0).pid().context("it runs")?;
    wait::until("the signal to be taken over", wait::LONG, async || {
        let status = procfs::process::Process::new(pid)?.status()?;
        ensure!(status.sigcgt & 1 != 0, "it would be the end");
        Ok(())
    })
    .await?;
    cluster.node(0).hang_up()?;
    cluster.node(0).wait_ready().await?;
    logged(&cluster.nodes()[0], "the configuration is reloaded", 1).await?;
    cluster.close().await
}
