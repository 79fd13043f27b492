//! How the database is entered: by password, by certificate, with and without TLS, and what is said where that fails.

use std::{path::PathBuf, time::Duration};

use evenkeel_test_postgres::{Database, Options, Server, USER, certificates::Authority};

use super::super::{Access, Host, PostgresStore, Store, Tls};
use crate::store::story::{TIMEOUT, beat, registration};

/// A server on which an authority's certificates hold.
struct Entrance {
    database: Database,
}

/// Everybody under one line of `pg_hba.conf`.
fn entrance(hba: &str, settings: &str) -> Entrance {
    let (authority, others) = (Authority::new("An authority"), Authority::new("Another authority"));
    let server = authority.server(&["localhost"]);
    let (client, guest, stranger) = (authority.client(USER), authority.client("guest"), others.client(USER));
    let files = [
        ("ca.pem", authority.certificate()),
        ("other-ca.pem", others.certificate()),
        ("server.pem", server.certificate),
        ("server.key", server.key),
        ("client.pem", client.certificate),
        ("client.key", client.key),
        ("guest.pem", guest.certificate),
        ("guest.key", guest.key),
        ("stranger.pem", stranger.certificate),
        ("stranger.key", stranger.key),
    ];
    let options = Options {
        settings: format!(
            "ssl = on\nssl_cert_file = '../server.pem'\nssl_key_file = '../server.key'\nssl_ca_file = '../ca.pem'\n{settings}"
        ),
        hba: format!("local all all scram-sha-256\n{hba}\n"),
        files: files.map(|(name, content)| (name.to_owned(), content)).to_vec(),
        ..Options::default()
    };
    Entrance { database: Server::start(&options).database() }
}

impl Entrance {
    fn file(&self, name: &str) -> PathBuf {
        self.database.server().directory().join(name)
    }

    fn access(&self, tls: Tls) -> Access {
        Access {
            host: Host::Name("localhost".to_owned()),
            port: self.database.server().port(),
            database: self.database.name().to_owned(),
            user: USER.to_owned(),
            password: Some(self.database.server().password()),
            tls,
            root_certificate: None,
            client_certificate: None,
        }
    }

    fn certified(&self, name: &str) -> Access {
        let files = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        Access { client_certificate: Some(files), password: None, ..self.access(Tls::default()) }
    }
}

/// Opens and uses the store; what keeps it from that.
async fn enter(access: Access) -> Result<(), String> {
    let store = PostgresStore::open(&access, TIMEOUT).await.map_err(|error| error.to_string())?;
    store.nodes().await.map_err(|error| error.to_string())?;
    store.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_only_takes_tls_is_entered_by_every_mode_but_disable() {
    let entrance = entrance("hostssl all all 127.0.0.1/32 scram-sha-256", "");
    for tls in [Tls::Allow, Tls::Prefer, Tls::Require] {
        enter(entrance.access(tls)).await.unwrap();
    }
    let error = enter(entrance.access(Tls::Disable)).await.unwrap_err();
    assert!(error.contains("no encryption") && error.contains("pg_hba.conf"), "{error}");
    for tls in [Tls::Allow, Tls::Require] {
        let wrong = Access { password: Some("wrong".to_owned()), ..entrance.access(tls) };
        let error = enter(wrong).await.unwrap_err();
        assert!(
            error.contains("password authentication failed") && error.contains("see username and password"),
            "{error}"
        );
        assert!(!error.contains("wrong"), "{error}");
    }
    // Whoever signed the server's certificate is asked for where somebody is named, or where it is demanded.
    let trusting = |tls, ca: &str| Access { root_certificate: Some(entrance.file(ca)), ..entrance.access(tls) };
    for tls in [Tls::Allow, Tls::Prefer, Tls::Require, Tls::VerifyCa, Tls::VerifyFull] {
        enter(trusting(tls, "ca.pem")).await.unwrap();
        let error = enter(trusting(tls, "other-ca.pem")).await.unwrap_err();
        assert!(error.contains("invalid peer certificate") && error.contains("sslrootcert"), "{tls:?}: {error}");
    }
    let elsewhere = Access { host: Host::Name("127.0.0.1".to_owned()), ..trusting(Tls::VerifyFull, "ca.pem") };
    assert!(enter(elsewhere).await.unwrap_err().contains("not valid for name"), "it is localhost's");
    assert!(enter(entrance.access(Tls::VerifyFull)).await.is_err(), "nobody known has signed it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_entered_where_it_is_not_demanded() {
    let entrance = entrance("hostnossl all all 127.0.0.1/32 scram-sha-256", "");
    for tls in [Tls::Disable, Tls::Allow, Tls::Prefer] {
        enter(entrance.access(tls)).await.unwrap();
    }
    let error = enter(entrance.access(Tls::Require)).await.unwrap_err();
    assert!(error.contains("pg_hba.conf"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_enters_in_the_place_of_a_password() {
    let entrance = entrance("hostssl all all 127.0.0.1/32 cert", "");
    // As the page of the multi-server installation has it: no mode is named.
    let client = entrance.certified("client");
    enter(Access { root_certificate: Some(entrance.file("ca.pem")), ..client.clone() }).await.unwrap();
    enter(client).await.unwrap();
    let error = enter(entrance.certified("guest")).await.unwrap_err();
    assert!(error.contains("certificate authentication failed for user"), "{error}");
    assert!(error.contains("sslcert"), "{error}");
    for refused in [entrance.certified("stranger"), entrance.access(Tls::Require)] {
        let error = enter(refused).await.unwrap_err();
        assert!(error.contains("certificate") && error.contains("sslcert"), "{error}");
    }
    let nowhere = (entrance.file("nothing.pem"), entrance.file("client.key"));
    let error = enter(Access { client_certificate: Some(nowhere), ..entrance.access(Tls::Require) }).await.unwrap_err();
    assert!(error.contains("nothing.pem"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_said_to_be_and_not_waited_for() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = Access {
        host: Host::Name("127.0.0.1".to_owned()),
        port: free.local_addr().unwrap().port(),
        database: "evenkeel".to_owned(),
        user: USER.to_owned(),
        password: None,
        tls: Tls::default(),
        root_certificate: None,
        client_certificate: None,
    };
    // It takes connections and says nothing.
    let begin = std::time::Instant::now();
    let error = enter(silent.clone()).await.unwrap_err();
    assert!(error.contains("no answer within") && begin.elapsed() < Duration::from_secs(30), "{error}");
    drop(free);
    let error = enter(silent.clone()).await.unwrap_err();
    assert!(
        error.contains("127.0.0.1") && error.contains("refused") && error.contains("is the server there"),
        "{error}"
    );
    let no_socket = Access { host: Host::Socket("/nonexistent".into()), ..silent.clone() };
    let error = enter(no_socket).await.unwrap_err();
    assert!(error.contains("/nonexistent"), "{error}");
    let no_name = Access { host: Host::Name("nowhere.invalid".to_owned()), ..silent };
    let error = enter(no_name).await.unwrap_err();
    assert!(error.contains("nowhere.invalid"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_blocks_nobody_for_longer_than_a_call_may_take() {
    let entrance = entrance("host all all 127.0.0.1/32 scram-sha-256", "");
    let store = PostgresStore::open(&entrance.access(Tls::Disable), TIMEOUT).await.unwrap();
    let id = store.register(&registration("a")).await.unwrap();
    let server = entrance.database.server();
    server.freeze(true);
    let begin = std::time::Instant::now();
    let beat = beat(0.0);
    let (nodes, told) = tokio::join!(store.nodes(), store.heartbeat(id, &beat));
    let took = begin.elapsed();
    server.freeze(false);
    let (nodes, told) = (nodes.unwrap_err().to_string(), told.unwrap_err().to_string());
    assert!(nodes.contains("did not answer") && told.contains("did not answer"), "{nodes}; {told}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(store.nodes().await.unwrap().len(), 1);
    assert!(store.heartbeat(id, &beat).await.unwrap().is_some());
}
