//! Jobs: scripts and commands that are run to their end.

mod jobs {
    mod terminal;
}

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Client, Cluster, Session, processes, wait};
use http_body_util::BodyExt as _;
use hyper::{Request, body::Incoming};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

async fn start(client: &Client, job: &Value) -> Result<Session> {
    let mut request = json!({ "kind": "job" });
    for (name, value) in job.as_object().context("an object")? {
        request[name] = value.clone();
    }
    client.post("/api/v1/sessions", &request).await?.success()?.json()
}

async fn over(client: &Client, job: &Session) -> Result<Session> {
    client.wait_state(&job.id, |state| !matches!(state, "starting" | "active")).await
}

fn exit_status(job: &Session) -> Option<u64> {
    job.rest.get("exit_status").and_then(Value::as_u64)
}

async fn log(client: &Client, job: &Session) -> Result<String> {
    Ok(client.get(&format!("/api/v1/sessions/{}/log?limit=1000", job.id)).await?.success()?.text())
}

async fn follow(client: &Client, job: &Session) -> Result<Incoming> {
    let path = format!("/api/v1/sessions/{}/log?follow=true", job.id);
    let response = client.send(Request::get(path).body(evenkeel_tests::client::whole(""))?).await?;
    ensure!(response.status() == 200, "{}", response.status());
    Ok(response.into_body())
}

/// What a stream says until it has said `until`, or to its end where that is empty.
async fn read(stream: &mut Incoming, until: &str) -> Result<String> {
    let mut text = String::new();
    let read = async {
        while until.is_empty() || !text.contains(until) {
            let Some(frame) = stream.frame().await else { break };
            text.push_str(&String::from_utf8_lossy(&frame?.into_data().unwrap_or_default()));
        }
        anyhow::Ok(())
    };
    let outcome = tokio::time::timeout(wait::LONG, read).await;
    outcome.with_context(|| format!("so far: {text}"))??;
    Ok(text)
}

/// A gate in a script: it waits until the file is there.
fn gate(path: &Path) -> String {
    format!("until [ -e '{}' ]; do sleep 0.05; done", path.display())
}

fn open(gate: &Path) -> Result<()> {
    Ok(fs::write(gate, "")?)
}

#[tokio::test]
async fn a_script_runs_with_what_it_was_given_and_its_log_is_followed_and_kept_on_every_node() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let (directory, go) = (cluster.root().join("here"), cluster.root().join("go"));
    fs::create_dir(&directory)?;
    let text = format!(
        "#!/bin/sh -u\necho \"$0|$#|$1|$2|$COLOUR|$PWD\"\nstat -c %a \"$0\"\n{}\necho error >&2\nexit 0\n",
        gate(&go)
    );
    let job = json!({
        "name": "mine", "script": text, "arguments": ["a b", "$HOME;`id`"],
        "environment": { "COLOUR": "red\n" }, "directory": directory,
    });
    let job = start(cluster.client(0)?, &job).await?;
    assert_eq!(job.rest["name"], "mine");
    let (_, other) = cluster.client_elsewhere(&job.node.name)?;
    let mut stream = follow(other, &job).await?;
    let begun = read(&mut stream, "600\n").await?;
    let shown = format!("|2|a b|$HOME;`id`|red\n|{}\n600\n", directory.display());
    assert!(begun.ends_with(&shown), "{begun:?} does not end with {shown:?}");
    open(&go)?;
    assert_eq!(read(&mut stream, "").await?, "error\n", "the stream ends with the job");

    let ended = over(other, &job).await?;
    assert_eq!((ended.state.as_str(), exit_status(&ended), ended.failure.as_deref()), ("ended", Some(0), None));
    for node in 0..2 {
        assert!(log(cluster.client(node)?, &job).await?.ends_with("error"), "kept, for every node");
    }
    let run = cluster.nodes()[cluster.index(&job.node.name)?].files.data.with_file_name("run");
    ensure!(!run.join(&job.id).exists(), "the script is left");
    cluster.close().await
}

#[tokio::test]
async fn a_job_that_fails_says_with_which_status_and_shows_its_last_lines() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.client(0)?;
    let failing = start(client, &json!({ "script": "#!/bin/sh\necho first\necho last words\nexit 3\n" })).await?;
    let failing = over(client, &failing).await?;
    assert_eq!((failing.state.as_str(), exit_status(&failing)), ("failed", Some(3)));
    let failure = failing.failure.context("no failure")?;
    assert!(failure.contains("failed with status 3") && failure.ends_with("last words"), "{failure}");

    let killed = start(client, &json!({ "script": "#!/bin/sh\nkill -9 $$\n" })).await?;
    let killed = over(client, &killed).await?;
    assert_eq!((killed.state.as_str(), exit_status(&killed)), ("failed", Some(137)));
    assert!(killed.failure.is_some_and(|failure| failure.contains("SIGKILL")));

    let absent = start(client, &json!({ "command": ["no-program-has-this-name"] })).await?;
    let absent = over(client, &absent).await?;
    assert_eq!((absent.state.as_str(), exit_status(&absent)), ("failed", None));
    assert!(absent.failure.is_some_and(|failure| failure.contains("no-program-has-this-name")));

    let nowhere = start(client, &json!({ "command": ["true"], "directory": "/no/such/directory" })).await?;
    let nowhere = over(client, &nowhere).await?;
    assert!(nowhere.failure.is_some_and(|failure| failure.starts_with("/no/such/directory: ")));
    cluster.close().await
}

#[tokio::test]
async fn jobs_that_end_at_once_are_run_once_and_end_as_they_did() -> Result<()> {
    const JOBS: usize = 30;
    let cluster = Cluster::start(2).await?;
    let runs = cluster.root().join("runs");
    let text = format!("#!/bin/sh\necho run >> '{}'\nexit $1\n", runs.display());
    let mut jobs = Vec::new();
    for number in 0..JOBS {
        let job = json!({ "script": text, "arguments": [(number % 3).to_string()] });
        jobs.push(start(cluster.client(number % 2)?, &job).await?);
    }
    for (number, job) in jobs.iter().enumerate() {
        let ended = over(cluster.client(0)?, job).await?;
        assert_eq!(exit_status(&ended), Some(number as u64 % 3), "{ended:?}");
    }
    assert_eq!(fs::read_to_string(&runs)?.lines().count(), JOBS);
    cluster.close().await
}

#[tokio::test]
async fn a_job_is_ended_by_its_user_and_is_neither_suspended_nor_resumed_nor_proxied() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let job = start(cluster.client(0)?, &json!({ "command": ["sleep", "1000"] })).await?;
    let (_, client) = cluster.client_elsewhere(&job.node.name)?;
    let job = client.wait_active(&job.id).await?;
    let pid = job.pid.context("no process")?;
    for act in ["suspend", "resume"] {
        let reply = client.post(&format!("/api/v1/sessions/{}/{act}", job.id), &json!({})).await?;
        ensure!(reply.status == 409, "{act}: {}", reply.text());
    }
    for node in 0..2 {
        let reply = cluster.client(node)?.get(&job.path("")).await?;
        ensure!(!reply.status.is_success(), "{}: {}", reply.status, reply.text());
    }
    assert_eq!(job.rest["url"], format!("/sessions/{}/log", job.id));
    client.end(&job.id).await?;
    let ended = over(client, &job).await?;
    assert_eq!((ended.state.as_str(), exit_status(&ended)), ("ended", None));
    ensure!(processes::by_id(pid).is_none(), "its process is left");
    cluster.close().await
}

#[tokio::test]
async fn a_job_outlives_its_daemon_and_its_end_is_learnt_when_the_daemon_returns() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let (go, runs) = (cluster.root().join("go"), cluster.root().join("runs"));
    let text = format!("#!/bin/sh\necho run >> '{}'\necho begun\n{}\necho done\nexit 7\n", runs.display(), gate(&go));
    let job = start(cluster.client(0)?, &json!({ "script": text })).await?;
    let job = cluster.client(0)?.wait_active(&job.id).await?;
    let pid = job.pid.context("no process")?;

    cluster.node(0).kill9()?;
    cluster.node(0).start().await?;
    let client = cluster.client(0)?.clone();
    let again = client.wait_active(&job.id).await?;
    assert_eq!(again.pid, Some(pid), "it is the same process");

    cluster.node(0).kill9()?;
    open(&go)?;
    wait::until("the job to end while no daemon looks", wait::LONG, async || {
        ensure!(processes::by_id(pid).is_none(), "it runs");
        Ok(())
    })
    .await?;
    cluster.node(0).start().await?;
    let client = cluster.client(0)?.clone();
    let ended = over(&client, &job).await?;
    assert_eq!((ended.state.as_str(), exit_status(&ended)), ("failed", Some(7)));
    assert_eq!(log(&client, &job).await?, "begun\ndone");
    assert_eq!(fs::read_to_string(&runs)?, "run\n", "it ran once");
    cluster.close().await
}

#[tokio::test]
async fn a_job_whose_end_nobody_saw_is_not_run_again() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let runs = cluster.root().join("runs");
    let text = format!("#!/bin/sh\necho run >> '{}'\nexec sleep 1000\n", runs.display());
    let job = start(cluster.client(0)?, &json!({ "script": text })).await?;
    let (_, client) = cluster.client_elsewhere(&job.node.name)?;
    let client = client.clone();
    client.wait_active(&job.id).await?;
    wait::until("it to have run", wait::LONG, async || Ok(fs::metadata(&runs)?)).await?;
    let index = cluster.index(&job.node.name)?;
    cluster.node(index).kill9()?;
    // As a machine that loses its power, but for the directories.
    for process in cluster
        .processes()
        .iter()
        .filter(|process| process.command.contains(&job.id) || process.command.starts_with("sleep"))
    {
        process.kill();
    }
    cluster.node(index).start().await?;
    let ended = over(&client, &job).await?;
    assert_eq!((ended.state.as_str(), exit_status(&ended)), ("failed", None));
    assert_eq!(fs::read_to_string(&runs)?, "run\n", "it ran once");
    cluster.close().await
}

#[tokio::test]
async fn what_is_wrong_with_a_job_is_named_field_by_field() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.client(0)?;
    let cases = [
        (json!({}), "/kind"),
        (json!({ "command": [] }), "/command"),
        (json!({ "command": ["a\u{0}b"] }), "/command"),
        (json!({ "command": "sh -c id" }), "/command"),
        (json!({ "command": ["true"], "script": "#!/bin/sh\n" }), "/script"),
        (json!({ "command": ["true"], "arguments": ["a"] }), "/arguments"),
        (json!({ "script": "echo no interpreter" }), "/script"),
        (json!({ "script": format!("#!/bin/sh\n{}", "x".repeat(300 << 10)) }), "/script"),
        (json!({ "command": ["true"], "environment": { "A=B": "c" } }), "/environment"),
        (json!({ "command": ["true"], "environment": { "EVENKEEL_SESSION": "x" } }), "/environment"),
        (json!({ "command": ["true"], "directory": "home" }), "/directory"),
        (json!({ "directory": "/" }), "/directory"),
    ];
    for (job, field) in cases {
        let mut request = job.clone();
        request["kind"] = json!("job");
        let reply = client.post("/api/v1/sessions", &request).await?;
        ensure!(reply.status == 422, "{job}: {}", reply.text());
        let problem = reply.problem()?;
        ensure!(problem.rest["errors"][0]["field"] == field, "{job}: {problem:?}");
    }
    let wrong = client.post("/api/v1/sessions", &json!({ "kind": "echo", "command": ["true"] })).await?;
    ensure!(wrong.status == 422, "{}", wrong.text());
    let large = json!({ "kind": "job", "script": "x".repeat(2 << 20) });
    ensure!(client.post("/api/v1/sessions", &large).await?.status == 413, "it was read");
    assert_eq!(client.sessions().await?.len(), 0);
    cluster.close().await
}

#[tokio::test]
async fn the_log_of_a_job_goes_with_it_where_output_is_not_to_be_saved() -> Result<()> {
    let cluster = Builder::for_test(1)?.prepare()?;
    let files = &cluster.nodes()[0].files;
    fs::write(files.config.join("launcher.local.conf"), "save-unspecified-output=0\n")?;
    let sessions = files.data.join("sessions");
    let mut cluster = cluster;
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    let job = start(client, &json!({ "command": ["echo", "secret"] })).await?;
    let job = over(client, &job).await?;
    assert_eq!(exit_status(&job), Some(0));
    wait::until("its log to go", wait::LONG, async || {
        ensure!(!sessions.join(&job.id).exists(), "it is there");
        Ok(())
    })
    .await?;
    let reply = client.get(&format!("/api/v1/sessions/{}/log", job.id)).await?;
    ensure!(reply.status == 404 && reply.text().contains("not kept"), "{}", reply.text());
    cluster.close().await
}

#[tokio::test]
async fn a_log_that_outgrows_its_bound_keeps_its_end_and_is_still_read_by_its_bytes() -> Result<()> {
    const LAST: u64 = 6_000_000;
    let cluster = Cluster::start(2).await?;
    let job = start(cluster.client(0)?, &json!({ "command": ["seq", LAST.to_string()] })).await?;
    let (_, client) = cluster.client_elsewhere(&job.node.name)?;
    assert_eq!(exit_status(&over(client, &job).await?), Some(0));
    let written: u64 = (1..=LAST).map(|number| number.ilog10() as u64 + 2).sum();
    let kept = read(&mut follow(client, &job).await?, "").await?;
    assert!((16 << 20..32 << 20).contains(&kept.len()), "{} of {written} bytes", kept.len());
    // What is kept is one piece: the line before each follows it.
    let first: u64 = kept.lines().nth(1).context("a whole line")?.parse()?;
    let lines = kept.lines().skip(1).zip(first..).all(|(line, number)| line == number.to_string());
    assert!(lines && kept.ends_with(&format!("\n{LAST}\n")), "{}", &kept[kept.len() - 100..]);
    let path = format!("/api/v1/sessions/{}/log?follow=true&from={}", job.id, written - 16);
    assert_eq!(client.get(&path).await?.success()?.text(), "5999999\n6000000\n");
    cluster.close().await
}

/// `evenkeel run` against the first node.
fn run(cluster: &Cluster, directory: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = cluster.command(&["run"])?;
    command.arg("--data-dir").arg(&cluster.nodes()[0].files.data).args(arguments).current_dir(directory);
    Ok(command)
}

fn script(cluster: &Cluster, name: &str, text: &str) -> Result<PathBuf> {
    let path = cluster.root().join(name);
    fs::write(&path, text)?;
    Ok(path)
}

#[tokio::test]
async fn run_shows_the_output_and_ends_with_the_status_of_the_job() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let here = cluster.root().join("here");
    fs::create_dir(&here)?;
    let path = script(&cluster, "job.sh", "#!/bin/sh\nprintf '%s|' \"$@\" \"$A\" \"$PWD\"\nexit $1\n")?;
    let path = path.to_str().context("UTF-8")?;
    let output =
        run(&cluster, &here, &["--name", "mine", "--env", "A=x y", path, "5", "--detach", "$(id)"])?.output()?;
    let (out, error) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert_eq!(out, format!("5|--detach|$(id)|x y|{}|", here.display()), "{error}");
    assert_eq!(output.status.code(), Some(5), "{error}");

    let output = run(&cluster, &here, &["--memory", "1M", "--cpus", "0.5", "sh", "-c", "kill -15 $$"])?.output()?;
    assert_eq!(output.status.code(), Some(128 + 15), "{output:?}");
    let output = run(&cluster, &here, &["no-program-has-this-name"])?.output()?;
    let error = String::from_utf8(output.stderr)?;
    assert!(output.status.code() == Some(125) && error.contains("no-program-has-this-name: "), "{error}");
    let output = run(&cluster, &here, &["--env", "1=2", "true"])?.output()?;
    let error = String::from_utf8(output.stderr)?;
    assert!(output.status.code() == Some(1) && error.contains("/environment"), "{error}");

    let output = run(&cluster, &here, &["--detach", path, "0"])?.output()?;
    let id = String::from_utf8(output.stdout)?.trim().to_owned();
    let client = cluster.client(0)?;
    let job = client.session(&id).await?;
    assert_eq!(exit_status(&over(client, &job).await?), Some(0));
    cluster.close().await
}

/// A `run` whose output has begun.
async fn begun(cluster: &Cluster, go: &Path) -> Result<Child> {
    let path = script(cluster, "job.sh", &format!("#!/bin/sh\necho begun\n{}\necho done\nexit 4\n", gate(go)))?;
    let mut child = run(cluster, cluster.root(), &[path.to_str().context("UTF-8")?])?
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = child.stdout.take().context("no output")?;
    let (first, output) = tokio::task::spawn_blocking(move || {
        let mut first = [0; 6];
        output.read_exact(&mut first).map(|()| (first, output))
    })
    .await??;
    ensure!(&first == b"begun\n", "{first:?}");
    child.stdout = Some(output);
    Ok(child)
}

#[tokio::test]
async fn run_goes_on_over_a_restart_of_the_daemon_and_loses_and_repeats_nothing() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let go = cluster.root().join("go");
    let child = begun(&cluster, &go).await?;
    cluster.node(0).kill9()?;
    cluster.node(0).start().await?;
    open(&go)?;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
    assert_eq!(String::from_utf8(output.stdout)?, "done\n");
    assert_eq!(output.status.code(), Some(4));
    cluster.close().await
}

#[tokio::test]
async fn run_ends_with_its_job_also_where_the_log_is_gone_by_then() -> Result<()> {
    let mut cluster = Builder::for_test(1)?.prepare()?;
    fs::write(cluster.nodes()[0].files.config.join("launcher.local.conf"), "save-unspecified-output=0\n")?;
    cluster.start_all().await?;
    let go = cluster.root().join("go");
    let child = begun(&cluster, &go).await?;
    let job = cluster.client(0)?.sessions().await?.pop().context("no job")?;
    let program = processes::by_id(job.pid.context("it runs")?).context("it runs")?;
    cluster.node(0).kill9()?;
    open(&go)?;
    wait::until("the job to end", wait::LONG, async || {
        ensure!(!program.runs(), "it runs");
        Ok(())
    })
    .await?;
    cluster.node(0).start().await?;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
    assert_eq!(output.status.code(), Some(4));
    cluster.close().await
}

#[tokio::test]
async fn an_interrupted_run_cancels_its_job_where_nobody_can_be_asked() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let child = begun(&cluster, &cluster.root().join("never")).await?;
    let client = cluster.client(0)?;
    let job = client.sessions().await?.pop().context("no job")?;
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
    assert_eq!(output.status.code(), Some(130));
    let ended = over(client, &job).await?;
    assert_eq!((ended.state.as_str(), exit_status(&ended)), ("ended", None));
    cluster.close().await
}
