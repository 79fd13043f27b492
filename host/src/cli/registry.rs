//! The registry that the configuration names.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::{
    config::{
        Config,
        database::{self, Database, PASSWORD_VARIABLE, PostgresOptions, close_to_others},
    },
    store::{
        Store,
        begun::Member,
        postgres::{Access, Host, PostgresStore},
        sqlite::SqliteStore,
    },
};

/// Opens it, and makes what it needs where it is new. It is told which it is: a node of a cluster that has one of its own, for
/// a file that is missing, looks well otherwise.
pub(super) async fn open(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match &config.database {
        Database::Sqlite { .. } => {
            let directory = &config.database_directory;
            let store = SqliteStore::open(directory, config.node_timeout).await?;
            tracing::info!("the registry is in {}, of this machine's daemons alone (SQLite)", directory.display());
            Arc::new(store)
        }
        Database::Postgres(options) => {
            close(config)?;
            let access = access(config, options)?;
            let store = PostgresStore::open(&access, config.node_timeout).await?;
            tracing::info!("the registry is {access}, of all nodes that enter it (Postgres)");
            Arc::new(store)
        }
    })
}

/// The machine that it is on, host and port, where it is reached over the network.
pub(super) fn machine(config: &Config) -> Option<(&str, u16)> {
    let Database::Postgres(options) = &config.database else { return None };
    let host = options.uri.host.as_deref().filter(|host| !host.starts_with('/'))?;
    Some((host, options.uri.port.unwrap_or(database::PORT)))
}

/// The file may hold a password.
fn close(config: &Config) -> anyhow::Result<()> {
    let Some(directory) = &config.config_dir else { return Ok(()) };
    let file = directory.join(database::FILE);
    let is_changed = close_to_others(&file).with_context(|| {
        format!("{}: others can read it, and it may hold a password; its mode cannot be set to 0600", file.display())
    })?;
    if is_changed {
        tracing::warn!(file = %file.display(), "others could read it, and it may hold a password: its mode is 0600 now");
    }
    Ok(())
}

/// Who is in the cluster that the registry has, if one has begun. Nothing is made or changed; a database is entered by that
/// password, where the files have none.
pub(super) async fn begun(config: &Config, password: &str) -> anyhow::Result<Option<Vec<Member>>> {
    Ok(match &config.database {
        Database::Sqlite { .. } => SqliteStore::begun(&config.database_directory).await?,
        Database::Postgres(options) => {
            let known = if options.encrypted.is_some() { None } else { password_of(config, options)? };
            PostgresStore::begun(&entered(options, known.or_else(|| Some(password.to_owned())))?).await?
        }
    })
}

/// How a database is entered: with the password, decrypted.
pub(super) fn access(config: &Config, options: &PostgresOptions) -> anyhow::Result<Access> {
    entered(options, password_of(config, options)?)
}

fn password_of(config: &Config, options: &PostgresOptions) -> anyhow::Result<Option<String>> {
    // Only where it is needed: a node without a key may be the first of its cluster.
    let keys = if options.encrypted.is_some() { config.key_places.find()?.map(|found| found.keys) } else { None };
    let environment = match std::env::var(PASSWORD_VARIABLE) {
        Ok(password) => Some(password),
        Err(std::env::VarError::NotPresent) => None,
        Err(error) => return Err(error).context(PASSWORD_VARIABLE),
    };
    let password = options.password(environment, keys.as_ref(), config.key_places.path())?;
    Ok(password.map(|password| password.to_string()))
}

fn entered(options: &PostgresOptions, password: Option<String>) -> anyhow::Result<Access> {
    let uri = &options.uri;
    let host = uri.host.clone().context("database.conf names no host")?;
    let user = uri.user.clone().context("database.conf names no user")?;
    Ok(Access {
        host: if host.starts_with('/') { Host::Socket(host.into()) } else { Host::Name(host) },
        port: uri.port.unwrap_or(database::PORT),
        database: uri.database.clone().unwrap_or_else(|| user.clone()),
        user,
        password,
        tls: match &uri.ssl_mode {
            Some(mode) => mode.parse().map_err(|()| anyhow!("database.conf: there is no sslmode {mode}"))?,
            None => Default::default(),
        },
        root_certificate: uri.root_certificate.clone(),
        client_certificate: uri.client_certificate.clone().zip(uri.client_key.clone()),
    })
}
