//! The browser's traffic to a session, here and by one hop.

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Client, Cluster, Session, client::RequestBody, echo};
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Request,
    body::{Bytes, Frame},
};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// An active session on a cluster of two, with a client of the node that runs it and one of the other.
async fn session(cluster: &Cluster) -> Result<(Session, [Client; 2])> {
    let session = cluster.client(0)?.launch_active("echo").await?;
    let here = cluster.client(cluster.index(&session.node.name)?)?.clone();
    let (_, there) = cluster.client_elsewhere(&session.node.name)?;
    ensure!(here.authority() != there.authority(), "both are one node");
    Ok((session, [here, there.clone()]))
}

#[tokio::test]
async fn a_session_answers_through_its_own_node_and_through_the_other() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let (session, clients) = session(&cluster).await?;
    for client in &clients {
        let seen = echo::describe(client, &session, "with=a&more=%20x", &[]).await?;
        assert_eq!(seen.method, "GET");
        assert!(seen.target.ends_with("/headers?with=a&more=%20x"), "{}", seen.target);
        assert_eq!(
            seen.header("host"),
            [client.authority().to_owned()],
            "the program is told the host that the browser asked"
        );
    }
    Ok(())
}

/// A body that is sent piece by piece, and the end to put pieces in.
fn streamed() -> (mpsc::UnboundedSender<Bytes>, RequestBody) {
    let (pieces, mut body) = mpsc::unbounded_channel::<Bytes>();
    let body = stream::poll_fn(move |context| body.poll_recv(context)).map(|piece| Ok(Frame::data(piece)));
    (pieces, BodyExt::boxed(StreamBody::new(body)))
}

#[tokio::test]
async fn bodies_stream_both_ways_before_either_has_ended() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let (session, clients) = session(&cluster).await?;
    for client in &clients {
        let (pieces, body) = streamed();
        pieces.send(Bytes::from_static(b"first"))?;
        let response = client.send(Request::post(session.path(echo::STREAM)).body(body)?).await?;
        assert_eq!(response.status(), 200);
        let mut answer = response.into_body();
        let mut next = async || -> Result<Bytes> {
            let frame = answer.frame().await.context("the answer ended early")??;
            frame.into_data().ok().context("no data")
        };
        assert_eq!(next().await?, "first");
        // Only now is the second piece sent: the first has come back while the request was still open.
        pieces.send(Bytes::from_static(b"second"))?;
        assert_eq!(next().await?, "second");
        drop(pieces);
        assert!(answer.frame().await.is_none(), "the answer goes on after the request has ended");
    }
    Ok(())
}

#[tokio::test]
async fn a_large_body_arrives_whole() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let (session, clients) = session(&cluster).await?;
    let sent: Vec<u8> = (0..8_000_000_u32).map(|i| i.to_le_bytes()[usize::from(i % 3 == 0)]).collect();
    for client in &clients {
        let body = evenkeel_tests::client::whole(sent.clone());
        let reply = client.ask(Request::post(session.path(echo::STREAM)).body(body)?).await?.success()?;
        assert!(reply.body == sent, "{} of {} bytes came back, or others", reply.body.len(), sent.len());
    }
    Ok(())
}

#[tokio::test]
async fn web_sockets_carry_messages_both_ways() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let (session, clients) = session(&cluster).await?;
    for client in &clients {
        let mut socket = client.socket(&session.path(echo::SOCKET)).await?;
        for message in [Message::text("a text"), Message::binary(vec![7; 300_000]), Message::text("")] {
            socket.send(message.clone()).await?;
            let answer = loop {
                let answer = socket.next().await.context("the web socket was closed")??;
                if answer.is_text() || answer.is_binary() {
                    break answer;
                }
            };
            assert!(answer == message, "another message came back");
        }
        socket.close(None).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_session_never_sees_how_its_user_signed_in() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let (session, clients) = session(&cluster).await?;
    let browser = Client::anonymous(&cluster.nodes()[0].authority());
    let link: hyper::Uri = cluster.nodes()[0].sign_in().parse()?;
    let signed_in = browser.get(link.path_and_query().context("a path")?.as_str()).await?;
    let cookie = signed_in.header("set-cookie").split(';').next().context("a cookie")?.to_owned();
    let secret = cookie.split_once('=').context("a value")?.1.to_owned();
    let cookies = format!("theme=dark; {cookie}; last=1");
    for client in &clients {
        let seen = echo::describe(client, &session, "", &[]).await?;
        let token = client.token().context("a token")?;
        assert!(!seen.text.contains(token), "the token got through: {}", seen.text);

        let browser = Client::anonymous(client.authority());
        let seen = echo::describe(&browser, &session, "", &[("cookie", &cookies)]).await?;
        assert!(!seen.text.contains(&secret), "the cookie got through: {}", seen.text);
        let theirs = seen.header("cookie").join("; ");
        assert!(theirs.contains("theme=dark") && theirs.contains("last=1"), "the program lost its own: {theirs}");
    }
    Ok(())
}

#[tokio::test]
async fn an_upgrade_that_another_sites_page_asks_for_is_refused() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let (session, clients) = session(&cluster).await?;
    for client in &clients {
        let own = format!("http://{}", client.authority());
        let near = format!("http://{}.evil.example", client.authority());
        for origin in ["http://evil.example", "null", near.as_str()] {
            let outcome = client.upgrade(&session.path(echo::SOCKET), &[("origin", origin)]).await?;
            assert_eq!(outcome.err().map(|status| status.as_u16()), Some(403), "{origin}");
        }
        assert!(client.upgrade(&session.path(echo::SOCKET), &[("origin", &own)]).await?.is_ok());
    }
    Ok(())
}

#[tokio::test]
async fn an_upgrade_without_a_sign_in_is_refused() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let (session, clients) = session(&cluster).await?;
    for client in &clients {
        let stranger = Client::anonymous(client.authority());
        let origin = format!("http://{}", client.authority());
        let outcome = stranger.upgrade(&session.path(echo::SOCKET), &[("origin", &origin)]).await?;
        let status = outcome.err().context("it was let in")?;
        assert!(!status.is_success(), "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_has_ended_is_no_longer_reached() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let (session, clients) = session(&cluster).await?;
    clients[1].end(&session.id).await?;
    clients[1].wait_state(&session.id, |state| state == "ended").await?;
    for client in &clients {
        evenkeel_tests::wait::until("the session to be out of reach", evenkeel_tests::wait::LONG, async || {
            let reply = client.get(&session.path("")).await?;
            ensure!(!reply.status.is_success(), "status {}", reply.status);
            Ok(())
        })
        .await?;
    }
    Ok(())
}
