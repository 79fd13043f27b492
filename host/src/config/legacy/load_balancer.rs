//! `load-balancer` and `database.conf`.

use super::{Name, honoured, instead};

pub(super) const NAMES: &[Name] = &[
    honoured("balancer", "balancer=user-hash"),
    honoured("www-host-name", "www-host-name=left.example:8787"),
    honoured("delete-node-on-exit", "delete-node-on-exit=1"),
    instead("diagnostics", "EVENKEEL_LOG=debug has the daemon log what it does").recalled(),
    honoured("timeout", "timeout=20").recalled(),
    instead(
        "verify-ssl-certs",
        "a node's certificate is always verified: it must be the one that the node itself has put into the registry, whoever \
         signed it",
    )
    .recalled(),
];

pub(super) const DATABASE: &[Name] = &[
    honoured("directory", "provider=sqlite\ndirectory=/srv/store"),
    honoured("provider", "provider=postgresql\nconnection-uri=postgresql://ada@db.example/evenkeel"),
    honoured(
        "connection-uri",
        "provider=postgresql\nconnection-uri=postgresql://ada@db.example:5433/evenkeel?sslmode=allow",
    ),
    honoured("database", "provider=postgresql\nhost=db.example\nusername=ada\ndatabase=evenkeel"),
    honoured("host", "provider=postgresql\nhost=db.example\nusername=ada"),
    honoured(
        "password",
        "provider=postgresql\nconnection-uri=postgresql://ada@db.example/\npassword=evenkeel1.0123.abcd",
    ),
    honoured("port", "provider=postgresql\nhost=db.example\nusername=ada\nport=5433"),
    honoured("username", "provider=postgresql\nhost=db.example\nusername=ada"),
    instead(
        "connection-timeout-seconds",
        "the database is given some seconds to answer a start, and asked again after that",
    )
    .recalled(),
    instead("pool-size", "a node takes eight connections to the database at most").recalled(),
];
