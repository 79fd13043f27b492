//! A session runs as its user, and goes on while daemons die.

use std::{fs, os::unix::fs::MetadataExt as _};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Session, User, processes, wait};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

use crate::{builder, log_with, state};

#[tokio::test]
async fn a_session_runs_as_its_user_at_home_by_the_login_shell_in_a_session_of_its_own() -> Result<()> {
    let (ada, bob) = (User::borrow()?, User::borrow()?);
    ada.write(".bash_profile", "export FROM_PROFILE='read at login'\n")?;
    let cluster = builder(1)?.start().await?;
    for user in [&ada, &bob] {
        let client = cluster.sign_in(0, &user.name).await?;
        let session = client.launch_active("probe").await?;
        assert_eq!(session.user, user.name);
        let log = log_with(&client, &session, "NoNewPrivs").await?;
        let profile = if user.name == ada.name { "read at login" } else { "" };
        let home = user.home.display();
        let (name, uid) = (&user.name, user.uid);
        let who = format!(
            "uid={uid} groups={name} home={home} cwd={home} umask=0022 user={name} shell=/bin/bash profile={profile}\n"
        );
        assert!(log.contains(&who), "{log}\nis not\n{who}");
        let pid = session.pid.context("it runs")?;
        assert!(log.contains(&format!("session={pid} pid={pid}\n")), "{log}");
        assert!(log.contains("NoNewPrivs:\t0"), "{log}");
        let process = procfs::process::Process::new(pid)?;
        assert_eq!(process.uid()?, user.uid);
        let stat = process.status()?;
        assert_eq!((stat.euid, stat.suid, stat.fuid, stat.egid), (uid, uid, uid, stat.rgid));
    }
    Ok(())
}

#[tokio::test]
async fn settings_hold_for_every_program() -> Result<()> {
    let ada = User::borrow()?;
    ada.write(".bash_profile", "export FROM_PROFILE='read at login'\n")?;
    let cluster = builder(1)?
        .setting("session-no-new-privileges", "1")
        .setting("session-umask", "077")
        .setting("session-login-shell", "0")
        .setting("rsession-process-limit", "321")
        .start()
        .await?;
    let client = cluster.sign_in(0, &ada.name).await?;
    let session = client.launch_active("probe").await?;
    let log = log_with(&client, &session, "NoNewPrivs").await?;
    assert!(log.contains("umask=0077") && log.contains("profile=\n") && log.contains("NoNewPrivs:\t1"), "{log}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", session.pid.context("it runs")?))?;
    let processes = limits.lines().find(|line| line.starts_with("Max processes")).context("no such line")?;
    assert_eq!(processes.split_whitespace().nth(2), Some("321"), "{processes}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_of_a_session_that_was_stopped() -> Result<()> {
    let ada = User::borrow()?;
    // A process that leaves its parent, its process group and its session, forgets the environment, and ignores signals.
    ada.write(
        ".bash_profile",
        "(setsid env -i /bin/bash -c 'trap \"\" TERM HUP INT; echo leaver $$; while :; do sleep 1; done' &)\n",
    )?;
    let cluster = builder(1)?.start().await?;
    let client = cluster.sign_in(0, &ada.name).await?;
    let session = client.launch_active("probe").await?;
    let log = log_with(&client, &session, "leaver ").await?;
    let leaver = log.split("leaver ").nth(1).and_then(|rest| rest.split_whitespace().next()).context("no id")?;
    let leaver = processes::by_id(leaver.parse()?).context("it runs")?;
    let node = &cluster.nodes()[0];
    let directory = node.files.run.join(&session.id);
    let own = directory.join("own");
    assert_eq!(own.metadata()?.uid(), ada.uid);
    let cgroup = state(node, &session)?["cgroup"].as_str().map(str::to_owned);

    client.end(&session.id).await?;
    client.wait_state(&session.id, |state| state == "ended").await?;
    assert!(!leaver.runs(), "{leaver:?}");
    assert_eq!(ada.processes(), [0; 0]);
    assert!(!directory.exists());
    assert!(!node.files.data.join("sessions").join(&session.id).exists());
    if let Some(cgroup) = cgroup {
        assert!(!std::path::Path::new(&cgroup).exists(), "{cgroup}");
    }
    Ok(())
}

#[tokio::test]
async fn sessions_of_several_users_outlive_every_daemon_with_their_web_sockets_open() -> Result<()> {
    let (ada, bob) = (User::borrow()?, User::borrow()?);
    let mut cluster = builder(3)?.start().await?;
    let mut sessions: Vec<(String, Session)> = Vec::new();
    let mut sockets = Vec::new();
    for user in [&ada, &bob] {
        let client = cluster.sign_in(0, &user.name).await?;
        for kind in ["probe", "echo", "port"] {
            let session = client.launch_active(kind).await?;
            let (_, elsewhere) = cluster.client_elsewhere(&session.node.name)?;
            let mut socket = client.at(elsewhere.authority()).socket(&session.path("ws")).await?;
            socket.send(Message::text("before")).await?;
            assert_eq!(socket.next().await.context("cut")??, Message::text("before"));
            sockets.push(socket);
            sessions.push((user.name.clone(), session));
        }
    }
    let programs: Vec<_> = sessions.iter().filter_map(|(_, session)| processes::by_id(session.pid?)).collect();
    assert_eq!(programs.len(), sessions.len());
    for index in 0..3 {
        cluster.node(index).kill9()?;
    }
    assert!(programs.iter().all(processes::Process::runs), "a session ended with the daemons");
    for index in 0..3 {
        cluster.node(index).spawn()?;
    }
    for index in 0..3 {
        cluster.node(index).wait_ready().await?;
    }
    cluster.wait_online().await?;
    for (user, session) in &sessions {
        let client = cluster.sign_in(1, user).await?;
        let again = client.wait_active(&session.id).await?;
        assert_eq!((again.pid, &again.node, &again.user), (session.pid, &session.node, user));
        wait::until("the session to be reached again", wait::LONG, async || {
            let reply = client.get(&session.path("")).await?;
            ensure!(reply.status.is_success(), "status {}", reply.status);
            Ok(())
        })
        .await?;
    }
    assert!(programs.iter().all(processes::Process::runs), "a session ended when the daemons came back");
    Ok(())
}
