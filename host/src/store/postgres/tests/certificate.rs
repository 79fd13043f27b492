//! The story once more, over TLS and by a client's certificate in the place of a password.

use evenkeel_test_postgres::{Server, USER};

use super::{PostgresBed, story};
use crate::store::postgres::{Access, Host, Tls};

async fn bed() -> PostgresBed {
    let database = tokio::task::spawn_blocking(|| Server::shared_by_certificate().database()).await.unwrap();
    let file = |name: &str| database.server().directory().join(name);
    let access = Access {
        host: Host::Name("localhost".to_owned()),
        port: database.server().port(),
        database: database.name().to_owned(),
        user: USER.to_owned(),
        password: None,
        tls: Tls::VerifyFull,
        root_certificate: Some(file("ca.pem")),
        client_certificate: Some((file("client.pem"), file("client.key"))),
    };
    PostgresBed { database, access }
}

story::tell!(bed);
