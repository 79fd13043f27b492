//! The directories and files of a cluster on one machine.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::tls;

/// What the configuration files of a cluster's nodes say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Lines of `rserver.conf`, beside the ones that the harness writes.
    pub server: Vec<(String, String)>,
    /// Lines of `rsession.conf`.
    pub session: Vec<(String, String)>,
    /// Lines of `database.conf`, and the cluster's key; with SQLite, that is beside the store.
    pub database: Option<(String, String)>,
    /// Whether each node's port takes TLS.
    pub tls: bool,
    /// The balancer; the program's default where none is named.
    pub balancer: Option<String>,
    /// The balancer's settings.
    pub balancer_settings: Vec<(String, String)>,
    /// Whether all nodes have one plugins directory, instead of one each.
    pub shared_plugins: bool,
    /// Kinds beside the builtin ones, each the name and the text of its file.
    pub kinds: Vec<(String, String)>,
}

/// The plugins directory that all nodes share, below a cluster's root.
pub fn plugins(root: &Path) -> PathBuf {
    root.join("plugins")
}

/// The files of one node.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    /// `--config-dir`.
    pub config: PathBuf,
    /// `--data-dir`.
    pub data: PathBuf,
    /// `server-data-dir`.
    pub run: PathBuf,
    /// What it reads its load averages from, where the harness controls them.
    pub load: PathBuf,
    /// Its standard output, from its last start.
    pub output: PathBuf,
    /// Its log, from all of its starts.
    pub log: PathBuf,
}

impl NodeFiles {
    /// Lays out a node below `root`, with the store that all nodes share. Where `load` is given, the node reads it
    /// instead of the kernel's.
    pub fn create(root: &Path, name: &str, settings: &Settings, load: Option<[f64; 3]>) -> Result<Self> {
        let directory = root.join(name);
        let files = Self {
            config: directory.join("config"),
            data: directory.join("data"),
            run: directory.join("run"),
            load: directory.join("loadavg"),
            output: directory.join("output"),
            log: directory.join("log"),
        };
        let kinds = files.config.join("kinds");
        fs::create_dir_all(&kinds).with_context(|| kinds.display().to_string())?;
        fs::create_dir_all(root.join("store"))?;
        files.write_configuration(root, settings, load.is_some())?;
        for (kind, text) in &settings.kinds {
            fs::write(kinds.join(kind).with_extension("toml"), text)?;
        }
        if let Some(load) = load {
            files.set_load(load)?;
        }
        Ok(files)
    }

    fn write_configuration(&self, root: &Path, settings: &Settings, own_load: bool) -> Result<()> {
        let mut server = format!("server-data-dir={}\n", self.run.display());
        if own_load {
            writeln!(server, "load-average-file={}", self.load.display())?;
        }
        for (name, value) in &settings.server {
            writeln!(server, "{name}={value}")?;
        }
        if settings.tls {
            let (certificate, key) = self.certify()?;
            writeln!(server, "ssl-enabled=1")?;
            writeln!(server, "ssl-certificate={}\nssl-certificate-key={}", certificate.display(), key.display())?;
        }
        fs::write(self.config.join("rserver.conf"), server)?;

        let session: String = settings.session.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        fs::write(self.config.join("rsession.conf"), session)?;

        let database = match &settings.database {
            Some((database, key)) => {
                private(&self.config.join("secure-cookie-key"), key)?;
                database.clone()
            }
            None => format!("provider=sqlite\ndirectory={}\nsingle-machine=1\n", root.join("store").display()),
        };
        private(&self.config.join("database.conf"), &database)?;

        let mut balancer = String::new();
        if settings.shared_plugins {
            writeln!(balancer, "plugins-dir={}", plugins(root).display())?;
        }
        if let Some(name) = &settings.balancer {
            writeln!(balancer, "balancer={name}\n\n[balancer {name}]")?;
            for (key, value) in &settings.balancer_settings {
                writeln!(balancer, "{key}={value}")?;
            }
        }
        if !balancer.is_empty() {
            fs::write(self.config.join("load-balancer"), balancer)?;
        }
        Ok(())
    }

    /// Gives this node a certificate, for the usual names of this machine, and a key; another than it has.
    pub fn certify(&self) -> Result<(PathBuf, PathBuf)> {
        let certified = tls::authority().server(&["localhost", "127.0.0.1"]);
        let (certificate, key) = (self.config.join("certificate.pem"), self.config.join("key.pem"));
        private(&certificate, &certified.certificate)?;
        private(&key, &certified.key)?;
        Ok((certificate, key))
    }

    /// Adds a line to this node's `rserver.conf`.
    pub fn add_setting(&self, name: &str, value: &str) -> Result<()> {
        let path = self.config.join("rserver.conf");
        let mut file = fs::File::options().append(true).open(&path).with_context(|| path.display().to_string())?;
        writeln!(file, "{name}={value}")?;
        Ok(())
    }

    /// Sets the load averages that the node reads, in one step, so that it never reads half of them.
    pub fn set_load(&self, [one, five, fifteen]: [f64; 3]) -> Result<()> {
        let new = self.load.with_extension("new");
        fs::write(&new, format!("{one:.2} {five:.2} {fifteen:.2} 1/100 1000\n"))?;
        fs::rename(&new, &self.load)?;
        Ok(())
    }
}

/// Writes a file that only its owner can read.
fn private(file: &Path, text: &str) -> Result<()> {
    let mut options = fs::File::options();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    opened.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| file.display().to_string())
}
