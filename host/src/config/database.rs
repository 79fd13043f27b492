//! `database.conf`: where the registry is, and how it is entered.

use std::{
    fmt, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    Keys, Problem,
    file::File,
    load_balancer,
    password::{self, PasswordError},
    reader::{self, Reader},
};

pub(super) mod uri;

pub use uri::Uri;

/// The file's name.
pub const FILE: &str = "database.conf";

/// The port of Postgres where nobody names another.
pub const PORT: u16 = 5432;

/// The environment variable that has the password in the place of the file.
pub const PASSWORD_VARIABLE: &str = "EVENKEEL_DATABASE_PASSWORD";

/// The registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file that the daemons of this machine share; in a directory that was named, or beside the daemon's own data.
    Sqlite {
        /// `directory`.
        directory: Option<PathBuf>,
        /// `single-machine`: all nodes of the cluster are daemons of this machine.
        single_machine: bool,
    },
    /// A Postgres database that all nodes reach.
    Postgres(Box<PostgresOptions>),
}

impl Default for Database {
    fn default() -> Self {
        Self::Sqlite { directory: None, single_machine: false }
    }
}

/// How a Postgres database is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// `connection-uri`, with what `host`, `port`, `database` and `username` say of what it leaves open.
    pub uri: Uri,
    /// `password`: encrypted, as `encrypt-password` prints it.
    pub encrypted: Option<String>,
}

/// Passwords are not shown.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// Why the password cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordMissing {
    /// It cannot be decrypted.
    #[error("password in database.conf: {0}")]
    Unreadable(#[from] PasswordError),
    /// There is no key to decrypt it with.
    #[error(
        "password in database.conf: it is encrypted, and this node has no secure-cookie-key to decrypt it with: copy that of \
         the node where it was encrypted to {0}, with mode 0600"
    )]
    NoKey(String),
}

impl PostgresOptions {
    /// The password: of the environment, else of the file under one of the keys, else of the URI; none where nobody has
    /// one.
    pub fn password(
        &self,
        environment: Option<String>,
        keys: Option<&Keys>,
        key_file: &Path,
    ) -> Result<Option<Zeroizing<String>>, PasswordMissing> {
        if let Some(password) = environment.filter(|password| !password.is_empty()) {
            return Ok(Some(Zeroizing::new(password)));
        }
        match (&self.encrypted, keys) {
            (None, _) => Ok(self.uri.password.clone().map(Zeroizing::new)),
            (Some(value), Some(keys)) => Ok(Some(password::decrypt(value, keys)?)),
            // What is no encrypted value is told of as such, key or not.
            (Some(value), None) if !value.starts_with(password::PREFIX) => {
                let nobodys = Keys::one(super::ClusterKey::from_bytes(vec![0; 32]));
                Ok(Some(password::decrypt(value, &nobodys)?))
            }
            (Some(_), None) => Err(PasswordMissing::NoKey(key_file.display().to_string())),
        }
    }
}

/// Sets the mode of a file that others may read to 0600, since it may hold a password; true where that was needed.
///
/// # Errors
/// Where that fails: others go on reading it.
pub fn close_to_others(file: &Path) -> io::Result<bool> {
    let mode = match file.metadata() {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if mode & 0o077 == 0 {
        return Ok(false);
    }
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
    Ok(true)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Provider {
    Sqlite,
    Postgres,
}

fn provider(text: &str) -> Result<Provider, String> {
    match text {
        "sqlite" => Ok(Provider::Sqlite),
        "postgresql" | "postgres" => Ok(Provider::Postgres),
        _ => Err("sqlite or postgresql".to_owned()),
    }
}

/// Reads the file.
pub(super) fn read(file: &File, problems: &mut Vec<Problem>) -> Database {
    const POSTGRES: [&str; 6] = ["connection-uri", "password", "host", "port", "database", "username"];
    const SQLITE: [&str; 2] = ["directory", "single-machine"];
    let mut reader = Reader::new(file, None, problems);
    let is_postgres = reader.take("provider", provider) == Some(Provider::Postgres);
    let directory = reader.take("directory", reader::path);
    let single_machine = reader.take("single-machine", reader::switch).unwrap_or(false);
    let uri = reader.take("connection-uri", reader::text);
    let encrypted = reader.take("password", reader::text);
    let [host, database, user] = ["host", "database", "username"].map(|name| reader.take(name, reader::text));
    let port = reader.take("port", reader::port);
    reader.finish();

    let line = |name: &str| file.entries.iter().rfind(|entry| entry.name == name).map(|entry| entry.line);
    let (others, whose, asked) = if is_postgres {
        (&SQLITE[..], "an SQLite registry", "with provider=postgresql")
    } else {
        (&POSTGRES[..], "a Postgres registry", "without provider=postgresql")
    };
    for name in others {
        if let Some(line) = line(name) {
            let message = format!("{name} is of {whose}, and has no effect {asked}");
            problems.push(Problem::warning(&file.path, line, message));
        }
    }
    if !is_postgres {
        return Database::Sqlite { directory, single_machine };
    }
    let parsed = match &uri {
        Some(text) => Uri::parse(text),
        None => Ok((Uri::default(), Vec::new())),
    };
    let at = line("connection-uri").or_else(|| line("provider")).unwrap_or_default();
    let mut uri = match parsed {
        Ok((uri, unused)) => {
            for name in unused {
                let message = format!("connection-uri: {name} has no effect");
                problems.push(Problem::warning(&file.path, at, message));
            }
            uri
        }
        Err(problem) => {
            problems.push(Problem::error(&file.path, at, format!("connection-uri: {problem}")));
            return Database::default();
        }
    };
    uri.host = uri.host.or(host);
    uri.port = uri.port.or(port);
    uri.user = uri.user.or(user);
    uri.database = uri.database.or(database);
    if uri.host.is_none() || uri.user.is_none() {
        let missing = if uri.host.is_none() { "host" } else { "user" };
        let message = format!(
            "provider=postgresql: there is no {missing}; give connection-uri=postgresql://USER@HOST:5432/DATABASE"
        );
        problems.push(Problem::error(&file.path, at, message));
    }
    if uri.client_certificate.is_some() != uri.client_key.is_some() {
        let message = "connection-uri: sslcert and sslkey go together, and one of them is missing".to_owned();
        problems.push(Problem::error(&file.path, at, message));
    }
    Database::Postgres(Box::new(PostgresOptions { uri, encrypted }))
}

/// Why several nodes cannot have their registry there, where the files say that there are several.
pub(super) fn unfit(
    database: &Database,
    load_balancing: Option<bool>,
    rserver: &File,
    load_balancer: &File,
) -> Option<Problem> {
    const NAME: &str = "load-balancing-enabled";
    if !matches!(database, Database::Sqlite { single_machine: false, .. }) {
        return None;
    }
    // The oldest form of the other file says it by what it lists.
    let second = load_balancer::listed(load_balancer).nth(1);
    let (path, line, what) = match (load_balancing, second) {
        (Some(true), _) => {
            let line = rserver.entries.iter().rfind(|entry| entry.name == NAME).map_or(0, |entry| entry.line);
            (&rserver.path, line, format!("{NAME}=1"))
        }
        (None, Some(second)) => (&load_balancer.path, second.line, "a second node".to_owned()),
        _ => return None,
    };
    let message = format!(
        "{what} wants a registry that every node reaches, and one in SQLite is a file of one machine: set \
         provider=postgresql and connection-uri in database.conf, or single-machine=1 there where all nodes are daemons of \
         this machine"
    );
    Some(Problem::error(path, line, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{ClusterKey, Flags, Surroundings, load},
        domain::fakes::Numbers,
    };

    fn parse(text: &str) -> (Database, Vec<String>) {
        let mut problems = Vec::new();
        let file = File::parse(Path::new(FILE), text, &mut problems);
        let database = read(&file, &mut problems);
        (database, problems.iter().map(ToString::to_string).collect())
    }

    fn postgres(text: &str) -> PostgresOptions {
        match parse(text) {
            (Database::Postgres(options), problems) if problems.is_empty() => *options,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn sqlite_is_what_nobody_needs_to_ask_for() {
        assert_eq!(parse(""), (Database::default(), Vec::new()));
        let (database, problems) = parse("provider=sqlite\ndirectory=/srv/store\nsingle-machine=1\n");
        let expected = Database::Sqlite { directory: Some("/srv/store".into()), single_machine: true };
        assert_eq!((database, problems.len()), (expected, 0));
    }

    #[test]
    fn a_uri_and_the_older_names_say_the_same() {
        let uri = postgres("provider=postgresql\nconnection-uri=postgres://ada@db.example:5433/evenkeel\n").uri;
        let older = "provider=postgresql\nhost=db.example\nport=5433\nusername=ada\ndatabase=evenkeel\n";
        assert_eq!(postgres(older).uri, uri);
        // What the URI says goes before.
        let both = format!("{older}connection-uri=postgresql://bob@other.example/\n");
        let both = postgres(&both).uri;
        assert_eq!((both.host.as_deref(), both.user.as_deref()), (Some("other.example"), Some("bob")));
        assert_eq!((both.port, both.database.as_deref()), (Some(5433), Some("evenkeel")));
    }

    #[test]
    fn what_is_missing_wrong_or_of_another_provider_is_told_with_its_line() {
        let problems = |text: &str| parse(text).1;
        assert_eq!(
            problems("provider=postgresql\n"),
            [
                "database.conf:1: provider=postgresql: there is no host; give connection-uri=postgresql://USER@HOST:5432/DATABASE"
            ]
        );
        assert_eq!(
            problems("provider=oracle\n"),
            ["database.conf:1: provider: expected sqlite or postgresql, found `oracle`"]
        );
        assert_eq!(
            problems("\nconnection-uri=postgresql://ada@db/x\n"),
            [
                "database.conf:2: connection-uri is of a Postgres registry, and has no effect without provider=postgresql"
            ]
        );
        assert_eq!(
            problems("provider=postgresql\ndirectory=/x\nconnection-uri=postgresql://ada@db/x?sslcert=/c\n"),
            [
                "database.conf:2: directory is of an SQLite registry, and has no effect with provider=postgresql",
                "database.conf:3: connection-uri: sslcert and sslkey go together, and one of them is missing",
            ]
        );
        let secret = problems("provider=postgresql\nconnection-uri=mysql://ada:s3cret@db/x\n").join("\n");
        assert!(secret.contains("postgresql://") && !secret.contains("s3cret"), "{secret}");
    }

    #[test]
    fn several_nodes_want_a_registry_that_all_reach() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        let problems = || {
            let flags = Flags { config_dir: Some(directory.path().to_owned()), ..Flags::default() };
            let surroundings = Surroundings::of_ada();
            let (config, problems) = load(&flags, &surroundings);
            assert_eq!(config.is_some(), problems.is_empty());
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        write("rserver.conf", "www-port=80\nload-balancing-enabled=1\n");
        assert!(problems().contains("rserver.conf:2: load-balancing-enabled=1 wants"), "{}", problems());
        for text in ["single-machine=1\n", "provider=postgresql\nconnection-uri=postgresql://ada@db.example/evenkeel\n"]
        {
            write(FILE, text);
            assert_eq!(problems(), "");
        }
        write("rserver.conf", "load-balancing-enabled=0\n");
        write(FILE, "");
        assert_eq!(problems(), "");
    }

    #[test]
    fn the_password_is_the_environments_or_the_files_or_the_uris() {
        let keys = Keys::one(ClusterKey::from_bytes(b"the-key-of-the-cluster".to_vec()));
        let encrypted = password::encrypt("of the file", keys.signing(), &Numbers::default());
        let text = format!("provider=postgresql\npassword={encrypted}\nconnection-uri=postgresql://ada:uris@db/x\n");
        let options = postgres(&text);
        let key_file = Path::new("/srv/secure-cookie-key");
        let password = |options: &PostgresOptions, environment: Option<&str>, keys| {
            let password = options.password(environment.map(str::to_owned), keys, key_file);
            password.map(|password| password.map(|password| password.to_string()))
        };
        assert_eq!(password(&options, Some("environments"), None).unwrap().as_deref(), Some("environments"));
        assert_eq!(password(&options, Some(""), Some(&keys)).unwrap().as_deref(), Some("of the file"));
        let error = password(&options, None, None).unwrap_err().to_string();
        assert!(error.contains("/srv/secure-cookie-key"), "{error}");
        let of_uri = postgres("provider=postgresql\nconnection-uri=postgresql://ada:uris@db/x\n");
        assert_eq!(password(&of_uri, None, None).unwrap().as_deref(), Some("uris"));
        let none = postgres("provider=postgresql\nconnection-uri=postgresql://ada@db/x\n");
        assert_eq!(password(&none, None, Some(&keys)).unwrap(), None);
        let plain = postgres("provider=postgresql\npassword=s3cret\nconnection-uri=postgresql://ada@db/x\n");
        for keys in [None, Some(&keys)] {
            let error = password(&plain, None, keys).unwrap_err().to_string();
            assert!(error.contains("it is not encrypted") && !error.contains("s3cret"), "{error}");
        }
        assert!(!format!("{options:?}").contains("uris"), "{options:?}");
    }

    #[test]
    fn a_file_that_others_may_read_is_closed_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        assert!(!close_to_others(&file).unwrap(), "there is none");
        std::fs::write(&file, "provider=postgresql\n").unwrap();
        for (mode, is_changed) in [(0o644, true), (0o640, true), (0o600, false), (0o400, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(close_to_others(&file).unwrap(), is_changed, "{mode:o}");
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0);
        }
    }
}
