//! Sessions belong to users: to real ones, of which no other gets at them.

mod users {
    pub(super) mod failures;
    pub(super) mod fences;
    pub(super) mod living;
    pub(super) mod others;
}

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{
    Builder, Client, Session, User,
    users::{need_root, program},
    wait,
};

/// A cluster that also offers the kinds `probe` and `port`.
fn builder(nodes: usize) -> Result<Builder> {
    need_root()?;
    let mut builder = Builder::for_test(nodes)?.setting("session-login-shell", "1");
    for name in ["probe", "port"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds").join(name).with_extension("toml");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        builder = builder.kind(name, with_echo(&text)?);
    }
    Ok(builder)
}

/// The text of a kind with the place of the program that echoes.
fn with_echo(text: &str) -> Result<String> {
    let program = program("evenkeel-echo")?;
    Ok(text.replace("@ECHO@", program.to_str().context("text")?))
}

/// A session's log, once it holds some words.
async fn log_with(client: &Client, session: &Session, words: &str) -> Result<String> {
    wait::until(&format!("{words:?} to be in the log"), wait::LONG, async || {
        let log = client.get(&format!("/api/v1/sessions/{}/log", session.id)).await?.success()?.text();
        ensure!(log.contains(words), "it is {log:?}");
        Ok(log)
    })
    .await
}

/// The program of a session as the kernel shows it.
fn state(node: &evenkeel_tests::Node, session: &Session) -> Result<serde_json::Value> {
    let path = node.files.run.join(&session.id).join("state.json");
    Ok(serde_json::from_slice(&fs::read(&path).with_context(|| path.display().to_string())?)?)
}

/// What a user's Python says.
fn python(user: &User, script: &str, arguments: &[&str]) -> Result<String> {
    let output = user.command("/usr/bin/python3").args(["-c", script]).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

/// A listener of a user's that keeps what it is sent in a file, and answers as a program would.
struct Trap {
    child: std::process::Child,
    kept: std::path::PathBuf,
}

const TRAP: &str = r#"
import os, socket, sys
where, kept = sys.argv[1:]
if where.isdigit():
    listener = socket.create_server(("127.0.0.1", int(where)))
else:
    listener = socket.socket(socket.AF_UNIX); listener.bind(where); os.chmod(where, 0o777); listener.listen()
open(kept + ".ready", "w").close()
while True:
    connection, _ = listener.accept()
    open(kept + ".visited", "w").close()
    connection.settimeout(2)
    try:
        got = connection.recv(65536)
    except OSError:
        got = b""
    with open(kept, "ab") as file:
        file.write(got)
    if got:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\ntricks")
    connection.close()
"#;

impl Trap {
    /// Sets it at a path or a port.
    async fn set(user: &User, place: &str) -> Result<Self> {
        let kept = user.home.join("kept");
        let mut command = user.command("/usr/bin/python3");
        let child = command.args(["-c", TRAP, place]).arg(&kept).stdin(Stdio::null()).spawn()?;
        let trap = Self { child, kept };
        wait::until("the trap to be set", wait::LONG, async || {
            ensure!(trap.kept.with_extension("ready").exists(), "not yet");
            Ok(())
        })
        .await?;
        Ok(trap)
    }

    /// Whether somebody came.
    fn was_visited(&self) -> bool {
        self.kept.with_extension("visited").exists()
    }

    /// What it was sent.
    fn caught(&self) -> String {
        fs::read(&self.kept).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
