//! Hostile balancers in the plugins directory of a running cluster: no session is refused or kept waiting for their sake.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_fixtures::{Expected, Fixture};
use evenkeel_tests::{Builder, Client, Cluster, Session, wait};
use futures_util::future::try_join_all;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// How long a session may be kept waiting for its node: many times the deadline of a balancer, since the machine that tests
/// run on is busy.
const LIMIT: Duration = Duration::from_secs(10);

/// Two nodes that share a plugins directory, and place by the plugin `hostile` in it.
struct Ground {
    cluster: Cluster,
    plugin: PathBuf,
}

impl Ground {
    /// Begins with a good balancer under that name.
    async fn start() -> Result<Self> {
        let mut cluster = Builder::for_test(2)?.prepare()?;
        let plugins = cluster.root().join("plugins");
        fs::create_dir(&plugins)?;
        let plugin = plugins.join("hostile.wasm");
        fs::write(&plugin, good()?)?;
        for node in cluster.nodes() {
            let text = format!("balancer=hostile\nplugins-dir={}\n", plugins.display());
            fs::write(node.files.config.join("load-balancer"), text)?;
        }
        cluster.start_all().await?;
        Ok(Self { cluster, plugin })
    }

    fn client(&self) -> Result<&Client> {
        self.cluster.client(0)
    }

    /// Gives the file these bytes, in one step, and waits for what becomes of it: its state and the last error.
    async fn drop_in(&self, bytes: &[u8]) -> Result<(String, String)> {
        let new = self.plugin.with_extension("new");
        fs::write(&new, bytes)?;
        fs::rename(&new, &self.plugin)?;
        let digest = digest(bytes);
        let oversized = bytes.len() > 64 << 20;
        wait::until("the file to be looked at", wait::LONG, async || {
            let list: Value = self.client()?.get("/api/v1/balancers").await?.success()?.json()?;
            let items = list["items"].as_array().context("a list")?;
            // A file that is too large is not read, and has no digest.
            let ours = |item: &&Value| match item["digest"].as_str() {
                Some(known) => known == digest && item["name"] == "hostile",
                None => oversized && item["state"] == "refused",
            };
            let found = items.iter().rev().find(ours).with_context(|| list.to_string())?;
            let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
            Ok((text("state"), text("last_error")))
        })
        .await
        .with_context(|| self.cluster.nodes()[0].log_tail())
    }

    /// Asks for a session, and has its node named in time.
    async fn launch(&self) -> Result<Session> {
        let start = Instant::now();
        let session = self.client()?.launch("echo").await?;
        ensure!(start.elapsed() < LIMIT, "the session was kept waiting for {:?}", start.elapsed());
        Ok(session)
    }

    /// How a session came to its node.
    async fn placement(&self, session: &Session) -> Result<Value> {
        let list: Value =
            self.client()?.get(&format!("/api/v1/placements?session={}", session.id)).await?.success()?.json()?;
        let found = list["items"].as_array().context("a list")?.iter().find(|item| item["session"] == session.id);
        found.cloned().with_context(|| list.to_string())
    }

    async fn end_all(&self, sessions: Vec<Session>) -> Result<()> {
        let client = self.client()?;
        try_join_all(sessions.iter().map(|session| client.wait_active(&session.id))).await?;
        try_join_all(sessions.iter().map(|session| client.end(&session.id))).await?;
        Ok(())
    }
}

fn good() -> Result<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/dist/sessions.wasm");
    fs::read(path).context(path)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[tokio::test]
async fn a_hostile_file_is_refused_and_the_good_one_goes_on_deciding() -> Result<()> {
    let ground = Ground::start().await?;
    let good = digest(&good()?);
    let mut sessions = Vec::new();
    for fixture in Fixture::ALL {
        let Expected::Refused(part) = fixture.expected() else { continue };
        let (state, error) = ground.drop_in(&fixture.bytes()).await.context(fixture.name())?;
        assert!(state == "refused" && error.contains(part), "{}: {state}, {error}", fixture.name());
        let session = ground.launch().await.context(fixture.name())?;
        let placement = ground.placement(&session).await?;
        let decided = (placement["digest"].as_str(), placement["fallback"].as_str());
        assert_eq!(decided, (Some(good.as_str()), None), "{}: {placement}", fixture.name());
        sessions.push(session);
    }
    assert!(sessions.len() > 10);
    ground.end_all(sessions).await
}

#[tokio::test]
async fn a_balancer_that_turns_hostile_after_its_trial_fails_and_another_decides() -> Result<()> {
    let ground = Ground::start().await?;
    let mut sessions = Vec::new();
    for fixture in Fixture::ALL {
        let Expected::Fails(part) = fixture.expected() else { continue };
        let (state, error) = ground.drop_in(&fixture.bytes()).await.context(fixture.name())?;
        assert_eq!(state, "active", "{}: {error}", fixture.name());
        let session = ground.launch().await.context(fixture.name())?;
        let placement = ground.placement(&session).await?;
        let told = placement["fallback"].as_str().unwrap_or_default();
        // On a busy machine any of them may meet its deadline first.
        let why = told.contains(part) || told.contains("it had not answered after");
        assert!(told.starts_with("balancer hostile failed: ") && why, "{}: {placement}", fixture.name());
        let failed = &placement["instead_of"];
        assert!(failed["digest"] == digest(&fixture.bytes()) && failed["duration_us"].is_u64(), "{placement}");
        sessions.push(session);
    }
    assert!(sessions.len() > 10);
    ground.end_all(sessions).await
}

#[tokio::test]
async fn a_module_that_costs_as_much_as_it_may_delays_nobody() -> Result<()> {
    let ground = Ground::start().await?;
    let mut sessions = Vec::new();
    for fixture in Fixture::ALL {
        if !matches!(fixture.expected(), Expected::Bounded | Expected::Answers) {
            continue;
        }
        let bytes = fixture.bytes();
        let taken = ground.drop_in(&bytes);
        let meanwhile = async {
            let session = ground.launch().await?;
            ensure!(ground.client()?.get("/load-balancer/status").await?.status.is_success(), "no status page");
            anyhow::Ok(session)
        };
        let ((state, error), session) =
            futures_util::future::try_join(taken, meanwhile).await.context(fixture.name())?;
        assert!(state == "active" || (state == "refused" && !error.is_empty()), "{}: {state}", fixture.name());
        sessions.push(session);
        sessions.push(ground.launch().await.context(fixture.name())?);
    }
    assert!(sessions.len() > 10);
    ground.end_all(sessions).await
}

#[tokio::test]
async fn while_runaways_run_other_requests_are_answered_and_every_session_starts() -> Result<()> {
    let ground = Ground::start().await?;
    ground.drop_in(&Fixture::EndlessLoop.bytes()).await?;
    let client = ground.client()?;
    let launches = try_join_all((0..8).map(|_| ground.launch()));
    let others = async {
        for _ in 0..20 {
            let start = Instant::now();
            ensure!(client.get("/load-balancer/status").await?.status.is_success(), "no status page");
            ensure!(start.elapsed() < LIMIT, "the status page took {:?}", start.elapsed());
        }
        Ok(())
    };
    let (sessions, ()) = futures_util::future::try_join(launches, others).await?;
    let placement = ground.placement(&sessions[0]).await?;
    assert!(placement["fallback"].as_str().is_some_and(|why| why.contains("hostile")), "{placement}");
    ground.end_all(sessions).await
}
