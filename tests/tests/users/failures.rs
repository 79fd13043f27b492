//! What keeps a session from starting as its user is said in a sentence, and keeps nobody else's from starting.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Client, User, binaries, storage::Mount, users, wait};

use crate::{builder, with_echo};

/// Why a session did not start.
async fn failure(client: &Client, kind: &str) -> Result<String> {
    let session = client.launch(kind).await?;
    let session = client.wait_state(&session.id, |state| state != "starting").await?;
    ensure!(session.state == "failed", "it is {}", session.state);
    session.failure.context("a failed session says why")
}

#[tokio::test]
async fn a_home_that_is_missing_closed_or_no_directory_is_named() -> Result<()> {
    let ada = User::borrow()?;
    let cluster = builder(1)?.start().await?;
    let client = cluster.sign_in(0, &ada.name).await?;
    let (name, home) = (&ada.name, ada.home.display());

    fs::remove_dir_all(&ada.home)?;
    let missing = format!("{home}: the home directory of {name} does not exist on this node");
    assert_eq!(failure(&client, "probe").await?, missing);
    fs::write(&ada.home, "")?;
    let file = format!("{home}: the home directory of {name} is no directory on this node");
    assert_eq!(failure(&client, "probe").await?, file);
    fs::remove_file(&ada.home)?;
    // As storage that squashes root would have it: to be entered by its user alone, or not at all.
    fs::create_dir(&ada.home)?;
    fs::set_permissions(&ada.home, Permissions::from_mode(0o700))?;
    let closed = format!("{home}: {name} may not enter the home directory on this node");
    assert_eq!(failure(&client, "probe").await?, closed);
    Ok(())
}

#[tokio::test]
async fn a_home_on_storage_that_hangs_fails_its_own_sessions_and_holds_up_nobody() -> Result<()> {
    let (ada, bob) = (User::borrow()?, User::borrow()?);
    let cluster = builder(1)?.start().await?;
    let (hers, his) = (cluster.sign_in(0, &ada.name).await?, cluster.sign_in(0, &bob.name).await?);
    let mount = Mount::hanging(&ada.home)?;
    // More than are started at once.
    let mut started = Vec::new();
    for _ in 0..12 {
        started.push(hers.launch("probe").await?);
    }
    let begun = Instant::now();
    his.launch_active("probe").await?;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert_eq!(his.get("/").await?.status, 200);
    let first = hers.wait_state(&started[0].id, |state| state != "starting").await?;
    let problem = format!(
        "{}: the home directory of {} does not answer within 10 s; does its storage hang?",
        ada.home.display(),
        ada.name
    );
    assert_eq!((first.state.as_str(), first.failure.as_deref()), ("failed", Some(problem.as_str())));
    drop(mount);
    for session in &started {
        hers.end(&session.id).await?;
        hers.wait_state(&session.id, |state| state == "ended" || state == "failed").await?;
    }
    ada.wait_without_processes().await
}

#[tokio::test]
async fn accounts_that_may_have_no_sessions_are_told_why_and_so_is_who_names_nobody() -> Result<()> {
    let cluster = builder(1)?.start().await?;
    users::fixed("system", &["--system", "--shell", "/bin/bash"])?;
    users::fixed("no-shell", &["--shell", "/usr/sbin/nologin"])?;
    for (user, problem) in [
        ("ek-test-nobody-knows", "this node has no account ek-test-nobody-knows"),
        ("ek-test-system", "and those below 1000 have no sessions (auth-minimum-user-id)"),
        ("ek-test-no-shell", "ek-test-no-shell may not log in on this node: the account's shell is /usr/sbin/nologin"),
    ] {
        let data = cluster.nodes()[0].files.data.display().to_string();
        let output = cluster.command(&["sign-in-link", "--data-dir", &data, "--user", user])?.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(problem), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_configured_minimum_user_id_holds_for_root_too() -> Result<()> {
    let cluster = builder(1)?.setting("auth-minimum-user-id", "1000").start().await?;
    let problem = "on node n1: root has the user id 0, and those below 1000 have no sessions (auth-minimum-user-id)";
    assert_eq!(failure(cluster.client(0)?, "echo").await?, problem);
    Ok(())
}

#[tokio::test]
async fn a_node_whose_runtime_directory_is_full_is_passed_over_and_says_so() -> Result<()> {
    let ada = User::borrow()?;
    let mut cluster = builder(2)?.prepare()?;
    let run = cluster.nodes()[0].files.run.clone();
    fs::create_dir_all(&run)?;
    let disk = Mount::small(&run, 1 << 20)?;
    cluster.start_all().await?;
    disk.fill()?;
    let client = cluster.sign_in(1, &ada.name).await?;
    for _ in 0..2 {
        let session = client.launch_active("probe").await?;
        assert_eq!(session.node.name, "n2");
    }
    let log = cluster.nodes()[0].log();
    assert!(log.contains("No space left on device"), "{log}");
    cluster.close().await?;
    drop(disk);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_costs_a_session_its_log_and_nothing_else() -> Result<()> {
    let ada = User::borrow()?;
    let mut cluster = builder(1)?.prepare()?;
    let logs = cluster.nodes()[0].files.data.join("sessions");
    fs::create_dir_all(&logs)?;
    let disk = Mount::small(&logs, 1 << 20)?;
    cluster.start_all().await?;
    disk.fill()?;
    let client = cluster.sign_in(0, &ada.name).await?;
    let session = client.launch_active("probe").await?;
    assert!(client.get(&session.path("")).await?.status.is_success());
    client.end(&session.id).await?;
    client.wait_state(&session.id, |state| state == "ended").await?;
    cluster.close().await?;
    drop(disk);
    Ok(())
}

#[tokio::test]
async fn a_full_home_is_told_by_the_program_and_shown_with_the_failure() -> Result<()> {
    let ada = User::borrow()?;
    let disk = Mount::small(&ada.home, 1 << 20)?;
    fs::set_permissions(&ada.home, Permissions::from_mode(0o777))?;
    disk.fill()?;
    let kind = r#"
        name = "writer"
        title = "Writer"
        program = "sh"
        arguments = ["-c", "cp /etc/passwd $HOME/.settings && exec @ECHO@ --socket={socket}"]
        listen = "unix"
        base-path = "kept"
        suspend = "loses"
        ready = { path = "/", seconds = 60 }
    "#;
    let cluster = builder(1)?.kind("writer", with_echo(kind)?).start().await?;
    let client = cluster.sign_in(0, &ada.name).await?;
    let failure = failure(&client, "writer").await?;
    assert!(failure.contains("No space left on device"), "{failure}");
    cluster.close().await?;
    drop(disk);
    Ok(())
}

#[tokio::test]
async fn a_directory_service_that_hangs_is_told_and_blocks_nothing_else() -> Result<()> {
    let ada = User::borrow()?;
    // The daemon has a file system of its own to be hurt in.
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("evenkeel");
    let real = binaries::find("evenkeel")?;
    let script = format!("#!/bin/sh\nexec unshare --mount --propagation private -- {} \"$@\"\n", real.display());
    fs::write(&program, script)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let cluster = builder(1)?.program(program).start().await?;
    let client = cluster.sign_in(0, &ada.name).await?;
    let before = client.launch_active("probe").await?;

    // Whoever opens it waits for a writer. A mount at the file itself would go when another test adds an account, since
    // that puts another file in its place.
    let etc = directory.path().join("etc");
    ensure!(Command::new("cp").args(["--archive", "/etc"]).arg(&etc).status()?.success(), "not copied");
    let pipe = etc.join("passwd");
    fs::remove_file(&pipe)?;
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o644))?;
    let pid = cluster.nodes()[0].pid().context("it runs")?.to_string();
    let mounted = Command::new("nsenter").args(["-t", &pid, "-m", "mount", "--bind"]).arg(&etc).arg("/etc").status()?;
    ensure!(mounted.success(), "not mounted");
    let problem = "cannot be looked up: the name service gave no answer within 10 s";
    let asked = cluster.client(0)?.post("/api/v1/sign-in-codes?user=ek-test-somebody", &serde_json::json!({})).await?;
    assert_eq!((asked.status.as_u16(), asked.text().contains(problem)), (503, true), "{}", asked.text());
    // What was running is reached, what was signed in is.
    assert!(client.get(&before.path("")).await?.status.is_success());
    assert_eq!(client.get("/").await?.status, 200);
    let refused = client.post("/api/v1/sessions", &serde_json::json!({ "kind": "probe" })).await?;
    assert_eq!((refused.status.as_u16(), refused.text().contains(problem)), (503, true), "{}", refused.text());

    let freed = Command::new("nsenter").args(["-t", &pid, "-m", "umount", "-l", "/etc"]).status()?;
    ensure!(freed.success(), "not unmounted");
    // Whoever waits gets an empty file.
    drop(fs::OpenOptions::new().write(true).open(&pipe)?);
    wait::until("accounts to be found again", wait::LONG, async || cluster.sign_in(0, &ada.name).await.map(drop))
        .await?;
    cluster.close().await
}
