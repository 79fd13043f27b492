//! Signing in: a link that works once, a cookie that every node honours, and a server that needs no configuration.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result};
use evenkeel_tests::{Builder, Client, Cluster, client::Reply, wait};
use hyper::{Request, header};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The path and query of a sign-in address.
fn target(address: &str) -> Result<String> {
    let uri: hyper::Uri = address.parse()?;
    Ok(uri.path_and_query().context("a path")?.to_string())
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie(reply: &Reply) -> Option<String> {
    reply.header("set-cookie").split(';').next().map(str::to_owned).filter(|cookie| cookie.contains('='))
}

#[tokio::test]
async fn a_link_signs_in_once_and_its_cookie_holds_on_every_node() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let browser = Client::anonymous(&cluster.nodes()[0].authority());
    let link = target(cluster.nodes()[0].sign_in())?;

    let first = browser.get(&link).await?;
    assert!(first.status.is_redirection(), "{}: {}", first.status, first.text());
    let cookie = cookie(&first).context("a cookie")?;
    let attributes = first.header("set-cookie").to_lowercase();
    assert!(attributes.contains("httponly") && attributes.contains("samesite="), "{attributes}");

    for node in cluster.nodes() {
        let browser = Client::anonymous(&node.authority());
        let home = browser.get_with("/", &[("cookie", &cookie)]).await?;
        assert_eq!(home.status, 200, "{}", node.name);
        assert!(home.text().contains("New Session"), "{}", home.text());
    }

    let second = browser.get(&link).await?;
    assert!(second.status.is_client_error(), "{}", second.status);
    assert_eq!(second.header("set-cookie"), "");
    Ok(())
}

#[tokio::test]
async fn nobody_gets_in_without_signing_in() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let authority = cluster.nodes()[0].authority();
    let stranger = Client::anonymous(&authority);
    assert_eq!(stranger.get("/api/v1/sessions").await?.status, 401);
    assert_eq!(stranger.get("/api/v1/nodes").await?.status, 401);
    assert!(!stranger.get("/").await?.status.is_success());
    assert!(!stranger.get(&session.path("")).await?.status.is_success());
    for authorization in ["Bearer ", "Bearer wrong", "Basic cm9vdDpyb290"] {
        let headers = [("authorization", authorization)];
        assert!(!stranger.get_with("/api/v1/sessions", &headers).await?.status.is_success(), "{authorization}");
        assert!(!stranger.get_with(&session.path(""), &headers).await?.status.is_success(), "{authorization}");
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_cookie_signs_nobody_in() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let browser = Client::anonymous(&cluster.nodes()[0].authority());
    let reply = browser.get(&target(cluster.nodes()[0].sign_in())?).await?;
    let cookie = cookie(&reply).context("a cookie")?;
    assert_eq!(browser.get_with("/api/v1/nodes", &[("cookie", &cookie)]).await?.status, 200);
    let (name, value) = cookie.split_once('=').context("a value")?;
    for index in [0, value.len() / 2, value.len() - 2] {
        let mut changed = value.to_owned();
        let new = if changed.as_bytes()[index] == b'A' { "B" } else { "A" };
        changed.replace_range(index..=index, new);
        let forged = format!("{name}={changed}");
        assert_eq!(browser.get_with("/api/v1/nodes", &[("cookie", &forged)]).await?.status, 401, "{forged}");
    }
    Ok(())
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_a_browsers_cookie() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let authority = cluster.nodes()[0].authority();
    let browser = Client::anonymous(&authority);
    let cookie = cookie(&browser.get(&target(cluster.nodes()[0].sign_in())?).await?).context("a cookie")?;
    let own = format!("http://{authority}");
    for (origin, allowed) in [("http://evil.example", false), ("null", false), (own.as_str(), true)] {
        let request = Request::post("/api/v1/sessions")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::COOKIE, &cookie)
            .header(header::ORIGIN, origin)
            .body(evenkeel_tests::client::whole(r#"{"kind":"echo"}"#))?;
        let reply = browser.ask(request).await?;
        assert_eq!(reply.status.is_success(), allowed, "{origin}: {} {}", reply.status, reply.text());
    }
    assert_eq!(cluster.client(0)?.sessions().await?.len(), 1);
    Ok(())
}

/// What a directory holds that others than its owner may enter, read or change, whatever is above it.
fn open_to_others(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type()))?;
        if path.symlink_metadata()?.permissions().mode() & 0o077 != 0 {
            found.push(path.clone());
        }
        if kind?.is_dir() {
            found.extend(open_to_others(&path)?);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn what_a_daemon_keeps_is_its_owners_alone() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.client(0)?.launch_active("echo").await?;
    assert!(cluster.nodes()[0].files.data.join("sessions").read_dir()?.next().is_some(), "the session has a log");
    assert_eq!(open_to_others(&cluster.nodes()[0].files.data)?, Vec::<PathBuf>::new());
    assert_eq!(open_to_others(&cluster.root().join("store"))?, Vec::<PathBuf>::new());
    Ok(())
}

#[tokio::test]
async fn without_any_configuration_it_serves_on_loopback_and_keeps_its_token_private() -> Result<()> {
    // Prepared and not started: for its directory, and for the end that it makes of everything in there.
    let cluster = Builder::for_test(1)?.prepare()?;
    let data = cluster.root().join("own");
    let output = cluster.root().join("own-output");
    let mut command = cluster.command(&["serve", "--www-port", "0", "--data-dir"])?;
    let mut child = command.arg(&data).stdout(File::create(&output)?).stderr(Stdio::null()).spawn()?;

    let (authority, link) = wait::until("the server to listen", wait::LONG, async || {
        let text = fs::read_to_string(&output)?;
        let mut lines = text.lines();
        let name = lines.next().context("no first line")?;
        anyhow::ensure!(name.starts_with("Evenkeel ") && name.contains(", node "), "{name}");
        let authority = lines.next().and_then(|line| line.strip_prefix("Serving http://")).context("no address")?;
        let link = lines.next().and_then(|line| line.strip_prefix("Sign in: ")).context("no link")?;
        Ok((authority.trim_end_matches('/').to_owned(), link.to_owned()))
    })
    .await?;
    assert!(authority.starts_with("127.0.0.1:"), "{authority}");
    assert_eq!(fs::metadata(data.join("token"))?.permissions().mode() & 0o777, 0o600);

    let reply = Client::anonymous(&authority).get(&target(&link)?).await?;
    assert!(reply.status.is_redirection() && cookie(&reply).is_some(), "{}", reply.status);
    let client = Client::of(&authority, &data)?;
    let nodes = client.nodes().await?;
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].status, "online");

    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    let status = wait::until("the server to stop", wait::LONG, async || child.try_wait()?.context("it runs")).await?;
    assert!(status.success(), "{status}");
    Ok(())
}
