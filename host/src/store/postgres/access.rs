//! How the database is reached, and with or without TLS as `libpq` understands it.

use std::{fmt, path::PathBuf, str::FromStr};

use sqlx::{
    ConnectOptions as _, PgConnection,
    postgres::{PgConnectOptions, PgDatabaseError, PgSslMode},
};
use tracing::log::LevelFilter;

use super::StoreError;

/// Where a database is, and as whom it is entered.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// The server.
    pub host: Host,
    /// Its port, which also names its socket.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password; else `PGPASSWORD`'s.
    pub password: Option<String>,
    /// Whether TLS is spoken.
    pub tls: Tls,
    /// Who may have signed the server's certificate, beside those whom the system trusts.
    pub root_certificate: Option<PathBuf>,
    /// The certificate and the key that this side proves itself by.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Name(String),
    /// The directory of a Unix socket.
    Socket(PathBuf),
}

/// `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    Disable,
    /// Where the server refuses a connection without.
    Allow,
    /// Where the server can.
    #[default]
    Prefer,
    /// Always; the server's certificate is verified where a root certificate is named.
    Require,
    /// Always, with a certificate that is trusted.
    VerifyCa,
    /// Always, with a certificate that is trusted and is that host's.
    VerifyFull,
}

impl FromStr for Tls {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return Err(()),
        })
    }
}

/// The password is not shown.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("place", &self.to_string()).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// For errors: which database it is.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, user, port, .. } = self;
        match &self.host {
            Host::Name(host) => write!(f, "database {database} on {host}:{port} as {user}"),
            Host::Socket(directory) => write!(f, "database {database} in {}:{port} as {user}", directory.display()),
        }
    }
}

impl Access {
    /// The ways to try, one after the other.
    fn ways(&self) -> &'static [PgSslMode] {
        use PgSslMode::{Disable, Require, VerifyCa, VerifyFull};
        if let Host::Socket(_) = self.host {
            return &[Disable];
        }
        match (self.tls, self.root_certificate.is_some()) {
            (Tls::Disable, _) => &[Disable],
            (Tls::Allow, false) => &[Disable, Require],
            (Tls::Allow, true) => &[Disable, VerifyCa],
            (Tls::Prefer, false) => &[Require, Disable],
            (Tls::Prefer, true) => &[VerifyCa, Disable],
            (Tls::Require, false) => &[Require],
            (Tls::Require, true) | (Tls::VerifyCa, _) => &[VerifyCa],
            (Tls::VerifyFull, _) => &[VerifyFull],
        }
    }

    fn options(&self, way: PgSslMode) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .database(&self.database)
            .username(&self.user)
            .ssl_mode(way)
            .application_name("evenkeel")
            // Poolers do not know it, and values are exchanged in binary anyway.
            .extra_float_digits(None)
            .log_statements(LevelFilter::Off)
            .log_slow_statements(LevelFilter::Warn, std::time::Duration::from_secs(2));
        options = match &self.host {
            Host::Name(host) => options.host(host),
            Host::Socket(directory) => options.socket(directory),
        };
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        if let Some(root) = &self.root_certificate {
            options = options.ssl_root_cert(root);
        }
        if let Some((certificate, key)) = &self.client_certificate {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        options
    }

    /// Connects in the first way that the server takes, and says which that was.
    ///
    /// # Errors
    /// What is to be told of the attempts.
    pub(super) async fn connect(&self) -> Result<(PgConnection, PgConnectOptions), sqlx::Error> {
        let mut told: Option<sqlx::Error> = None;
        for way in self.ways() {
            let options = self.options(*way);
            match options.connect().await {
                Ok(connection) => return Ok((connection, options)),
                Err(error) => {
                    told = Some(match told {
                        Some(before) if weight(&before) >= weight(&error) => before,
                        _ => error,
                    });
                    // Without a server, or where it said what does not depend on TLS, another way leads nowhere either.
                    if told.as_ref().is_some_and(|error| !is_about_the_way(error)) {
                        break;
                    }
                }
            }
        }
        Err(told.unwrap_or_else(|| sqlx::Error::Configuration("there is no way to connect".into())))
    }

    /// Whether the files that are named can be read.
    pub(super) async fn check_files(&self) -> Result<(), StoreError> {
        let (certificate, key) = self.client_certificate.as_ref().map(|(certificate, key)| (certificate, key)).unzip();
        for (name, file) in [("sslrootcert", self.root_certificate.as_ref()), ("sslcert", certificate), ("sslkey", key)]
        {
            let Some(file) = file else { continue };
            let unusable = |problem: &dyn fmt::Display| {
                StoreError::Unusable(format!("{self}: {name} in database.conf: {}: {problem}", file.display()))
            };
            let text = tokio::fs::read(file).await.map_err(|error| unusable(&error))?;
            if text.windows(9).any(|word| word == b"ENCRYPTED") {
                return Err(unusable(&"it is encrypted with a passphrase, which cannot be given here; remove that"));
            }
        }
        Ok(())
    }

    /// Says what keeps the database from being used, and what to do.
    pub(super) fn unusable(&self, error: &sqlx::Error) -> StoreError {
        let advice = match error {
            error if is_about_tls(error) && error.to_string().contains("fatal alert") => {
                "the server does not take the client certificate: see sslcert and sslkey in database.conf"
            }
            error if is_about_tls(error) => "see sslmode, sslrootcert, sslcert and sslkey in database.conf",
            sqlx::Error::Io(_) => "is the server there, and are host and port in database.conf right?",
            sqlx::Error::Database(error) => advice(error.code().as_deref().unwrap_or_default()),
            _ => "see database.conf",
        };
        StoreError::Unusable(format!("{self}: {}; {advice}", words(error)))
    }
}

/// How much an error says of the reason, of several ways that failed.
fn weight(error: &sqlx::Error) -> u8 {
    match error {
        // No line of pg_hba.conf for this way.
        sqlx::Error::Database(error) if error.message().contains("pg_hba.conf") => 1,
        sqlx::Error::Database(_) => 3,
        sqlx::Error::Tls(_) | sqlx::Error::Io(_) => 2,
        _ => 4,
    }
}

/// Whether the certificates of one side did not please the other, or TLS could not be spoken.
fn is_about_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// Whether another way may do.
fn is_about_the_way(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("28")),
        sqlx::Error::Io(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound | std::io::ErrorKind::TimedOut
        ),
        sqlx::Error::Tls(_) => true,
        _ => false,
    }
}

/// What went wrong, with what the server added to it.
pub(super) fn words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => {
            match error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::hint) {
                Some(hint) => format!("{} ({hint})", error.message()),
                None => error.message().to_owned(),
            }
        }
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// What to do where the server refuses.
fn advice(code: &str) -> &'static str {
    match code {
        "28P01" => "see username and password in database.conf",
        code if code.starts_with("28") => {
            "see pg_hba.conf of the server, and username, sslmode and sslcert in database.conf"
        }
        "3D000" => "create it, empty, or name another in database.conf",
        "53300" => "raise max_connections of the server: every node takes up to 9",
        code if code.starts_with("57P") => "the server is starting or stopping; try again",
        "42501" => "give this user all rights on the database and its schema",
        _ => "see the log of the server",
    }
}
