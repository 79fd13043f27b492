//! `launcher.conf`, `launcher.local.conf` and `logging.conf`.

use super::{Name, honoured, instead, only};

const PORT: &str = "no launcher listens on a port of its own: each node starts its sessions itself, and nodes talk to each other \
                    over www-port alone";
const PLUGIN: &str = "no plugin of a launcher is run: each node starts its sessions itself";
const NO_LAUNCHER: &str = "there is no launcher beside the daemon, whose own user its systemd unit names";
const ADMINS: &str = "admin-group in rserver.conf says who sees everybody's jobs and sessions";
const THREADS: &str = "there is no pool to be sized";
const TLS: &str = "there is no port of a launcher to protect";
const LOGS: &str = "the daemon logs to standard error, which systemd keeps in its journal";
const KEEPING: &str = "the journal says what is kept, and for how long: journald.conf";
const SCRATCH: &str = "logs of jobs and sessions lie in `sessions` of the data directory";
const FORMAT: &str = "the daemon logs lines of text";

pub(super) const LAUNCHER: &[Name] = &[
    instead("address", PORT).under("server"),
    instead("admin-group", ADMINS).under("server"),
    instead("authorization-enabled", "a job is always its user's alone").under("server"),
    instead("enable-ssl", TLS).under("server"),
    instead("port", PORT).under("server"),
    instead("server-user", NO_LAUNCHER).under("server"),
    instead("thread-pool-size", THREADS).under("server"),
    instead("name", "there is one cluster, this one, and nobody needs to name it").under("cluster"),
    only(
        "type",
        "Local",
        "sessions run on the nodes of this cluster alone, and are never started elsewhere than was asked; take the section \
         out to have them here",
    )
    .under("cluster"),
    // From memory.
    instead("allowed-groups", "auth-required-user-group in rserver.conf says who signs in").under("cluster").recalled(),
    instead("certificate-file", TLS).under("server").recalled(),
    instead("certificate-key-file", TLS).under("server").recalled(),
    instead("config-file", PLUGIN).under("cluster").recalled(),
    instead("enable-debug-logging", "EVENKEEL_LOG=debug, or log-level in logging.conf, has the daemon log more").under("server").recalled(),
    instead("exe", PLUGIN).under("cluster").recalled(),
    instead("logging-dir", LOGS).under("server").recalled(),
    instead("scratch-path", SCRATCH).under("server").recalled(),
    instead("secure-cookie-key-file", "there is one secure-cookie-key, the daemon's").under("server").recalled(),
];

pub(super) const LOCAL: &[Name] = &[
    honoured("job-expiry-hours", "job-expiry-hours=2"),
    honoured("save-unspecified-output", "save-unspecified-output=0"),
    instead("logging-dir", LOGS),
    instead("node-connection-timeout-seconds", "calls between nodes have limits of their own"),
    instead("scratch-path", SCRATCH),
    instead("unprivileged", "a daemon that is not root runs sessions of its own user alone"),
    // From memory.
    instead("enable-debug-logging", "EVENKEEL_LOG=debug, or log-level in logging.conf, has the daemon log more")
        .recalled(),
    instead("heartbeat-interval-seconds", "heartbeat-interval-ms in rserver.conf says how often nodes report")
        .recalled(),
    instead("server-user", NO_LAUNCHER).recalled(),
    instead("thread-pool-size", THREADS).recalled(),
];

pub(super) const LOGGING: &[Name] = &[
    honoured("log-level", "[*]\nlog-level=debug").under("*").recalled(),
    instead("delete-days", KEEPING).under("*").recalled(),
    instead("log-dir", LOGS).under("*").recalled(),
    instead("log-file-include-pid", LOGS).under("*").recalled(),
    instead("log-file-mode", LOGS).under("*").recalled(),
    instead("log-message-format", FORMAT).under("*").recalled(),
    instead("logger-type", LOGS).under("*").recalled(),
    instead("max-size-mb", KEEPING).under("*").recalled(),
    instead("rotate", KEEPING).under("*").recalled(),
    instead("rotate-days", KEEPING).under("*").recalled(),
    instead("warn-syslog", LOGS).under("*").recalled(),
];
