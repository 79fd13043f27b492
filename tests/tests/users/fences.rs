//! What another user of the same machine gets at: nothing.

use std::{fs, os::unix::fs::symlink};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{User, processes, wait};
use nix::sys::signal::{Signal, kill};

use crate::{Trap, builder, python, state};

/// Tries to open files and directories, and says of each whether that worked.
const OPEN: &str = r#"
import os, sys
for path in sys.argv[1:]:
    try:
        os.listdir(path) if os.path.isdir(path) else open(path).read()
        print("open", path)
    except OSError as error:
        print("closed", path, error.strerror)
"#;

/// Connects to sockets, and says what a request brings.
const ASK: &str = r#"
import socket, sys
path = sys.argv[1]
for place in sys.argv[2:]:
    try:
        if place.isdigit():
            connection = socket.create_connection(("127.0.0.1", int(place)), 5)
        else:
            connection = socket.socket(socket.AF_UNIX); connection.settimeout(5); connection.connect(place)
        connection.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        print("answered", place, connection.recv(4096).split(b"\r\n")[0])
    except OSError as error:
        print("refused", place, error.strerror)
"#;

#[tokio::test]
async fn another_user_reaches_a_session_by_no_url_file_socket_or_port() -> Result<()> {
    let (ada, bob) = (User::borrow()?, User::borrow()?);
    let cluster = builder(2)?.start().await?;
    let hers = cluster.sign_in(0, &ada.name).await?;
    for kind in ["echo", "port"] {
        let session = hers.launch_active(kind).await?;
        let owner = &cluster.nodes()[cluster.index(&session.node.name)?];
        for index in 0..2 {
            let his = cluster.sign_in(index, &bob.name).await?;
            for path in ["", "headers", "ready"] {
                let reply = his.get(&session.path(path)).await?;
                assert!(reply.status.is_client_error(), "{path}: {}", reply.status);
            }
            let origin = format!("http://{}", his.authority());
            let upgrade = his.upgrade(&session.path("ws"), &[("origin", &origin)]).await?;
            assert!(upgrade.is_err_and(|status| status.is_client_error()));
            assert_eq!(his.get(&format!("/api/v1/sessions/{}", session.id)).await?.status, 404);
            assert_eq!(his.get(&format!("/api/v1/sessions/{}/log", session.id)).await?.status, 404);
            assert_eq!(his.delete(&format!("/api/v1/sessions/{}", session.id)).await?.status, 404);
        }
        let pid = session.pid.context("it runs")?;
        let directory = owner.files.run.join(&session.id);
        let file = |name: &str| directory.join(name).display().to_string();
        let log = owner.files.data.join("sessions").join(&session.id).join("log").display().to_string();
        let environment = format!("/proc/{pid}/environ");
        let closed = [file("own"), file("state.json"), file(""), log, environment];
        let said = python(&bob, OPEN, &closed.each_ref().map(String::as_str))?;
        assert!(!said.contains("open"), "{said}");
        let port = state(owner, &session)?["service"]["port"].as_u64();
        let places = [Some(file("own/ide.sock")), Some(file("control.sock")), port.map(|port| port.to_string())];
        for place in places.into_iter().flatten() {
            let said = python(&bob, ASK, &[&session.path(""), &place])?;
            let refused = said.starts_with("refused") || said.contains("403 Forbidden");
            assert!(refused, "{kind}: {said}");
        }
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        let secret = state(owner, &session)?["service"]["headers"][0][1].as_str().context("a secret")?.to_owned();
        let secret = secret.strip_prefix("token ").context("a secret")?;
        assert!(secret.len() > 40 && !command.contains(secret), "{command}");
    }
    Ok(())
}

#[tokio::test]
async fn a_socket_that_was_swapped_for_anothers_is_sent_nothing() -> Result<()> {
    let (ada, bob) = (User::borrow()?, User::borrow()?);
    let cluster = builder(1)?.start().await?;
    let client = cluster.sign_in(0, &ada.name).await?;
    let session = client.launch_active("echo").await?;
    let socket = cluster.nodes()[0].files.run.join(&session.id).join("own/ide.sock");
    assert!(client.get(&session.path("")).await?.status.is_success());

    // Bob's, and one of root's.
    let place = bob.home.join("sock");
    let trap = Trap::set(&bob, place.to_str().context("text")?).await?;
    let roots = tempfile::tempdir()?;
    let root = roots.path().join("sock");
    let listener = std::os::unix::net::UnixListener::bind(&root)?;
    listener.set_nonblocking(true)?;
    for target in [&place, &root] {
        fs::remove_file(&socket)?;
        symlink(target, &socket)?;
        // Those that are open already lead to her program, and a web socket takes one of its own.
        let origin = format!("http://{}", client.authority());
        let upgrade = client.upgrade(&session.path("ws"), &[("origin", &origin)]).await?;
        assert!(upgrade.is_err_and(|status| status.is_server_error()));
    }
    assert!(!trap.was_visited() && trap.caught().is_empty(), "a link is not followed");
    assert_eq!(listener.accept().map_err(|error| error.kind()).err(), Some(std::io::ErrorKind::WouldBlock));
    Ok(())
}

#[tokio::test]
async fn whoever_takes_a_sessions_port_is_sent_nothing() -> Result<()> {
    let (ada, bob) = (User::borrow()?, User::borrow()?);
    let cluster = builder(1)?.start().await?;
    let client = cluster.sign_in(0, &ada.name).await?;
    let session = client.launch_active("port").await?;
    assert!(client.get(&session.path("")).await?.status.is_success());
    let port = state(&cluster.nodes()[0], &session)?["service"]["port"].as_u64().context("a port")?;
    let holder = ada.processes().into_iter().filter_map(processes::by_id);
    let holder = holder.into_iter().find(|process| process.command.contains("evenkeel-echo")).context("it runs")?;
    kill(nix::unistd::Pid::from_raw(holder.pid), Signal::SIGKILL)?;
    wait::until("the port to be free", wait::LONG, async || {
        ensure!(!holder.runs(), "it is held");
        Ok(())
    })
    .await?;

    let trap = Trap::set(&bob, &port.to_string()).await?;
    for path in ["", "headers"] {
        let reply = client.get(&session.path(path)).await?;
        assert!(reply.status.is_server_error(), "{}: {}", reply.status, reply.text());
    }
    assert!(trap.was_visited(), "the proxy has looked whose it is");
    assert_eq!(trap.caught(), "");
    assert_eq!(client.session(&session.id).await?.state, "active", "its program is there");
    Ok(())
}

#[tokio::test]
async fn whoever_listens_where_the_daemon_did_is_not_sent_its_token() -> Result<()> {
    let bob = User::borrow()?;
    let mut cluster = builder(1)?.start().await?;
    let authority = cluster.nodes()[0].authority();
    cluster.node(0).kill9()?;
    let port = authority.rsplit(':').next().context("a port")?;
    let trap = Trap::set(&bob, port).await?;
    let data = cluster.nodes()[0].files.data.clone();
    let output = cluster.command(&["list-nodes"])?.arg("--data-dir").arg(&data).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("cannot be asked"), "{said}");
    assert!(trap.was_visited(), "the command has looked whose it is");
    assert_eq!(trap.caught(), "");
    drop(trap);
    cluster.node(0).start().await?;
    cluster.close().await
}
