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
