//! SIGHUP: reads the configuration again, and puts in force what can be without a restart.
//!
//! All of it is read and tried before any of it holds: a reload with an error changes nothing.

use std::{
    ffi::OsString,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{runtime::Handle, signal::unix::Signal, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{
    balancers,
    in_force::{InForce, ShadowInForce},
    serve, system,
};
use crate::{
    balancer::{Journal, plugins::Plugins, wasm::Engine},
    cluster::{address::Announced, membership::NodeSettings},
    config::{self, Config, Flags, LogLevel, ProfilesInForce, Setting, Severity},
    launcher::Kinds,
    web::{BaseUrl, KindsKnown},
    wire::{
        peer::PeerLimit,
        tls::{Identity, OwnTls},
    },
};

/// Changes how much is logged; none where the environment says so for good.
pub(super) type SetLevel = Option<Box<dyn Fn(LogLevel) + Send + Sync>>;

/// What a reload changes.
pub(super) struct Parts {
    /// SIGHUP, which has been taken over.
    pub(super) hangup: Signal,
    pub(super) flags: Flags,
    /// The configuration that the daemon was started with.
    pub(super) config: Config,
    /// The same, setting by setting.
    pub(super) settings: Vec<Setting>,
    pub(super) policy: Arc<InForce>,
    pub(super) shadow: Arc<ShadowInForce>,
    pub(super) engine: Engine,
    pub(super) journal: Arc<Journal>,
    pub(super) profiles: ProfilesInForce,
    pub(super) kinds: Arc<Kinds>,
    pub(super) kinds_known: KindsKnown,
    pub(super) search_path: OsString,
    pub(super) set_level: SetLevel,
    pub(super) peer_limit: PeerLimit,
    pub(super) delete_on_exit: Arc<AtomicBool>,
    pub(super) tls: Option<Arc<OwnTls>>,
    pub(super) node: watch::Sender<NodeSettings>,
    /// What is kept of what balancers were shown, bytes.
    pub(super) records: watch::Sender<u64>,
}

/// Reloads when it is told to.
pub(super) struct Reload {
    parts: Parts,
    /// What holds now of what can be reloaded.
    applied: Config,
    /// Where the port is.
    bound: SocketAddr,
    base_url: BaseUrl,
    /// Where the node is reached, where that has changed.
    announced: Option<Announced>,
}

impl Reload {
    /// What was started with is what holds.
    pub(super) fn new(parts: Parts, bound: SocketAddr, base_url: BaseUrl) -> Self {
        let applied = parts.config.clone();
        Self { parts, applied, bound, base_url, announced: None }
    }

    /// Reloads at each SIGHUP, until stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            match stop.run_until_cancelled(self.parts.hangup.recv()).await {
                Some(Some(())) => {}
                Some(None) | None => return,
            }
            // Files may lie on storage that hangs, and a module takes long to compile.
            let reloaded = tokio::task::spawn_blocking(move || {
                self.reload();
                self
            });
            match reloaded.await {
                Ok(back) => self = back,
                Err(_) => return,
            }
        }
    }

    fn reload(&mut self) {
        let read = match self.read() {
            Ok(read) => read,
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                tracing::error!(errors = problems.len(), "the configuration is not reloaded: nothing has changed");
                return;
            }
        };
        let Read { config, settings, kinds, plugins, shadow, identity } = read;
        let mut taken = Vec::new();
        if config.profiles != self.applied.profiles {
            self.parts.profiles.store(Arc::new(config.profiles.clone()));
            taken.push("profiles");
        }
        if let Some(plugins) = plugins {
            self.parts.policy.replace(plugins);
            taken.push("balancer");
        }
        if let Some(shadow) = shadow {
            self.parts.shadow.replace(shadow);
            taken.push("shadow");
        }
        if self.parts.records.send_if_modified(|records| {
            std::mem::replace(records, config.placement_records) != config.placement_records
        }) {
            taken.push("placement records");
        }
        if config.www_host_name != self.applied.www_host_name {
            self.announced = Some(Handle::current().block_on(serve::announce(&config, self.bound)));
            self.base_url.store(Arc::new(serve::base_url(&config, self.bound)));
            taken.push("host name");
        }
        let node = NodeSettings::new(&config).announced(self.announced.clone());
        if self.parts.node.send_if_modified(|settings| std::mem::replace(settings, node.clone()) != node) {
            taken.push("node");
        }
        if let (Some(tls), Some(identity)) = (&self.parts.tls, identity)
            && tls.prepare(identity)
        {
            taken.push("certificate");
        }
        if config.peer_timeout != self.applied.peer_timeout {
            self.parts.peer_limit.set(config.peer_timeout);
            taken.push("timeout");
        }
        if config.delete_node_on_exit != self.applied.delete_node_on_exit {
            self.parts.delete_on_exit.store(config.delete_node_on_exit, Ordering::Relaxed);
            taken.push("delete-node-on-exit");
        }
        if let (true, Some(set)) = (config.log_level != self.applied.log_level, &self.parts.set_level) {
            set(config.log_level);
            taken.push("log level");
        }
        // Whether a kind's file has changed is not told, so all are taken.
        self.parts.kinds_known.store(Arc::new(serve::shown(&kinds)));
        self.parts.kinds.replace(&kinds);
        taken.push("kinds");
        tracing::info!("the configuration is reloaded: {}", taken.join(", "));
        for setting in changed(&self.parts.settings, &settings) {
            tracing::warn!("{setting} has changed, and holds after a restart of the daemon");
        }
        self.applied = config;
    }

    /// Reads and tries everything; all that is wrong with it.
    fn read(&self) -> Result<Read, Vec<String>> {
        let Parts { flags, engine, journal, search_path, .. } = &self.parts;
        let (config, problems, settings) = config::examine(flags, &system::surroundings());
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
        let mut errors: Vec<_> = errors.map(ToString::to_string).collect();
        let Some(config) = config else { return Err(errors) };
        for problem in problems.iter().filter(|problem| problem.severity == Severity::Warning) {
            tracing::warn!("{problem}");
        }
        let kinds = Kinds::load_changed(config.kinds_dir.as_deref(), &config.kinds_changed, search_path);
        let plugins = if selects_otherwise(&self.applied, &config) {
            balancers::select(&config, engine, journal).map(Some)
        } else {
            Ok(None)
        };
        let shadow = if shadows_otherwise(&self.applied, &config) {
            balancers::shadow(&config, engine, journal).map(Some)
        } else {
            Ok(None)
        };
        let identity = config.tls.as_ref().map(Identity::load).transpose();
        match (kinds, plugins, shadow, identity) {
            (Ok(kinds), Ok(plugins), Ok(shadow), Ok(identity)) if errors.is_empty() => {
                Ok(Read { config, settings, kinds, plugins, shadow, identity })
            }
            (kinds, plugins, shadow, identity) => {
                errors.extend(identity.err().map(|error| error.to_string()));
                errors.extend(shadow.err().map(|error| format!("{error:#}")));
                errors.extend(kinds.err().into_iter().flat_map(|wrong| wrong.0).map(|error| error.to_string()));
                errors.extend(plugins.err().map(|error| format!("{error:#}")));
                Err(errors)
            }
        }
    }
}

/// A configuration that can be had.
struct Read {
    config: Config,
    settings: Vec<Setting>,
    kinds: Kinds,
    /// Where another is selected, or the same otherwise.
    plugins: Option<Plugins>,
    /// Where another is asked beside it, or none any more.
    shadow: Option<Option<Plugins>>,
    /// Where the configuration has TLS.
    identity: Option<Identity>,
}

/// Whether a balancer made of one configuration is another than one made of the other.
fn selects_otherwise(before: &Config, after: &Config) -> bool {
    let of = |config: &Config| {
        (
            (config.balancer.clone(), config.balancer_fallback.clone(), config.balancer_timeout),
            (config.balancer_script.clone(), config.script_timeout, config.resolve_nodes, config.server_user.clone()),
            (config.plugins_dir.clone(), config.plugins_sha256.clone()),
            (config.balancer_settings.clone(), config.balancer_options.clone()),
        )
    };
    of(before) != of(after)
}

/// The same of the balancer that is asked beside it.
fn shadows_otherwise(before: &Config, after: &Config) -> bool {
    before.balancer_shadow != after.balancer_shadow
        || (after.balancer_shadow.is_some() && selects_otherwise(before, after))
}

/// Files of which everything is reloaded.
const RELOADED: [&str; 6] =
    ["load-balancer", "profiles", "launcher.local.resources.conf", "jupyter.conf", "vscode.conf", "logging.conf"];

/// Settings of `rserver.conf` that are reloaded, and how the names of others begin.
const OF_SERVER: [&str; 11] = [
    "load-balancing-enabled",
    "resolve-load-balancer-nodes",
    "server-shared-storage-path",
    "server-user",
    "ssl-certificate",
    "ssl-certificate-key",
    "ssl-protocols",
    "node-weight",
    "node-capacity",
    "node-cpu-allocation-ratio",
    "node-memory-allocation-ratio",
];
const LABELS: &str = "node-label-";

/// The settings that have changed and are not reloaded.
fn changed(before: &[Setting], after: &[Setting]) -> Vec<String> {
    let is_reloaded = |setting: &Setting| match setting.file.as_str() {
        "rserver.conf" => OF_SERVER.contains(&setting.name.as_str()) || setting.name.starts_with(LABELS),
        file => RELOADED.contains(&file),
    };
    let same = |one: &Setting, other: &Setting| {
        (&one.file, &one.section, &one.name) == (&other.file, &other.section, &other.name)
    };
    let mut names: Vec<_> = after
        .iter()
        .filter(|setting| !is_reloaded(setting))
        .filter(|setting| before.iter().find(|old| same(old, setting)).is_none_or(|old| !old.is_as(setting)))
        .chain(before.iter().filter(|old| !is_reloaded(old) && !after.iter().any(|setting| same(old, setting))))
        .map(|setting| format!("{}: {}", setting.file, setting.name))
        .collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings of a directory of these files.
    fn settings(files: &[(&str, &str)]) -> Vec<Setting> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let flags = Flags { config_dir: Some(directory.path().to_owned()), ..Flags::default() };
        config::examine(&flags, &system::surroundings()).2
    }

    #[test]
    fn what_has_changed_and_cannot_be_reloaded_is_told_and_nothing_else() {
        let before = settings(&[
            ("rserver.conf", "www-port=8787\nnode-label-gpu=1\nload-average-file=/l\nserver-user=ada\n"),
            ("load-balancer", "balancer=sessions\nwww-host-name=left\n"),
            ("rsession.conf", "session-timeout-minutes=120\n"),
            ("database.conf", "provider=postgresql\nconnection-uri=postgresql://ada:one@db/x\npassword=one\n"),
        ]);
        let after = settings(&[
            ("rserver.conf", "www-port=8788\nresolve-load-balancer-nodes=1\nserver-user=bob\n"),
            ("load-balancer", "balancer=user-hash\nwww-host-name=right\n"),
            ("rsession.conf", "session-timeout-minutes=120\n"),
            ("profiles", "[*]\nsession-limit=3\n"),
            ("database.conf", "provider=postgresql\nconnection-uri=postgresql://ada:two@db/x\npassword=two\n"),
        ]);
        let told = [
            "rserver.conf: www-port",
            "rserver.conf: load-average-file",
            "database.conf: connection-uri",
            "database.conf: password",
        ];
        assert_eq!(changed(&before, &after), told);
        assert_eq!(changed(&before, &before), [""; 0]);
    }
}
