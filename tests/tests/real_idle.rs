//! Real programs that nobody uses, and such as work.

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{
    Builder, Client, Cluster, Session,
    client::{Socket, whole},
    jupyter,
    kernel::Kernel,
    wait,
};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::Request;
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

/// What a page of JupyterLab asks every few seconds for as long as it is open, also where nobody looks at it.
async fn ask_as_an_open_page(client: &Client, session: &Session) -> Result<()> {
    for path in ["api/kernels?1", "api/sessions?1", "api/terminals?1", "api/contents?content=1&hash=0&1", "api/me?1"] {
        client.get(&session.path(path)).await?;
    }
    let layout = json!({ "data": {}, "metadata": { "id": "default" } });
    let request = Request::put(session.path("lab/api/workspaces/default?1"));
    client.ask(request.header("content-type", "application/json").body(whole(layout.to_string()))?).await?;
    Ok(())
}

/// Waits until a session is suspended although its page is open.
async fn suspended(client: &Client, session: &Session) -> Result<()> {
    let suspended = wait::until("the session to be suspended", wait::LONG, async || {
        ask_as_an_open_page(client, session).await?;
        let now = client.session(&session.id).await?;
        ensure!(now.state != "active", "it is active");
        Ok(now)
    });
    let suspended = suspended.await?;
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

/// Waits for a message that holds some words.
async fn until_text(socket: &mut Socket, words: &str) -> Result<()> {
    let mut heard = String::new();
    let said = async {
        while let Some(message) = socket.next().await {
            let message = message?;
            let text = message.to_text().unwrap_or_default();
            if text.contains(words) {
                return Ok(());
            }
            heard.push_str(text);
        }
        anyhow::bail!("the terminal was closed")
    };
    let said = tokio::time::timeout(wait::LONG, said).await;
    said.unwrap_or_else(|_| Err(anyhow::anyhow!("it is silent"))).with_context(|| format!("so far: {heard:?}"))
}

#[tokio::test]
async fn a_terminal_that_runs_a_command_keeps_its_jupyterlab_and_one_that_waits_does_not() -> Result<()> {
    let cluster = cluster().await?;
    let client = cluster.client(0)?;
    let session = client.launch_active("jupyterlab").await?;
    let terminal: Value = client.post(&session.path("api/terminals"), &json!({})).await?.success()?.json()?;
    let name = terminal["name"].as_str().context("a terminal has a name")?;
    let mut socket = client.socket(&session.path(&format!("terminals/websocket/{name}"))).await?;
    // A shell that is not ready yet may drop what is typed.
    until_text(&mut socket, "stdout").await.context("there is no prompt")?;
    // The output has the word that the line which is typed does not have.
    let line = json!(["stdin", "sleep 10; echo do''ne\r"]);
    socket.send(Message::text(line.to_string())).await?;
    until_text(&mut socket, "done").await.context("the command was not done")?;
    assert_eq!(state(client, &session).await?, "active");
    suspended(client, &session).await
}
