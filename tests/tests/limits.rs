//! What users may have, and how many programs a node starts at once, as the whole system keeps it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Client, Cluster, Session, binaries, client::Reply, wait};
use futures_util::future::try_join_all;
use hyper::{Request, StatusCode, header};
use serde_json::{Value, json};

/// A cluster whose nodes have this file `profiles`, about to be started.
fn prepare(nodes: usize, profiles: &str) -> Result<Cluster> {
    let mut cluster = Builder::for_test(nodes)?.prepare()?;
    for index in 0..nodes {
        fs::write(cluster.node(index).files.config.join("profiles"), profiles)?;
    }
    Ok(cluster)
}

async fn start(nodes: usize, profiles: &str) -> Result<Cluster> {
    let mut cluster = prepare(nodes, profiles)?;
    cluster.start_all().await?;
    Ok(cluster)
}

/// What each of so many requests for a session is answered with, sent at once to all nodes in turn.
async fn ask_at_once(cluster: &Cluster, count: usize, body: &Value) -> Result<Vec<Reply>> {
    let ask = async |index: usize| cluster.client(index % cluster.nodes().len())?.post("/api/v1/sessions", body).await;
    try_join_all((0..count).map(ask)).await
}

fn started(replies: &[Reply]) -> usize {
    replies.iter().filter(|reply| reply.status == StatusCode::CREATED).count()
}

async fn live(client: &Client) -> Result<usize> {
    Ok(client.sessions().await?.iter().filter(|session| session.is_live()).count())
}

#[tokio::test]
async fn of_a_hundred_requests_at_once_at_three_nodes_as_many_start_as_the_limit_says() -> Result<()> {
    let mut cluster = start(3, "[*]\nsession-limit=7\n").await?;
    let replies = ask_at_once(&cluster, 100, &json!({ "kind": "echo" })).await?;
    assert_eq!((started(&replies), live(cluster.client(0)?).await?), (7, 7));
    for reply in replies.iter().filter(|reply| reply.status != StatusCode::CREATED) {
        assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.text());
        let problem = reply.problem()?;
        assert_eq!(problem.rest["type"], "urn:problem-type:evenkeel:limit");
        let limit = json!({ "name": "session-limit", "section": "[*]", "most": 7.0, "present": 7.0, "asked": 1.0 });
        assert_eq!(problem.rest["limit"], limit);
    }

    // Sessions that outlived their daemons count as before.
    for index in 0..3 {
        cluster.node(index).stop().await?;
    }
    cluster.start_all().await?;
    let replies = ask_at_once(&cluster, 30, &json!({ "kind": "echo" })).await?;
    assert_eq!(started(&replies), 0);
    let session = cluster.client(0)?.sessions().await?.remove(0);
    cluster.client(1)?.wait_active(&session.id).await?;
    cluster.client(1)?.end(&session.id).await?;
    cluster.client(0)?.wait_state(&session.id, |state| state == "ended").await?;
    let replies = ask_at_once(&cluster, 30, &json!({ "kind": "echo" })).await?;
    assert_eq!(started(&replies), 1);
    Ok(())
}

#[tokio::test]
async fn a_limit_is_as_exact_under_a_script_that_decides_beside_the_queue() -> Result<()> {
    let mut cluster = prepare(3, "[*]\nsession-limit=7\n")?;
    // Where the daemon is root, the script is run by an account that must find it.
    fs::set_permissions(cluster.root(), Permissions::from_mode(0o711))?;
    let script = cluster.root().join("rserver-balancer");
    fs::write(&script, "#!/bin/sh\nsleep 0.02\necho \"${RSTUDIO_NODES%%,*}\"\n")?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    for index in 0..3 {
        let text = format!("balancer = custom\nbalancer-script = {}\n", script.display());
        fs::write(cluster.node(index).files.config.join("load-balancer"), text)?;
    }
    cluster.start_all().await?;
    let replies = ask_at_once(&cluster, 100, &json!({ "kind": "echo" })).await?;
    assert_eq!((started(&replies), live(cluster.client(0)?).await?), (7, 7));
    let refused = replies.iter().filter(|reply| reply.status == StatusCode::CONFLICT).count();
    assert_eq!(refused, 93, "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
    let placements: Value = cluster.client(1)?.get("/api/v1/placements").await?.success()?.json()?;
    assert_eq!(placements["items"][0]["balancer"], "custom");
    Ok(())
}

#[tokio::test]
async fn resuming_is_held_against_the_limit_as_well() -> Result<()> {
    let cluster = start(2, "[*]\nsession-limit=1\n").await?;
    let client = cluster.client(0)?;
    let first = client.launch_active("echo").await?;
    client.post(&format!("/api/v1/sessions/{}/suspend", first.id), &json!({})).await?.success()?;
    client.wait_state(&first.id, |state| state == "suspended").await?;
    let second = client.launch_active("echo").await?;
    let resume = format!("/api/v1/sessions/{}/resume", first.id);
    let refused = cluster.client(1)?.post(&resume, &json!({})).await?;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text());
    assert_eq!(client.session(&first.id).await?.state, "suspended");
    client.end(&second.id).await?;
    client.wait_state(&second.id, |state| state == "ended").await?;
    cluster.client(1)?.post(&resume, &json!({})).await?.success()?;
    client.wait_active(&first.id).await?;
    Ok(())
}

#[tokio::test]
async fn the_page_says_which_limit_is_reached_and_what_to_do() -> Result<()> {
    let cluster = start(1, "[*]\nsession-limit=1\n").await?;
    cluster.client(0)?.launch("echo").await?;
    let node = &cluster.nodes()[0];
    let browser = Client::anonymous(&node.authority());
    let link: hyper::Uri = node.sign_in().parse()?;
    let signed_in = browser.get(link.path_and_query().context("a path")?.as_str()).await?;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
    let form = Request::post("/sessions")
        .header(header::COOKIE, cookie)
        .header(header::ORIGIN, format!("http://{}", node.authority()))
        .header(header::ACCEPT, "text/html")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(evenkeel_tests::client::whole("kind=echo&name="))?;
    let refused = browser.ask(form).await?;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let page = refused.text();
    assert!(page.contains("session-limit=1 under [*]") && page.contains("end or suspend a session"), "{page}");
    Ok(())
}

#[tokio::test]
async fn a_group_of_the_machine_limits_its_members() -> Result<()> {
    let group = nix::unistd::Group::from_gid(nix::unistd::getegid())?.context("the group has a name")?.name;
    let profiles = format!(
        "[*]\nsession-limit=1\n[@no-such-group]\nsession-limit=9\n[@{group}]\nsession-limit=3\ntotal-session-limit=4\n"
    );
    let cluster = start(2, &profiles).await?;
    let replies = ask_at_once(&cluster, 20, &json!({ "kind": "echo" })).await?;
    assert_eq!(started(&replies), 3);
    let refused = replies.iter().find(|reply| reply.status != StatusCode::CREATED).context("a refusal")?;
    assert_eq!(refused.problem()?.rest["limit"]["section"], format!("[@{group}]"));
    Ok(())
}

#[tokio::test]
async fn processors_and_memory_are_summed_and_one_session_alone_that_asks_for_more_is_told_so() -> Result<()> {
    let cluster = start(2, "[*]\nmax-cpus=2\nmax-memory=4096\ndefault-cpus=0.5\ndefault-memory=1024\n").await?;
    let client = cluster.client(0)?;
    let alone = client.post("/api/v1/sessions", &json!({ "kind": "echo", "cpus": 2.5 })).await?;
    assert_eq!(alone.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(alone.problem()?.rest["errors"][0]["field"], "/cpus");
    // Four of the usual size fill the memory, and the processors.
    let replies = ask_at_once(&cluster, 30, &json!({ "kind": "echo" })).await?;
    assert_eq!(started(&replies), 4);
    let session = client.sessions().await?.remove(0);
    assert_eq!((&session.rest["cpus"], &session.rest["memory"]), (&json!(0.5), &json!(1_u64 << 30)));
    Ok(())
}

#[tokio::test]
async fn a_resource_profile_is_chosen_by_its_name() -> Result<()> {
    let mut cluster = prepare(1, "[*]\nallow-custom-resources=0\nresource-profiles=small\n")?;
    let resources = "[small]\nname=Small one\ncpus=0.5\nmem-mb=64\n[large]\ncpus=8\n";
    fs::write(cluster.node(0).files.config.join("launcher.local.resources.conf"), resources)?;
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    let ask = async |body: Value| client.post("/api/v1/sessions", &body).await;
    let session: Session = ask(json!({ "kind": "echo", "profile": "small" })).await?.success()?.json()?;
    assert_eq!((&session.rest["cpus"], &session.rest["memory"]), (&json!(0.5), &json!(64 << 20)));
    for (body, field) in
        [(json!({ "kind": "echo", "profile": "large" }), "/profile"), (json!({ "kind": "echo", "cpus": 1 }), "/cpus")]
    {
        let refused = ask(body).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());
        assert_eq!(refused.problem()?.rest["errors"][0]["field"], field);
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_has_promised_what_it_may_is_passed_over_and_why_tells_it() -> Result<()> {
    let mut cluster = prepare(2, "")?;
    cluster.node(0).files.add_setting("node-cpu-allocation-ratio", "0.01")?;
    cluster.start_all().await?;
    for _ in 0..3 {
        let reply = cluster.client(0)?.post("/api/v1/sessions", &json!({ "kind": "echo", "cpus": 60.0 })).await?;
        let session: Session = reply.success()?.json()?;
        assert_eq!(session.node.name, "n2");
        let told = why(&cluster, &session).await?;
        assert!(told.contains("Excluded: n1: it has too few processors left that it may promise"), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_without_a_label_that_the_kind_requires_is_passed_over_and_why_tells_it() -> Result<()> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kinds/echo.toml");
    let text = fs::read_to_string(file)?.replace("\"echo\"", "\"gpu-echo\"") + "\n[labels]\ngpu = \"a100\"\n";
    let mut cluster = Builder::for_test(3)?.kind("gpu-echo", text).prepare()?;
    cluster.node(1).files.add_setting("node-label-gpu", "a100")?;
    cluster.start_all().await?;
    for _ in 0..2 {
        let session = cluster.client(0)?.launch_active("gpu-echo").await?;
        assert_eq!(session.node.name, "n2");
        let told = why(&cluster, &session).await?;
        let line = told.lines().find(|line| line.ends_with(": it does not have gpu=a100, which gpu-echo requires"));
        assert!(line.is_some_and(|line| line.contains("n1") && line.contains("n3")), "{told}");
    }
    Ok(())
}

/// What `evenkeel why` prints of a session, once what the balancer was shown has been written.
async fn why(cluster: &Cluster, session: &Session) -> Result<String> {
    wait::until("what the balancer was shown", wait::LONG, async || {
        let mut command = cluster.command(&["why", &session.id, "--data-dir"])?;
        let output = command.arg(&cluster.nodes()[0].files.data).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout)?;
        ensure!(!told.contains("Excluded: unknown"), "{told}");
        Ok(told)
    })
    .await
}

#[tokio::test]
async fn what_is_wrong_with_profiles_is_told_before_any_port_opens() -> Result<()> {
    let mut cluster = prepare(1, "[*]\nsession-limit=some\nmax-cpu=3\n")?;
    let node = cluster.node(0);
    let (config, data) = (node.files.config.clone(), node.files.data.clone());
    let mut command = cluster.command(&["serve", "--www-port", "0", "--config-dir"])?;
    command.arg(&config).arg("--data-dir").arg(data).stdout(Stdio::piped());
    let Output { status, stderr, .. } = command.output()?;
    assert_eq!(status.code(), Some(78));
    let told = String::from_utf8(stderr)?;
    let file = config.join("profiles").display().to_string();
    assert!(told.contains(&format!("{file}:2: session-limit: expected a whole number")), "{told}");
    assert!(told.contains(&format!("{file}:3: there is no setting max-cpu; did you mean max-cpus?")), "{told}");
    Ok(())
}

/// One node that starts four programs at once, and a kind that counts how many are starting. Where they write to.
fn prepare_queue() -> Result<(Cluster, PathBuf)> {
    let echo = binaries::find("evenkeel-echo")?;
    let counts = tempfile::Builder::new().prefix("evenkeel-counts-").tempdir()?.keep();
    fs::create_dir(counts.join("starting"))?;
    let script = counts.join("counting-echo");
    // It is starting at least from here to the removal.
    let text = format!(
        "#!/bin/sh\ncd '{}' || exit 1\n: > starting/$$\nls starting | wc -l >> counts\nsleep 0.1\nrm starting/$$\n\
         exec '{}' \"$@\"\n",
        counts.display(),
        echo.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kinds/echo.toml");
    let kind = fs::read_to_string(file)?.replace("\"evenkeel-echo\"", &format!("{:?}", script.display().to_string()));
    let builder = Builder::for_test(1)?.kind("counting", kind.replace("\"echo\"", "\"counting\""));
    Ok((builder.setting("node-start-limit", "4").prepare()?, counts))
}

/// How many programs were starting, as each of them has seen it.
fn counts(directory: &std::path::Path) -> Result<Vec<usize>> {
    let text = fs::read_to_string(directory.join("counts"))?;
    text.lines().map(|line| Ok(line.trim().parse()?)).collect()
}

#[tokio::test]
async fn of_fifty_starts_at_once_no_more_than_the_limit_are_starting_and_all_have_their_turn() -> Result<()> {
    let (mut cluster, directory) = prepare_queue()?;
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    let sessions = try_join_all((0..50).map(async |_| client.launch("counting").await)).await?;
    for session in &sessions {
        client.wait_active(&session.id).await?;
    }
    let counts = counts(&directory)?;
    assert_eq!(counts.len(), 50, "each was started once");
    let most = counts.iter().max().copied().unwrap_or_default();
    assert!((2..=4).contains(&most), "{counts:?}");
    fs::remove_dir_all(directory)?;
    Ok(())
}

#[tokio::test]
async fn a_start_that_waits_tells_its_turn_and_can_be_ended_before_it() -> Result<()> {
    let (mut cluster, directory) = prepare_queue()?;
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    let sessions = try_join_all((0..50).map(async |_| client.launch("counting").await)).await?;
    let turn = |session: &Session| session.rest.get("turn").and_then(Value::as_u64);
    let last = wait::until("a session that waits", wait::LONG, async || {
        let waiting: Vec<_> = client.sessions().await?.into_iter().filter_map(|one| Some((turn(&one)?, one))).collect();
        waiting.into_iter().max_by_key(|(turn, _)| *turn).context("none waits")
    })
    .await?;
    assert!(last.0 > 1, "{last:?}");
    client.end(&last.1.id).await?;
    client.wait_state(&last.1.id, |state| state == "ended").await?;
    for session in sessions.iter().filter(|session| session.id != last.1.id) {
        let active = client.wait_active(&session.id).await?;
        assert_eq!(turn(&active), None);
    }
    assert_eq!(counts(&directory)?.len(), 49, "the one that was ended was never started");
    fs::remove_dir_all(directory)?;
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_dies_with_starts_in_its_queue_makes_each_once_and_keeps_the_limit() -> Result<()> {
    let (mut cluster, directory) = prepare_queue()?;
    cluster.start_all().await?;
    let client = cluster.client(0)?;
    let sessions = try_join_all((0..30).map(async |_| client.launch("counting").await)).await?;
    wait::until("some to be started", wait::LONG, async || {
        ensure!(counts(&directory)?.len() >= 8);
        Ok(())
    })
    .await?;
    cluster.node(0).kill9()?;
    cluster.node(0).start().await?;
    let client = cluster.client(0)?;
    for session in &sessions {
        client.wait_active(&session.id).await?;
    }
    let counts = counts(&directory)?;
    assert_eq!(counts.len(), 30, "each was started once");
    assert!(counts.iter().all(|count| *count <= 4), "{counts:?}");
    fs::remove_dir_all(directory)?;
    Ok(())
}
