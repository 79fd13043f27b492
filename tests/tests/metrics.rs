//! Numbers that an administrator publishes.

use std::{
    fs::{self, File},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Cluster, wait};
use serde_json::json;

#[tokio::test]
async fn a_number_of_one_node_is_known_to_all_until_its_file_is_too_old() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let directory = cluster.nodes()[1].files.data.join("metrics.d");
    fs::create_dir(&directory)?;
    let file = directory.join("gpu.prom");
    fs::write(directory.join("new"), "gpus_free{kind=\"a100\"} 3\n")?;
    fs::rename(directory.join("new"), &file)?;
    let known = async |expected: serde_json::Value| {
        wait::until("the numbers to be known", wait::LONG, async || {
            let nodes = cluster.client(0)?.nodes().await?;
            let node = nodes.iter().find(|node| node.name == "n2").context("n2 is missing")?;
            ensure!(node.rest["metrics"] == expected, "{}", node.rest["metrics"]);
            Ok(())
        })
        .await
    };
    known(json!({ "gpus_free{kind=\"a100\"}": 3.0 })).await?;
    File::options()
        .write(true)
        .open(&file)?
        .set_modified(fs::metadata(&file)?.modified()? - Duration::from_secs(600))?;
    known(json!({})).await?;
    let log = cluster.nodes()[1].log();
    assert!(log.contains("gpu.prom: numbers older than 300 s"), "{log}");
    Ok(())
}
