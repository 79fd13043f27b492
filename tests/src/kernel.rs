//! Running code in a Jupyter kernel as a notebook does: a kernel is asked for over HTTP, its messages (protocol 5.3, as
//! JSON) go over a web socket.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{Client, Session, client::Socket};

/// How long a kernel may take to start and answer: a cold page cache is slow.
const DEADLINE: Duration = Duration::from_secs(60);

/// A kernel of a Jupyter session, and the web socket that a notebook would have to it.
#[derive(Debug)]
pub struct Kernel {
    path: String,
    session: String,
    socket: Socket,
}

impl Kernel {
    /// Starts one.
    pub async fn start(client: &Client, session: &Session) -> Result<Self> {
        let kernels = session.path("api/kernels");
        let kernel: Value = client
            .post(&kernels, &json!({ "name": "python3" }))
            .await?
            .success()
            .context("no kernel was started")?
            .json()?;
        let id = kernel["id"].as_str().context("the kernel has no id")?;
        let path = format!("{kernels}/{id}");
        let socket = client.socket(&format!("{path}/channels?session_id={}", session.id)).await?;
        Ok(Self { path, session: session.id.clone(), socket })
    }

    /// Has it evaluate an expression, or run code whose last line is one. Yields the result as text.
    pub async fn execute(&mut self, code: &str) -> Result<String> {
        let result = tokio::time::timeout(DEADLINE, execute(&mut self.socket, &self.session, code));
        result.await.with_context(|| format!("the kernel was silent for {} s", DEADLINE.as_secs()))?
    }

    /// Shuts it down.
    pub async fn shut_down(mut self, client: &Client) -> Result<()> {
        self.socket.close(None).await?;
        client.delete(&self.path).await?.success()?;
        Ok(())
    }
}

/// Starts a kernel in a Jupyter session, has it evaluate an expression, and shuts it down. Yields the result as text.
pub async fn evaluate(client: &Client, session: &Session, expression: &str) -> Result<String> {
    let mut kernel = Kernel::start(client, session).await?;
    let result = kernel.execute(expression).await;
    kernel.shut_down(client).await?;
    result
}

async fn execute(socket: &mut Socket, client_session: &str, code: &str) -> Result<String> {
    const ID: &str = "evenkeel-1";
    let request = json!({
        "channel": "shell",
        "header": {
            "msg_id": ID, "msg_type": "execute_request", "version": "5.3",
            "session": client_session, "username": "", "date": "2000-01-01T00:00:00.000000Z",
        },
        "parent_header": {}, "metadata": {}, "buffers": [],
        "content": {
            "code": code, "silent": false, "store_history": false, "user_expressions": {}, "allow_stdin": false,
            "stop_on_error": true,
        },
    });
    socket.send(Message::text(request.to_string())).await?;
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let message: Value = serde_json::from_str(&text)?;
        if message["parent_header"]["msg_id"] != ID {
            continue;
        }
        let content = &message["content"];
        match message["header"]["msg_type"].as_str() {
            Some("execute_result") => {
                return Ok(content["data"]["text/plain"].as_str().context("a result without a text")?.to_owned());
            }
            Some("error") => bail!("{}: {}", content["ename"], content["evalue"]),
            _ => {}
        }
    }
    bail!("the kernel closed the web socket before it answered")
}
