//! A host with or without a port.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address; one of IPv6 without brackets.
    pub host: String,
    /// The port, where one is named; never 0.
    pub port: Option<u16>,
}

/// What was read is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host name or an address, with or without `:port`")]
pub struct NotAHost;

impl HostPort {
    /// With a port where none is named.
    #[must_use]
    pub fn or_port(self, port: u16) -> Self {
        Self { port: self.port.or(Some(port)), ..self }
    }
}

impl FromStr for HostPort {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let (host, port) = if text.parse::<Ipv6Addr>().is_ok() {
            (text, None)
        } else if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(NotAHost)?;
            host.parse::<Ipv6Addr>().map_err(|_| NotAHost)?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(NotAHost)?) };
            (host, port)
        } else {
            text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
        };
        let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(is_of_a_name);
        if !is_name && host.parse::<Ipv6Addr>().is_err() {
            return Err(NotAHost);
        }
        let port = match port {
            None => None,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok().filter(|port| *port != 0).ok_or(NotAHost)?)
            }
            Some(_) => return Err(NotAHost),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_shown_as_a_url_wants_it() {
        for (text, shown) in [
            ("127.0.0.2", "127.0.0.2:8787"),
            ("127.0.0.2:9000", "127.0.0.2:9000"),
            ("node_1.example", "node_1.example:8787"),
            ("[::1]:9000", "[::1]:9000"),
            ("[::1]", "[::1]:8787"),
            ("::1", "[::1]:8787"),
        ] {
            let read: HostPort = text.parse().unwrap();
            assert_eq!(read.or_port(8787).to_string(), shown);
        }
        assert_eq!("::1".parse::<HostPort>().unwrap().to_string(), "[::1]");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(254);
        for wrong in [
            "", ":80", "a:", "a:b", "a:0", "a:65536", "a:+1", "a b", "http://a", "[a]:1", "[::1", "::1]:2", "a,b",
            "a:b:c", "[::1]9", &long,
        ] {
            assert_eq!(wrong.parse::<HostPort>(), Err(NotAHost), "{wrong}");
        }
    }
}
