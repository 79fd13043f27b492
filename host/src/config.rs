//! The files read at start, and the cluster key.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

pub mod key;

pub use key::ClusterKey;

/// The effective configuration of one daemon.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory the files were read from; none where there is no configuration.
    pub config_dir: Option<PathBuf>,
    /// This daemon's own: token, node id, logs of sessions.
    pub data_dir: PathBuf,
    /// Sockets and state of running sessions: short, and only the daemon can enter.
    pub runtime_dir: PathBuf,
    /// `www-address`.
    pub www_address: IpAddr,
    /// `www-port`; 0 takes a free one.
    pub www_port: u16,
    /// `www-host-name`: this node's own `host:port`; `None`: worked out from the address and port bound.
    pub www_host_name: Option<String>,
    /// `node-name`, else the host name.
    pub node_name: String,
    /// Where the SQLite store lies: `directory` in `database.conf`.
    pub database_directory: PathBuf,
    /// `secure-cookie-key-file`, else beside the store.
    pub key_file: PathBuf,
    /// `auth-timeout-minutes`: how long a sign-in holds.
    pub auth_timeout: Duration,
    /// `node-weight`; 100 is normal.
    pub weight: u32,
    /// `node-capacity`.
    pub capacity: Option<u32>,
    /// `node-label-KEY = VALUE`.
    pub labels: BTreeMap<String, String>,
    /// `load-average-file`: the kernel's, or one of the same format.
    pub load_average_file: PathBuf,
    /// `heartbeat-interval-ms`.
    pub heartbeat: Duration,
    /// `node-timeout-seconds`: without a heartbeat for this long, a node is offline.
    pub node_timeout: Duration,
    /// `balancer` in `load-balancer`.
    pub balancer: String,
    /// `balancer-timeout-ms`: the deadline of a decision.
    pub balancer_timeout: Duration,
    /// Section `[balancer NAME]` of `load-balancer`, for each name.
    pub balancer_settings: BTreeMap<String, BTreeMap<String, String>>,
    /// Directories of kinds beside the builtin ones: `<config-dir>/kinds`.
    pub kinds_dir: Option<PathBuf>,
}
