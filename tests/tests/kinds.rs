//! Kinds of one's own: offered where their programs are, with their versions, and checked beforehand.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, binaries, wait};
use serde_json::Value;

/// A service that answers with the file that its kind has made for it.
const KIND: &str = r#"
name = "noted"
title = "Noted"
program = "noted"
arguments = ["{port}", "{runtime_dir}/note"]
listen = "port"
base-path = "stripped"
suspend = "loses"
directory = "{runtime_dir}"
ready = { path = "/note", seconds = 30 }
version = { arguments = ["--version"] }
stop = { grace-seconds = 2 }

[files]
note = "for {user} in {id}"
"#;

const PROGRAM: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo "noted 1.2.3"; exit; }
[ "$(stat -c %a "$2")" = 600 ] || exit 3
exec python3 -m http.server --bind 127.0.0.1 "$1"
"#;

#[tokio::test]
async fn a_kind_of_ones_own_is_offered_where_its_program_is_with_its_version_and_its_files() -> Result<()> {
    let programs = tempfile::tempdir()?;
    fs::set_permissions(&programs, fs::Permissions::from_mode(0o755))?;
    let program = programs.path().join("noted");
    fs::write(&program, PROGRAM)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let builder = Builder::for_test(2)?.kind("noted", KIND.to_owned());
    let cluster = builder.programs(programs.path().to_owned()).start().await?;
    let client = cluster.client(0)?;
    let kinds = wait::until("the versions to be known", wait::LONG, async || {
        let list: Value = client.get("/api/v1/kinds").await?.success()?.json()?;
        let items = list["items"].as_array().context("no list")?.clone();
        let noted = items.iter().find(|kind| kind["name"] == "noted").context("not offered")?.clone();
        let nodes = noted["nodes"].as_array().context("no nodes")?;
        ensure!(nodes.len() == 2 && nodes.iter().all(|node| node["version"] == "noted 1.2.3"), "{noted}");
        Ok(items)
    })
    .await?;
    let job = kinds.iter().find(|kind| kind["name"] == "job").context("no jobs")?;
    assert_eq!((&job["runs"], &job["title"], &job["untested"]), (&"job".into(), &"Job".into(), &false.into()));
    let nodes = client.nodes().await?;
    assert!(nodes.iter().all(|node| node.rest["kind_versions"]["noted"] == "noted 1.2.3"), "{nodes:?}");

    let session = client.launch_active("noted").await?;
    let (_, other) = cluster.client_elsewhere(&session.node.name)?;
    let note = other.get(&session.path("note")).await?.success()?.text();
    assert_eq!(note, format!("for {} in {}", session.user, session.id));
    cluster.close().await
}

/// What `config check` says of a directory: whether it is content, its output and its errors.
fn check(directory: &Path, more: &[&str]) -> Result<(Option<i32>, String, Vec<String>)> {
    let output = Command::new(binaries::find("evenkeel")?)
        .args(["config", "check", "--config-dir"])
        .arg(directory)
        .arg("--data-dir")
        .arg(directory.join("data"))
        .args(more)
        .output()?;
    let errors = String::from_utf8(output.stderr)?;
    let prefix = format!("{}/", directory.display());
    let errors = errors.lines().map(|line| line.replace(&prefix, "")).collect();
    Ok((output.status.code(), String::from_utf8(output.stdout)?.replace(&prefix, ""), errors))
}

/// The row of a setting: its value and where that is from.
fn row<'a>(text: &'a str, name: &str) -> Result<Vec<&'a str>> {
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.into_iter().find(|row| row.get(1) == Some(&name)).with_context(|| format!("no {name} in {text}"))?;
    Ok(row[2..].to_vec())
}

#[test]
fn config_check_tells_every_value_and_its_origin() -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("rserver.conf"), "# mine\nwww-port=8080\nnode-weight=50\n")?;
    fs::write(
        directory.path().join("load-balancer"),
        "balancer=system-load\n[balancer system-load]\nexpected-load=0\n",
    )?;
    fs::create_dir(directory.path().join("kinds"))?;
    fs::write(directory.path().join("kinds/noted.toml"), KIND)?;
    let (status, text, errors) = check(directory.path(), &["--www-port", "9000"])?;
    assert_eq!((status, errors), (Some(0), Vec::new()), "{text}");
    assert_eq!(row(&text, "www-port")?, ["9000", "--www-port"]);
    assert_eq!(row(&text, "node-weight")?, ["50", "rserver.conf:3"]);
    assert_eq!(row(&text, "heartbeat-interval-ms")?, ["1000", "default"]);
    assert!(text.contains("[balancer system-load] expected-load"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("noted ") && line.contains("not offered")), "{text}");
    assert!(!directory.path().join("data").exists(), "it leaves nothing behind");

    let (status, text, _) = check(directory.path(), &["--json"])?;
    let json: Value = serde_json::from_str(&text)?;
    let settings = json["settings"].as_array().context("settings")?;
    let weight = settings.iter().find(|setting| setting["name"] == "node-weight").context("node-weight")?;
    assert_eq!((status, &weight["origin"]), (Some(0), &"rserver.conf:3".into()));
    Ok(())
}

#[test]
fn config_check_tells_all_that_is_wrong_at_once_kinds_and_balancers_too() -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("rserver.conf"), "www-port=http\nnode-wieght=1\n")?;
    fs::write(directory.path().join("database.conf"), "provider=postgresql\n")?;
    let (status, text, errors) = check(directory.path(), &[])?;
    assert_eq!(status, Some(78), "{text}");
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors.iter().any(|line| line.starts_with("evenkeel: rserver.conf:1: www-port: expected a port")));
    assert!(errors.iter().any(|line| line.contains("warning: rserver.conf:2: ") && line.contains("node-weight?")));
    assert!(errors.iter().any(|line| line.starts_with("evenkeel: database.conf:1: ")));
    assert_eq!(row(&text, "www-port")?, ["http", "rserver.conf:1"]);

    fs::remove_file(directory.path().join("database.conf"))?;
    fs::write(directory.path().join("rserver.conf"), "www-port=1\n")?;
    let balancer = "balancer=user-hash\nbalancer-fallback=nobody\n[balancer user-hash]\nscheme=round\n";
    fs::write(directory.path().join("load-balancer"), balancer)?;
    let kinds = directory.path().join("kinds");
    fs::create_dir(&kinds)?;
    fs::write(kinds.join("a.toml"), KIND.replace("{port}", "{prot}"))?;
    fs::write(kinds.join("b.toml"), KIND.replace("grace-seconds", "grace"))?;
    let (status, _, errors) = check(directory.path(), &[])?;
    assert_eq!(status, Some(78));
    assert!(errors.iter().any(|line| line.starts_with("evenkeel: kinds/a.toml:5: arguments: unknown variable {prot}")));
    assert!(errors.iter().any(|line| line.starts_with("evenkeel: kinds/b.toml:12: stop.grace: unknown field")));
    assert!(errors.iter().any(|line| line.contains("balancer=user-hash: ") && line.contains("scheme")), "{errors:?}");
    assert!(errors.iter().any(|line| line.contains("balancer-fallback=nobody: ")), "{errors:?}");
    Ok(())
}
