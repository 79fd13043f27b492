//! The legacy status page.

use std::{
    fs,
    net::{IpAddr, UdpSocket},
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Client, Cluster, status, wait};

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
    let client = Client::anonymous(&cluster.nodes()[0].authority());
    assert_eq!(client.get("/load-balancer/status").await?.status, 200);
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("X_Forwarded_For", "127.0.0.1"),
        ("x-forwarded-host", "localhost"),
        ("forwarded", "for=127.0.0.1"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "127.0.0.1"),
        ("x-client-ip", "127.0.0.1"),
    ] {
        let reply = client.get_with("/load-balancer/status", &[(name, value)]).await?;
        assert_eq!(reply.status, 403, "{name}");
        assert!(!reply.text().contains("Load:"), "{name}");
    }
    Ok(())
}

/// An address of this machine that is not its loopback's. Nothing is sent to the one that is named here.
fn own_address() -> Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("198.51.100.1:9").context("this machine needs an address beside its loopback's, and a route")?;
    Ok(socket.local_addr()?.ip())
}

/// A node that listens on all addresses, under that name.
async fn named(host: &str) -> Result<Cluster> {
    let cluster = Builder::for_test(1)?.listen("0.0.0.0").prepare()?;
    fs::write(cluster.nodes()[0].files.config.join("load-balancer"), format!("www-host-name={host}\n"))?;
    let mut cluster = cluster;
    cluster.start_all().await?;
    Ok(cluster)
}

#[tokio::test]
async fn only_addresses_of_the_cluster_and_of_loopback_are_answered() -> Result<()> {
    let own = own_address()?;
    for (host, status) in [("127.0.0.1", 403), (&*own.to_string(), 200)] {
        let cluster = named(host).await?;
        let local = cluster.nodes()[0].authority();
        let port = local.rsplit(':').next().context("a port")?;
        // From the machine's own address to itself, as from another machine.
        let reply = Client::anonymous(&format!("{own}:{port}")).get("/load-balancer/status").await?;
        assert_eq!(reply.status, status, "the cluster's address is {host}, the client's {own}");
        assert_eq!(reply.text().contains("Load:"), status == 200, "{}", reply.text());
        assert_eq!(Client::anonymous(&local).get("/load-balancer/status").await?.status, 200, "loopback");
        cluster.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_node_stands_there_as_its_www_host_name_gives_it() -> Result<()> {
    // The name is the administrator's word, upper case and all; the port is the one that is listened on where it names none.
    for (given, port) in [("LocalHost", None), ("localhost:9", Some("9"))] {
        let cluster = named(given).await?;
        let authority = cluster.nodes()[0].authority();
        let port = port.or(authority.rsplit(':').next()).context("a port")?;
        let page = cluster.client(0)?.get("/load-balancer/status").await?.success()?.text();
        let host = given.split(':').next().unwrap_or_default();
        assert_eq!(page, format!("{host}:{port} - 127.0.0.1  Load: 0, 0, 0\n\n"));
        status::parse(&page)?;
        cluster.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_stopped_and_a_session_that_ended_are_gone_from_the_page() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let pid = session.pid.context("a process")?;
    let line = format!("   {pid} - {}\n", session.user);
    let page =
        async |cluster: &Cluster| anyhow::Ok(cluster.client(0)?.get("/load-balancer/status").await?.success()?.text());
    assert!(page(&cluster).await?.contains(&line));
    cluster.client(0)?.end(&session.id).await?;
    cluster.client(0)?.wait_state(&session.id, |state| state == "ended").await?;
    assert!(!page(&cluster).await?.contains(&line));
    cluster.node(1).stop().await?;
    assert_eq!(status::parse(&page(&cluster).await?)?.len(), 1);
    Ok(())
}
