//! Nodes that are emptied: cordoned, drained with a deadline, in maintenance; and nodes that stop for good.

use std::{process::Output, time::Duration};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Cluster, Registry, Session, on_each_registry, processes, wait};
use serde_json::{Value, json};

on_each_registry!(
    a_drained_node_takes_nothing_new_keeps_what_runs_and_shows_its_progress,
    at_the_deadline_what_keeps_its_work_is_suspended_and_all_else_goes_on,
    with_end_what_would_lose_its_work_and_jobs_are_ended_at_the_deadline,
    a_deadline_that_passes_while_the_daemon_is_down_is_kept_when_it_returns,
    maintenance_suspends_what_keeps_its_work_at_once_and_ends_with_online,
    weight_capacity_and_labels_are_set_by_command_and_outlast_a_restart_until_they_are_unset,
    a_node_that_is_deleted_on_exit_goes_with_its_stop_but_not_while_its_sessions_run,
    what_ran_on_a_node_deleted_on_exit_is_lost_in_its_time_and_found_again,
);

/// A kind that keeps its work where it is suspended, and one that loses it.
fn builder(registry: &Registry, nodes: usize) -> Result<Builder> {
    let echo = include_str!("../kinds/echo.toml");
    let keeps = echo
        .replace("name = \"echo\"", "name = \"keeps\"")
        .replace("title = \"Echo\"", "title = \"Keeps\"")
        .replace("suspend = \"loses\"", "suspend = \"keeps\"");
    Ok(registry.builder(nodes)?.kind("keeps", keeps))
}

fn run(cluster: &Cluster, node: usize, arguments: &[&str]) -> Result<Output> {
    let files = &cluster.nodes()[node].files;
    let mut command = cluster.command(arguments)?;
    Ok(command.arg("--config-dir").arg(&files.config).arg("--data-dir").arg(&files.data).output()?)
}

/// What a command prints that succeeds.
fn said(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = run(cluster, 0, arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn told(cluster: &Cluster, arguments: &[&str]) -> Result<Value> {
    let text = said(cluster, &[arguments, &["--json"]].concat())?;
    serde_json::from_str(&text).with_context(|| text)
}

/// Launches sessions of a kind until one runs on that node, and waits until it is active.
async fn launch_on(cluster: &Cluster, kind: &str, node: &str) -> Result<Session> {
    for _ in 0..2 * cluster.nodes().len() {
        let session = cluster.client(0)?.launch(kind).await?;
        if session.node.name == node {
            return cluster.client(0)?.wait_active(&session.id).await;
        }
    }
    anyhow::bail!("the balancer never chose {node}")
}

async fn state_of(cluster: &Cluster, session: &Session, state: &str) -> Result<Session> {
    wait::until(&format!("session {} to be {state}", session.id), wait::LONG, async || {
        let now = cluster.client(0)?.session(&session.id).await?;
        ensure!(now.state == state, "it is {}", now.state);
        Ok(now)
    })
    .await
}

/// A job that runs until it is ended, on whichever node.
async fn job(cluster: &Cluster) -> Result<Session> {
    let job = json!({"kind": "job", "command": ["sleep", "1000"]});
    let started: Session = cluster.client(0)?.post("/api/v1/sessions", &job).await?.success()?.json()?;
    cluster.client(0)?.wait_active(&started.id).await
}

async fn a_drained_node_takes_nothing_new_keeps_what_runs_and_shows_its_progress(registry: Registry) -> Result<()> {
    let cluster = builder(&registry, 2)?.start().await?;
    let session = launch_on(&cluster, "echo", "n2").await?;
    let drained = told(&cluster, &["drain", "n2"])?;
    assert_eq!(drained["sessions"][0]["id"], session.id.as_str());
    assert_eq!(drained["sessions"][0]["at_deadline"], Value::Null);
    for _ in 0..3 {
        assert_eq!(cluster.client(1)?.launch_active("echo").await?.node.name, "n1");
    }
    let left = drained["node"]["sessions"].as_u64().context("a count")?;
    assert!(left >= 1, "{drained}");
    let line = |text: &str| text.lines().find(|line| line.ends_with("n2")).map(str::to_owned).unwrap_or_default();
    let plural = if left == 1 { "" } else { "s" };
    let listed = line(&said(&cluster, &["list-nodes"])?);
    assert!(listed.contains(&format!("Online, draining, {left} session{plural} left")), "{listed}");
    let status = said(&cluster, &["node-status", "n2"])?;
    assert!(status.contains("go on as long as they like") && status.contains(&session.id), "{status}");
    let home = evenkeel_tests::Client::by_link(&cluster.nodes()[0].authority(), cluster.nodes()[0].sign_in()).await?;
    let page = home.get("/").await?.text();
    assert!(page.contains(&format!("outlook-{}", session.id)) && page.contains("Its node is being emptied"), "{page}");
    assert!(page.contains("Draining"), "{page}");

    assert_eq!(cluster.client(0)?.session(&session.id).await?.state, "active");
    said(&cluster, &["drain", "n2", "--cancel"])?;
    assert!(!said(&cluster, &["list-nodes"])?.contains("draining"));
    launch_on(&cluster, "echo", "n2").await?;
    let again = run(&cluster, 0, &["drain", "n2", "--cancel"])?;
    let message = String::from_utf8(again.stderr)?;
    assert!(again.status.code() == Some(1) && message.contains("not being drained"), "{message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    Ok(())
}

async fn at_the_deadline_what_keeps_its_work_is_suspended_and_all_else_goes_on(registry: Registry) -> Result<()> {
    let cluster = builder(&registry, 2)?.start().await?;
    let keeps = launch_on(&cluster, "keeps", "n2").await?;
    let loses = launch_on(&cluster, "echo", "n2").await?;
    let drained = told(&cluster, &["drain", "n2", "--deadline", "3s"])?;
    assert!(drained["node"]["drain"]["deadline"].is_string(), "{drained}");
    let at_deadline = |id: &str| {
        let sessions = drained["sessions"].as_array().cloned().unwrap_or_default();
        sessions.into_iter().find(|session| session["id"] == id).map(|session| session["at_deadline"].clone())
    };
    assert_eq!(at_deadline(&keeps.id), Some(json!("suspended")));
    assert_eq!(at_deadline(&loses.id), Some(Value::Null));
    assert_eq!(cluster.client(0)?.session(&keeps.id).await?.state, "active", "before the deadline");
    let suspended = state_of(&cluster, &keeps, "suspended").await?;
    let note = suspended.rest["note"].as_str().unwrap_or_default();
    assert_eq!(note, "suspended since n2 is being drained");
    assert_eq!(cluster.client(0)?.session(&loses.id).await?.state, "active");
    // Its user goes on elsewhere.
    cluster.client(0)?.resume(&keeps.id).await?;
    assert_eq!(cluster.client(0)?.wait_active(&keeps.id).await?.node.name, "n1");
    Ok(())
}

async fn with_end_what_would_lose_its_work_and_jobs_are_ended_at_the_deadline(registry: Registry) -> Result<()> {
    let cluster = builder(&registry, 1)?.start().await?;
    let (keeps, loses) = (launch_on(&cluster, "keeps", "n1").await?, launch_on(&cluster, "echo", "n1").await?);
    let job = job(&cluster).await?;
    said(&cluster, &["drain", "1", "--deadline", "0s"])?;
    state_of(&cluster, &keeps, "suspended").await?;
    for goes_on in [&loses, &job] {
        assert_eq!(cluster.client(0)?.session(&goes_on.id).await?.state, "active");
    }
    said(&cluster, &["drain", "1", "--deadline", "0s", "--end"])?;
    state_of(&cluster, &loses, "ended").await?;
    state_of(&cluster, &job, "ended").await?;
    wait::until("the node to be empty", wait::LONG, async || {
        let status = told(&cluster, &["node-status", "n1"])?;
        ensure!(status["nodes"][0]["node"]["sessions"] == 0, "{status}");
        Ok(())
    })
    .await?;
    let refused = run(&cluster, 0, &["drain", "1", "--end"])?;
    assert!(!refused.status.success(), "without a deadline nothing is ended");
    Ok(())
}

async fn a_deadline_that_passes_while_the_daemon_is_down_is_kept_when_it_returns(registry: Registry) -> Result<()> {
    let mut cluster = builder(&registry, 2)?.start().await?;
    let keeps = launch_on(&cluster, "keeps", "n2").await?;
    let pid = keeps.pid.context("a process")?;
    cluster.node(1).kill9()?;
    said(&cluster, &["drain", "n2", "--deadline", "0s"])?;
    let process = processes::by_id(pid).context("the program runs")?;
    cluster.node(1).start().await?;
    state_of(&cluster, &keeps, "suspended").await?;
    wait::until("the program to end", wait::LONG, async || {
        ensure!(!process.runs(), "it runs");
        Ok(())
    })
    .await
}

async fn maintenance_suspends_what_keeps_its_work_at_once_and_ends_with_online(registry: Registry) -> Result<()> {
    let cluster = builder(&registry, 2)?.start().await?;
    let (keeps, loses) = (launch_on(&cluster, "keeps", "n1").await?, launch_on(&cluster, "echo", "n1").await?);
    // Without a name it is the node of the daemon that is asked.
    let answer = told(&cluster, &["offline"])?;
    assert_eq!((&answer["node"]["name"], &answer["node"]["drain"]["maintenance"]), (&json!("n1"), &json!(true)));
    state_of(&cluster, &keeps, "suspended").await?;
    assert_eq!(cluster.client(0)?.session(&loses.id).await?.state, "active");
    for _ in 0..2 {
        assert_eq!(cluster.client(0)?.launch_active("echo").await?.node.name, "n2");
    }
    assert!(said(&cluster, &["list-nodes"])?.contains("Online, maintenance, "));
    let answer = told(&cluster, &["online", "n1"])?;
    assert_eq!((&answer["node"]["cordoned"], &answer["node"]["drain"]), (&json!(false), &Value::Null));
    launch_on(&cluster, "echo", "n1").await?;
    Ok(())
}

async fn weight_capacity_and_labels_are_set_by_command_and_outlast_a_restart_until_they_are_unset(
    registry: Registry,
) -> Result<()> {
    let mut cluster =
        builder(&registry, 1)?.setting("node-label-gpu", "t4").setting("node-capacity", "5").start().await?;
    let view =
        |cluster: &Cluster| Ok::<_, anyhow::Error>(told(cluster, &["node-status", "n1"])?["nodes"][0]["node"].clone());
    let before = view(&cluster)?;
    assert_eq!(
        (&before["weight"], &before["capacity"], &before["labels"]),
        (&json!(100), &json!(5), &json!({"gpu": "t4"}))
    );
    said(&cluster, &["weight", "n1", "30"])?;
    said(&cluster, &["capacity", "1", "0"])?;
    said(&cluster, &["label", "n1", "gpu=broken", "team=x"])?;
    let refused = cluster.client(0)?.post("/api/v1/sessions", &json!({"kind": "echo"})).await?;
    assert_eq!(refused.status, 503, "it is full");
    cluster.node(0).stop().await?;
    cluster.node(0).start().await?;
    let set = view(&cluster)?;
    assert_eq!((&set["weight"], &set["capacity"]), (&json!(30), &json!(0)));
    assert_eq!(set["labels"], json!({"gpu": "broken", "team": "x"}));
    assert_eq!(set["set"], json!({"weight": true, "capacity": true, "labels": ["gpu", "team"]}));
    let status = said(&cluster, &["node-status"])?;
    assert!(
        status.contains("Weight: 30, set by command") && status.contains("Label: gpu=broken, set by command"),
        "{status}"
    );
    said(&cluster, &["capacity", "n1", "unlimited"])?;
    assert_eq!(view(&cluster)?["capacity"], Value::Null);
    cluster.client(0)?.launch_active("echo").await?;
    said(&cluster, &["weight", "n1", "unset"])?;
    said(&cluster, &["capacity", "n1", "unset"])?;
    said(&cluster, &["label", "n1", "gpu-", "team-"])?;
    let after = view(&cluster)?;
    for name in ["weight", "capacity", "labels", "set"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    for wrong in
        [&["weight", "n1", "0"][..], &["weight", "nobody", "1"], &["label", "n1", "a b=c"], &["capacity", "7", "1"]]
    {
        let output = run(&cluster, 0, wrong)?;
        let message = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{wrong:?}: {message}");
        assert_eq!(message.trim_end().lines().count(), 1, "{wrong:?}: {message}");
    }
    Ok(())
}

async fn a_node_that_is_deleted_on_exit_goes_with_its_stop_but_not_while_its_sessions_run(
    registry: Registry,
) -> Result<()> {
    let mut cluster = builder(&registry, 2)?.setting("node-timeout-seconds", "3").prepare()?;
    for node in cluster.nodes() {
        std::fs::write(node.files.config.join("load-balancer"), "delete-node-on-exit=1\n")?;
    }
    cluster.start_all().await?;
    let session = launch_on(&cluster, "echo", "n2").await?;
    let pid = session.pid.context("a process")?;
    cluster.node(1).stop().await?;
    let nodes = cluster.client(0)?.nodes().await?;
    assert_eq!(nodes.len(), 2, "its session still runs there");
    cluster.node(1).start().await?;
    cluster.wait_online().await?;
    assert_eq!(cluster.client(0)?.wait_active(&session.id).await?.pid, Some(pid), "nothing is lost");
    let elsewhere: Vec<_> = cluster.client(0)?.sessions().await?;
    for one in elsewhere.iter().filter(|one| one.node.name == "n2") {
        cluster.client(0)?.end(&one.id).await?;
        state_of(&cluster, one, "ended").await?;
    }
    cluster.node(1).stop().await?;
    let names: Vec<_> = cluster.client(0)?.nodes().await?.into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["n1"]);
    cluster.node(1).start().await?;
    cluster.wait_online().await
}

async fn what_ran_on_a_node_deleted_on_exit_is_lost_in_its_time_and_found_again(registry: Registry) -> Result<()> {
    let mut cluster = builder(&registry, 2)?.setting("node-timeout-seconds", "3").prepare()?;
    for node in cluster.nodes() {
        std::fs::write(node.files.config.join("load-balancer"), "delete-node-on-exit=1\n")?;
    }
    cluster.start_all().await?;
    let session = launch_on(&cluster, "echo", "n2").await?;
    let process = processes::by_id(session.pid.context("a process")?).context("the program runs")?;
    cluster.node(1).stop().await?;
    state_of(&cluster, &session, "lost").await?;
    wait::until("the node to be forgotten", Duration::from_secs(30), async || {
        let nodes = cluster.client(0)?.nodes().await?;
        ensure!(nodes.len() == 1, "{} nodes", nodes.len());
        Ok(())
    })
    .await?;
    assert!(process.runs(), "its program ended with the row");
    cluster.node(1).start().await?;
    let again = state_of(&cluster, &session, "active").await?;
    assert_eq!((again.pid, again.node.id), (session.pid, session.node.id));
    Ok(())
}
