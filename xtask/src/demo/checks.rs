//! What is checked of a session.

use anyhow::{Result, ensure};
use evenkeel_tests::{Client, Session, kernel, vscode};

/// One thing that a session must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Answer 200 at this path below its own.
    Page(&'static str),
    /// Compute 6*7 in a kernel, asked over a web socket.
    Kernel,
    /// Load its page and main script, and take up the editor's own connection over a web socket.
    Editor,
}

/// The checks of a kind.
pub(super) fn of(kind: &str) -> &'static [Check] {
    match kind {
        "jupyterlab" => &[Check::Page("/lab"), Check::Page("/api/status"), Check::Kernel],
        "jupyter-notebook" => &[Check::Page("/tree"), Check::Page("/api/status"), Check::Kernel],
        "vscode" => &[Check::Page("/healthz"), Check::Editor],
        _ => &[Check::Page("/")],
    }
}

impl Check {
    /// Its name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Page(path) => path,
            Self::Kernel => "6*7",
            Self::Editor => "editor",
        }
    }

    /// Runs it and yields what there was.
    pub(super) async fn run(self, client: &Client, session: &Session) -> Result<String> {
        match self {
            Self::Page(path) => {
                let reply = client.get(&session.path(path)).await?;
                ensure!(reply.status.as_u16() == 200, "status {}: {}", reply.status, excerpt(&reply.text()));
                Ok("200".to_owned())
            }
            Self::Kernel => {
                let result = kernel::evaluate(client, session, "6*7").await?;
                ensure!(result == "42", "the kernel said {result:?}");
                Ok(result)
            }
            Self::Editor => {
                vscode::open(client, session).await?;
                Ok("connected".to_owned())
            }
        }
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(300).collect()
}
