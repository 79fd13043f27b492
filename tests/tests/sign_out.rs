//! Signing out at one node: what it ends on every other, at once and while the store is away.

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Cluster, client::Socket, echo, visitor::Visitor, wait};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::StatusCode;
use tokio_tungstenite::tungstenite::Message;

/// Somebody who came by a node's one-time link, which is good once.
async fn by_link(cluster: &Cluster, index: usize) -> Result<Visitor> {
    let node = &cluster.nodes()[index];
    let link: hyper::Uri = node.sign_in().parse()?;
    let mut visitor = Visitor::at(&node.authority());
    visitor.follow(link.path_and_query().context("a path")?.as_str()).await?;
    ensure!(!visitor.cookie.is_empty(), "no cookie");
    Ok(visitor)
}

async fn is_signed_out_everywhere(cluster: &Cluster, visitor: &Visitor) -> Result<()> {
    for node in cluster.nodes() {
        let visitor = visitor.moved_to(&node.authority());
        wait::until(&format!("node {} to refuse the cookie", node.name), wait::LONG, async || {
            let status = visitor.get("/api/v1/sessions").await?.status;
            ensure!(status == StatusCode::UNAUTHORIZED, "{status}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Says something and hears it.
async fn speak(socket: &mut Socket) -> Result<()> {
    socket.send(Message::text("hello")).await?;
    let answer = socket.next().await.context("the web socket was closed")??;
    ensure!(answer == Message::text("hello"), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_sign_out_is_one_on_three_nodes_and_after_a_restart() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let (visitor, other) = (by_link(&cluster, 0).await?, by_link(&cluster, 1).await?);
    for node in cluster.nodes() {
        assert_eq!(visitor.moved_to(&node.authority()).get("/api/v1/sessions").await?.status, 200);
    }
    let mut leaving = visitor.clone();
    let reply = leaving.submit("/sign-out", &[]).await?;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/sign-in"));
    assert_eq!(leaving.cookie, "evenkeel=");
    is_signed_out_everywhere(&cluster, &visitor).await?;
    cluster.node(2).kill9()?;
    cluster.node(2).start().await?;
    let at_third = visitor.moved_to(&cluster.nodes()[2].authority());
    assert_eq!(at_third.get("/api/v1/sessions").await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(other.get("/api/v1/sessions").await?.status, 200, "another sign-in of the same user goes on");
    Ok(())
}

#[tokio::test]
async fn a_sign_out_closes_the_web_sockets_of_its_sign_in_through_every_node() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let (leaving, staying) = (by_link(&cluster, 0).await?, by_link(&cluster, 1).await?);
    let open = async |visitor: &Visitor, index: usize| {
        let visitor = visitor.moved_to(&cluster.nodes()[index].authority());
        let mut socket = visitor.socket(&session.path(echo::SOCKET)).await?.ok().context("refused")?;
        speak(&mut socket).await?;
        anyhow::Ok(socket)
    };
    let (mut here, mut there) = (open(&leaving, 0).await?, open(&leaving, 1).await?);
    let mut stays = open(&staying, 0).await?;
    leaving.clone().submit("/sign-out", &[]).await?;
    for socket in [&mut here, &mut there] {
        let end = tokio::time::timeout(wait::LONG, async { while let Some(Ok(_)) = socket.next().await {} });
        end.await.context("the web socket stays open")?;
    }
    speak(&mut stays).await?;
    for node in cluster.nodes() {
        let page = leaving.moved_to(&node.authority()).visit(&session.path("")).await?;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        assert!(page.header("location").starts_with("/sign-in?next=/s/"), "{}", page.header("location"));
    }
    assert_eq!(cluster.client(1)?.session(&session.id).await?.state, "active", "the session itself goes on");
    Ok(())
}

#[tokio::test]
async fn without_the_store_cookies_hold_and_a_sign_out_is_told_when_it_is_back() -> Result<()> {
    let cluster = Builder::for_test(2)?.start().await?;
    let (visitor, staying) = (by_link(&cluster, 0).await?, by_link(&cluster, 1).await?);
    let session = cluster.client(0)?.launch_active("echo").await?;
    let store = cluster.root().join("store");
    let hold = evenkeel_tests::store::hold(&store)?;
    for node in cluster.nodes() {
        let page = staying.moved_to(&node.authority()).visit(&session.path("")).await?;
        assert_eq!(page.status, 200, "{}", node.name);
    }
    visitor.clone().submit("/sign-out", &[]).await?;
    assert_eq!(visitor.get(&session.path("")).await?.status, StatusCode::UNAUTHORIZED, "here it holds at once");
    drop(hold);
    is_signed_out_everywhere(&cluster, &visitor).await?;
    Ok(())
}
