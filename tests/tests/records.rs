//! What a decision was made on, told afterwards and made again.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, wait};
use serde_json::Value;

#[tokio::test]
async fn why_tells_who_was_excluded_and_the_decision_can_be_made_again() -> Result<()> {
    let mut cluster = Builder::for_test(3)?.balancer("user-hash").prepare()?;
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    let third = client.nodes().await?.into_iter().find(|node| node.name == "n3").context("n3")?;
    client.post(&format!("/api/v1/nodes/{}/cordon", third.id), &Value::Null).await?.success()?;
    let session = client.launch("echo").await?;
    let run = |arguments: &[&str]| -> Result<(bool, String)> {
        let output = cluster.command(arguments)?.arg("--data-dir").arg(&cluster.nodes()[0].files.data).output()?;
        let text = if output.status.success() { output.stdout } else { output.stderr };
        Ok((output.status.success(), String::from_utf8(text)?))
    };
    // It is written after the decision is committed.
    wait::until("the record", wait::LONG, async || {
        let (known, text) = run(&["why", &session.id])?;
        ensure!(known && text.contains("Excluded: n3: it is cordoned") && text.contains("among 2 eligible"), "{text}");
        Ok(())
    })
    .await?;
    let (known, text) = run(&["why", &session.id, "--json"])?;
    ensure!(known && text.contains(r#""rule":"cordoned""#) && text.contains(r#""user_sessions":0"#), "{text}");
    let placement: Value = serde_json::from_str::<Value>(&text)?["placements"][0].take();
    let eligible = placement["nodes"]["eligible"].as_array().context("the eligible nodes")?;
    let mut ranks: Vec<_> = eligible.iter().map(|one| (one["rank"].as_u64(), one["node"]["name"].as_str())).collect();
    ranks.sort_unstable();
    ensure!(ranks[0] == (Some(1), Some(session.node.name.as_str())) && ranks.len() == 2, "{placement}");

    let (known, case) = run(&["why", &session.id, "--case"])?;
    ensure!(known && case.contains(&format!("session {}, start 1", session.id)), "{case}");
    let file = cluster.root().join("case.toml");
    fs::write(&file, &case)?;
    let file = file.to_str().context("a path")?;
    let (passed, text) = run(&["plugin", "test", file])?;
    ensure!(passed, "the same module and the same question give the same answer: {text}");
    let (passed, text) = run(&["plugin", "run", "user-hash", "--case", file])?;
    ensure!(passed && text.contains(&session.node.name), "{text}");
    let (known, text) = run(&["why", &session.id, "--case", "--epoch", "9"])?;
    ensure!(!known && text.contains("has no start 9"), "{text}");
    cluster.close().await
}

#[tokio::test]
async fn a_decision_is_made_again_by_its_own_module_though_that_was_replaced() -> Result<()> {
    let mut cluster = Builder::for_test(2)?.prepare()?;
    let plugins = cluster.root().join("plugins");
    fs::create_dir(&plugins)?;
    let built = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/dist/{name}.wasm"));
    fs::copy(built("user-hash"), plugins.join("mine.wasm"))?;
    for node in cluster.nodes() {
        let text = format!("balancer=mine\nplugins-dir={}\n[balancer mine]\nscheme=modulo\n", plugins.display());
        fs::write(node.files.config.join("load-balancer"), text)?;
    }
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    let run = |arguments: &[&str]| -> Result<(bool, String)> {
        let output = cluster.command(arguments)?.arg("--data-dir").arg(&cluster.nodes()[0].files.data).output()?;
        let text = if output.status.success() { output.stdout } else { output.stderr };
        Ok((output.status.success(), String::from_utf8(text)?))
    };
    let session = client.launch("echo").await?;
    let mut case = String::new();
    wait::until("the record", wait::LONG, async || {
        let (known, text) = run(&["why", &session.id, "--case"])?;
        ensure!(known, "{text}");
        case = text;
        Ok(())
    })
    .await?;
    let placements: Value = client.get("/api/v1/placements").await?.success()?.json()?;
    let digest = placements["items"][0]["digest"].as_str().context("a digest")?.to_owned();

    fs::remove_file(plugins.join("mine.wasm"))?;
    wait::until("the removal", wait::LONG, async || {
        let list: Value = client.get("/api/v1/balancers").await?.success()?.json()?;
        ensure!(list["items"][0]["state"] == "missing", "{list}");
        Ok(())
    })
    .await?;
    let file = cluster.root().join("case.toml");
    fs::write(&file, &case)?;
    let file = file.to_str().context("a path")?;
    let (passed, text) = run(&["plugin", "run", &digest, "--case", file])?;
    ensure!(passed && text.contains("as expected") && text.contains(&session.node.name), "{text}");
    let (passed, text) = run(&["plugin", "test", "--module", &digest, file])?;
    ensure!(passed, "{text}");
    let (passed, text) = run(&["plugin", "run", &"0".repeat(64), "--case", file])?;
    ensure!(!passed && text.contains("this node keeps no module of the SHA-256 000"), "{text}");
    cluster.close().await
}
