//! Real programs that nobody uses, and such as work.

use anyhow::{Context as _, Result};
use evenkeel_tests::{Builder, Client, Cluster, Session, jupyter, kernel::Kernel, wait};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// One node whose JupyterLabs are suspended after 3 seconds without use.
async fn cluster() -> Result<Cluster> {
    Builder::new(1)
        .setting("heartbeat-interval-ms", "250")
        .programs(jupyter::programs()?)
        .session_setting("session-timeout-minutes", "0.05")
        .session_setting("session-timeout-suspend-kinds", "jupyterlab")
        .start()
        .await
}

async fn state(client: &Client, session: &Session) -> Result<String> {
    Ok(client.session(&session.id).await?.state)
}

async fn suspended(client: &Client, session: &Session) -> Result<()> {
    let suspended = client.wait_state(&session.id, |state| state != "active").await?;
    assert_eq!(suspended.state, "suspended", "{suspended:?}");
    assert_eq!(suspended.rest["note"], "suspended after 3 seconds without use");
    Ok(())
}

#[tokio::test]
async fn a_jupyterlab_whose_kernel_works_is_kept_and_suspended_once_it_is_done() -> Result<()> {
    let cluster = cluster().await?;
    let client = cluster.client(0)?;
    let session = client.launch_active("jupyterlab").await?;
    let mut kernel = Kernel::start(client, &session).await?;
    // Longer than three times the limit; the open web socket is that of an idle tab then.
    assert_eq!(kernel.execute("import time; time.sleep(10) or 42").await?, "42");
    assert_eq!(state(client, &session).await?, "active");
    suspended(client, &session).await?;

    client.resume(&session.id).await?;
    let again = client.wait_active(&session.id).await?;
    assert_eq!(again.path(""), session.path(""));
    assert_eq!(Kernel::start(client, &session).await?.execute("6 * 7").await?, "42");
    Ok(())
}

#[tokio::test]
async fn a_terminal_that_runs_a_command_keeps_its_jupyterlab_and_one_that_waits_does_not() -> Result<()> {
    let cluster = cluster().await?;
    let client = cluster.client(0)?;
    let session = client.launch_active("jupyterlab").await?;
    let terminal: Value = client.post(&session.path("api/terminals"), &json!({})).await?.success()?.json()?;
    let name = terminal["name"].as_str().context("a terminal has a name")?;
    let mut socket = client.socket(&session.path(&format!("terminals/websocket/{name}"))).await?;
    // The output has the word that the line which is typed does not have.
    let line = json!(["stdin", "sleep 10; echo do''ne\r"]);
    socket.send(Message::text(line.to_string())).await?;
    let done = async {
        while let Some(message) = socket.next().await {
            if message?.to_text().is_ok_and(|text| text.contains("done")) {
                return Ok(());
            }
        }
        anyhow::bail!("the terminal was closed")
    };
    tokio::time::timeout(wait::LONG, done).await.context("the command was not done")??;
    assert_eq!(state(client, &session).await?, "active");
    suspended(client, &session).await
}
