//! `connection-uri`, as `libpq` reads it: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE&…`, each part
//! percent-encoded.

use std::{fmt, path::PathBuf};

use percent_encoding::percent_decode_str;

/// What a URI says; what it leaves open has a default, or another setting says it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Uri {
    /// A name, an address, or the directory of a Unix socket.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The database; that of the user's name where there is none.
    pub database: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// `sslmode`, one of `MODES`.
    pub ssl_mode: Option<String>,
    /// `sslrootcert`.
    pub root_certificate: Option<PathBuf>,
    /// `sslcert`.
    pub client_certificate: Option<PathBuf>,
    /// `sslkey`.
    pub client_key: Option<PathBuf>,
}

/// What `sslmode` may be.
const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// What is asked for so cannot be had, and to go on without would not be what was asked for.
const NEVER: [(&str, &str, &str); 2] = [
    ("channel_binding", "require", "use sslmode=verify-full, which no other server passes"),
    ("gssencmode", "require", "use sslmode=require or verify-full"),
];

/// Names that `libpq` knows, and that change nothing here.
const UNUSED: [&str; 12] = [
    "application_name",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "sslcompression",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// The password is not shown.
impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uri")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("ssl_mode", &self.ssl_mode)
            .finish_non_exhaustive()
    }
}

impl Uri {
    /// Reads a URI, and names what in it has no effect.
    ///
    /// # Errors
    /// What is wrong, in words that repeat no password.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        let rest = text
            .strip_prefix("postgresql://")
            .or_else(|| text.strip_prefix("postgres://"))
            .ok_or("expected postgresql://USER@HOST:5432/DATABASE")?;
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, database) =
            rest.split_once('/').map_or((rest, ""), |(authority, database)| (authority, database));
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let mut uri = Self { database: part("the database", database)?, ..Self::default() };
        if let Some(user) = user {
            let (user, password) = user.split_once(':').map_or((user, ""), |(user, password)| (user, password));
            uri.user = part("the user", user)?;
            uri.password = part("the password", password)?;
        }
        uri.set_place(place)?;
        let mut unused = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("what follows ? is NAME=VALUE, separated by &")?;
            uri.set(name, value, &mut unused)?;
        }
        Ok((uri, unused))
    }

    fn set_place(&mut self, place: &str) -> Result<(), String> {
        if place.contains(',') {
            return Err("one host can be named, not several".to_owned());
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("an IPv6 address wants a closing ]")?;
                match rest.strip_prefix(':') {
                    Some(port) => (host, port),
                    None if rest.is_empty() => (host, ""),
                    None => return Err("behind the ] of an IPv6 address there can only be :PORT".to_owned()),
                }
            }
            None => place.split_once(':').unwrap_or((place, "")),
        };
        self.host = part("the host", host)?;
        if !port.is_empty() {
            self.port = Some(number(port)?);
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str, unused: &mut Vec<String>) -> Result<(), String> {
        let value = part(name, value)?;
        // A daemon is started in whatever directory.
        let path = || match value.clone().map(PathBuf::from) {
            Some(path) if !path.is_absolute() => Err(format!("{name}: expected an absolute path")),
            path => Ok(path),
        };
        match name {
            "host" => self.host = value,
            // The name, where there is one too, is what a certificate is for.
            "hostaddr" if self.host.is_some() => unused.push(name.to_owned()),
            "hostaddr" => self.host = value,
            "port" => self.port = value.as_deref().map(number).transpose()?,
            "dbname" => self.database = value,
            "user" => self.user = value,
            "password" => self.password = value,
            "sslmode" => match value.as_deref() {
                Some(mode) if MODES.contains(&mode) => self.ssl_mode = value,
                other => {
                    let found = other.unwrap_or_default();
                    return Err(format!("sslmode: expected one of {}, found `{found}`", MODES.join(", ")));
                }
            },
            "sslrootcert" => self.root_certificate = path()?,
            "sslcert" => self.client_certificate = path()?,
            "sslkey" => self.client_key = path()?,
            "options" => {
                return Err("options cannot be had: give the role its settings, ALTER ROLE … SET …".to_owned());
            }
            never if NEVER.iter().any(|(name, _, _)| *name == never) => {
                let asked = NEVER.iter().find(|(name, only, _)| *name == never && value.as_deref() == Some(only));
                if let Some((name, value, instead)) = asked {
                    return Err(format!("{name}={value} cannot be had: {instead}"));
                }
                unused.push(never.to_owned());
            }
            known if UNUSED.contains(&known) => unused.push(known.to_owned()),
            other => return Err(format!("there is no {other}")),
        }
        Ok(())
    }
}

/// A part, decoded; none where it is empty.
fn part(what: &str, text: &str) -> Result<Option<String>, String> {
    let bytes = text.as_bytes();
    let is_encoded = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && !is_encoded(at)) {
        return Err(format!("{what}: after % there must be two hexadecimal digits; % itself is %25"));
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| format!("{what}: is not UTF-8"))?;
    if decoded.contains('\0') {
        return Err(format!("{what}: has a zero byte"));
    }
    Ok(Some(decoded.into_owned()).filter(|text| !text.is_empty()))
}

fn number(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("the port: expected a number from 1 to 65535".to_owned()),
    }
}

/// A URI as it may be shown: without what stands for a password.
pub(in crate::config) fn shown(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return "(hidden)".to_owned() };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let place = match place.rsplit_once('@') {
        Some((user, place)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:(hidden)@{place}"),
            None => format!("{user}@{place}"),
        },
        None => place.to_owned(),
    };
    let hide = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        let decoded = percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
        if decoded.contains("pass") { format!("{name}=(hidden)") } else { pair.to_owned() }
    };
    // Then it is a part of a password with a question mark that was not encoded.
    if query.is_some_and(|query| query.contains('@')) {
        return format!("{scheme}://(hidden)");
    }
    match query {
        Some(query) => format!("{scheme}://{place}?{}", query.split('&').map(hide).collect::<Vec<_>>().join("&")),
        None => format!("{scheme}://{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Uri {
        let (uri, unused) = Uri::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        assert_eq!(unused, [""; 0], "{text}");
        uri
    }

    #[test]
    fn no_password_is_shown_however_it_is_written() {
        for text in [
            "postgresql://ada:s3?cret@db/x",
            "postgresql://ada@db/x?PASSWORD=s3?cret",
            "postgresql://ada@db/x?pass%77ord=s3?cret&sslmode=allow",
            "postgresql://ada@db/x?sslpassword=s3?cret",
            "postgresql://ada:s3?cret@db/x?sslmode=allow",
            "s3?cret",
        ] {
            let shown = shown(text);
            assert!(!shown.contains("s3") && !shown.contains("cret"), "{shown}");
        }
        assert_eq!(shown("postgresql://ada@db/x?sslmode=allow"), "postgresql://ada@db/x?sslmode=allow");
    }

    #[test]
    fn every_part_is_decoded() {
        let uri = parse(
            "postgresql://a%40da:p%3A%2F%25w%C3%BC@db.example:5433/even%20keel?sslmode=verify-full&sslcert=%2Fc%20c.pem&\
             sslkey=/k.pem&sslrootcert=/r.pem",
        );
        assert_eq!((uri.user.as_deref(), uri.password.as_deref()), (Some("a@da"), Some("p:/%wü")));
        assert_eq!((uri.host.as_deref(), uri.port), (Some("db.example"), Some(5433)));
        assert_eq!(uri.database.as_deref(), Some("even keel"));
        assert_eq!(uri.ssl_mode.as_deref(), Some("verify-full"));
        assert_eq!(uri.client_certificate, Some("/c c.pem".into()));
        assert_eq!((uri.client_key, uri.root_certificate), (Some("/k.pem".into()), Some("/r.pem".into())));
    }

    #[test]
    fn addresses_and_sockets_are_hosts() {
        let place = |text: &str| {
            let uri = parse(text);
            (uri.host.unwrap_or_default(), uri.port)
        };
        assert_eq!(place("postgres://ada@[2001:db8::1]:5433/x"), ("2001:db8::1".to_owned(), Some(5433)));
        assert_eq!(place("postgres://ada@[::1]/x"), ("::1".to_owned(), None));
        assert_eq!(place("postgres://ada@%2Frun%2Fpostgresql/x"), ("/run/postgresql".to_owned(), None));
        assert_eq!(
            place("postgresql:///x?host=/run/postgresql&port=6000&user=ada"),
            ("/run/postgresql".to_owned(), Some(6000))
        );
        assert_eq!(place("postgresql://localhost"), ("localhost".to_owned(), None));
    }

    #[test]
    fn what_cannot_be_is_told_and_passwords_are_not() {
        for (text, problem) in [
            ("http://ada@db/x", "expected postgresql://"),
            ("postgresql://ada@one:1,two:2/x", "not several"),
            ("postgresql://ada@db:port/x", "from 1 to 65535"),
            ("postgresql://ada@db/x?sslmode=maybe", "sslmode: expected one of disable, allow"),
            ("postgresql://ada:s3cret%@db/x", "the password: after %"),
            ("postgresql://ada@db/x?s3cret", "NAME=VALUE"),
            ("postgresql://ada@db/x?colour=red", "there is no colour"),
            ("postgresql://ada@[::1/x", "closing ]"),
            ("postgresql://ada@[::1]5433/x", "only be :PORT"),
            ("postgresql://ada@db/x?sslrootcert=root.crt", "sslrootcert: expected an absolute path"),
            ("postgresql://ada%00@db/x", "zero byte"),
            ("postgresql://ada%ff@db/x", "not UTF-8"),
            ("postgresql://ada@db/x?options=-csearch_path%3Da", "ALTER ROLE"),
            ("postgresql://ada@db/x?gssencmode=require", "gssencmode=require cannot be had"),
            ("postgresql://ada@db/x?channel_binding=require", "verify-full"),
        ] {
            let found = Uri::parse(text).unwrap_err();
            assert!(found.contains(problem) && !found.contains("s3cret"), "{text}: {found}");
        }
        let (_, unused) =
            Uri::parse("postgresql://ada@db/x?application_name=a&channel_binding=prefer&hostaddr=10.0.0.7").unwrap();
        assert_eq!(unused, ["application_name", "channel_binding", "hostaddr"]);
    }

    #[test]
    fn a_uri_is_shown_without_its_password() {
        for (text, as_shown) in [
            ("postgresql://ada:s3cret@db:1/x?sslmode=allow", "postgresql://ada:(hidden)@db:1/x?sslmode=allow"),
            ("postgresql://ada@db/x?password=s3cret&port=1", "postgresql://ada@db/x?password=(hidden)&port=1"),
            ("postgresql://ada@db/x", "postgresql://ada@db/x"),
            ("ada:s3cret@db", "(hidden)"),
        ] {
            assert_eq!(shown(text), as_shown);
        }
    }
}
