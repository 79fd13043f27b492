//! The examples of the SDK for Rust, compiled to WebAssembly as an author would compile them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, binaries};
use serde_json::json;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/rust/examples")
}

/// The module of an example.
fn module(name: &str) -> Result<PathBuf> {
    let target = binaries::directory()?;
    let module = target.parent().context("the target directory")?.join(format!("plugins/examples/{name}.wasm"));
    ensure!(module.is_file(), "{} is not built: run `cargo xtask plugins --examples`", module.display());
    Ok(module)
}

#[test]
fn every_example_answers_its_cases_as_a_module() -> Result<()> {
    let mut asked = 0;
    for entry in fs::read_dir(sources())? {
        let cases = entry?.path().join("cases.toml");
        if !cases.is_file() {
            continue;
        }
        let name = cases.parent().and_then(Path::file_name).and_then(|name| name.to_str()).context("a name")?;
        let mut command = Command::new(binaries::find("evenkeel")?);
        let output = command.args(["plugin", "test"]).arg(&cases).arg("--module").arg(module(name)?).output()?;
        let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        ensure!(output.status.success() && text.contains("cases answered as expected"), "{name}: {text}");
        asked += 1;
    }
    ensure!(asked >= 2, "only {asked} examples have cases");
    Ok(())
}

#[tokio::test]
async fn an_example_keeps_sessions_off_the_nodes_with_gpus_in_a_running_cluster() -> Result<()> {
    let mut cluster = Builder::for_test(3)?
        .shared_plugins()
        .balancer("gpu-label")
        .balancer_setting("rules", "ml=a100")
        .balancer_setting("spill", "no")
        .prepare()?;
    fs::copy(module("gpu-label")?, cluster.plugins().join("gpu-label.wasm"))?;
    for node in &cluster.nodes()[..2] {
        node.files.add_setting("node-label-gpu", "a100")?;
    }
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    for _ in 0..3 {
        let session = client.launch("echo").await?;
        ensure!(session.node.name == "n3", "{} is on {}", session.id, session.node.name);
        let path = format!("/api/v1/placements?session={}", session.id);
        let placements: serde_json::Value = client.get(&path).await?.success()?.json()?;
        let placement = &placements["items"][0];
        ensure!(placement["balancer"] == "gpu-label" && placement["fallback"].is_null(), "{placement}");
        ensure!(placement["reason"] == "has no GPU, and the user's groups use none", "{placement}");
        ensure!(placement["eligible"] == 3, "the host excludes none of them: {placement}");
    }
    // Its own sentence reaches whoever asks for what their groups may not use.
    let asked = client.post("/api/v1/sessions", &json!({ "kind": "echo", "labels": { "gpu": "a100" } })).await?;
    let problem = asked.problem()?;
    let detail = problem.detail.context("a detail")?;
    ensure!(detail.contains("Nodes with gpu=a100 are for the group ml; "), "{detail}");
    cluster.close().await
}

#[tokio::test]
async fn a_number_that_a_node_publishes_counts_with_a_balancer() -> Result<()> {
    let mut cluster = Builder::for_test(3)?.shared_plugins().balancer("gpu-label").prepare()?;
    fs::copy(module("gpu-label")?, cluster.plugins().join("gpu-label.wasm"))?;
    let numbers = cluster.nodes()[1].files.data.join("metrics.d");
    fs::create_dir_all(&numbers)?;
    fs::write(numbers.join("gpu.prom"), "gpus_free 2\n")?;
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    for _ in 0..3 {
        let session = client.launch("echo").await?;
        ensure!(session.node.name == "n2", "{} is on {}", session.id, session.node.name);
    }
    cluster.close().await
}
