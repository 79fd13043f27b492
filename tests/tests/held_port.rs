//! A port that is held for the daemon, as systemd does: while a daemon is away, nobody else has it.

use std::{
    fs::File,
    net::TcpListener,
    os::fd::{AsFd as _, AsRawFd as _},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Client, Cluster, wait};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Starts a daemon as systemd does: the port is its third file, and the environment says so by the process's own id.
fn start(cluster: &Cluster, port: &TcpListener) -> Result<Child> {
    let files = &cluster.nodes()[0].files;
    let serve = cluster.command(&["serve", "--node-name", "n1", "--www-port", "0", "--config-dir"])?;
    let arguments: Vec<_> = serve.get_args().map(ToOwned::to_owned).collect();
    fcntl(port.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
    let hand_over = format!("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&{}", port.as_raw_fd());
    let mut command = Command::new("/bin/bash");
    command.args(["-c", &hand_over]).arg(serve.get_program()).args(arguments);
    command.arg(&files.config).arg("--data-dir").arg(&files.data);
    for (name, value) in serve.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let log = File::options().create(true).append(true).open(&files.log)?;
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    // From here on it is the daemon's and this process's, and no other program's.
    fcntl(port.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(child)
}

/// Ends a daemon that the harness does not know of, however the test ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_connection_that_comes_while_the_daemon_is_away_is_answered_by_the_next_one() -> Result<()> {
    let cluster = Builder::for_test(1)?.prepare()?;
    let port = TcpListener::bind("127.0.0.1:0")?;
    let authority = port.local_addr()?.to_string();
    let mut daemon = Daemon(start(&cluster, &port)?);
    let files = &cluster.nodes()[0].files;
    let client = wait::until("the daemon to answer", wait::LONG, async || {
        let client = Client::of(&authority, &files.data)?;
        client.nodes().await?;
        Ok(client)
    })
    .await?;
    let session = client.launch_active("echo").await?;
    let program = session.pid.context("it runs")?;

    // The program has not got the port from the daemon, nor has its supervisor.
    let holds = |pid: i32| -> Result<bool> {
        let inode = inode(&authority)?;
        let process = procfs::process::Process::new(pid)?;
        let held = process
            .fd()?
            .filter_map(Result::ok)
            .any(|file| matches!(file.target, procfs::process::FDTarget::Socket(held) if held == inode));
        Ok(held)
    };
    let supervisor = procfs::process::Process::new(program)?.stat()?.ppid;
    let daemon_pid = i32::try_from(daemon.0.id())?;
    assert_eq!((holds(daemon_pid)?, holds(supervisor)?, holds(program)?), (true, false, false));

    daemon.0.kill()?;
    daemon.0.wait()?;
    let asked = {
        let (client, path) = (Client::of(&authority, &files.data)?, session.path("headers"));
        tokio::spawn(async move { client.get(&path).await })
    };
    // It has come in, and waits.
    wait::until("the connection to wait", wait::LONG, async || {
        ensure!(waiting(&authority)? > 0, "none does");
        Ok(())
    })
    .await?;
    let next = Daemon(start(&cluster, &port)?);
    let reply = asked.await??;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let client = Client::of(&authority, &files.data)?;
    assert_eq!(client.session(&session.id).await?.pid, Some(program));
    client.end(&session.id).await?;
    client.wait_state(&session.id, |state| state == "ended").await?;
    drop(next);
    Ok(())
}

/// The listener's row of the machine's table.
fn row(authority: &str) -> Result<procfs::net::TcpNetEntry> {
    let address = authority.parse()?;
    let mut rows = procfs::net::tcp()?.into_iter();
    rows.find(|row| row.local_address == address && row.state == procfs::net::TcpState::Listen)
        .context("nobody listens")
}

fn inode(authority: &str) -> Result<u64> {
    Ok(row(authority)?.inode)
}

/// How many connections nobody has accepted yet.
fn waiting(authority: &str) -> Result<u32> {
    Ok(row(authority)?.rx_queue)
}
