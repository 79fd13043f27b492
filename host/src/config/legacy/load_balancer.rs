//! `load-balancer` and `database.conf`.

use super::{Name, honoured, instead, only};

pub(super) const NAMES: &[Name] = &[
    honoured("balancer", "balancer=user-hash"),
    honoured("www-host-name", "www-host-name=left.example:8787"),
    honoured("delete-node-on-exit", "delete-node-on-exit=1"),
    instead("diagnostics", "EVENKEEL_LOG=debug has the daemon log what it does").recalled(),
    honoured("timeout", "timeout=20").recalled(),
    instead("verify-ssl-certs", "nodes prove themselves to each other by the secure-cookie-key").recalled(),
];

pub(super) const DATABASE: &[Name] = &[
    honoured("directory", "provider=sqlite\ndirectory=/srv/store"),
    only("provider", "sqlite", "the store of this version is SQLite"),
    instead("connection-uri", "the store of this version is SQLite, in `directory`"),
    instead("database", "the store of this version is SQLite, in `directory`"),
    instead("host", "the store of this version is SQLite, in `directory`"),
    instead("password", "the store of this version is SQLite, in `directory`"),
    instead("port", "the store of this version is SQLite, in `directory`"),
    instead("username", "the store of this version is SQLite, in `directory`"),
];
