//! The files read at start, and the cluster key.
//!
//! Every setting has a name in one of the legacy files; a flag on the command line goes before the file, and the file
//! before the default. All problems are found in one pass. ARCHITECTURE.md lists the files, docs/configuration.md the names.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

pub mod data_dir;
pub mod database;
mod editors;
pub mod effective;
pub mod file;
pub mod key;
mod launcher;
mod launcher_local;
pub mod legacy;
mod life;
pub mod load;
pub mod load_balancer;
mod logging;
pub mod password;
pub mod problem;
pub mod profiles;
pub mod programs;
pub mod reader;
mod resources;
pub mod sign_in;
pub mod surroundings;
pub mod tls;

pub use database::Database;
pub use editors::{KindOptions, KindsChanged};
pub use effective::{Origin, Setting};
pub use key::{Beside, ClusterKey, KeyPlaces, Keys, Step};
pub use load::{Flags, data_directory, examine, key_places, load, password_in_database_conf};
pub use load_balancer::BalancerOptions;
pub use logging::LogLevel;
pub use problem::{Problem, Severity};
pub use profiles::{Profiles, ProfilesInForce};
pub use programs::ProgramOptions;
pub use sign_in::SignInOptions;
pub use surroundings::Surroundings;
pub use tls::{Hsts, TlsOptions, TlsVersion};

use crate::domain::{HostPort, IdleRules};

/// The effective configuration of one daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The directory the files were read from; none where there is no configuration.
    pub config_dir: Option<PathBuf>,
    /// This daemon's own: token, node id, logs of sessions.
    pub data_dir: PathBuf,
    /// `server-data-dir`: sockets and state of running sessions. Short, and only the daemon can enter.
    pub runtime_dir: PathBuf,
    /// `www-address`: where the daemon listens.
    pub www_address: IpAddr,
    /// `www-port`, else 443 with TLS and 8787 without; 0 takes a free one.
    pub www_port: u16,
    /// `www-host-name`: this node's own `host` or `host:port`; else worked out from what is bound.
    pub www_host_name: Option<HostPort>,
    /// `node-name`, else the host name.
    pub node_name: String,
    /// `database.conf`: where the registry is.
    pub database: Database,
    /// `directory` there: where it lies, where it is in SQLite.
    pub database_directory: PathBuf,
    /// `secure-cookie-key-file`, else the usual files of the cluster key.
    pub key_places: KeyPlaces,
    /// `auth-timeout-minutes`: how long a sign-in holds.
    pub auth_timeout: Duration,
    /// Who signs in by password, and how.
    pub sign_in: SignInOptions,
    /// TLS of the port; none where it is off.
    pub tls: Option<TlsOptions>,
    /// `node-weight`; 100 is normal.
    pub weight: u32,
    /// `node-capacity`: the most sessions the node takes.
    pub capacity: Option<u32>,
    /// `node-cpu-allocation-ratio`: how many processors are promised to sessions for each that there is.
    pub cpu_allocation_ratio: Option<f64>,
    /// `node-memory-allocation-ratio`: the same for memory.
    pub memory_allocation_ratio: Option<f64>,
    /// `node-start-limit`: how many programs are being started at once.
    pub start_limit: Option<u32>,
    /// `profiles`, with `launcher.local.resources.conf`: what users may have.
    pub profiles: Profiles,
    /// `node-label-KEY`.
    pub labels: BTreeMap<String, String>,
    /// `load-average-file`: the kernel's, or one of the same format.
    pub load_average_file: PathBuf,
    /// `heartbeat-interval-ms`.
    pub heartbeat: Duration,
    /// `node-timeout-seconds`: without a heartbeat for this long, a node is offline.
    pub node_timeout: Duration,
    /// `delete-node-on-exit` in `load-balancer`: a node that stops is forgotten.
    pub delete_node_on_exit: bool,
    /// `timeout` in `load-balancer`: how long a call to another node may take.
    pub peer_timeout: Duration,
    /// `balancer` in `load-balancer`.
    pub balancer: String,
    /// `balancer-timeout-ms`: the deadline of a module's decision.
    pub balancer_timeout: Duration,
    /// `balancer-script`: the program that `balancer=custom` runs; else one of the usual places.
    pub balancer_script: Option<PathBuf>,
    /// `balancer-timeout`: the time limit of that program.
    pub script_timeout: Duration,
    /// `resolve-load-balancer-nodes` in `rserver.conf`: that program is given addresses, not host names.
    pub resolve_nodes: bool,
    /// `server-user` in `rserver.conf`: the account that it runs as where the daemon is root.
    pub server_user: Option<String>,
    /// `balancer-fallback`: asked where `balancer` cannot decide; `refuse` refuses the session instead.
    pub balancer_fallback: String,
    /// `balancer-shadow`: asked after `balancer`, to be compared with it.
    pub balancer_shadow: Option<String>,
    /// `plugins-dir`, else `plugins` below `server-shared-storage-path`, else in the data directory: where balancers of
    /// one's own lie, as `NAME.wasm`.
    pub plugins_dir: PathBuf,
    /// `plugins-sha256`: digests of the only modules that are taken, lower case; any is where there are none.
    pub plugins_sha256: Vec<String>,
    /// Sections `[balancer NAME]` of `load-balancer`, by NAME: the balancer's own settings.
    pub balancer_settings: BTreeMap<String, BTreeMap<String, String>>,
    /// The rest of those sections: what the host grants it.
    pub balancer_options: BTreeMap<String, BalancerOptions>,
    /// `metrics.d` in the data directory: numbers that the administrator publishes for balancers.
    pub metrics_dir: PathBuf,
    /// `metrics-max-age-seconds`: a file there that is older says nothing.
    pub metrics_max_age: Duration,
    /// `placement-records-mb`: what is kept of what balancers were shown, bytes.
    pub placement_records: u64,
    /// How the programs of sessions are started.
    pub programs: ProgramOptions,
    /// `job-expiry-hours` in `launcher.local.conf`: how long the logs of jobs are kept once they are over; none where
    /// `save-unspecified-output` says that they are not.
    pub job_logs: Option<Duration>,
    /// `session-timeout-…` in `rsession.conf`: what becomes of sessions that nobody uses.
    pub idle: IdleRules,
    /// `jupyter.conf` and `vscode.conf`: what is changed of builtin kinds.
    pub kinds_changed: KindsChanged,
    /// `log-level` in `logging.conf`.
    pub log_level: LogLevel,
    /// `<config-dir>/kinds`: kinds beside the builtin ones.
    pub kinds_dir: Option<PathBuf>,
}
