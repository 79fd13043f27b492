//! Clusters whose registry is in Postgres, as several machines have it.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_test_postgres::{Database, Options, Server};
use evenkeel_tests::{Builder, Cluster, User, users::program, wait};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use hyper::StatusCode;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

fn database() -> Arc<Database> {
    Arc::new(Server::shared().database())
}

#[tokio::test]
async fn sessions_are_reached_from_every_node_of_a_cluster_on_postgres() -> Result<()> {
    let cluster = Builder::for_test(3)?.on_postgres(&database()).start().await?;
    let sessions = try_join_all((0..3).map(async |index| cluster.client(index)?.launch_active("echo").await)).await?;
    let mut nodes: Vec<_> = sessions.iter().map(|session| session.node.name.as_str()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["n1", "n2", "n3"]);
    for session in &sessions {
        for node in cluster.nodes() {
            // Other nodes hear of it a moment later.
            let reached = async || node.client()?.get(&session.path("")).await?.success();
            wait::until("the session to be reached", wait::LONG, reached).await?;
        }
    }
    let (_, elsewhere) = cluster.client_elsewhere(&sessions[0].node.name)?;
    elsewhere.suspend(&sessions[0].id).await?;
    elsewhere.wait_state(&sessions[0].id, |state| state == "suspended").await?;
    elsewhere.resume(&sessions[0].id).await?;
    elsewhere.wait_active(&sessions[0].id).await?;
    Ok(())
}

/// Of a thousand programs, the three nodes start one at a time: the others stay reservations.
#[tokio::test]
async fn a_thousand_launches_at_once_from_three_nodes_spread_evenly() -> Result<()> {
    const LAUNCHES: usize = 1000;
    let database = database();
    let builder = Builder::for_test(3)?.on_postgres(&database).setting("node-start-limit", "1");
    let cluster = builder.start().await?;
    let launch = |index: usize| {
        let client = cluster.client(index % 3);
        async move { client?.launch("echo").await }
    };
    let sessions: Vec<_> = stream::iter((0..LAUNCHES).map(launch)).buffer_unordered(300).try_collect().await?;
    let mut counts = BTreeMap::<&str, usize>::new();
    for session in &sessions {
        *counts.entry(&session.node.name).or_default() += 1;
    }
    assert_eq!(counts.values().sum::<usize>(), LAUNCHES);
    let (least, most) = (counts.values().min(), counts.values().max());
    assert!(counts.len() == 3 && most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{counts:?}");
    let recorded = database.sql("SELECT count(*), count(DISTINCT session) FROM placements WHERE epoch = 1");
    assert_eq!(recorded, format!("{LAUNCHES}|{LAUNCHES}"));
    Ok(())
}

#[tokio::test]
async fn of_a_hundred_requests_at_once_as_many_start_as_the_limit_says() -> Result<()> {
    let mut cluster = Builder::for_test(3)?.on_postgres(&database()).prepare()?;
    for index in 0..3 {
        fs::write(cluster.node(index).files.config.join("profiles"), "[*]\nsession-limit=7\n")?;
    }
    cluster.start_all().await?;
    let body = json!({ "kind": "echo" });
    let ask = async |index: usize| cluster.client(index % 3)?.post("/api/v1/sessions", &body).await;
    let replies = try_join_all((0..100).map(ask)).await?;
    let started = replies.iter().filter(|reply| reply.status == StatusCode::CREATED).count();
    assert_eq!(started, 7);
    assert!(replies.iter().all(|reply| [StatusCode::CREATED, StatusCode::CONFLICT].contains(&reply.status)));
    Ok(())
}

#[tokio::test]
async fn placements_by_a_script_that_sleeps_a_second_run_side_by_side() -> Result<()> {
    const LAUNCHES: usize = 12;
    let mut cluster = Builder::for_test(3)?.on_postgres(&database()).prepare()?;
    let script = cluster.root().join("rserver-balancer");
    fs::write(&script, "#!/bin/sh\nsleep 1\necho \"${RSTUDIO_NODES%%,*}\"\n")?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    for index in 0..3 {
        let text = format!("balancer = custom\nbalancer-script = {}\n", script.display());
        fs::write(cluster.node(index).files.config.join("load-balancer"), text)?;
    }
    cluster.start_all().await?;
    let begin = Instant::now();
    try_join_all((0..LAUNCHES).map(async |index| cluster.client(index % 3)?.launch("echo").await)).await?;
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(1), "the script decides: {took:?}");
    assert!(took < Duration::from_secs(LAUNCHES as u64 / 2), "one after the other: {took:?}");
    Ok(())
}

/// What a daemon that does not start says, and its exit code.
fn refused(cluster: &Cluster, environment: &[(&str, &str)]) -> Result<(i32, String)> {
    let files = &cluster.nodes()[0].files;
    let mut serve = cluster.command(&["serve", "--www-address", "127.0.0.1", "--www-port", "0"])?;
    serve.arg("--config-dir").arg(&files.config).arg("--data-dir").arg(&files.data);
    let output = serve.envs(environment.iter().copied()).stdin(Stdio::null()).output()?;
    let message = String::from_utf8(output.stderr)?;
    Ok((output.status.code().with_context(|| message.clone())?, message))
}

#[tokio::test]
async fn a_database_that_cannot_serve_ends_the_start_with_one_clear_line_and_is_left_alone() -> Result<()> {
    const TABLES: &str = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
                          WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let database = database();
    let mut cluster = Builder::for_test(1)?.on_postgres(&database).prepare()?;
    let conf = cluster.node(0).files.config.join("database.conf");
    let right = fs::read_to_string(&conf)?;
    let password = database.server().password();
    let port = database.server().port().to_string();
    for (text, expected) in [
        (right.replace(&password, "s3cret-and-wrong"), "password authentication failed"),
        (right.replace(&format!(":{port}/"), ":1/"), "is the server there"),
        (right.replace(&format!("/{}?", database.name()), "/nowhere?"), "create it, empty"),
        (right.replace("sslmode=allow", "sslmode=require"), "does not support TLS"),
        (
            right.replace("sslmode=allow", "sslmode=allow&sslcert=/nowhere/c.pem&sslkey=/nowhere/k.pem"),
            "/nowhere/c.pem",
        ),
        (format!("{right}password=s3cret-and-plain\n"), "it is not encrypted"),
    ] {
        fs::write(&conf, text)?;
        let (code, message) = refused(&cluster, &[])?;
        assert_eq!(code, 1, "{message}");
        assert!(message.contains(expected) && !message.contains("s3cret"), "no `{expected}` in: {message}");
        assert_eq!(message.lines().filter(|line| line.starts_with("evenkeel: ")).count(), 1, "{message}");
    }
    assert_eq!(database.sql(TABLES), "", "nothing was written");

    database.sql("CREATE TABLE schema_version (a INT); CREATE TABLE revoked_cookie (a INT)");
    fs::write(&conf, &right)?;
    let (code, message) = refused(&cluster, &[])?;
    assert!(code == 1 && message.contains("is the database of Posit Workbench"), "{message}");
    assert_eq!(database.sql(TABLES), "revoked_cookie schema_version");
    Ok(())
}

#[tokio::test]
async fn the_password_is_encrypted_in_a_file_that_others_cannot_read_or_in_the_environment() -> Result<()> {
    let database = database();
    let mut cluster = Builder::for_test(1)?.on_postgres(&database).prepare()?;
    let files = cluster.node(0).files.clone();
    let conf = files.config.join("database.conf");
    let password = database.server().password();
    let uri = format!("{}?sslmode=allow", database.uri());
    fs::write(&conf, format!("provider=postgresql\nconnection-uri={uri}\n"))?;
    let (code, message) = refused(&cluster, &[])?;
    assert!(code == 1 && message.contains("password"), "there is none: {message}");
    // It gets as far as what the environment says.
    let (_, message) = refused(&cluster, &[("EVENKEEL_DATABASE_PASSWORD", "another")])?;
    assert!(message.contains("password authentication failed"), "{message}");

    let mut encrypt = cluster.command(&["encrypt-password"])?;
    encrypt.arg("--config-dir").arg(&files.config).arg("--data-dir").arg(&files.data);
    let mut encrypt = encrypt.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    encrypt.stdin.take().context("its input")?.write_all(format!("{password}\n").as_bytes())?;
    let encrypted = String::from_utf8(encrypt.wait_with_output()?.stdout)?;
    // As the page of the multi-server installation leaves it: `tee -a`, for everybody to read.
    fs::write(&conf, format!("provider=postgresql\npassword={encrypted}connection-uri={uri}\n"))?;
    fs::set_permissions(&conf, Permissions::from_mode(0o644))?;
    cluster.start_all().await?;
    cluster.client(0)?.launch_active("echo").await?;
    assert_eq!(fs::metadata(&conf)?.permissions().mode() & 0o777, 0o600);
    let log = cluster.nodes()[0].log();
    assert_eq!(log.matches("its mode is 0600 now").count(), 1, "{log}");
    assert!(!log.contains(&password), "{log}");
    Ok(())
}

#[test]
fn a_file_that_others_go_on_reading_ends_the_start() -> Result<()> {
    let user = User::borrow()?;
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
    let conf = directory.path().join("database.conf");
    fs::write(&conf, "provider=postgresql\nconnection-uri=postgresql://ada:s3cret@127.0.0.1:1/x\n")?;
    fs::set_permissions(&conf, Permissions::from_mode(0o644))?;
    // The file is root's, and its mode not this user's to change.
    let output = user
        .command(program("evenkeel")?)
        .args(["serve", "--www-address", "127.0.0.1", "--www-port", "0", "--config-dir"])
        .arg(directory.path())
        .output()?;
    let told = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{told}");
    let expected = format!("{}: others can read it, and it may hold a password", conf.display());
    assert!(told.contains(&expected) && !told.contains("s3cret"), "{told}");
    Ok(())
}

/// A server that is stopped and started again under a cluster that runs.
#[tokio::test]
async fn an_outage_of_the_database_costs_new_starts_only_and_daemons_find_back() -> Result<()> {
    let server = Server::start(&Options::default());
    let database = Arc::new(server.database());
    let builder = Builder::for_test(3)?.on_postgres(&database).setting("node-timeout-seconds", "3");
    let cluster = builder.start().await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let (_, elsewhere) = cluster.client_elsewhere(&session.node.name)?;
    let reached = async || elsewhere.get(&session.path("")).await?.success();
    wait::until("the session to be reached", wait::LONG, reached).await?;
    let mut socket = elsewhere.socket(&session.path("ws")).await?;

    tokio::task::spawn_blocking({
        let server = Arc::clone(&server);
        move || server.stop()
    })
    .await?;
    let refused = elsewhere.post("/api/v1/sessions", &json!({ "kind": "echo" })).await?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty(), "it says when to come again");
    // Longer than the time-out of nodes.
    let away = Instant::now();
    while away.elapsed() < Duration::from_secs(5) {
        elsewhere.get(&session.path("")).await?.success()?;
        socket.send(Message::text("still there?")).await?;
        assert_eq!(socket.next().await.context("it was cut")??, Message::text("still there?"));
    }

    tokio::task::spawn_blocking(move || server.start_again()).await?;
    cluster.wait_online().await?;
    let again =
        wait::until("sessions to be started again", wait::LONG, async || elsewhere.launch("echo").await).await?;
    elsewhere.wait_active(&again.id).await?;
    // Nobody was taken for lost.
    let still = elsewhere.session(&session.id).await?;
    assert_eq!((still.state.as_str(), still.pid), ("active", session.pid));
    let lost = database.sql("SELECT count(*) FROM sessions WHERE state NOT IN ('starting', 'active')");
    ensure!(lost == "0", "{lost} sessions are lost");
    elsewhere.get(&session.path("")).await?.success()?;
    socket.close(None).await?;
    Ok(())
}
