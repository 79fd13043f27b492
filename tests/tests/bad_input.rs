//! Bad input gets a clear error and loses nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result};
use evenkeel_tests::{Builder, Cluster};
use serde_json::json;

/// A kind whose program complains and ends.
const BROKEN: &str = r#"
name = "broken"
title = "Broken"
program = "/bin/sh"
arguments = ["-c", "echo first line; echo the licence has expired >&2; exit 3", "sh", "{socket}"]
listen = "unix"
base-path = "kept"
suspend = "loses"

[ready]
path = "{base_path}"
"#;

/// Runs `evenkeel serve` with the arguments until it ends; it must refuse to start.
fn refused(mut serve: Command) -> Result<(i32, String)> {
    let Output { status, stderr, .. } = serve.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let code = status.code().context("ended by a signal")?;
    assert_ne!(code, 0, "it must not succeed");
    Ok((code, String::from_utf8(stderr)?))
}

#[tokio::test]
async fn an_unknown_kind_is_refused_with_those_there_are() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let reply = cluster.client(0)?.post("/api/v1/sessions", &json!({ "kind": "spreadsheet" })).await?;
    assert!(reply.status.is_client_error(), "{}", reply.status);
    let problem = reply.problem()?;
    let detail = problem.detail.context("a detail")?;
    assert!(detail.contains("spreadsheet") && detail.contains("echo"), "{detail}");
    assert_eq!(cluster.client(0)?.sessions().await?, []);
    Ok(())
}

#[tokio::test]
async fn a_bad_request_body_is_refused_with_the_name_of_the_field() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.client(0)?;
    for (body, field) in [
        (json!({}), "kind"),
        (json!({ "kind": 7 }), "kind"),
        (json!({ "kind": "echo", "cpus": "many" }), "cpus"),
        (json!({ "kind": "echo", "memory": -1 }), "memory"),
        (json!({ "kind": "echo", "colour": "red" }), "colour"),
    ] {
        let reply = client.post("/api/v1/sessions", &body).await?;
        assert!(reply.status.is_client_error(), "{body}: {}", reply.status);
        let problem = reply.problem()?;
        assert_eq!(problem.status, reply.status.as_u16());
        assert!(problem.detail.as_ref().is_some_and(|detail| detail.contains(field)), "{body}: {problem:?}");
    }
    assert_eq!(client.sessions().await?, []);
    Ok(())
}

#[tokio::test]
async fn a_program_that_fails_at_its_start_makes_a_failed_session_with_its_last_words() -> Result<()> {
    let cluster = Builder::for_test(2)?.kind("broken", BROKEN.to_owned()).start().await?;
    let client = cluster.client(0)?;
    let session = client.launch("broken").await?;
    let session = client.wait_state(&session.id, |state| state != "starting").await?;
    assert_eq!(session.state, "failed");
    let failure = session.failure.context("a failed session says why")?;
    assert!(failure.contains("the licence has expired"), "{failure}");
    assert!(failure.contains("status 3"), "{failure}");
    // And nothing else suffers from it.
    client.launch_active("echo").await?;
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let authority = cluster.nodes()[0].authority();
    let port = authority.rsplit(':').next().context("a port")?;
    let data = cluster.root().join("second");
    let data = data.to_str().context("a path")?;
    let arguments = ["serve", "--data-dir", data, "--www-address", "127.0.0.1", "--www-port", port];
    let (_, message) = refused(cluster.command(&arguments)?)?;
    assert!(message.contains(port) && message.contains("in use"), "{message}");
    cluster.client(0)?.launch_active("echo").await?;
    Ok(())
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_named() -> Result<()> {
    let cluster = Builder::for_test(1)?.prepare()?;
    // Even root cannot write below a file.
    let file = cluster.root().join("file");
    fs::write(&file, "a file")?;
    let path = file.to_str().context("a path")?;
    let (_, message) = refused(cluster.command(&["serve", "--data-dir", path, "--www-port", "0"])?)?;
    assert!(message.contains(path), "{message}");
    assert_eq!(fs::read_to_string(&file)?, "a file");
    Ok(())
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() -> Result<()> {
    let mut cluster = Builder::for_test(1)?.start().await?;
    cluster.node(0).stop().await?;
    let store = cluster.root().join("store/evenkeel.db");
    let rename = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                  c.execute('UPDATE _sqlx_migrations SET version = version + 9000'); \
                  c.execute('UPDATE cluster SET works_from = 9000'); c.commit(); c.close()";
    assert!(Command::new("/usr/bin/python3").args(["-c", rename]).arg(&store).status()?.success());
    let before = fs::read(&store)?;
    let files = &cluster.nodes()[0].files;
    let mut serve = cluster.command(&["serve", "--www-port", "0"])?;
    serve.arg("--config-dir").arg(&files.config).arg("--data-dir").arg(&files.data);
    let (_, message) = refused(serve)?;
    let path = store.to_str().context("a path")?;
    assert!(message.contains(path) && message.contains("newer"), "{message}");
    assert!(before == fs::read(&store)?, "the store was changed");
    Ok(())
}

#[tokio::test]
async fn bad_configuration_is_refused_with_every_error_file_and_line() -> Result<()> {
    let mut cluster = Builder::for_test(1)?.prepare()?;
    let files = cluster.node(0).files.clone();
    files.add_setting("www-port", "many")?;
    files.add_setting("node-weight", "-3")?;
    let mut serve = cluster.command(&["serve"])?;
    serve.arg("--config-dir").arg(&files.config).arg("--data-dir").arg(&files.data);
    let (code, message) = refused(serve)?;
    assert_eq!(code, 78, "{message}");
    for expected in ["rserver.conf", "www-port", "node-weight"] {
        assert!(message.contains(expected), "no {expected} in: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_balancer_or_a_kind_that_cannot_be_is_bad_configuration_too() -> Result<()> {
    let mut cluster = Builder::for_test(1)?.prepare()?;
    let files = cluster.node(0).files.clone();
    let serve = |cluster: &mut Cluster| -> Result<(i32, String)> {
        let mut serve = cluster.command(&["serve"])?;
        serve.arg("--config-dir").arg(&files.config).arg("--data-dir").arg(&files.data);
        refused(serve)
    };
    let balancers = files.config.join("load-balancer");
    fs::write(&balancers, "balancer = fewest\nbalancer-fallback = refuse\n")?;
    let (code, message) = serve(&mut cluster)?;
    assert_eq!(code, 78, "{message}");
    assert!(message.contains("fewest") && message.contains("system-load"), "{message}");
    fs::write(&balancers, "balancer = ../sessions\n")?;
    let (code, message) = serve(&mut cluster)?;
    assert_eq!(code, 78, "{message}");
    assert!(message.contains("letters, digits"), "{message}");

    fs::write(&balancers, "balancer = system-load\n[balancer system-load]\nexpected-load = much\n")?;
    let (code, message) = serve(&mut cluster)?;
    assert_eq!(code, 78, "{message}");
    assert!(message.contains("expected-load"), "{message}");

    fs::remove_file(&balancers)?;
    fs::write(files.config.join("kinds/odd.toml"), "name = \"odd\"\nprogam = \"sh\"\n")?;
    let (code, message) = serve(&mut cluster)?;
    assert_eq!(code, 78, "{message}");
    assert!(message.contains("odd.toml:2"), "{message}");
    Ok(())
}

#[tokio::test]
async fn what_would_end_a_start_is_told_by_the_check_too() -> Result<()> {
    let cluster = Builder::for_test(1)?.prepare()?;
    let files = &cluster.nodes()[0].files;
    let long = format!("{}/{}", cluster.root().display(), "x".repeat(90));
    let key = cluster.root().join("open-key");
    fs::write(&key, "a-secure-cookie-key-that-all-can-read")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    let key = format!("secure-cookie-key-file={}", key.display());
    let server = fs::read_to_string(files.config.join("rserver.conf"))?;
    let database = fs::read_to_string(files.config.join("database.conf"))?;
    let postgres = "provider=postgresql\nconnection-uri=postgresql://ada@127.0.0.1:1/x\npassword=plain\n";
    for (setting, registry, expected) in [
        ("auth-pam-service=nosuch", database.as_str(), "auth-pam-service=nosuch: there is no such file"),
        (&format!("server-data-dir={long}"), &database, "set server-data-dir to a shorter one"),
        (&key, &database, "others can read this secret"),
        ("", postgres, "password in database.conf: "),
    ] {
        fs::write(files.config.join("rserver.conf"), format!("{server}{setting}\n"))?;
        fs::write(files.config.join("database.conf"), registry)?;
        for command in [&["config", "check"][..], &["serve"]] {
            let mut command = cluster.command(command)?;
            command.arg("--config-dir").arg(&files.config).arg("--data-dir").arg(&files.data);
            let (_, message) = refused(command)?;
            assert!(message.contains(expected), "{setting}: {message}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_does_not_exist_is_not_found() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.client(0)?;
    for id in ["00000000", "nonsense", "..%2f..%2f"] {
        let path = format!("/api/v1/sessions/{id}");
        assert_eq!(client.get(&path).await?.status, 404, "{path}");
        assert_eq!(client.get(&path).await?.problem()?.status, 404, "{path}");
        assert_eq!(client.delete(&path).await?.status, 404, "{path}");
    }
    Ok(())
}
