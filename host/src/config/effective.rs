//! Every setting that is read, its value, and where that is from.

use std::{fmt, path::PathBuf};

use super::{Config, Database, Flags, database, file::File, tls};

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file it may stand in: `rserver.conf`.
    pub file: String,
    /// The section of that file.
    pub section: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value, as the file writes it; none where it has no effect unless it is given, or where the configuration cannot
    /// be had.
    pub value: Option<String>,
    /// Where the value is from.
    pub origin: Origin,
    hidden: Hidden,
}

/// What is not shown of a value, to be compared.
#[derive(Clone, Default, PartialEq, Eq)]
struct Hidden(Option<String>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

impl Setting {
    /// Whether another has the same value, also where that is not shown.
    pub fn is_as(&self, other: &Self) -> bool {
        (&self.value, &self.hidden) == (&other.value, &other.hidden)
    }
}

/// Where a value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, counted from 1.
    File(PathBuf, usize),
    /// The command line.
    Flag(&'static str),
    /// Nobody said anything else.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Flag(flag) => f.write_str(flag),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What every file was asked for, in order.
pub(super) fn settings(files: &[File], flags: &Flags, config: Option<&Config>) -> Vec<Setting> {
    let mut settings = Vec::new();
    for file in files {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for asked in file.asked.borrow().iter() {
            // What is not given in a section is what holds without that section.
            if asked.given.is_none() && asked.section.is_some() && asked.name != LOG_LEVEL {
                continue;
            }
            let is_logged_otherwise =
                || file.asked.borrow().iter().any(|other| other.name == LOG_LEVEL && other.given.is_some());
            if asked.given.is_none()
                && asked.name == LOG_LEVEL
                && (asked.section.as_deref() != Some("*") || is_logged_otherwise())
            {
                continue;
            }
            let usual = || config.and_then(|config| value(&asked.name, config));
            let (value, origin) = match (flag(&asked.name, flags), &asked.given) {
                (Some((flag, value)), _) => (Some(value), Origin::Flag(flag)),
                (None, Some((value, line))) => (Some(value.clone()), Origin::File(file.path.clone(), *line)),
                (None, None) => (usual(), Origin::Default),
            };
            settings.push(Setting {
                file: name.clone(),
                section: asked.section.clone(),
                hidden: Hidden(value.clone().filter(|value| shown(&asked.name, value.clone()) != *value)),
                value: value.map(|value| shown(&asked.name, value)),
                name: asked.name.clone(),
                origin,
            });
        }
    }
    settings
}

/// Where nothing is there.
pub(super) const NONE: &str = "none";

/// A value as it may be shown.
fn shown(name: &str, value: String) -> String {
    match name {
        "connection-uri" if value != NONE => database::uri::shown(&value),
        name if is_secret(name) && value != NONE => "(hidden)".to_owned(),
        _ => value,
    }
}

fn is_secret(name: &str) -> bool {
    ["password", "secret", "token"].iter().any(|word| name.contains(word)) && !name.ends_with("-file")
}

fn flag(name: &str, flags: &Flags) -> Option<(&'static str, String)> {
    match name {
        "www-address" => Some(("--www-address", flags.www_address?.to_string())),
        "www-port" => Some(("--www-port", flags.www_port?.to_string())),
        "node-name" => Some(("--node-name", flags.node_name.clone()?)),
        _ => None,
    }
}

const LOG_LEVEL: &str = "log-level";

/// What a setting comes to where no file says so: as its file would write it, or in words.
fn value(name: &str, config: &Config) -> Option<String> {
    let path = |path: &PathBuf| Some(path.display().to_string());
    let switch = |on: bool| Some(u8::from(on).to_string());
    let ratio = |ratio: Option<f64>| Some(ratio.map_or_else(|| "no limit".to_owned(), |ratio| ratio.to_string()));
    match name {
        "www-address" => Some(config.www_address.to_string()),
        "www-port" => Some(config.www_port.to_string()),
        "node-name" => Some(config.node_name.clone()),
        "server-data-dir" => path(&config.runtime_dir),
        "secure-cookie-key-file" => Some(config.key_places.path().display().to_string()),
        "auth-timeout-minutes" => Some((config.auth_timeout.as_secs() / 60).to_string()),
        "auth-stay-signed-in-days" => Some((config.sign_in.longest.as_secs() / 86_400).to_string()),
        name if name.starts_with("ssl-") => tls::usual(name, config.tls.is_some()),
        "auth-cookies-force-secure" => switch(config.sign_in.secure_cookie),
        "node-weight" => Some(config.weight.to_string()),
        "node-capacity" => Some(config.capacity.map_or_else(|| "no limit".to_owned(), |most| most.to_string())),
        "node-cpu-allocation-ratio" => ratio(config.cpu_allocation_ratio),
        "node-memory-allocation-ratio" => ratio(config.memory_allocation_ratio),
        "node-start-limit" => {
            Some(config.start_limit.map_or_else(|| "twice the processors".to_owned(), |limit| limit.to_string()))
        }
        "auth-pam-enabled" => switch(config.sign_in.by_pam),
        "auth-pam-service" => Some("the first there is of evenkeel, rstudio, login, other".to_owned()),
        "auth-pam-timeout" => Some(config.sign_in.pam_timeout.as_secs().to_string()),
        "auth-required-user-group" => Some("everybody".to_owned()),
        "admin-group" => Some("nobody".to_owned()),
        "auth-minimum-user-id" => Some("auto".to_owned()),
        "session-login-shell" => switch(config.programs.login_shell),
        "session-no-new-privileges" => switch(config.programs.no_new_privileges),
        "session-umask" => Some(format!("{:03o}", config.programs.umask)),
        "rsession-memory-limit-mb" | "rsession-stack-limit-mb" | "rsession-process-limit" => Some("0".to_owned()),
        "server-shared-storage-path" | "balancer-shadow" | "session-timeout-suspend-kinds" => Some("none".to_owned()),
        "plugins-sha256" => Some("any".to_owned()),
        LOG_LEVEL => Some(config.log_level.to_string()),
        "jupyter-exe" | "exe" => Some("the one on PATH".to_owned()),
        "labs-enabled" | "notebooks-enabled" | "enabled" => Some("1".to_owned()),
        "session-cull-minutes" | "session-shutdown-minutes" => Some("what Jupyter says".to_owned()),
        "args" => Some("none".to_owned()),
        "load-average-file" => path(&config.load_average_file),
        "heartbeat-interval-ms" => Some(config.heartbeat.as_millis().to_string()),
        "node-timeout-seconds" => Some(config.node_timeout.as_secs().to_string()),
        "resolve-load-balancer-nodes" => switch(config.resolve_nodes),
        "server-user" => Some("rstudio-server, else nobody".to_owned()),
        "metrics-max-age-seconds" => Some(config.metrics_max_age.as_secs().to_string()),
        "delete-node-on-exit" => switch(config.delete_node_on_exit),
        "timeout" => Some(config.peer_timeout.as_secs().to_string()),
        "balancer" => Some(config.balancer.clone()),
        "balancer-timeout-ms" => Some(config.balancer_timeout.as_millis().to_string()),
        "balancer-script" => Some("rserver-balancer in the usual places".to_owned()),
        "balancer-timeout" => Some(config.script_timeout.as_secs().to_string()),
        "balancer-fallback" => Some(config.balancer_fallback.clone()),
        "plugins-dir" => path(&config.plugins_dir),
        "placement-records-mb" => Some((config.placement_records >> 20).to_string()),
        "www-host-name" => Some("by what is bound, and the host name".to_owned()),
        "provider" => Some(match &config.database {
            Database::Sqlite { .. } => "sqlite".to_owned(),
            Database::Postgres(_) => "postgresql".to_owned(),
        }),
        "directory" => match config.database {
            Database::Sqlite { .. } => path(&config.database_directory),
            Database::Postgres(_) => Some(NONE.to_owned()),
        },
        "single-machine" | "load-balancing-enabled" => switch(false),
        "connection-uri" | "password" | "host" | "database" | "username" => Some(NONE.to_owned()),
        "port" => Some(database::PORT.to_string()),
        "session-timeout-minutes" => {
            Some(config.idle.suspend_after.map_or(0.0, |limit| limit.as_secs_f64() / 60.0).to_string())
        }
        "session-timeout-suspend" => switch(config.idle.suspend_after.is_some()),
        "session-timeout-kill-hours" => {
            Some(config.idle.end_after.map_or(0.0, |limit| limit.as_secs_f64() / 3600.0).to_string())
        }
        "job-expiry-hours" => {
            Some(config.job_logs.map_or_else(|| "0".to_owned(), |kept| (kept.as_secs() / 3600).to_string()))
        }
        "save-unspecified-output" => switch(config.job_logs.is_some()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Surroundings, examine};

    fn settings(directory: &Path, flags: Flags) -> Vec<(String, String)> {
        let flags = Flags { config_dir: Some(directory.to_owned()), data_dir: Some("/srv/data".into()), ..flags };
        let surroundings = Surroundings::of_ada();
        let (_, _, settings) = examine(&flags, &surroundings);
        let prefix = format!("{}/", directory.display());
        let shown = |setting: Setting| {
            let section = setting.section.map(|section| format!("[{section}] ")).unwrap_or_default();
            let origin = setting.origin.to_string().replace(&prefix, "");
            (format!("{section}{}", setting.name), format!("{} {origin}", setting.value.unwrap_or_default()))
        };
        settings.into_iter().map(shown).collect()
    }

    #[test]
    fn settings_of_the_oldest_form_are_told_once_and_those_that_it_does_not_give_too() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(of(&settings(directory.path(), Flags::default()), "balancer"), "sessions default");
        std::fs::write(directory.path().join("load-balancer"), "[config]\nbalancer=user-hash\n").unwrap();
        let all = settings(directory.path(), Flags::default());
        let balancers: Vec<_> =
            all.iter().filter(|(name, _)| name.split(' ').next_back() == Some("balancer")).collect();
        assert_eq!(balancers, [&("balancer".to_owned(), "user-hash load-balancer:2".to_owned())]);
        assert_eq!(of(&all, "balancer-timeout-ms"), "50 default");
    }

    #[test]
    fn every_setting_has_a_value_also_where_nobody_gives_it() {
        let directory = tempfile::tempdir().unwrap();
        for (name, value) in settings(directory.path(), Flags::default()) {
            assert!(value.len() > " default".len(), "{name}");
        }
    }

    fn of(all: &[(String, String)], name: &str) -> String {
        all.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}")).1.clone()
    }

    #[test]
    fn every_value_is_told_with_the_line_the_flag_or_that_nobody_said_so() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        file("rserver.conf", "# first\nwww-port=8080\nnode-weight=50\nnode-label-gpu=a100\nnode-weight=60\n");
        file("load-balancer", "balancer=system-load\n[balancer system-load]\nexpected-load=0\nbalancer-memory-mb=8\n");
        let flags = Flags { www_port: Some(9000), ..Flags::default() };
        let all = settings(directory.path(), flags);
        assert_eq!(of(&all, "www-port"), "9000 --www-port");
        assert_eq!(of(&all, "node-weight"), "60 rserver.conf:5");
        assert_eq!(of(&all, "node-label-gpu"), "a100 rserver.conf:4");
        assert_eq!(of(&all, "node-name"), "n1 default");
        assert_eq!(of(&all, "directory"), "/srv/data default");
        assert_eq!(of(&all, "balancer"), "system-load load-balancer:1");
        assert_eq!(of(&all, "[balancer system-load] expected-load"), "0 load-balancer:3");
        assert_eq!(of(&all, "[balancer system-load] balancer-memory-mb"), "8 load-balancer:4");
        assert_eq!(of(&all, "job-expiry-hours"), "24 default");
        file("launcher.local.conf", "save-unspecified-output=0\n");
        assert_eq!(
            of(&settings(directory.path(), Flags::default()), "save-unspecified-output"),
            "0 launcher.local.conf:1"
        );
    }

    #[test]
    fn what_is_given_is_told_although_the_configuration_cannot_be_had() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("rserver.conf"), "www-port=http\nnode-weight=7\n").unwrap();
        let all = settings(directory.path(), Flags::default());
        assert_eq!(of(&all, "www-port"), "http rserver.conf:1");
        assert_eq!(
            (of(&all, "node-weight"), of(&all, "node-capacity")),
            ("7 rserver.conf:2".to_owned(), " default".to_owned())
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(is_secret("password") && is_secret("client-secret"));
        assert!(!is_secret("secure-cookie-key-file") && !is_secret("client-secret-file") && !is_secret("www-port"));
    }
}
