//! The legacy status page.

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Cluster, status, wait};

#[tokio::test]
async fn three_nodes_and_four_sessions_are_shown_in_the_legacy_format() -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let mut sessions = Vec::new();
    for index in 0..4 {
        sessions.push(cluster.client(index % 3)?.launch_active("echo").await?);
    }
    for node in cluster.nodes() {
        let shown = wait::until("the page to show all sessions", wait::LONG, async || {
            let reply = node.client()?.get("/load-balancer/status").await?.success()?;
            ensure!(reply.header("content-type").starts_with("text/plain"), "{}", reply.header("content-type"));
            let shown = status::parse(&reply.text())?;
            ensure!(shown.iter().map(|node| node.sessions.len()).sum::<usize>() == 4, "{shown:?}");
            Ok(shown)
        })
        .await?;
        assert_eq!(shown.len(), 3);
        for session in &sessions {
            let owner = cluster.nodes()[cluster.index(&session.node.name)?].authority();
            let page = shown.iter().find(|node| node.address == owner).context("every node is shown")?;
            let pid = session.pid.and_then(|pid| u32::try_from(pid).ok()).context("a session has a process")?;
            assert!(page.sessions.contains(&(pid, session.user.clone())), "{pid} is not on {owner}: {shown:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn loads_are_divided_by_cores_with_two_digits_and_no_exponents() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let node = cluster.client(0)?.nodes().await?.pop().context("a node")?;
    let load = [0.37, 0.01, 0.0].map(|load| load * f64::from(node.cores));
    cluster.node(0).set_load(load)?;
    cluster.wait_loads(&[load]).await?;
    let page = cluster.client(0)?.get("/load-balancer/status").await?.success()?.text();
    assert_eq!(status::parse(&page)?[0].load, ["0.37", "0.01", "0"]);
    Ok(())
}

#[tokio::test]
async fn a_request_that_was_forwarded_is_not_answered() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = evenkeel_tests::Client::anonymous(&cluster.nodes()[0].authority());
    assert_eq!(client.get("/load-balancer/status").await?.status, 200);
    let reply = client.get_with("/load-balancer/status", &[("x-forwarded-for", "127.0.0.1")]).await?;
    assert!(reply.status.is_client_error(), "{}", reply.status);
    assert!(!reply.text().contains("Load:"));
    Ok(())
}
