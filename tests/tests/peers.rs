//! What passes between nodes, as a running node takes it: only what the cluster's key proves, for this node, now, once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{
    Builder, Client, Cluster, Session, client,
    peers::{Forger, Statement},
    wait,
};
use http_body_util::BodyExt as _;
use hyper::{Method, Request, StatusCode};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

/// One node with a session, a peer that has its key, and a client that nobody knows.
struct Scene {
    cluster: Cluster,
    session: Session,
    peer: Forger,
    stranger: Client,
}

impl Scene {
    async fn open() -> Result<Self> {
        let cluster = Cluster::start(1).await?;
        let session = cluster.client(0)?.launch_active("echo").await?;
        let peer = Forger::with_key_of(&cluster.root().join("store/secure-cookie-key"))?;
        let stranger = Client::anonymous(&cluster.nodes()[0].authority());
        Ok(Self { cluster, session, peer, stranger })
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<(StatusCode, String)> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.stranger.send(request.body(client::whole(body.to_owned()))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// A call for the session's log, with these headers.
    async fn ask_for_log(&self, headers: &[(&str, &str)]) -> Result<(StatusCode, String)> {
        self.send(Method::GET, &self.log(), headers, "").await
    }

    fn log(&self) -> String {
        format!("/peer/v1/sessions/{}/log?lines=5", self.session.id)
    }

    async fn refuses(&self, header: &str, why: &str) -> Result<()> {
        let (status, text) = self.ask_for_log(&[("evenkeel-call", header)]).await?;
        ensure!(status == 403 && text.contains(why), "{why}: {status}: {text}");
        Ok(())
    }
}

#[tokio::test]
async fn a_call_is_taken_once_and_only_as_it_was_made() -> Result<()> {
    let scene = Scene::open().await?;
    let target = scene.log();
    let now = || Statement::now("n9", "n1");
    let good = scene.peer.call(&now()?, "GET", &target, b"")?;
    let (status, text) = scene.ask_for_log(&[("evenkeel-call", &good)]).await?;
    assert_eq!(status, 200, "{text}");
    scene.refuses(&good, "received before").await?;

    let of = |statement: &Statement, method: &str, target: &str| scene.peer.call(statement, method, target, b"");
    scene.refuses(&of(&now()?, "POST", &target)?, "MAC is wrong").await?;
    scene.refuses(&of(&now()?, "GET", &target.replace("lines=5", "lines=6"))?, "MAC is wrong").await?;
    scene.refuses(&Forger::with_another_key().call(&now()?, "GET", &target, b"")?, "MAC is wrong").await?;
    for other in ["n2", "n10", "n", "N1", ""] {
        scene.refuses(&of(&Statement::now("n9", other)?, "GET", &target)?, "for another node").await?;
    }
    for seconds in [-32, 32, 86_400, -86_400] {
        scene.refuses(&of(&now()?.later(seconds), "GET", &target)?, "by the store's clock").await?;
    }
    let skewed = of(&now()?.later(25), "GET", &target)?;
    assert_eq!(scene.ask_for_log(&[("evenkeel-call", &skewed)]).await?.0, 200);
    // The daemon has just begun: whoever had its port until then may have received it.
    scene.refuses(&of(&now()?.later(-25), "GET", &target)?, "before this daemon had its port").await?;
    // The statement of a forwarded request proves no call.
    let hop = scene.peer.hop(&now()?, (&scene.session.id, 1), &scene.session.user, "GET", &target)?;
    scene.refuses(&hop, "MAC is wrong").await?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_was_changed_on_the_way_is_refused() -> Result<()> {
    let scene = Scene::open().await?;
    let body = json!({ "session": scene.session.id }).to_string();
    let target = "/peer/v1/nudge";
    let sealed = || scene.peer.call(&Statement::now("n9", "n1")?, "POST", target, body.as_bytes());
    for (sent, status) in
        [(body.as_str(), 204), ("{\"session\":\"00000000\"}", 403), ("", 403), (&format!("{body} "), 403)]
    {
        let headers = [("evenkeel-call", &*sealed()?), ("content-type", "application/json")];
        let (answered, text) = scene.send(Method::POST, target, &headers, sent).await?;
        assert_eq!(answered, status, "{sent:?}: {text}");
        assert_eq!(status == 403, text.contains("not the one that was signed"), "{sent:?}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn what_proves_nothing_is_refused_whatever_else_it_brings() -> Result<()> {
    let scene = Scene::open().await?;
    let good = || scene.peer.call(&Statement::now("n9", "n1")?, "GET", &scene.log(), b"");
    let (one, two) = (good()?, good()?);
    let token = format!("Bearer {}", scene.cluster.client(0)?.token().context("a token")?);
    let long = "a".repeat(9000);
    for headers in [
        &[][..],
        &[("authorization", token.as_str())],
        &[("evenkeel-call", "")],
        &[("evenkeel-call", "e30.AAAA")],
        &[("evenkeel-call", long.as_str())],
        &[("evenkeel-call", one.as_str()), ("evenkeel-call", two.as_str())],
        &[("evenkeel_call", one.as_str())],
    ] {
        let (status, text) = scene.ask_for_log(headers).await?;
        assert_eq!(status, 403, "{headers:?}: {text}");
    }
    assert!(scene.cluster.nodes()[0].log().contains("a peer call was refused"));
    Ok(())
}

#[tokio::test]
async fn a_forwarded_request_is_taken_once_for_its_own_node_session_user_and_time() -> Result<()> {
    let scene = Scene::open().await?;
    let target = scene.session.path("");
    let (id, user) = (scene.session.id.as_str(), scene.session.user.as_str());
    let now = || Statement::now("n9", "n1");
    let ask = async |header: &str| scene.send(Method::GET, &target, &[("evenkeel-hop", header)], "").await;
    let good = scene.peer.hop(&now()?, (id, 1), user, "GET", &target)?;
    let (status, text) = ask(&good).await?;
    assert_eq!(status, 200, "{text}");
    assert_ne!(ask(&good).await?.0, 200, "a replay");
    let hop = |statement: &Statement, epoch: i64, user: &str, target: &str| {
        scene.peer.hop(statement, (id, epoch), user, "GET", target)
    };
    for (what, header) in [
        ("another node", hop(&Statement::now("n9", "n2")?, 1, user, &target)?),
        ("too late", hop(&now()?.later(-32), 1, user, &target)?),
        ("too early", hop(&now()?.later(32), 1, user, &target)?),
        ("another epoch", hop(&now()?, 2, user, &target)?),
        ("another user", hop(&now()?, 1, "somebody-else", &target)?),
        ("another target", hop(&now()?, 1, user, &scene.session.path("other"))?),
        ("another key", Forger::with_another_key().hop(&now()?, (id, 1), user, "GET", &target)?),
        ("a call", scene.peer.call(&now()?, "GET", &target, b"")?),
    ] {
        let (status, text) = ask(&header).await?;
        assert!(status.is_client_error(), "{what}: {status}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_hangs_costs_a_caller_the_time_that_is_set_and_no_more() -> Result<()> {
    let cluster = Builder::for_test(2)?.setting("node-timeout-seconds", "60").prepare()?;
    for node in cluster.nodes() {
        std::fs::write(node.files.config.join("load-balancer"), "timeout=1\n")?;
    }
    let mut cluster = cluster;
    cluster.start_all().await?;
    let mut session = cluster.client(0)?.launch_active("echo").await?;
    if session.node.name != "n2" {
        session = cluster.client(0)?.launch_active("echo").await?;
    }
    assert_eq!(session.node.name, "n2");
    let pid = Pid::from_raw(cluster.nodes()[1].pid().context("it runs")?);
    kill(pid, Signal::SIGSTOP)?;
    let began = Instant::now();
    let asked = cluster.client(0)?.get(&format!("/api/v1/sessions/{}/log", session.id)).await;
    let took = began.elapsed();
    kill(pid, Signal::SIGCONT)?;
    let answer = asked?;
    assert!(
        answer.status.is_server_error() && answer.text().contains("within 1 s"),
        "{}: {}",
        answer.status,
        answer.text()
    );
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
    wait::until("the node to answer again", wait::LONG, async || {
        cluster.client(0)?.get(&format!("/api/v1/sessions/{}/log", session.id)).await?.success()
    })
    .await?;
    Ok(())
}
