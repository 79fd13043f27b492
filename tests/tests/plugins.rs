//! Changing the placement policy of a running cluster by copying a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Client, Cluster, wait};
use serde_json::Value;

/// A cluster of three nodes that share one plugins directory and place by the plugin `mine` in it.
struct Ground {
    cluster: Cluster,
    plugin: PathBuf,
}

impl Ground {
    async fn start(module: &str) -> Result<Self> {
        let mut cluster = Builder::for_test(3)?.shared_plugins().balancer("mine").prepare()?;
        let plugin = cluster.plugins().join("mine.wasm");
        fs::copy(built(module), &plugin)?;
        cluster.start_all().await?;
        Ok(Self { cluster, plugin })
    }

    /// Runs a command against the first node; whether it succeeded, and what it printed.
    fn run(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let output =
            self.cluster.command(arguments)?.arg("--data-dir").arg(&self.cluster.nodes()[0].files.data).output()?;
        let text = if output.status.success() { output.stdout } else { output.stderr };
        Ok((output.status.success(), String::from_utf8(text)?))
    }

    /// The digest of a file, as the program tells it.
    fn digest(&self, file: &Path) -> Result<String> {
        let (taken, text) = self.run(&["plugin", "check", "--json", file.to_str().context("a path")?])?;
        ensure!(taken, "{text}");
        let report: Value = serde_json::from_str(&text)?;
        Ok(report["digest"].as_str().context("a digest")?.to_owned())
    }

    /// Waits until every node has told the cluster that it places with this module.
    async fn wait_published(&self, digest: &str) -> Result<()> {
        let client = self.cluster.client(0)?;
        wait::until("every node to publish the module", wait::LONG, async || {
            for node in client.nodes().await? {
                ensure!(node.rest["balancer_digest"] == digest, "{}: {}", node.name, node.rest["balancer_digest"]);
            }
            Ok(())
        })
        .await
        .with_context(|| self.cluster.nodes()[0].log_tail())
    }

    /// Starts a session at each node, and finds each decided by this module. Yields the nodes they went to.
    async fn launch(&self, digest: &str) -> Result<Vec<String>> {
        let mut nodes = Vec::new();
        for index in 0..self.cluster.nodes().len() {
            let session = self.cluster.client(index)?.launch("echo").await?;
            let (known, text) = self.run(&["why", &session.id])?;
            ensure!(known && text.contains(digest) && text.contains("by mine in"), "{text}");
            nodes.push(session.node.name);
        }
        Ok(nodes)
    }
}

/// A module that ships with the program.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/dist/{name}.wasm"))
}

/// What a node says of its balancers.
async fn balancers(client: &Client) -> Result<Vec<Value>> {
    let list: Value = client.get("/api/v1/balancers").await?.success()?.json()?;
    Ok(list["items"].as_array().context("a list")?.clone())
}

async fn wait_refused(client: &Client) -> Result<()> {
    wait::until("the file to be refused", wait::LONG, async || {
        let balancers = balancers(client).await?;
        ensure!(balancers.iter().any(|balancer| balancer["state"] == "refused"), "{balancers:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn copying_a_file_changes_the_policy_of_a_running_cluster() -> Result<()> {
    let ground = Ground::start("sessions").await?;
    let [before, after] = ["sessions", "user-hash"].map(|name| ground.digest(&built(name)));
    let (before, after) = (before?, after?);
    ground.wait_published(&before).await?;
    let mut nodes = ground.launch(&before).await?;
    nodes.sort();
    assert_eq!(nodes, ["n1", "n2", "n3"], "`sessions` spreads them");

    fs::copy(built("user-hash"), &ground.plugin)?;
    ground.wait_published(&after).await?;
    let mut nodes = ground.launch(&after).await?;
    nodes.dedup();
    assert_eq!(nodes.len(), 1, "`user-hash` keeps a user's sessions together");
    let (_, text) = ground.run(&["plugin", "list"])?;
    let row = text.lines().find(|line| line.starts_with("mine")).context("a row")?;
    assert!(row.contains("active") && row.contains(&after[..12]) && row.contains("mine.wasm"), "{text}");
    assert!(row.contains("1.0.0"), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_else_could_be_selected_is_listed_with_the_builtin_balancers() -> Result<()> {
    let ground = Ground::start("sessions").await?;
    let directory = ground.cluster.plugins();
    fs::copy(built("user-hash"), directory.join("spare.wasm"))?;
    fs::write(directory.join("no name.wasm"), "")?;
    fs::write(directory.join("README"), "")?;
    wait::until("the other file to be listed", wait::LONG, async || {
        let (known, text) = ground.run(&["plugin", "list"])?;
        let cells = |name: &str| -> Result<Vec<&str>> {
            let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("{name} in {text}"))?;
            Ok(line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        };
        let spare = directory.join("spare.wasm").display().to_string();
        ensure!(cells("spare")? == ["spare", "available", "file", "-", "-", "0", "0", "-", "-", "-", spare.as_str()]);
        ensure!(cells("user-hash")?[..4] == ["user-hash", "available", "builtin", "1.0.0"], "{text}");
        ensure!(cells("sessions")?[..3] == ["sessions", "ready", "builtin"], "it is named once: {text}");
        ensure!(known && !text.contains("no name") && !text.contains("README"), "{text}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn nodes_that_place_by_different_modules_are_named_by_commands_and_in_the_log() -> Result<()> {
    let mut cluster = Builder::for_test(2)?.prepare()?;
    for (node, module) in cluster.nodes().iter().zip(["sessions", "user-hash"]) {
        let plugins = cluster.root().join(format!("plugins-{}", node.name));
        fs::create_dir(&plugins)?;
        fs::copy(built(module), plugins.join("mine.wasm"))?;
        let text = format!("balancer=mine\nplugins-dir={}\n", plugins.display());
        fs::write(node.files.config.join("load-balancer"), text)?;
    }
    cluster.start_all().await?;
    let plugin = cluster.root().join("plugins-n2/mine.wasm");
    let ground = Ground { cluster, plugin };
    let digests = [ground.digest(&built("sessions"))?, ground.digest(&built("user-hash"))?];
    let mut parties = [format!("n1 by {}", &digests[0][..12]), format!("n2 by {}", &digests[1][..12])];
    parties.sort_by(|a, b| a[6..].cmp(&b[6..]));
    let apart = format!("nodes place by different balancers: {}", parties.join("; "));
    let warned = |arguments: &[&str]| -> Result<String> {
        let data = &ground.cluster.nodes()[0].files.data;
        let output = ground.cluster.command(arguments)?.arg("--data-dir").arg(data).output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stderr)?)
    };
    for command in [&["list-nodes"][..], &["plugin", "list"]] {
        assert_eq!(warned(command)?, format!("warning: {apart}\n"));
    }
    let log = async |words: &str| {
        wait::until(words, wait::LONG, async || {
            let log = ground.cluster.nodes()[0].log();
            ensure!(log.contains(words), "{log}");
            Ok(())
        })
        .await
    };
    log(&apart).await?;
    fs::copy(built("sessions"), &ground.plugin)?;
    log("all nodes place by the same balancer again").await?;
    assert_eq!(warned(&["list-nodes"])?, "");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_balancer_changes_nothing_not_even_over_a_restart() -> Result<()> {
    let mut ground = Ground::start("sessions").await?;
    let good = ground.digest(&built("sessions"))?;
    fs::write(&ground.plugin, "this is text")?;
    for index in 0..3 {
        wait_refused(ground.cluster.client(index)?).await?;
    }
    ground.launch(&good).await?;
    let (taken, text) = ground.run(&["plugin", "check", ground.plugin.to_str().context("a path")?])?;
    assert!(!taken && text.contains("mine.wasm") && text.contains("not a WebAssembly module"), "{text}");
    let (_, text) = ground.run(&["plugin", "list"])?;
    assert!(text.contains("refused") && text.contains("not a WebAssembly module"), "{text}");

    ground.cluster.node(1).stop().await?;
    ground.cluster.node(1).start().await?;
    ground.cluster.wait_online().await?;
    let list = balancers(ground.cluster.client(1)?).await?;
    assert_eq!((&list[0]["state"], &list[0]["source"]), (&"standing in".into(), &"kept".into()), "{list:?}");
    ground.wait_published(&good).await?;
    ground.launch(&good).await?;
    let log = ground.cluster.nodes()[0].log();
    assert_eq!(log.matches("the plugin is not taken").count(), 1, "{log}");
    Ok(())
}

#[tokio::test]
async fn a_cluster_starts_without_the_file_of_its_balancer_and_takes_it_up_when_it_comes() -> Result<()> {
    let mut cluster = Builder::for_test(2)?.prepare()?;
    let plugins = cluster.root().join("plugins");
    fs::create_dir(&plugins)?;
    for node in cluster.nodes() {
        let text = format!("balancer=mine\nplugins-dir={}\n", plugins.display());
        fs::write(node.files.config.join("load-balancer"), text)?;
    }
    cluster.start_all().await?;
    let mut ground = Ground { cluster, plugin: plugins.join("mine.wasm") };
    let session = ground.cluster.client(0)?.launch("echo").await?;
    let (known, text) = ground.run(&["why", &session.id])?;
    ensure!(known && text.contains("by sessions in") && text.contains("there is no balancer of that name"), "{text}");
    let (_, text) = ground.run(&["plugin", "list"])?;
    ensure!(text.contains("mine (missing): there is no balancer of that name"), "{text}");

    fs::copy(built("user-hash"), &ground.plugin)?;
    let digest = ground.digest(&built("user-hash"))?;
    ground.wait_published(&digest).await?;
    ground.launch(&digest).await?;
    // And what is removed does not return with a restart.
    fs::remove_file(&ground.plugin)?;
    wait::until("the removal", wait::LONG, async || {
        let list = balancers(ground.cluster.client(0)?).await?;
        ensure!(list[0]["state"] == "missing", "{list:?}");
        Ok(())
    })
    .await?;
    ground.cluster.node(0).stop().await?;
    ground.cluster.node(0).start().await?;
    ground.cluster.wait_online().await?;
    let list = balancers(ground.cluster.client(0)?).await?;
    ensure!(list[0]["state"] == "missing" && list[1]["state"] == "standing in", "{list:?}");
    Ok(())
}

#[tokio::test]
async fn shared_storage_alone_gives_all_nodes_one_plugins_directory() -> Result<()> {
    let mut cluster = Builder::for_test(3)?.prepare()?;
    let shared = cluster.root().join("shared");
    let plugin = shared.join("plugins/mine.wasm");
    fs::create_dir_all(shared.join("plugins"))?;
    fs::copy(built("user-hash"), &plugin)?;
    for node in cluster.nodes() {
        node.files.add_setting("server-shared-storage-path", shared.to_str().context("a path")?)?;
        fs::write(node.files.config.join("load-balancer"), "balancer=mine\n")?;
    }
    cluster.start_all().await?;
    let ground = Ground { cluster, plugin };
    fs::copy(built("sessions"), &ground.plugin)?;
    let digest = ground.digest(&built("sessions"))?;
    ground.wait_published(&digest).await?;
    let mut nodes = ground.launch(&digest).await?;
    nodes.sort();
    assert_eq!(nodes, ["n1", "n2", "n3"]);
    Ok(())
}

#[tokio::test]
async fn a_second_balancer_is_compared_with_the_first_and_replaced_by_copying_a_file() -> Result<()> {
    let mut cluster = Builder::for_test(2)?.prepare()?;
    let plugins = cluster.root().join("plugins");
    fs::create_dir(&plugins)?;
    for node in cluster.nodes() {
        let text = format!("balancer=sessions\nbalancer-shadow=next\nplugins-dir={}\n", plugins.display());
        fs::write(node.files.config.join("load-balancer"), text)?;
    }
    // It is not there yet, and no daemon minds.
    cluster.start_all().await?;
    let ground = Ground { cluster, plugin: plugins.join("next.wasm") };
    let client = ground.cluster.client(0)?;
    let shadowed = async |verdict: &str| {
        let session = client.launch("echo").await?;
        wait::until("the shadow's answer in why", wait::LONG, async || {
            let (known, text) = ground.run(&["why", &session.id])?;
            ensure!(known && text.contains("by sessions in") && text.contains(verdict), "{text}");
            Ok(())
        })
        .await
    };
    shadowed("Shadow next: failed: ").await?;
    fs::copy(built("sessions"), &ground.plugin)?;
    wait::until("the shadow to be taken up", wait::LONG, async || {
        let (known, text) = ground.run(&["plugin", "list", "--json"])?;
        let list: Value = serde_json::from_str(&text)?;
        let rows = list["balancers"].as_array().context("a list")?;
        ensure!(known && rows.iter().any(|row| row["name"] == "next" && row["state"] == "shadow"), "{text}");
        Ok(())
    })
    .await?;
    shadowed("Shadow next: same: ").await?;
    let (known, text) = ground.run(&["plugin", "shadow", "--since", "1h"])?;
    ensure!(known && text.starts_with("2 decisions compared: 1 same, 0 different, 0 declined, 1 failed"), "{text}");
    Ok(())
}
