//! A cluster whose ports take TLS: browsers, nodes and commands come with it, and with nothing else.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{Builder, Client, Cluster, Node, Session, client::whole, echo, tls, wait};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::Request;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_tungstenite::tungstenite::Message;

/// A session that runs on one node of two, with clients of both: first of its own.
async fn session(cluster: &Cluster) -> Result<(Session, [Client; 2])> {
    let session = cluster.client(0)?.launch_active("echo").await?;
    let here = cluster.client(cluster.index(&session.node.name)?)?.clone();
    let (_, there) = cluster.client_elsewhere(&session.node.name)?;
    Ok((session, [here, there.clone()]))
}

#[tokio::test]
async fn a_session_is_reached_with_tls_through_its_own_node_and_through_the_other() -> Result<()> {
    let cluster = Builder::for_test(2)?.with_tls().start().await?;
    let (session, clients) = session(&cluster).await?;
    for client in &clients {
        assert!(client.origin().starts_with("https://"), "{}", client.origin());
        let seen = echo::describe(client, &session, "a=b", &[]).await?;
        assert_eq!(seen.header("x-forwarded-proto"), ["https"]);
        assert_eq!(seen.header("host"), [client.authority().to_owned()]);
        let mut socket = client.socket(&session.path(echo::SOCKET)).await?;
        socket.send(Message::text("hello")).await?;
        assert_eq!(socket.next().await.context("closed")??, Message::text("hello"));
        let plain = format!("http://{}", client.authority());
        let refused = client.upgrade(&session.path(echo::SOCKET), &[("origin", &plain)]).await?;
        assert_eq!(refused.err().context("a page without TLS is not one of this server")?, 403);
    }
    for known in clients[1].nodes().await? {
        let node = &cluster.nodes()[cluster.index(&known.name)?];
        assert_eq!(known.rest["certificate"], shown(node).await?, "{}", known.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_sign_in_by_link_is_kept_with_tls_alone() -> Result<()> {
    let cluster = Builder::for_test(1)?.with_tls().start().await?;
    let node = &cluster.nodes()[0];
    let link = node.sign_in();
    let path = link.strip_prefix(&cluster.client(0)?.origin()).context("the link is of this server, with TLS")?;
    let reply = Client::anonymous(&node.place()).get(path).await?;
    assert!(reply.header("set-cookie").contains("; Secure"), "{}", reply.header("set-cookie"));
    assert_eq!(reply.header("strict-transport-security"), "max-age=86400");

    let plain = Client::anonymous(&node.authority());
    let reply = plain.get("/sessions?a=b").await?;
    assert_eq!(
        (reply.status.as_u16(), reply.header("location")),
        (307, format!("https://{}/sessions?a=b", node.authority()).as_str())
    );
    let token = cluster.client(0)?.token().context("a token")?.to_owned();
    let post = Request::post("/api/v1/sessions").header("authorization", format!("Bearer {token}"));
    let reply = plain.ask(post.header("content-type", "application/json").body(whole("{\"kind\": \"echo\"}"))?).await?;
    assert_eq!(reply.status, 426, "{}", reply.text());
    assert!(cluster.client(0)?.sessions().await?.is_empty(), "nothing was done of it");
    Ok(())
}

#[tokio::test]
async fn commands_know_their_daemon_also_after_its_certificate_was_renewed() -> Result<()> {
    let cluster = Builder::for_test(1)?.with_tls().start().await?;
    let node = &cluster.nodes()[0];
    let list = || -> Result<Value> {
        let output = cluster.command(&["list-nodes", "--json", "--data-dir"])?.arg(&node.files.data).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    assert_eq!(list()?["nodes"].as_array().map(Vec::len), Some(1));
    renew(node).await?;
    assert_eq!(list()?["nodes"].as_array().map(Vec::len), Some(1));
    Ok(())
}

/// Gives a node another certificate, and waits until that is shown and known.
async fn renew(node: &Node) -> Result<()> {
    let before = shown(node).await?;
    node.files.certify()?;
    node.hang_up()?;
    wait::until("the other certificate to be shown", wait::LONG, async || {
        let now = shown(node).await?;
        ensure!(now != before, "it is the one before");
        let address = fs::read_to_string(node.files.data.join("address.json"))?;
        let published: Value = serde_json::from_str(&address)?;
        ensure!(published["certificate"] == now, "commands do not know it: {address}");
        Ok(())
    })
    .await
}

/// The SHA-256 of the certificate that a browser is shown.
async fn shown(node: &Node) -> Result<String> {
    let stream = tls::shake_hands(TcpStream::connect(node.authority()).await?, &node.authority()).await?;
    let (_, connection) = stream.get_ref();
    let chain = connection.peer_certificates().context("no certificate")?;
    Ok(tls::fingerprint(chain.first().context("no certificate")?))
}

#[tokio::test]
async fn a_renewed_certificate_cuts_nothing_and_no_request_through_the_other_node_fails() -> Result<()> {
    let cluster = Builder::for_test(2)?.with_tls().start().await?;
    let (session, [_, there]) = session(&cluster).await?;
    let node = &cluster.nodes()[cluster.index(&session.node.name)?];
    let mut socket = there.socket(&session.path(echo::SOCKET)).await?;
    let (stop, stopped) = watch::channel(false);
    let asking = async {
        let mut asked = 0;
        while !*stopped.borrow() {
            // With a body, which cannot be sent twice, over a connection of its own.
            let client = Client::of(&format!("https://{}", there.authority()), &other_data(&cluster, &session)?)?;
            let post = Request::post(session.path(echo::STREAM)).body(whole("work"))?;
            let reply = client.ask(post).await?;
            ensure!(reply.status == 200 && reply.text() == "work", "{}: {}", reply.status, reply.text());
            asked += 1;
        }
        Ok(asked)
    };
    let renewing = async {
        let done = async {
            renew(node).await?;
            renew(node).await
        }
        .await;
        stop.send_replace(true);
        done
    };
    let (asked, renewed) = tokio::join!(asking, renewing);
    renewed?;
    assert!(asked? > 10);
    socket.send(Message::text("still here")).await?;
    assert_eq!(socket.next().await.context("closed")??, Message::text("still here"));
    Ok(())
}

/// The data directory of the node that does not run the session.
fn other_data(cluster: &Cluster, session: &Session) -> Result<std::path::PathBuf> {
    let other = (cluster.index(&session.node.name)? + 1) % 2;
    Ok(cluster.nodes()[other].files.data.clone())
}

#[tokio::test]
async fn whoever_takes_a_nodes_port_is_told_nothing_even_with_a_good_certificate() -> Result<()> {
    let mut cluster = Builder::for_test(2)?.with_tls().start().await?;
    let (session, [_, there]) = session(&cluster).await?;
    let index = cluster.index(&session.node.name)?;
    let place = cluster.nodes()[index].authority();
    cluster.node(index).kill9()?;
    // Signed by an authority that browsers trust, for this very name.
    let listener = TcpListener::bind(&place).await?;
    let (heard, mut listening) = watch::channel(Vec::new());
    let impostor = tokio::spawn(async move {
        let acceptor = tls::server()?;
        loop {
            let (stream, _) = listener.accept().await?;
            let Ok(mut stream) = acceptor.accept(stream).await else {
                heard.send_modify(|all| all.push(String::new()));
                continue;
            };
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            heard.send_modify(|all| all.push(String::from_utf8_lossy(&request[..length]).into_owned()));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake").await;
        }
        #[expect(unreachable_code, reason = "says what the task's errors are")]
        anyhow::Ok(())
    });
    let reply = there.get(&session.path("headers")).await?;
    assert_eq!(reply.status, 503, "{}", reply.text());
    listening.wait_for(|all| !all.is_empty()).await?;
    assert!(listening.borrow().iter().all(String::is_empty), "{:?}", listening.borrow());
    let log = wait::until("the other node to say so", wait::LONG, async || {
        let log = cluster.nodes()[1 - index].log();
        ensure!(log.contains("it shows the certificate"), "{}", cluster.nodes()[1 - index].log_tail());
        Ok(log)
    })
    .await?;
    assert!(log.contains(&place), "{log}");
    impostor.abort();
    let _ = impostor.await;
    cluster.node(index).start().await?;
    wait::until("the session to be reached again", wait::LONG, async || {
        let reply = there.get(&session.path("headers")).await?;
        ensure!(reply.status == 200, "{}", reply.status);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn tls_is_switched_on_and_off_one_node_after_the_other() -> Result<()> {
    let mut cluster = Builder::for_test(2)?.start().await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let own = cluster.index(&session.node.name)?;
    let order = [own, 1 - own];
    for secure in [true, false] {
        for index in order {
            let files = cluster.nodes()[index].files.clone();
            cluster.node(index).stop().await?;
            let (certificate, key) = files.certify()?;
            files.add_setting("ssl-enabled", if secure { "1" } else { "0" })?;
            files.add_setting("ssl-certificate", &certificate.display().to_string())?;
            files.add_setting("ssl-certificate-key", &key.display().to_string())?;
            cluster.node(index).start().await?;
            assert_eq!(cluster.client(index)?.origin().starts_with("https://"), secure);
            for client in [cluster.client(0)?, cluster.client(1)?] {
                // At once, also where the other node has not heard of the change yet.
                let reply = client.get(&session.path("headers")).await?;
                ensure!(reply.status == 200, "{} by {}: {}", reply.status, client.origin(), reply.text());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_the_certificate_ends_the_start_and_changes_nothing_at_a_reload() -> Result<()> {
    let cluster = Builder::for_test(1)?.with_tls().start().await?;
    let node = &cluster.nodes()[0];
    let config = &node.files.config;
    let before = shown(node).await?;
    let key = fs::read_to_string(config.join("key.pem"))?;
    node.files.certify()?;
    fs::write(config.join("key.pem"), &key)?;
    node.hang_up()?;
    let told = "key.pem: it is not the key of the first certificate in ";
    wait::until("the log to say what is wrong", wait::LONG, async || {
        let log = node.log();
        ensure!(log.contains(told) && log.contains("nothing has changed"), "{}", node.log_tail());
        Ok(())
    })
    .await?;
    assert_eq!(shown(node).await?, before);
    for command in [&["config", "check"][..], &["serve", "--www-port", "0"]] {
        let output = cluster.command(command)?.arg("--config-dir").arg(config).output()?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(78), "{command:?}: {said}");
        assert!(said.contains(told), "{command:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_told_of_and_serves_nodes_and_commands_still() -> Result<()> {
    let mut cluster = Builder::for_test(1)?.with_tls().start().await?;
    cluster.node(0).stop().await?;
    let node = &cluster.nodes()[0];
    let expired = tls::authority().expired_server(&["localhost", "127.0.0.1"]);
    fs::write(node.files.config.join("certificate.pem"), expired.certificate)?;
    fs::write(node.files.config.join("key.pem"), expired.key)?;
    let told = "the certificate expired at 2020-01-01T00:00:00Z, and browsers refuse it";
    let output = cluster.command(&["config", "check", "--config-dir"])?.arg(&node.files.config).output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(told), "{said}");

    cluster.node(0).start().await?;
    let node = &cluster.nodes()[0];
    wait::until("the log to say so", wait::LONG, async || {
        ensure!(node.log().contains(told), "{}", node.log_tail());
        Ok(())
    })
    .await?;
    let output = cluster.command(&["list-nodes", "--data-dir"])?.arg(&node.files.data).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Browsers refuse it, and so does the one that ends what a test leaves.
    assert!(shown(node).await.is_err());
    node.files.certify()?;
    node.hang_up()?;
    wait::until("the renewed one to be shown", wait::LONG, async || shown(node).await).await?;
    Ok(())
}

#[tokio::test]
async fn the_usual_ports_are_those_of_https_and_http() -> Result<()> {
    let cluster = Builder::for_test(1)?.with_tls().prepare()?;
    let node = &cluster.nodes()[0];
    let files = &node.files;
    // Two runs of this test at once want two machines.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = format!("127.88.{high}.{low}");
    let mut daemon = cluster.command(&["serve", "--www-address", &address, "--node-name", "n1", "--config-dir"])?;
    let log = fs::File::create(&files.log)?;
    let mut daemon = tokio::process::Command::from({
        daemon.arg(&files.config).arg("--data-dir").arg(&files.data);
        daemon.stdout(log.try_clone()?).stderr(log);
        daemon
    })
    .kill_on_drop(true)
    .spawn()?;
    let plain = Client::anonymous(&format!("{address}:80"));
    let reply = wait::until("the port of HTTP to answer", wait::LONG, async || plain.get("/a?b").await).await?;
    let place = format!("https://{address}/a?b");
    assert_eq!((reply.status.as_u16(), reply.header("location")), (307, place.as_str()));
    let stream = TcpStream::connect((address.as_str(), 443)).await?;
    // The certificate is for other names.
    assert!(tls::shake_hands(stream, &format!("{address}:443")).await.is_err());
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(daemon.id().context("it runs")?)?),
        nix::sys::signal::Signal::SIGTERM,
    )?;
    let status = tokio::time::timeout(Duration::from_secs(20), daemon.wait()).await.context("it does not stop")??;
    assert!(status.success(), "{status}: {}", fs::read_to_string(&files.log)?);
    Ok(())
}
