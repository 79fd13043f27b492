//! VS Code, by code-server: a program that knows nothing of the prefix it is reached under.

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, processes, vscode, wait};

#[tokio::test]
async fn vs_code_opens_through_every_node_and_leaves_no_process_behind() -> Result<()> {
    let Some(programs) = vscode::programs()? else { return Ok(()) };
    let cluster = Builder::for_test(2)?.programs(programs).start().await?;
    let session = cluster.client(0)?.launch_active("vscode").await?;
    let pid = session.pid.context("no process")?;
    for node in 0..2 {
        let client = cluster.client(node)?;
        let page = vscode::open(client, &session).await.with_context(|| format!("through node {node}"))?;
        ensure!(page.path.contains("folder=/"), "{}", page.path);
    }
    // What belongs to the session lies in its own directory, not where all sessions of a user would share it.
    let run = cluster.nodes()[cluster.index(&session.node.name)?].files.data.parent().context("a node")?.join("run");
    let directory = run.join(&session.id);
    ensure!(directory.join("own/ide.sock").exists() && directory.join("own/editor.sock").exists(), "{directory:?}");

    let client = cluster.client(0)?;
    client.end(&session.id).await?;
    client.wait_state(&session.id, |state| state == "ended").await?;
    ensure!(!directory.exists(), "{}", directory.display());
    wait::until("its processes to be gone", wait::LONG, async || {
        let left: Vec<_> = processes::marked(&session.id);
        ensure!(left.is_empty(), "{left:?} of {pid}");
        Ok(())
    })
    .await?;
    cluster.close().await
}
