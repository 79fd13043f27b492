//! The life of sessions: suspended, resumed, renamed, idle, lost, ended.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Client, Cluster, Session, client::Socket, processes, wait};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// An echo program that keeps its work over a suspension, or so it says. Behind it stand lines of its file.
fn napper(more: &str) -> String {
    let echo = include_str!("../kinds/echo.toml");
    let text = echo.replace("name = \"echo\"", "name = \"napper\"").replace("title = \"Echo\"", "title = \"Napper\"");
    format!("{}\n{more}\n", text.replace("suspend = \"loses\"", "suspend = \"keeps\""))
}

/// Nodes that also offer the kind `napper`, and suspend what is idle for so many minutes.
fn sleepy(nodes: usize, minutes: &str, more: &str) -> Result<Builder> {
    let builder = Builder::for_test(nodes)?.kind("napper", napper(more));
    Ok(builder.session_setting("session-timeout-minutes", minutes))
}

async fn suspended(client: &Client, session: &Session) -> Result<Session> {
    let suspended = client.wait_state(&session.id, |state| state != "active").await?;
    ensure!(suspended.state == "suspended", "{suspended:?}");
    Ok(suspended)
}

fn text<'a>(session: &'a Session, field: &str) -> &'a str {
    session.rest.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The directories of sessions below a node's runtime directory and its data directory.
fn directories(cluster: &Cluster) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for node in cluster.nodes() {
        let run = node.files.data.with_file_name("run");
        for parent in [run, node.files.data.join("sessions")] {
            found.extend(fs::read_dir(&parent)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?);
        }
    }
    found.retain(|path| path.is_dir());
    Ok(found)
}

fn echoes(cluster: &Cluster) -> usize {
    cluster.processes().iter().filter(|process| process.command.contains("evenkeel-echo")).count()
}

#[tokio::test]
async fn a_session_that_nobody_uses_is_suspended_and_resumed_at_the_same_address() -> Result<()> {
    let cluster = sleepy(2, "0.05", "")?.start().await?;
    let client = cluster.client(0)?;
    let session = client.launch_active("napper").await?;
    let process = processes::by_id(session.pid.context("a pid")?).context("it runs")?;
    let asleep = suspended(client, &session).await?;
    assert_eq!(text(&asleep, "note"), "suspended after 3 seconds without use");
    assert_eq!((asleep.pid, process.runs()), (None, false));
    assert_eq!(client.get(&session.path("")).await?.status, 409, "it says that it is suspended");

    let resumed = client.resume(&session.id).await?;
    assert_eq!((&resumed.id, text(&resumed, "url")), (&session.id, text(&session, "url")));
    let again = client.wait_active(&session.id).await?;
    assert!(again.rest.get("note").is_none() && again.pid != session.pid, "{again:?}");
    assert!(client.get(&session.path("")).await?.success()?.text().contains(&session.id));
    Ok(())
}

#[tokio::test]
async fn what_loses_its_work_or_is_never_idle_is_not_suspended_unless_the_administrator_names_it() -> Result<()> {
    let never = napper("[activity]\nnever-idle = true").replace("\"napper\"", "\"worker\"");
    let cluster = sleepy(1, "0.05", "")?.kind("worker", never).start().await?;
    let client = cluster.client(0)?;
    let (echo, worker) = (client.launch_active("echo").await?, client.launch_active("worker").await?);
    for _ in 0..2 {
        // One that is suspended shows that time enough has passed, and that the daemon looks.
        let napper = client.launch_active("napper").await?;
        suspended(client, &napper).await?;
    }
    for session in [&echo, &worker] {
        assert_eq!(client.session(&session.id).await?.state, "active", "{}", session.kind);
    }
    drop(cluster);

    let named = sleepy(1, "0.05", "")?.session_setting("session-timeout-suspend-kinds", "other, echo");
    let cluster = named.start().await?;
    let client = cluster.client(0)?;
    let echo = client.launch_active("echo").await?;
    suspended(client, &echo).await?;
    Ok(())
}

/// Sends something again and again until told to stop, and how often it did.
fn keep_sending(
    mut socket: Socket,
    message: Message,
) -> (tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<u32>) {
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let sending = tokio::spawn(async move {
        let mut sent = 0;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                _ = &mut stopped => return sent,
                _ = tick.tick() => {}
            }
            if socket.send(message.clone()).await.is_err() {
                return sent;
            }
            sent += 1;
        }
    });
    (stop, sending)
}

#[tokio::test]
async fn an_open_tab_that_only_pings_and_polls_keeps_no_session_and_one_that_is_used_does() -> Result<()> {
    let activity = "[activity]\npolls = [\"headers\"]\nshortest-message = 10";
    let cluster = sleepy(2, "0.05", activity)?.start().await?;
    // Traffic comes to the sessions over another node, too.
    let open = async || {
        let session = cluster.client(0)?.launch_active("napper").await?;
        let (_, client) = cluster.client_elsewhere(&session.node.name)?;
        anyhow::Ok((session.clone(), client.socket(&session.path("ws")).await?))
    };
    let (left, left_tab) = open().await?;
    let (used, used_tab) = open().await?;
    let (_pings, _pinging) = keep_sending(left_tab, Message::Ping(b"are you there still?".as_slice().into()));
    let (short, short_tab) = open().await?;
    let (_beats, _beating) = keep_sending(short_tab, Message::text("beat"));
    let (stop, typing) = keep_sending(used_tab, Message::text("somebody types"));

    let (_, client) = cluster.client_elsewhere(&left.node.name)?;
    let asleep = wait::until("the open tabs to keep nothing", wait::LONG, async || {
        client.get(&left.path("headers?poll")).await?;
        let [left, short] = [client.session(&left.id).await?, client.session(&short.id).await?];
        ensure!(left.state == "suspended" && short.state == "suspended", "{} {}", left.state, short.state);
        Ok(left)
    });
    assert!(text(&asleep.await?, "note").contains("without use"));
    assert_eq!(client.session(&used.id).await?.state, "active");
    assert!(stop.send(()).is_ok() && typing.await? > 1, "it was used all the time");
    suspended(client, &used).await?;
    Ok(())
}

#[tokio::test]
async fn a_program_that_says_it_is_busy_is_not_idle_until_it_says_otherwise() -> Result<()> {
    let probe = "[[activity.probes]]\npath = \"{base_path}says\"\n\
                 busy = { at = \"state\", is = [\"busy\"], because = \"it computes\" }";
    let cluster = sleepy(1, "0.05", probe)?.start().await?;
    let client = cluster.client(0)?;
    let session = client.launch_active("napper").await?;
    client.get(&session.path("says?state=busy")).await?.success()?;
    let mut seen = Vec::new();
    wait::until("it to be found busy three times", wait::LONG, async || {
        let now = client.session(&session.id).await?;
        ensure!(now.state == "active", "it is {}", now.state);
        let last = text(&now, "last_activity").to_owned();
        if seen.last() != Some(&last) {
            seen.push(last);
        }
        ensure!(seen.len() > 4, "{seen:?}");
        Ok(())
    })
    .await?;
    client.get(&session.path("says?state=idle")).await?.success()?;
    suspended(client, &session).await?;
    Ok(())
}

#[tokio::test]
async fn what_nobody_uses_for_longer_is_ended_whether_it_runs_or_is_suspended() -> Result<()> {
    let builder = Builder::for_test(1)?.session_setting("session-timeout-kill-hours", "0.002");
    let cluster = builder.start().await?;
    let client = cluster.client(0)?;
    let (runs, asleep) = (client.launch_active("echo").await?, client.launch_active("echo").await?);
    client.suspend(&asleep.id).await?;
    for session in [&runs, &asleep] {
        let over = client.wait_state(&session.id, |state| state == "ended").await?;
        assert_eq!(text(&over, "note"), "ended after 7.2 seconds without use");
    }
    wait::until("nothing to be left", wait::LONG, async || {
        let left = directories(&cluster)?;
        ensure!(left.is_empty() && echoes(&cluster) == 0, "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_killed_daemon_keeps_its_idle_sessions_and_its_successor_suspends_them() -> Result<()> {
    let mut cluster = sleepy(1, "0.15", "")?.start().await?;
    let session = cluster.client(0)?.launch_active("napper").await?;
    cluster.node(0).kill9()?;
    cluster.node(0).start().await?;
    let again = cluster.client(0)?.session(&session.id).await?;
    assert_eq!((again.state.as_str(), again.pid), ("active", session.pid));
    suspended(cluster.client(0)?, &session).await?;
    Ok(())
}

#[tokio::test]
async fn a_kind_suspends_itself_by_the_signal_it_is_sent_or_by_its_own_doing() -> Result<()> {
    let kind = napper("suspend-signal = \"SIGUSR1\"\nsuspended-status = 75")
        .replace("program = \"evenkeel-echo\"", "program = \"sh\"")
        .replace(
            "[\"--socket={socket}\", \"--base-path={base_path}\"]",
            "[\"-c\", \"trap 'echo work is saved; exit 75' USR1; evenkeel-echo --socket={socket} --base-path={base_path} & wait; exit 75\"]",
        );
    let cluster = Builder::for_test(1)?.kind("napper", kind).start().await?;
    let client = cluster.client(0)?;
    let session = client.launch_active("napper").await?;
    client.suspend(&session.id).await?;
    suspended(client, &session).await?;
    let log = client.get(&format!("/api/v1/sessions/{}/log", session.id)).await?.success()?.text();
    assert!(log.contains("work is saved"), "{log}");

    client.resume(&session.id).await?;
    client.wait_active(&session.id).await?;
    // Its connection may break before it has answered.
    drop(client.get(&session.path("crash?status=75")).await);
    suspended(client, &session).await?;
    assert_eq!(echoes(&cluster), 0, "nothing of it runs");
    Ok(())
}

#[tokio::test]
async fn all_of_many_sessions_are_suspended_and_ended_at_once_and_nothing_is_left() -> Result<()> {
    const MANY: usize = 40;
    let cluster = Cluster::start(2).await?;
    let client = cluster.client(0)?;
    for _ in 0..MANY {
        client.launch("echo").await?;
    }
    for session in client.sessions().await? {
        client.wait_active(&session.id).await?;
    }
    let all = async |action: &str| -> Result<usize> {
        let asked: Value = client.post(&format!("/api/v1/sessions/{action}"), &json!({})).await?.success()?.json()?;
        Ok(asked["items"].as_array().context("items")?.len())
    };
    let become_all = async |state: &str| {
        wait::until(&format!("all to be {state}"), wait::LONG, async || {
            let others = client.sessions().await?.into_iter().filter(|session| session.state != state).count();
            ensure!(others == 0 && echoes(&cluster) == 0, "{others} are not, {} run", echoes(&cluster));
            Ok(())
        })
        .await
    };
    assert_eq!(all("suspend").await?, MANY);
    become_all("suspended").await?;
    for session in client.sessions().await?.iter().take(3) {
        client.resume(&session.id).await?;
    }
    assert_eq!(all("end").await?, MANY);
    become_all("ended").await?;
    assert_eq!(all("end").await?, 0);
    wait::until("every directory to be gone", wait::LONG, async || {
        let left = directories(&cluster)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_does_not_answer_in_its_time_fails_with_the_last_lines_of_its_log() -> Result<()> {
    let slow = napper("").replace("--base-path={base_path}\"]", "--base-path={base_path}\", \"--never-ready\"]");
    let cluster = Builder::for_test(1)?.kind("napper", slow.replace("seconds = 30", "seconds = 1")).start().await?;
    let client = cluster.client(0)?;
    let session = client.launch("napper").await?;
    let failed = client.wait_state(&session.id, |state| state != "starting").await?;
    assert_eq!(failed.state, "failed");
    let failure = failed.failure.unwrap_or_default();
    assert!(failure.contains("did not answer within 1 s") && failure.contains("evenkeel-echo: pid"), "{failure}");
    assert_eq!(echoes(&cluster), 0, "nothing of it runs");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_can() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.client(0)?;
    let session = client.launch_active("echo").await?;
    let path = |action: &str| format!("/api/v1/sessions/{}{action}", session.id);
    let refused = async |action: &str, instead: &str| -> Result<()> {
        let reply = client.post(&path(action), &json!({})).await?;
        let detail = reply.problem()?.detail.unwrap_or_default();
        ensure!(reply.status == 409 && detail.contains(instead), "{action}: {} {detail}", reply.status);
        Ok(())
    };
    refused("/resume", "it runs; open it, or suspend it first").await?;
    client.suspend(&session.id).await?;
    suspended(client, &session).await?;
    client.suspend(&session.id).await?;
    client.resume(&session.id).await?;
    client.wait_active(&session.id).await?;
    let name = json!({ "name": "Thesis" });
    assert_eq!(client.patch(&path(""), &name).await?.success()?.json::<Value>()?["name"], "Thesis");
    client.end(&session.id).await?;
    client.wait_state(&session.id, |state| state == "ended").await?;
    refused("/resume", "start a new session").await?;
    refused("/suspend", "start a new session").await?;
    assert_eq!(client.patch(&path(""), &name).await?.status, 409);
    client.end(&session.id).await?;

    let dead = client.launch_active("echo").await?;
    processes::by_id(dead.pid.context("a pid")?).context("it runs")?.kill();
    client.wait_state(&dead.id, |state| state == "failed").await?;
    let reply = client.post(&format!("/api/v1/sessions/{}/resume", dead.id), &json!({})).await?;
    assert!(reply.problem()?.detail.unwrap_or_default().contains("end it, and start a new session"));
    Ok(())
}

#[tokio::test]
async fn a_lost_session_is_resumed_by_its_owner_and_its_node_stops_the_first_when_it_returns() -> Result<()> {
    let mut cluster = Builder::for_test(2)?.setting("node-timeout-seconds", "2").start().await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let owner = cluster.index(&session.node.name)?;
    let survivor = 1 - owner;
    let first = processes::by_id(session.pid.context("a pid")?).context("it runs")?;
    cluster.node(owner).kill9()?;
    let client = cluster.client(survivor)?.clone();
    client.wait_state(&session.id, |state| state == "lost").await?;
    let resume = format!("/api/v1/sessions/{}/resume", session.id);
    let refused = client.post(&resume, &json!({})).await?;
    assert_eq!(refused.status, 409);
    assert!(refused.problem()?.detail.unwrap_or_default().contains("may-run-twice"));
    client.post(&resume, &json!({ "confirm": "may-run-twice" })).await?.success()?;
    let second = client.wait_active(&session.id).await?;
    assert_ne!((second.pid, &second.node), (session.pid, &session.node));
    assert!(first.runs(), "its node is cut off, as far as anybody knows");

    cluster.node(owner).start().await?;
    wait::until("the first to be stopped", wait::LONG, async || {
        ensure!(!first.runs(), "it runs");
        Ok(())
    })
    .await?;
    let still = client.session(&session.id).await?;
    assert_eq!((still.state.as_str(), still.pid, &still.node), ("active", second.pid, &second.node));
    assert!(client.get(&session.path("")).await?.success()?.text().contains(&session.id));
    Ok(())
}

/// Everything of a node that a restart of its machine takes.
fn pull_the_plug(cluster: &Cluster, data: &Path) -> Result<()> {
    for process in cluster.processes() {
        process.kill();
    }
    fs::remove_dir_all(data.with_file_name("run"))?;
    Ok(fs::write(data.join("sessions/boot"), "\"the start before\"")?)
}

#[tokio::test]
async fn after_a_restart_of_the_machine_sessions_are_found_dead_and_it_is_said() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    cluster.node(0).kill9()?;
    pull_the_plug(&cluster, &cluster.nodes()[0].files.data)?;
    cluster.node(0).start().await?;
    let found = cluster.client(0)?.wait_state(&session.id, |state| state != "active").await?;
    assert_eq!(found.state, "failed");
    let failure = found.failure.unwrap_or_default();
    assert!(failure.starts_with("its node was restarted, and the program ended with it"), "{failure}");
    assert!(failure.contains("evenkeel-echo: pid"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn sessions_are_suspended_resumed_renamed_and_ended_by_commands() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client(0)?;
    let (one, other) = (client.launch_active("echo").await?, client.launch_active("echo").await?);
    let run = |arguments: &[&str]| -> Result<(bool, String)> {
        let mut command = cluster.command(arguments)?;
        let output = command.arg("--data-dir").arg(&cluster.nodes()[0].files.data).output()?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok((output.status.success(), text))
    };
    let done = |arguments: &[&str], told: &str| -> Result<()> {
        let (succeeded, text) = run(arguments)?;
        ensure!(succeeded && text.contains(told), "{arguments:?}: {text}");
        Ok(())
    };
    done(&["sessions", "rename", &one.id, "My thesis"], "(My thesis) is active")?;
    done(&["sessions", "suspend", &one.id], "suspended")?;
    suspended(client, &one).await?;
    let (succeeded, text) = run(&["sessions", "resume", &other.id])?;
    assert!(!succeeded && text.contains("suspend it first"), "{text}");
    done(&["sessions", "resume", &one.id], "is starting")?;
    client.wait_active(&one.id).await?;
    done(&["sessions", "suspend", "--all"], "is being suspended")?;
    suspended(client, &one).await?;
    suspended(client, &other).await?;
    done(&["sessions"], "My thesis")?;
    done(&["sessions", "end", "--all"], "is ended")?;
    done(&["sessions", "end", "--all"], "there is none")?;
    let (succeeded, text) = run(&["sessions", "end"])?;
    assert!(!succeeded && text.contains("--all"), "{text}");
    Ok(())
}
