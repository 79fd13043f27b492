//! The legacy script as the whole system runs it, good and bad.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Client, Cluster, Session, wait};
use futures_util::future::try_join_all;

/// A cluster of two nodes that are about to be started, and its script: a shell script of these lines. `settings` are lines
/// of the file `load-balancer`.
fn prepare(lines: &str, settings: &str) -> Result<(Cluster, PathBuf)> {
    let mut cluster = Builder::for_test(2)?.prepare()?;
    // Where the daemon is root, the script is run by an account that must find it.
    fs::set_permissions(cluster.root(), Permissions::from_mode(0o711))?;
    let script = cluster.root().join("rserver-balancer");
    fs::write(&script, format!("#!/bin/sh\n{lines}\n"))?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    for index in 0..2 {
        let text = format!("balancer = custom\nbalancer-script = {}\n{settings}", script.display());
        fs::write(cluster.node(index).files.config.join("load-balancer"), text)?;
    }
    Ok((cluster, script))
}

/// A directory below the cluster's that the script can write to, whoever runs it.
fn open_directory(cluster: &Cluster) -> Result<PathBuf> {
    let directory = cluster.root().join("seen");
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, Permissions::from_mode(0o1777))?;
    Ok(directory)
}

/// What `evenkeel why` prints of a session.
fn why(cluster: &Cluster, session: &Session) -> Result<String> {
    let output = cluster.command(&["why", &session.id, "--data-dir"])?.arg(&cluster.nodes()[0].files.data).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Waits until nothing of a script is left that starts `sleep 1000` with its own path in the environment.
async fn nothing_left(cluster: &Cluster) -> Result<()> {
    wait::until("nothing of the script to be left", wait::LONG, async || {
        let is_left = |command: &str| command.contains("rserver-balancer") || command == "sleep 1000";
        let left: Vec<_> = cluster.processes().into_iter().filter(|process| is_left(&process.command)).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_script_chooses_the_node_of_each_session_by_user_and_nodes() -> Result<()> {
    let (mut cluster, script) = prepare("", "")?;
    let seen = open_directory(&cluster)?.join("last");
    let lines = format!("#!/bin/sh\necho \"$RSTUDIO_USERNAME $RSTUDIO_NODES\" > {}\n", seen.display());
    fs::write(&script, format!("{lines}echo \"${{RSTUDIO_NODES##*,}}\"\n"))?;
    cluster.start_all().await?;
    for index in [0, 1, 0] {
        let session = cluster.client(index)?.launch_active("echo").await?;
        let told = fs::read_to_string(&seen)?;
        let (user, nodes) = told.trim().split_once(' ').context("a user and nodes")?;
        assert_eq!(user, session.user);
        let nodes: Vec<_> = nodes.split(',').collect();
        assert_eq!(nodes.len(), 2, "{nodes:?}");
        let chosen = &cluster.nodes()[cluster.index(&session.node.name)?];
        assert_eq!(nodes[1], chosen.authority(), "the script prints the last one");
        let text = why(&cluster, &session)?;
        assert!(text.contains("by custom in") && !text.contains("Fallback"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_script_with_a_bad_answer_keeps_no_session_from_starting_and_why_tells() -> Result<()> {
    let (mut cluster, script) = prepare("echo no database >&2; echo n9:1; exit 0", "")?;
    cluster.start_all().await?;
    let mut nodes = Vec::new();
    for index in 0..2 {
        let session = cluster.client(index)?.launch_active("echo").await?;
        let text = why(&cluster, &session)?;
        let expected = format!(
            "Fallback: balancer custom failed: {} printed `n9:1`, which is none of the nodes it was given; \
             it complained: `no database`",
            script.display()
        );
        assert!(text.contains("by sessions in") && text.contains(&expected), "{text}");
        nodes.push(session.node.name);
    }
    assert_ne!(nodes[0], nodes[1], "the fallback spreads sessions");
    Ok(())
}

#[tokio::test]
async fn a_script_that_hangs_or_is_removed_keeps_no_session_waiting_beyond_its_limit() -> Result<()> {
    let (mut cluster, script) = prepare("OF=$0 sleep 1000 & wait", "balancer-timeout = 1\n")?;
    cluster.start_all().await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let text = why(&cluster, &session)?;
    assert!(text.contains("was killed after 1 s, and had printed nothing"), "{text}");
    nothing_left(&cluster).await?;
    fs::remove_file(&script)?;
    let session = cluster.client(1)?.launch_active("echo").await?;
    assert!(why(&cluster, &session)?.contains("No such file or directory"));
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_stops_takes_its_script_with_it() -> Result<()> {
    let (mut cluster, _) = prepare("OF=$0 sleep 1000 & wait", "balancer-timeout = 20\n")?;
    cluster.start_all().await?;
    let client = Client::of(&cluster.nodes()[0].authority(), &cluster.nodes()[0].files.data)?;
    let launch = tokio::spawn(async move { client.launch("echo").await });
    wait::until("the script to run", wait::LONG, async || {
        ensure!(cluster.processes().iter().any(|process| process.command == "sleep 1000"), "it does not");
        Ok(())
    })
    .await?;
    assert!(cluster.node(0).stop().await?.success());
    nothing_left(&cluster).await?;
    assert!(launch.await?.is_err(), "whom the daemon can place no more is told so");
    Ok(())
}

#[tokio::test]
async fn a_script_that_takes_its_time_runs_for_many_launches_at_once() -> Result<()> {
    let (mut cluster, script) = prepare("", "")?;
    let seen = open_directory(&cluster)?;
    // Nobody is answered until all eight have been asked about.
    let pick = "until [ \"$(ls | wc -l)\" -ge 8 ]; do sleep 0.05; done; echo \"${RSTUDIO_NODES%%,*}\"";
    fs::write(&script, format!("#!/bin/sh\ncd {} && : > $$\n{pick}\n", seen.display()))?;
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    let sessions = try_join_all((0..8).map(async |_| client.launch("echo").await)).await?;
    for session in &sessions {
        let text = why(&cluster, session)?;
        assert!(text.contains("by custom in") && !text.contains("Fallback"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_script_that_is_not_there_or_open_to_others_is_bad_configuration() -> Result<()> {
    let (mut cluster, script) = prepare("true", "")?;
    let files = cluster.node(0).files.clone();
    let refused = |cluster: &Cluster| -> Result<String> {
        let mut serve = cluster.command(&["serve", "--config-dir"])?;
        serve.arg(&files.config).arg("--data-dir").arg(&files.data);
        let Output { status, stderr, .. } = serve.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        let message = String::from_utf8(stderr)?;
        assert_eq!(status.code(), Some(78), "{message}");
        Ok(message)
    };
    if nix::unistd::geteuid().is_root() {
        fs::set_permissions(&script, Permissions::from_mode(0o757))?;
        let message = refused(&cluster)?;
        let expected = format!("{} can be written to by its group or by others", script.display());
        assert!(message.contains(&expected), "{message}");
    }
    fs::remove_file(&script)?;
    let message = refused(&cluster)?;
    assert!(message.contains(&format!("balancer-script={}: there is no such file", script.display())), "{message}");
    fs::write(files.config.join("load-balancer"), "balancer = custom\n")?;
    let message = refused(&cluster)?;
    for place in
        ["balancer-script", "/usr/lib/evenkeel/bin/rserver-balancer", "/usr/lib/rstudio-server/bin/rserver-balancer"]
    {
        assert!(message.contains(place), "no {place} in: {message}");
    }
    Ok(())
}
