//! VS Code in a session as its page uses it: the page, its main script, and the connection of its remote protocol, of which
//! the first messages are exchanged.

use std::{
    env,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{Client, Session, binaries, client::Socket};

/// The variable by which `cargo xtask test` says why VS Code cannot be had on this machine.
pub const ABSENT: &str = "EVENKEEL_TEST_WITHOUT_VSCODE";

/// How long an exchange of messages may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The directory that code-server lies in, where `cargo xtask setup` has installed it. None, and said so, where that
/// found that it cannot be installed here.
pub fn programs() -> Result<Option<PathBuf>> {
    if let Some(why) = env::var_os(ABSENT) {
        eprintln!("NOT TESTED on this machine: VS Code, since {}", why.to_string_lossy());
        return Ok(None);
    }
    let profile = binaries::directory()?;
    let target = profile.parent().context("the target directory")?;
    let places = [target.join("code-server/bin"), PathBuf::from("/opt/evenkeel-dev/code-server/bin")];
    let found = places.iter().find(|directory| directory.join("code-server").is_file());
    found.cloned().map(Some).with_context(|| format!("{places:?}: no code-server: run `cargo xtask setup`"))
}

/// What a page of VS Code is made of.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it lies, behind the redirection to its folder.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The scripts of VS Code that it names, as it names them.
    pub scripts: Vec<String>,
    /// The commit that server and page must agree on.
    pub commit: String,
}

/// Opens the editor: loads its page and its main script and makes its first connection.
pub async fn open(client: &Client, session: &Session) -> Result<Page> {
    let page = page(client, session).await?;
    let main = page.scripts.iter().find(|script| script.contains("workbench")).context("no main script")?;
    let reply = client.get(&session.path(main)).await?.success().with_context(|| main.clone())?;
    let kind = reply.header("content-type");
    ensure!(kind.contains("javascript"), "{main} is {kind:?}");
    ensure!(reply.body.len() > 100_000, "{main} has {} bytes", reply.body.len());
    connect(client, session, &page.commit).await?;
    Ok(page)
}

/// Loads the page, following its redirection to a folder.
pub async fn page(client: &Client, session: &Session) -> Result<Page> {
    let mut path = session.path("");
    let mut reply = client.get(&path).await?;
    if reply.status.is_redirection() {
        let to = reply.header("location").to_owned();
        ensure!(to.contains("folder=/"), "it leads to {to:?}");
        path = match to.strip_prefix("./") {
            Some(below) => session.path(below),
            None => to,
        };
        ensure!(path.starts_with(&session.path("")), "it leads out of the session: {path:?}");
        reply = client.get(&path).await?;
    }
    let text = reply.success()?.text();
    let scripts = quoted(&text).filter(|text| text.ends_with(".js")).map(below).collect();
    // `stable-<commit>`, a part of the path of everything that the server serves.
    let commit = quoted(&text).find_map(commit).context("the page names no commit")?;
    Ok(Page { path, scripts, commit, text })
}

/// The texts between double quotes of a page, an attribute's value each.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// A path as it lies below the session's.
fn below(path: &str) -> String {
    path.trim_start_matches("./").to_owned()
}

fn commit(path: &str) -> Option<String> {
    let named = path.split('/').find_map(|part| part.strip_prefix("stable-"))?;
    (named.len() == 40 && named.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| named.to_owned())
}

/// Opens the connection for the editor's management, as its page does: both sides prove to speak the protocol, and the
/// server accepts the connection.
pub async fn connect(client: &Client, session: &Session, commit: &str) -> Result<()> {
    // The server takes each token for a page of its own.
    let page = PAGES.fetch_add(1, Ordering::Relaxed);
    let token = format!("{:08x}-0000-4000-8000-{page:012x}", std::process::id());
    let query = format!("reconnectionToken={token}&reconnection=false&skipWebSocketFrames=false");
    let talk = async {
        let mut socket = client.socket(&session.path(&format!("stable-{commit}?{query}"))).await?;
        send(&mut socket, &json!({ "type": "auth", "auth": "00000000000000000000", "data": "evenkeel" })).await?;
        let signed = receive(&mut socket).await?;
        ensure!(signed["type"] == "sign", "{signed}");
        // 1: management, the first that a page opens.
        let order = json!({
            "type": "connectionType", "commit": commit, "signedData": signed["data"], "desiredConnectionType": 1,
        });
        send(&mut socket, &order).await?;
        let accepted = receive(&mut socket).await?;
        ensure!(accepted["type"] == "ok", "{accepted}");
        socket.close(None).await?;
        Ok(())
    };
    tokio::time::timeout(DEADLINE, talk).await.with_context(|| format!("silent for {} s", DEADLINE.as_secs()))?
}

/// How many connections were made.
static PAGES: AtomicU64 = AtomicU64::new(0);

/// The kind of message that the handshake uses, and the length of what stands before each: kind, number, the number
/// acknowledged, length.
const CONTROL: u8 = 2;
const HEADER: usize = 13;

async fn send(socket: &mut Socket, message: &Value) -> Result<()> {
    let text = message.to_string();
    let mut frame = vec![CONTROL];
    frame.extend([0; 8]);
    frame.extend(u32::try_from(text.len())?.to_be_bytes());
    frame.extend(text.as_bytes());
    Ok(socket.send(Message::binary(frame)).await?)
}

/// The next message of the handshake.
async fn receive(socket: &mut Socket) -> Result<Value> {
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        while let Some(header) = bytes.first_chunk::<HEADER>().copied() {
            let length = u32::from_be_bytes([header[9], header[10], header[11], header[12]]) as usize;
            let Some(content) = bytes.get(HEADER..HEADER + length) else { break };
            if header[0] == CONTROL {
                return Ok(serde_json::from_slice(content)?);
            }
            bytes.drain(..HEADER + length);
        }
        match socket.next().await.context("the server closed the web socket")?? {
            Message::Binary(more) => bytes.extend(more),
            Message::Close(frame) => bail!("the server closed the web socket: {frame:?}"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_from_the_path_of_what_the_server_serves() {
        let hash = "258e40fedc6cb8edf399a463ce3a9d32e7e1f6f3";
        assert_eq!(commit(&format!("./stable-{hash}/static/out/main.js")).as_deref(), Some(hash));
        assert_eq!(commit("./stable-/static"), None);
    }
}
