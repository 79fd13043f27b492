//! A balancer in Python, made by componentize-py: an interpreter that imports WASI, and is given nothing by it.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Cluster, binaries, wait};
use serde_json::Value;

/// Compiling an interpreter takes a busy machine its time, and each of the two programs here does it once.
const COMPILED: Duration = Duration::from_secs(150);

/// A question that no node of a cluster can put, since none has no cores.
const DIVIDES_BY_ZERO: &str = "balancer = \"labelled\"\n[[case]]\nname = \"no cores\"\n\
                               nodes = [{ name = \"a\", cores = 0, labels = { pool = \"left\" } }]\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Makes the example's component.
fn componentize(to: &Path) -> Result<()> {
    let target = binaries::directory()?;
    let program = target.parent().context("the target directory")?.join("componentize-py/bin/componentize-py");
    ensure!(program.is_file(), "{} is not installed: run `cargo xtask setup`", program.display());
    let output = Command::new(program)
        .arg("-d")
        .arg(root().join("wit/1.0.0"))
        .args(["-w", "balancer", "componentize", "-p"])
        .arg(root().join("sdk/python/examples/labelled"))
        .args(["app", "-o"])
        .arg(to)
        // Where it stands, it would leave what it generates beside the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test]
async fn a_balancer_in_python_places_sessions_and_its_exceptions_are_told() -> Result<()> {
    let mut cluster = Builder::for_test(2)?.prepare()?;
    let plugins = cluster.root().join("plugins");
    fs::create_dir(&plugins)?;
    let plugin = plugins.join("labelled.wasm");
    fs::copy(root().join("plugins/dist/sessions.wasm"), &plugin)?;
    let [first, second] = cluster.nodes() else { anyhow::bail!("two nodes") };
    let text = format!("balancer=labelled\nplugins-dir={}\n", plugins.display());
    fs::write(first.files.config.join("load-balancer"), text)?;
    let labels = second.files.config.join("rserver.conf");
    fs::write(&labels, format!("{}node-label-pool=left\n", fs::read_to_string(&labels)?))?;
    cluster.start_all().await?;

    let aside = cluster.root().join("labelled.wasm");
    componentize(&aside)?;
    fs::rename(&aside, &plugin)?;
    let client = cluster.client(0)?;
    wait::until("the Python balancer to decide", COMPILED, async || {
        let list: Value = client.get("/api/v1/balancers").await?.success()?.json()?;
        let row = &list["items"][0];
        ensure!(row["state"] == "active" && row["decisions"] == 0 && row["last_error"].is_null(), "{list}");
        // The one before it has no setting of that name.
        let log = cluster.nodes()[0].log();
        ensure!(log.matches("the plugin is in force").count() == 2, "{list}");
        Ok(())
    })
    .await?;
    for _ in 0..3 {
        let session = client.launch_active("echo").await?;
        ensure!(session.node.name == "n2", "{} is on {}", session.id, session.node.name);
        let placements: Value = client.get(&format!("/api/v1/placements?session={}", session.id)).await?.json()?;
        let placement = &placements["items"][0];
        ensure!(placement["balancer"] == "labelled" && placement["fallback"].is_null(), "{placement}");
        let reason = placement["reason"].as_str().unwrap_or_default();
        ensure!(reason.starts_with("n2 has ") && reason.contains(" cores"), "{placement}");
    }

    // Compiling takes seconds: the second start takes what the first one made.
    let compiled = |cluster: &Cluster| -> Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(cluster.nodes()[0].files.data.join("balancers/compiled"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".code") {
                files.push((name, entry.metadata()?.ino()));
            }
        }
        files.sort();
        Ok(files)
    };
    let before = compiled(&cluster)?;
    ensure!(!before.is_empty(), "nothing is kept");
    cluster.node(0).stop().await?;
    cluster.node(0).start().await?;
    let list: Value = cluster.client(0)?.get("/api/v1/balancers").await?.success()?.json()?;
    ensure!(list["items"][0]["name"] == "labelled" && list["items"][0]["state"] == "active", "{list}");
    ensure!(compiled(&cluster)? == before, "{before:?} was made again: {:?}", compiled(&cluster)?);

    let case = cluster.root().join("case.toml");
    fs::write(&case, DIVIDES_BY_ZERO)?;
    let output = cluster.command(&["plugin", "run"])?.arg(&plugin).arg("--case").arg(&case).output()?;
    let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    ensure!(!output.status.success() && text.contains("ZeroDivisionError: division by zero"), "{text}");
    cluster.close().await
}
