//! Who belongs to a cluster: keys, protocols, versions, copies of data directories, clocks.

use std::{
    fs,
    io::Write as _,
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Client, Cluster, Registry, on_each_registry, processes, store, wait};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

on_each_registry!(
    a_node_with_another_key_stays_out_says_so_everywhere_and_joins_once_it_has_the_right_one,
    a_node_without_a_key_makes_none_where_there_is_a_cluster_and_says_whence_to_copy_it,
    a_cluster_is_reset_with_its_nodes_stopped_and_the_next_one_defines_it_anew,
    a_reset_by_force_costs_members_nothing_and_lets_a_node_that_stays_out_lose_the_race,
    a_node_of_another_protocol_or_a_version_too_far_away_stays_out_until_that_changes,
    a_copied_data_directory_is_refused_while_the_node_that_it_was_copied_from_is_online,
    a_node_that_finds_its_id_taken_over_serves_nobody,
    a_member_that_is_put_out_while_it_runs_keeps_its_programs_and_comes_back,
);

/// Runs a command against a node.
fn run(cluster: &Cluster, node: usize, arguments: &[&str]) -> Result<Output> {
    let files = &cluster.nodes()[node].files;
    let mut command = cluster.command(arguments)?;
    Ok(command.arg("--config-dir").arg(&files.config).arg("--data-dir").arg(&files.data).output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `list-nodes` says of the node with that name.
fn line_of(cluster: &Cluster, asked: usize, name: &str) -> Result<String> {
    let output = run(cluster, asked, &["list-nodes"])?;
    ensure!(output.status.success(), "{}", text(&output.stderr));
    let text = text(&output.stdout);
    let line = text.lines().find(|line| line.trim_end().ends_with(&format!("  {name}")));
    Ok(line.with_context(|| format!("{name} is not listed: {text}"))?.to_owned())
}

/// Two nodes with a key of their own each, the first of which runs.
async fn with_two_keys(registry: &Registry) -> Result<Cluster> {
    let mut cluster = registry.builder(2)?.prepare()?;
    for (index, key) in ["first key, of no other node", "second key, of no other node"].into_iter().enumerate() {
        let file = cluster.root().join(format!("key{index}"));
        write_key(&file, key)?;
        cluster.nodes()[index].files.add_setting("secure-cookie-key-file", &file.display().to_string())?;
    }
    cluster.node(0).start().await?;
    Ok(cluster)
}

fn write_key(file: &std::path::Path, key: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(file, key)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

async fn wait_line(cluster: &Cluster, name: &str, status: &str) -> Result<()> {
    wait::until(&format!("{name} to be listed as {status}"), wait::LONG, async || {
        let line = line_of(cluster, 0, name)?;
        ensure!(line.contains(&format!("  {status}  ")), "{line}");
        Ok(())
    })
    .await
}

async fn a_node_with_another_key_stays_out_says_so_everywhere_and_joins_once_it_has_the_right_one(
    registry: Registry,
) -> Result<()> {
    let mut cluster = with_two_keys(&registry).await?;
    cluster.node(1).start().await?;
    wait_line(&cluster, "n2", "Invalid secure cookie key").await?;
    assert!(line_of(&cluster, 1, "n2")?.contains("Invalid secure cookie key"), "asked at the node itself");
    let listed = cluster.client(0)?.nodes().await?;
    assert_eq!(listed.iter().map(|node| node.status.as_str()).collect::<Vec<_>>(), ["online", "invalid-key"]);

    // It says why on every page, and does nothing else.
    let out = cluster.client(1)?;
    for (path, accept) in [("/", "text/html"), ("/sign-in", "text/html"), ("/api/v1/sessions", "application/json")] {
        let reply = out.get_with(path, &[("accept", accept)]).await?;
        assert_eq!(reply.status, 503, "{path}");
        assert!(reply.text().contains("secure cookie key"), "{path}: {}", reply.text());
        assert!(!reply.header("retry-after").is_empty(), "{path}");
    }
    assert_eq!(out.get("/health-check").await?.status, 503);
    assert_eq!(out.get("/load-balancer/status").await?.status, 503);
    assert_eq!(out.post("/api/v1/sessions", &json!({"kind": "echo"})).await?.status, 503);
    assert_eq!(out.post("/api/v1/nodes/1/cordon", &json!({})).await?.status, 503);
    assert!(cluster.nodes()[1].log().contains("stays out of the cluster"), "{}", cluster.nodes()[1].log_tail());

    // Nothing is placed there.
    for _ in 0..3 {
        assert_eq!(cluster.client(0)?.launch_active("echo").await?.node.name, "n1");
    }
    let session = cluster.client(0)?.sessions().await?.pop().context("a session")?;
    assert_eq!(out.get(&session.path("")).await?.status, 503);

    fs::copy(cluster.root().join("key0"), cluster.root().join("key1"))?;
    cluster.node(1).stop().await?;
    wait_line(&cluster, "n2", "Offline").await?;
    cluster.node(1).start().await?;
    wait_line(&cluster, "n2", "Online").await?;
    assert!(cluster.client(1)?.get(&session.path("")).await?.status.is_success());
    Ok(())
}

async fn a_node_without_a_key_makes_none_where_there_is_a_cluster_and_says_whence_to_copy_it(
    registry: Registry,
) -> Result<()> {
    let mut cluster = with_two_keys(&registry).await?;
    let missing = cluster.root().join("key1");
    fs::remove_file(&missing)?;
    let error = format!("{:#}", cluster.node(1).start().await.expect_err("it has no key"));
    cluster.node(1).kill9()?;
    assert!(error.contains("copy it from node n1 (127.0.0.1:"), "{error}");
    let files = &cluster.nodes()[1].files;
    let mut encrypt = cluster.command(&["encrypt-password", "--config-dir"])?;
    encrypt.arg(&files.config).arg("--data-dir").arg(&files.data).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = encrypt.spawn()?;
    child.stdin.take().context("piped")?.write_all(b"s3cret\n")?;
    let output = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("copy it from node n1 (127.0.0.1:"), "{error}");
    assert!(!missing.exists(), "no key was made");
    assert_eq!(cluster.client(0)?.nodes().await?.len(), 1, "it did not register");
    Ok(())
}

async fn a_cluster_is_reset_with_its_nodes_stopped_and_the_next_one_defines_it_anew(registry: Registry) -> Result<()> {
    let mut cluster = with_two_keys(&registry).await?;
    let refused = run(&cluster, 0, &["reset-cluster"])?;
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    assert!(message.contains("online: n1") && message.trim_end().lines().count() == 1, "{message}");

    cluster.node(0).stop().await?;
    let reset = run(&cluster, 0, &["reset-cluster", "--json"])?;
    assert!(reset.status.success(), "{}", text(&reset.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&reset.stdout)?, json!({"reset": true}));
    cluster.node(1).start().await?;
    cluster.node(0).start().await?;
    wait_line(&cluster, "n1", "Invalid secure cookie key").await?;
    assert!(line_of(&cluster, 1, "n2")?.contains("  Online  "));
    // Who stays out answers nobody who takes the cluster down.
    cluster.node(0).stop().await?;
    Ok(())
}

async fn a_reset_by_force_costs_members_nothing_and_lets_a_node_that_stays_out_lose_the_race(
    registry: Registry,
) -> Result<()> {
    let mut cluster = with_two_keys(&registry).await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    assert!(run(&cluster, 0, &["reset-cluster", "--force"])?.status.success());
    // The member registers again with its next heartbeat.
    wait::until("the node to be a member again", wait::LONG, async || {
        ensure!(cluster.nodes()[0].log().contains("registered again"), "not yet");
        Ok(())
    })
    .await?;
    cluster.node(1).start().await?;
    wait_line(&cluster, "n2", "Invalid secure cookie key").await?;
    assert!(cluster.client(0)?.get(&session.path("")).await?.status.is_success());
    Ok(())
}

async fn a_node_of_another_protocol_or_a_version_too_far_away_stays_out_until_that_changes(
    registry: Registry,
) -> Result<()> {
    let mut cluster = registry.builder(2)?.prepare()?;
    cluster.node(0).start().await?;
    registry.execute(&cluster, "UPDATE nodes SET version = '7.3.0'")?;
    cluster.node(1).start().await?;
    wait_line(&cluster, "n2", "Incompatible version").await?;
    let reply = cluster.client(1)?.get("/").await?;
    assert!(reply.status == 503 && reply.text().contains("version"), "{}", reply.text());
    // It keeps trying by itself.
    registry.execute(&cluster, "UPDATE nodes SET version = '0.0.9' WHERE name = 'n1'")?;
    wait_line(&cluster, "n2", "Online").await?;
    cluster.client(1)?.get("/").await?.success()?;

    cluster.node(1).stop().await?;
    registry.execute(&cluster, "UPDATE cluster SET protocol = 2")?;
    cluster.node(1).start().await?;
    wait::until("both to stay out", wait::LONG, async || {
        for name in ["n1", "n2"] {
            let line = line_of(&cluster, 0, name)?;
            ensure!(line.contains("Invalid protocol"), "{line}");
        }
        Ok(())
    })
    .await?;
    registry.execute(&cluster, "UPDATE cluster SET protocol = 1")?;
    cluster.wait_online().await
}

async fn a_copied_data_directory_is_refused_while_the_node_that_it_was_copied_from_is_online(
    registry: Registry,
) -> Result<()> {
    let mut cluster = registry.builder(2)?.setting("node-timeout-seconds", "2").prepare()?;
    cluster.node(0).start().await?;
    let (original, copy) = (cluster.nodes()[0].files.data.clone(), cluster.nodes()[1].files.data.clone());
    fs::create_dir_all(&copy)?;
    fs::copy(original.join("node-id"), copy.join("node-id"))?;
    let error = format!("{:#}", cluster.node(1).start().await.expect_err("it is a copy"));
    assert!(error.contains("node 1 is online as n1 at 127.0.0.1:") && error.contains("is a copy"), "{error}");
    let nodes = cluster.client(0)?.nodes().await?;
    assert_eq!(
        nodes.iter().map(|node| (node.name.as_str(), node.status.as_str())).collect::<Vec<_>>(),
        [("n1", "online")]
    );

    // Without the file that tells who it is, it is a node of its own.
    fs::remove_file(copy.join("node-id"))?;
    cluster.node(1).kill9()?;
    cluster.node(1).start().await?;
    cluster.wait_online().await?;
    assert_eq!(cluster.client(0)?.nodes().await?.len(), 2);
    Ok(())
}

async fn a_node_that_finds_its_id_taken_over_serves_nobody(registry: Registry) -> Result<()> {
    let mut cluster = registry.builder(1)?.prepare()?;
    cluster.node(0).start().await?;
    // As when a copy had registered while this one was cut off.
    registry.execute(&cluster, "UPDATE nodes SET place = 'elsewhere'")?;
    wait::until("the node to notice", wait::LONG, async || {
        let reply = cluster.client(0)?.get("/").await?;
        ensure!(reply.status == 503 && reply.text().contains("is online as n1"), "{}", reply.status);
        Ok(())
    })
    .await?;
    // The other falls silent, and this one takes its place again.
    wait::until("the node to be back", wait::LONG, async || cluster.client(0)?.get("/").await?.success()).await?;
    Ok(())
}

#[tokio::test]
async fn clocks_are_compared_with_the_registrys_and_shown() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    wait::until("the clock to be measured", Duration::from_secs(30), async || {
        let output = run(&cluster, 0, &["list-nodes", "--json"])?;
        let listed: Value = serde_json::from_slice(&output.stdout)?;
        let ahead = listed["nodes"][0]["clock_ahead_ms"].as_i64().context("not yet")?;
        // One machine, one clock.
        ensure!(ahead.abs() < 2000, "{ahead}");
        Ok(())
    })
    .await?;
    let home = Client::by_link(&cluster.nodes()[0].authority(), cluster.nodes()[0].sign_in()).await?;
    assert!(!home.get("/").await?.text().contains("the clock of"));

    // Another node, as its last heartbeat has left it.
    store::execute(
        &cluster.root().join("store"),
        "INSERT INTO nodes (name, address, version, cores, memory_total, weight, labels, kinds, load1, load5, load15,
                            memory_available, last_seen, clock_ahead)
         SELECT 'late', 'late:1', version, cores, memory_total, weight, labels, '[]', 0, 0, 0, 0, last_seen + 5000, -65432
         FROM nodes",
    )?;
    let told = "the clock of late is 65 s behind the registry's";
    assert!(home.get("/").await?.text().replace("&#39;", "'").contains(told));
    let output = run(&cluster, 0, &["list-nodes"])?;
    assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    Ok(())
}

async fn a_member_that_is_put_out_while_it_runs_keeps_its_programs_and_comes_back(registry: Registry) -> Result<()> {
    let cluster = registry.builder(1)?.start().await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let process = processes::by_id(session.pid.context("a process")?).context("the program runs")?;
    let mut socket = cluster.client(0)?.socket(&session.path("ws")).await?;
    // As after a reset by force that another node's key has won.
    registry.execute(&cluster, "UPDATE cluster SET key_hash = key_hash || '-of-another'")?;
    wait::until("the node to be put out", wait::LONG, async || {
        let reply = cluster.client(0)?.get(&session.path("")).await?;
        ensure!(reply.status == 503 && reply.text().contains("secure cookie key"), "{}", reply.status);
        Ok(())
    })
    .await?;
    assert!(line_of(&cluster, 0, "n1")?.contains("Invalid secure cookie key"));
    assert!(process.runs(), "the program ended");
    socket.send(Message::text("still there?")).await?;
    let answer = socket.next().await.context("an open web socket was cut")??;
    assert_eq!(answer, Message::text("still there?"));
    registry.execute(&cluster, "UPDATE cluster SET key_hash = replace(key_hash, '-of-another', '')")?;
    wait::until("the session to be reached again", wait::LONG, async || {
        cluster.client(0)?.get(&session.path("")).await?.success()
    })
    .await?;
    assert_eq!(cluster.client(0)?.session(&session.id).await?.pid, session.pid);
    socket.close(None).await?;
    Ok(())
}
