//! The cluster key and what is encrypted under it.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{PermissionsExt as _, symlink},
    },
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Cluster, binaries};
use nix::{
    pty::openpty,
    sys::termios::{LocalFlags, tcgetattr},
};
use serde_json::json;

/// Runs a program with the data directory and some input.
fn encrypt(program: &Path, data: &Path, arguments: &[&str], input: &str) -> Result<Output> {
    let mut child = Command::new(program)
        .arg("encrypt-password")
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("standard input")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

/// What an encrypted value says of the key.
fn key_of(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone())?;
    ensure!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
    let key = text.strip_prefix("evenkeel1.").and_then(|rest| rest.split_once('.')).context("another form")?.0;
    Ok(key.to_owned())
}

#[test]
fn the_first_encryption_makes_the_key_and_every_other_takes_it() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (data, program) = (root.path().join("data"), binaries::find("evenkeel")?);
    let legacy = root.path().join("rstudio-server");
    symlink(&program, &legacy)?;

    let first = encrypt(&legacy, &data, &[], "s3cret\n")?;
    let told = String::from_utf8(first.stderr.clone())?;
    let file = data.join("secure-cookie-key");
    assert!(told.contains(&format!("{} has been made", file.display())) && told.lines().count() == 1, "{told}");
    assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);

    let second = encrypt(&program, &data, &[], "s3cret\n")?;
    assert_eq!(String::from_utf8(second.stderr.clone())?, "");
    assert_eq!(key_of(&first)?, key_of(&second)?);
    assert_ne!(first.stdout, second.stdout, "the same password twice does not look the same");
    assert!(!String::from_utf8(second.stdout)?.contains("s3cret"));
    Ok(())
}

#[test]
fn a_password_is_encrypted_although_the_configuration_awaits_it() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (config, data) = (root.path().join("config"), root.path().join("data"));
    fs::create_dir(&config)?;
    fs::write(config.join("database.conf"), "provider=postgresql\npassword=plain\n")?;
    fs::write(config.join("rserver.conf"), "www-port=unset\n")?;
    let config_dir = ["--config-dir", config.to_str().context("a path")?];
    let program = binaries::find("evenkeel")?;
    let before = key_of(&encrypt(&program, &data, &config_dir, "s3cret")?)?;
    // The key comes with the other files of a node that is set up as its neighbour was.
    fs::rename(data.join("secure-cookie-key"), config.join("secure-cookie-key"))?;
    assert_eq!(key_of(&encrypt(&program, &data, &config_dir, "s3cret")?)?, before);
    assert!(!data.join("secure-cookie-key").exists());
    Ok(())
}

#[test]
fn what_is_no_password_is_refused_and_makes_no_key() -> Result<()> {
    let root = tempfile::tempdir()?;
    let data = root.path().join("data");
    for input in ["", "\n", "one\ntwo\n"] {
        let output = encrypt(&binaries::find("evenkeel")?, &data, &[], input)?;
        assert_eq!(output.status.code(), Some(1), "{input:?}");
        assert_eq!(String::from_utf8(output.stderr)?.lines().count(), 1);
        assert!(output.stdout.is_empty() && !data.exists());
    }
    Ok(())
}

#[test]
fn a_terminal_does_not_show_the_password_and_is_left_as_it_was() -> Result<()> {
    let root = tempfile::tempdir()?;
    let pty = openpty(None, None)?;
    let (mut terminal, inside) = (fs::File::from(pty.master), pty.slave);
    let child = Command::new(binaries::find("evenkeel")?)
        .args(["encrypt-password", "--data-dir"])
        .arg(root.path().join("data"))
        .stdin(Stdio::from(inside.try_clone()?))
        .stderr(Stdio::from(inside.try_clone()?))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut shown = read_until(&mut terminal, "Password: ")?;
    assert!(!echoes(&inside)?, "{shown}");
    terminal.write_all(b"s3cret\n")?;
    shown += &read_until(&mut terminal, "has been made")?;
    let output = child.wait_with_output()?;
    assert!(echoes(&inside)?);
    assert!(!shown.contains("s3cret"), "{shown}");
    key_of(&output)?;
    Ok(())
}

fn echoes(terminal: &OwnedFd) -> Result<bool> {
    Ok(tcgetattr(terminal.as_fd())?.local_flags.contains(LocalFlags::ECHO))
}

fn read_until(terminal: &mut fs::File, expected: &str) -> Result<String> {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(expected) {
        let mut some = [0; 256];
        let count = terminal.read(&mut some)?;
        ensure!(count > 0, "the terminal is closed; it has shown {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&some[..count]);
    }
    Ok(String::from_utf8(read)?)
}

#[tokio::test]
async fn a_node_without_the_key_of_its_cluster_says_where_to_copy_it_from_and_makes_none() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let first = &cluster.nodes()[0];
    // As on another machine: the key that lies beside the registry is not here.
    let key = cluster.root().join("store/secure-cookie-key");
    fs::rename(&key, cluster.root().join("elsewhere"))?;
    let output = cluster
        .command(&["serve", "--node-name", "n2", "--www-address", "127.0.0.1", "--www-port", "0", "--config-dir"])?
        .arg(&first.files.config)
        .arg("--data-dir")
        .arg(cluster.root().join("n2"))
        .output()?;
    let told = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{told}");
    let last = told.lines().last().context("a line")?;
    assert!(last.contains(&format!("copy it from node n1 ({})", first.authority())), "{told}");
    assert!(!key.exists() && !cluster.root().join("n2/secure-cookie-key").exists());
    Ok(())
}

/// Runs a step of the replacement.
fn rotate(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    let files = &cluster.nodes()[0].files;
    let mut command = cluster.command(&["rotate-key"])?;
    Ok(command.args(arguments).arg("--config-dir").arg(&files.config).arg("--data-dir").arg(&files.data).output()?)
}

#[tokio::test]
async fn a_key_is_replaced_node_by_node_and_nobody_notices() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let file = cluster.root().join("store/secure-cookie-key");
    let before = fs::read_to_string(&file)?;
    let browser = cluster.nodes()[0].sign_in_as(&whoami()?).await?;
    let sessions = [cluster.client(0)?.launch_active("echo").await?, cluster.client(0)?.launch_active("echo").await?];
    assert_ne!(sessions[0].node.name, sessions[1].node.name);
    let refused = rotate(&cluster, &["--finish"])?;
    assert!(!refused.status.success() && fs::read_to_string(&file)? == before);

    for step in [&[][..], &["--use"], &["--finish"]] {
        let output = rotate(&cluster, step)?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // One after the other: after the first restart, the nodes are a step apart.
        for restarted in 0..2 {
            cluster.node(restarted).stop().await?;
            cluster.node(restarted).start().await?;
            cluster.wait_online().await?;
            for node in 0..2 {
                for session in &sessions {
                    cluster.client(node)?.get(&session.path("")).await?.success()?;
                }
            }
            if step != ["--finish"] {
                browser.get("/api/v1/sessions").await?.success()?;
            }
        }
    }
    let after = fs::read_to_string(&file)?;
    assert!(after.lines().count() == 1 && after != before, "the old key is gone");
    for node in cluster.nodes() {
        let log = node.log();
        assert!(!log.contains("MAC is wrong") && !log.contains("key is not the one"), "{log}");
        assert_eq!(cluster.client(0)?.nodes().await?.iter().filter(|node| node.status == "online").count(), 2);
    }
    // The file says at which step it is, so a step is not taken twice.
    assert!(!rotate(&cluster, &["--use"])?.status.success());
    cluster.client(1)?.post("/api/v1/sessions", &json!({ "kind": "echo" })).await?.success()?;
    Ok(())
}

#[test]
fn the_old_key_does_not_go_while_a_password_needs_it() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (config, data) = (root.path().join("config"), root.path().join("data"));
    fs::create_dir(&config)?;
    let program = binaries::find("evenkeel")?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).arg("--config-dir").arg(&config).arg("--data-dir").arg(&data).output()
    };
    let encrypted = encrypt(&program, &data, &["--config-dir", config.to_str().context("a path")?], "s3cret")?;
    fs::write(config.join("database.conf"), format!("password={}", String::from_utf8(encrypted.stdout)?))?;
    assert!(run(&["rotate-key"])?.status.success());
    let told = String::from_utf8(run(&["rotate-key", "--use"])?.stdout)?;
    assert!(told.contains("password=evenkeel1."), "{told}");

    let refused = run(&["rotate-key", "--finish"])?;
    let told = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let again = told.split('`').find(|text| text.starts_with("password=evenkeel1.")).context("a line")?;
    fs::write(config.join("database.conf"), format!("{again}\n"))?;
    let output = run(&["rotate-key", "--finish"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_key_behind_a_link_is_replaced_where_it_is() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = binaries::find("evenkeel")?;
    assert!(encrypt(&program, directory.path(), &[], "secret\n")?.status.success());
    let (link, real) = (directory.path().join("secure-cookie-key"), directory.path().join("real"));
    fs::rename(&link, &real)?;
    symlink(&real, &link)?;
    let before = fs::read(&real)?;
    let output = Command::new(&program).args(["rotate-key", "--data-dir"]).arg(directory.path()).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::symlink_metadata(&link)?.is_symlink());
    assert_ne!(fs::read(&real)?, before);
    Ok(())
}

#[test]
fn of_two_replacements_at_once_one_is_refused() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = binaries::find("evenkeel")?;
    assert!(encrypt(&program, directory.path(), &[], "secret\n")?.status.success());
    let key = directory.path().join("secure-cookie-key");
    let before = fs::read(&key)?;
    let rotate = || Command::new(&program).args(["rotate-key", "--data-dir"]).arg(directory.path()).output();
    let other = fs::File::open(directory.path())?;
    other.lock()?;
    let refused = rotate()?;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("another rotate-key works on"), "{told}");
    assert_eq!(fs::read(&key)?, before);
    drop(other);
    assert!(rotate()?.status.success());
    assert_ne!(fs::read(&key)?, before);
    Ok(())
}

fn whoami() -> Result<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())?;
    Ok(user.context("an account")?.name)
}
