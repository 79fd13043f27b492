//! From files and flags to a configuration.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Config, Database, KeyPlaces, Problem, ProgramOptions, Severity, SignInOptions, Surroundings, database, editors,
    effective::{self, Setting},
    file::{self, File},
    launcher,
    launcher_local::LauncherLocal,
    legacy, life,
    load_balancer::Policy,
    logging,
    profiles::Profiles,
    reader::{self, Reader},
    resources, tls,
};

/// What the command line says; it goes before the files.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config-dir`.
    pub config_dir: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--www-address`.
    pub www_address: Option<IpAddr>,
    /// `--www-port`.
    pub www_port: Option<u16>,
    /// `--node-name`.
    pub node_name: Option<String>,
}

const DEFAULT_CONFIG_DIR: &str = "/etc/evenkeel";
const LEGACY_CONFIG_DIR: &str = "/etc/rstudio";

/// Reads the configuration. The problems are warnings where there is a configuration, and hold at least one error where
/// there is none.
pub fn load(flags: &Flags, surroundings: &Surroundings) -> (Option<Config>, Vec<Problem>) {
    let (config, problems, _) = examine(flags, surroundings);
    (config, problems)
}

/// The same, with every setting and where its value is from.
pub fn examine(flags: &Flags, surroundings: &Surroundings) -> (Option<Config>, Vec<Problem>, Vec<Setting>) {
    let mut files = Vec::new();
    let (config, problems) = read(flags, surroundings, &mut files);
    let settings = effective::settings(&files, flags, config.as_ref());
    (config, problems, settings)
}

fn read(flags: &Flags, surroundings: &Surroundings, files: &mut Vec<File>) -> (Option<Config>, Vec<Problem>) {
    let mut problems = Vec::new();
    let config_dir = config_dir(flags, &mut problems);
    problems.extend(passed_over(config_dir.as_deref(), Path::new(LEGACY_CONFIG_DIR)));
    let mut file = |name: &str| match &config_dir {
        Some(dir) => File::read(&dir.join(name), &mut problems),
        None => File::empty(Path::new(name)),
    };
    let names = ["rserver.conf", "load-balancer", "database.conf", "rsession.conf", "profiles", resources::FILE];
    let [rserver, load_balancer, database, rsession, profiles, resources] = names.map(&mut file);
    // The oldest form of the file has its settings under `[config]`.
    let load_balancer = load_balancer.without_section("config");
    let names = ["launcher.local.conf", "launcher.conf", "jupyter.conf", "vscode.conf", "logging.conf"];
    let [launcher_local, launcher_conf, jupyter, vscode, logs] = names.map(&mut file);

    problems.extend(config_dir.iter().flat_map(|dir| legacy::files::unread(dir)));
    for file in [&rserver, &database, &rsession, &launcher_local, &jupyter, &vscode] {
        problems.extend(file.in_vain());
    }
    let server = Server::read(&rserver, &mut problems);
    let policy = Policy::read(&load_balancer, &mut problems);
    let registry_in = database::read(&database, &mut problems);
    let defined = resources::read(&resources, &mut problems);
    let limits = Profiles::read(&profiles, defined, &mut problems);
    let idle = life::read(&rsession, &mut problems);
    let launcher_local_conf = LauncherLocal::read(&launcher_local, &mut problems);
    launcher::read(&launcher_conf, &mut problems);
    let kinds_changed = editors::read(&jupyter, &vscode, &mut problems);
    let log_level = logging::read(&logs, &mut problems);

    problems.extend(database::unfit(&registry_in, server.load_balancing, &rserver, &load_balancer));
    let tls = server.tls.options(&rserver, &mut problems);
    let path = rserver.path.clone();
    let registry = registry(&database);
    files.extend([rserver, load_balancer, database, rsession, profiles, resources, launcher_local, launcher_conf]);
    files.extend([jupyter, vscode, logs]);

    let (heartbeat, node_timeout) =
        (server.heartbeat.unwrap_or(Duration::from_secs(1)), server.node_timeout.unwrap_or(Duration::from_secs(10)));
    if heartbeat * 3 > node_timeout {
        let message = "heartbeat-interval-ms must be at most a third of node-timeout-seconds".to_owned();
        problems.push(Problem::error(&path, 0, message));
    }
    let node_name = flags.node_name.clone().or(server.node_name).unwrap_or_else(|| surroundings.host_name.clone());
    if let Err(expected) = reader::node_name(&node_name) {
        let place = if flags.node_name.is_some() { "--node-name" } else { "the host name" };
        let message = format!("{place}: a node's name is {expected}, found `{node_name}`; set node-name");
        problems.push(Problem::error(&path, 0, message));
    }
    let Some(data_dir) = data_dir(flags, surroundings, &mut problems)
        .filter(|_| problems.iter().all(|problem| problem.severity == Severity::Warning))
    else {
        return (None, problems);
    };
    let database_directory = match &registry_in {
        Database::Sqlite { directory: Some(directory), .. } => directory.clone(),
        _ => data_dir.clone(),
    };
    let config = Config {
        runtime_dir: server.runtime_dir.unwrap_or_else(|| match surroundings.runtime_dir() {
            Some(base) => base.join(tag(&data_dir)),
            None => data_dir.join("run"),
        }),
        www_address: flags.www_address.or(server.www_address).unwrap_or(IpAddr::V4(match config_dir {
            // A configured daemon serves a network, as its files' administrators expect; one without any serves whoever
            // started it.
            Some(_) => Ipv4Addr::UNSPECIFIED,
            None => Ipv4Addr::LOCALHOST,
        })),
        www_port: flags.www_port.or(server.www_port).unwrap_or(if tls.is_some() { 443 } else { 8787 }),
        www_host_name: policy.www_host_name,
        node_name,
        key_places: match server.key_file {
            Some(file) => KeyPlaces::named(file),
            None => KeyPlaces::usual(config_dir.as_deref(), registry.as_deref(), &data_dir),
        },
        auth_timeout: server.auth_timeout.unwrap_or(Duration::from_secs(60 * 60)),
        sign_in: server.sign_in,
        tls,
        weight: server.weight.unwrap_or(100),
        capacity: server.capacity,
        cpu_allocation_ratio: server.cpu_allocation_ratio,
        memory_allocation_ratio: server.memory_allocation_ratio,
        start_limit: server.start_limit,
        profiles: limits,
        labels: server.labels,
        load_average_file: server.load_average_file.unwrap_or_else(|| "/proc/loadavg".into()),
        heartbeat,
        node_timeout,
        delete_node_on_exit: policy.delete_node_on_exit.unwrap_or(false),
        peer_timeout: policy.peer_timeout.unwrap_or(Duration::from_secs(10)),
        balancer: policy.balancer.unwrap_or_else(|| "sessions".to_owned()),
        balancer_timeout: policy.timeout.unwrap_or(Duration::from_millis(50)),
        balancer_script: policy.script,
        script_timeout: policy.script_timeout.unwrap_or(Duration::from_secs(10)),
        resolve_nodes: server.resolve_nodes.unwrap_or(false),
        server_user: server.server_user,
        balancer_fallback: policy.fallback.unwrap_or_else(|| "sessions".to_owned()),
        balancer_shadow: policy.shadow,
        // One copy then serves all nodes.
        plugins_dir: policy
            .plugins_dir
            .unwrap_or_else(|| server.shared_storage.as_ref().unwrap_or(&data_dir).join("plugins")),
        plugins_sha256: policy.sha256,
        balancer_settings: policy.settings,
        balancer_options: policy.options,
        metrics_dir: data_dir.join("metrics.d"),
        metrics_max_age: server.metrics_max_age.unwrap_or(Duration::from_secs(5 * 60)),
        placement_records: policy.records.map_or(256 << 20, |mebibytes| u64::from(mebibytes) << 20),
        programs: server.programs,
        job_logs: launcher_local_conf.job_logs(),
        kinds_changed,
        log_level,
        idle,
        kinds_dir: config_dir.as_ref().map(|dir| dir.join("kinds")).filter(|dir| dir.is_dir()),
        database: registry_in,
        database_directory,
        data_dir,
        config_dir,
    };
    (Some(config), problems)
}

/// Where the cluster key is looked for, whatever else is wrong with the configuration: a password that must be encrypted
/// anew is wrong until then.
pub fn key_places(flags: &Flags, surroundings: &Surroundings) -> Result<KeyPlaces, Vec<Problem>> {
    let mut problems = Vec::new();
    let (config_dir, data_dir) = (config_dir(flags, &mut problems), data_dir(flags, surroundings, &mut problems));
    let Some(data_dir) = data_dir.filter(|_| problems.is_empty()) else { return Err(problems) };
    let mut unread = Vec::new();
    let mut file = |name: &str| match &config_dir {
        Some(dir) => File::read(&dir.join(name), &mut unread),
        None => File::empty(Path::new(name)),
    };
    let (rserver, database) = (file("rserver.conf"), file("database.conf"));
    // One that cannot be read may name the file: another key would be made beside it.
    if unread.iter().any(|problem| problem.message.starts_with(file::UNREADABLE)) {
        return Err(unread);
    }
    match Reader::new(&rserver, None, &mut problems).take("secure-cookie-key-file", reader::path) {
        Some(named) => Ok(KeyPlaces::named(named)),
        None if problems.iter().any(|problem| problem.severity == Severity::Error) => Err(problems),
        None => Ok(KeyPlaces::usual(config_dir.as_deref(), registry(&database).as_deref(), &data_dir)),
    }
}

/// Where a daemon keeps its own data: what a command needs to find it, whatever is wrong with the configuration meanwhile.
pub fn data_directory(flags: &Flags, surroundings: &Surroundings) -> Result<PathBuf, Vec<Problem>> {
    let mut problems = Vec::new();
    data_dir(flags, surroundings, &mut problems).ok_or(problems)
}

/// What `database.conf` has as `password`, whatever else is wrong with it.
pub fn password_in_database_conf(flags: &Flags) -> Option<String> {
    let directory = config_dir(flags, &mut Vec::new())?;
    let file = File::read(&directory.join("database.conf"), &mut Vec::new());
    file.entries.into_iter().rfind(|entry| entry.name == "password").map(|entry| entry.value)
}

fn config_dir(flags: &Flags, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let Some(dir) = &flags.config_dir else {
        return usual_config_dir(Path::new(DEFAULT_CONFIG_DIR), problems);
    };
    if !dir.is_dir() {
        problems.push(Problem::error(dir, 0, "--config-dir: there is no such directory".to_owned()));
    }
    Some(dir.clone())
}

/// The directory where there is one. A link that leads nowhere is not none: what it should lead to is not mounted.
fn usual_config_dir(usual: &Path, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    if usual.is_dir() {
        return Some(usual.to_owned());
    }
    if usual.symlink_metadata().is_ok() {
        problems.push(Problem::error(usual, 0, "is there and no directory; is what it leads to mounted?".to_owned()));
    }
    None
}

/// What is to be said where a configuration of the legacy product is there and nobody has named it.
fn passed_over(named: Option<&Path>, legacy: &Path) -> Option<Problem> {
    (named.is_none() && legacy.is_dir()).then(|| {
        let message = "nothing of it is read: name it (--config-dir), or have it copied (evenkeel import)".to_owned();
        Problem::warning(legacy, 0, message)
    })
}

fn data_dir(flags: &Flags, surroundings: &Surroundings, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let Some(dir) = flags.data_dir.clone().or_else(|| surroundings.data_dir()) else {
        let message = "there is no home directory to keep data in; give --data-dir".to_owned();
        problems.push(Problem::error(Path::new("evenkeel"), 0, message));
        return None;
    };
    Some(std::path::absolute(&dir).unwrap_or(dir))
}

/// The directory of a registry that the daemons of one machine share: the cluster key lies beside it.
fn registry(database: &File) -> Option<PathBuf> {
    let value =
        |name: &str| database.entries.iter().rfind(|entry| entry.name == name).map(|entry| entry.value.as_str());
    let is_here = value("provider").is_none_or(|provider| provider == "sqlite");
    value("directory").filter(|_| is_here).map(PathBuf::from).filter(|directory| directory.is_absolute())
}

/// Tells the daemons of one machine apart in a place that they share, by a directory that they do not: 12 hexadecimal
/// digits.
pub fn tag(data_dir: &Path) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// What `rserver.conf` says.
#[derive(Default)]
struct Server {
    runtime_dir: Option<PathBuf>,
    www_address: Option<IpAddr>,
    www_port: Option<u16>,
    node_name: Option<String>,
    key_file: Option<PathBuf>,
    auth_timeout: Option<Duration>,
    sign_in: SignInOptions,
    tls: tls::Given,
    weight: Option<u32>,
    capacity: Option<u32>,
    cpu_allocation_ratio: Option<f64>,
    memory_allocation_ratio: Option<f64>,
    start_limit: Option<u32>,
    labels: BTreeMap<String, String>,
    load_average_file: Option<PathBuf>,
    heartbeat: Option<Duration>,
    node_timeout: Option<Duration>,
    resolve_nodes: Option<bool>,
    server_user: Option<String>,
    shared_storage: Option<PathBuf>,
    load_balancing: Option<bool>,
    metrics_max_age: Option<Duration>,
    programs: ProgramOptions,
}

impl Server {
    fn read(file: &File, problems: &mut Vec<Problem>) -> Self {
        let mut reader = Reader::new(file, None, problems);
        let server = Self {
            runtime_dir: reader.take("server-data-dir", reader::path),
            www_address: reader.take("www-address", reader::address),
            www_port: reader.take("www-port", reader::port),
            node_name: reader.take("node-name", reader::node_name),
            key_file: reader.take("secure-cookie-key-file", reader::path),
            auth_timeout: reader.take("auth-timeout-minutes", reader::minutes(1, 60 * 24 * 365)),
            sign_in: SignInOptions::read(&mut reader),
            tls: tls::Given::read(&mut reader),
            weight: reader.take("node-weight", reader::number(1, 1_000_000)),
            capacity: reader.take("node-capacity", reader::number(0, u32::MAX - 1)),
            cpu_allocation_ratio: reader.take("node-cpu-allocation-ratio", reader::decimal(0.01, 1000.0)),
            memory_allocation_ratio: reader.take("node-memory-allocation-ratio", reader::decimal(0.01, 1000.0)),
            start_limit: reader.take("node-start-limit", reader::number(1, 10_000)),
            labels: reader.take_prefixed("node-label-"),
            load_average_file: reader.take("load-average-file", reader::path),
            heartbeat: reader.take("heartbeat-interval-ms", reader::milliseconds(50, 60_000)),
            node_timeout: reader.take("node-timeout-seconds", reader::seconds(1, 3600)),
            resolve_nodes: reader.take("resolve-load-balancer-nodes", reader::switch),
            server_user: reader.take("server-user", reader::text),
            shared_storage: reader.take("server-shared-storage-path", shared_storage),
            load_balancing: reader.take("load-balancing-enabled", reader::switch),
            metrics_max_age: reader.take("metrics-max-age-seconds", reader::seconds(1, 7 * 24 * 3600)),
            programs: ProgramOptions::read(&mut reader),
        };
        reader.finish();
        server
    }
}

/// Storage that all nodes mount; where it is not mounted, plugins would be looked for in vain.
fn shared_storage(value: &str) -> Result<PathBuf, String> {
    reader::path(value)
        .ok()
        .filter(|path| path.is_dir())
        .ok_or_else(|| "a directory that is there (is it mounted?)".to_owned())
}

#[cfg(test)]
mod tests;
