//! TLS of the node's port: the part of `rserver.conf` on it.

use std::{path::PathBuf, time::Duration};

use super::{
    Problem,
    effective::NONE,
    file::File,
    reader::{self, Reader},
};

/// The TLS of a node's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// `ssl-certificate`: a file with the node's certificate, and what leads from it to its authority (PEM).
    pub certificate: PathBuf,
    /// `ssl-certificate-key`: a file with its key (PEM).
    pub key: PathBuf,
    /// `ssl-protocols`: what browsers may speak.
    pub versions: Vec<TlsVersion>,
    /// `ssl-hsts`: what browsers are told to remember, if anything.
    pub hsts: Option<Hsts>,
    /// `ssl-redirect-http`: whether browsers that come without TLS are sent on.
    pub redirect_http: bool,
}

/// A version of the protocol. There are no older ones here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// HTTP Strict Transport Security (RFC 6797): a browser that has been told comes with TLS only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// `ssl-hsts-max-age`: how long it remembers.
    pub max_age: Duration,
    /// `ssl-hsts-include-subdomains`: whether the same holds for names below this one.
    pub subdomains: bool,
}

/// What `rserver.conf` says of TLS.
#[derive(Debug, Default)]
pub(super) struct Given {
    enabled: bool,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    versions: Option<Vec<TlsVersion>>,
    hsts: Option<bool>,
    max_age: Option<Duration>,
    subdomains: Option<bool>,
    redirect_http: Option<bool>,
}

impl Given {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            enabled: reader.take("ssl-enabled", reader::switch).unwrap_or(false),
            certificate: reader.take("ssl-certificate", reader::path),
            key: reader.take("ssl-certificate-key", reader::path),
            versions: reader.take("ssl-protocols", versions),
            hsts: reader.take("ssl-hsts", reader::switch),
            max_age: reader.take("ssl-hsts-max-age", reader::seconds(0, 10 * 365 * 24 * 60 * 60)),
            subdomains: reader.take("ssl-hsts-include-subdomains", reader::switch),
            redirect_http: reader.take("ssl-redirect-http", reader::switch),
        }
    }

    /// What it comes to; nothing where TLS is off, or where it lacks something, which is told.
    pub(super) fn options(self, file: &File, problems: &mut Vec<Problem>) -> Option<TlsOptions> {
        if !self.enabled {
            return None;
        }
        let (Some(certificate), Some(key)) = (self.certificate, self.key) else {
            let is_given = |name: &str| file.entries.iter().any(|entry| entry.name == name);
            for name in ["ssl-certificate", "ssl-certificate-key"].into_iter().filter(|name| !is_given(name)) {
                let line = file.entries.iter().rfind(|entry| entry.name == "ssl-enabled").map_or(0, |entry| entry.line);
                let message = format!("ssl-enabled=1 wants {name}, the path of a file (PEM)");
                problems.push(Problem::error(&file.path, line, message));
            }
            return None;
        };
        let hsts = self
            .hsts
            .unwrap_or(true)
            .then(|| Hsts { max_age: self.max_age.unwrap_or(DAY), subdomains: self.subdomains.unwrap_or(false) });
        Some(TlsOptions {
            certificate,
            key,
            versions: self.versions.unwrap_or_else(|| vec![TlsVersion::V1_2, TlsVersion::V1_3]),
            hsts,
            redirect_http: self.redirect_http.unwrap_or(true),
        })
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What such a setting comes to where no file says so.
pub(super) fn usual(name: &str, enabled: bool) -> Option<String> {
    let usual = match name {
        "ssl-enabled" if enabled => "1",
        "ssl-enabled" | "ssl-hsts-include-subdomains" => "0",
        "ssl-certificate" | "ssl-certificate-key" => NONE,
        "ssl-protocols" => "TLSv1.2 TLSv1.3",
        "ssl-hsts" | "ssl-redirect-http" => "1",
        "ssl-hsts-max-age" => return Some(DAY.as_secs().to_string()),
        _ => return None,
    };
    Some(usual.to_owned())
}

/// Versions by the names that they have in other servers' files. What is older than TLS 1.2 is broken, and left out of a list
/// that has a sound one too.
fn versions(value: &str) -> Result<Vec<TlsVersion>, String> {
    const EXPECTED: &str = "TLSv1.2, TLSv1.3 or both (older ones are not to be had)";
    let mut versions = Vec::new();
    for name in value.split([' ', '\t', ',']).filter(|name| !name.is_empty()) {
        match name {
            "TLSv1.2" => versions.push(TlsVersion::V1_2),
            "TLSv1.3" => versions.push(TlsVersion::V1_3),
            "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.0" | "TLSv1.1" => {}
            _ => return Err(EXPECTED.to_owned()),
        }
    }
    if versions.is_empty() { Err(EXPECTED.to_owned()) } else { Ok(versions) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What a file of that text comes to, and what is said of it.
    fn read(text: &str) -> (Option<TlsOptions>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rserver.conf");
        std::fs::write(&path, text).unwrap();
        let mut problems = Vec::new();
        let file = File::read(&path, &mut problems);
        let mut reader = Reader::new(&file, None, &mut problems);
        let given = Given::read(&mut reader);
        reader.finish();
        let options = given.options(&file, &mut problems);
        let directory = format!("{}/", directory.path().display());
        (options, problems.iter().map(|problem| problem.to_string().replace(&directory, "")).collect())
    }

    #[test]
    fn two_files_are_enough() {
        let (options, problems) = read("ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem\n");
        assert_eq!(problems, [""; 0]);
        let usual = TlsOptions {
            certificate: Path::new("/c.pem").to_owned(),
            key: Path::new("/k.pem").to_owned(),
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
            hsts: Some(Hsts { max_age: Duration::from_secs(86_400), subdomains: false }),
            redirect_http: true,
        };
        assert_eq!(options, Some(usual));
        assert_eq!(read("ssl-certificate=/c.pem\n"), (None, Vec::new()), "it is off");
    }

    #[test]
    fn what_is_set_holds() {
        let with = |more: &str| {
            let (options, problems) =
                read(&format!("ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem\n{more}\n"));
            assert_eq!(problems, [""; 0], "{more}");
            options.unwrap()
        };
        assert_eq!(with("ssl-hsts=0").hsts, None);
        assert_eq!(with("ssl-hsts-max-age=60").hsts.unwrap().max_age, Duration::from_secs(60));
        assert!(with("ssl-hsts-include-subdomains=1").hsts.unwrap().subdomains);
        assert_eq!(with("ssl-protocols=TLSv1.3").versions, [TlsVersion::V1_3]);
        assert!(!with("ssl-redirect-http=0").redirect_http);
    }

    #[test]
    fn what_lacks_is_named_with_the_line_that_wants_it() {
        let (options, problems) = read("www-port=8443\nssl-enabled=1\nssl-certificate-key=/k.pem\n");
        assert_eq!(options, None);
        let told = "rserver.conf:2: ssl-enabled=1 wants ssl-certificate, the path of a file (PEM)";
        assert!(problems.iter().any(|problem| problem.contains(told)), "{problems:?}");
        let (_, problems) = read("ssl-enabled=1\n");
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn versions_have_the_names_that_they_have_elsewhere() {
        assert_eq!(versions("TLSv1.3"), Ok(vec![TlsVersion::V1_3]));
        assert_eq!(versions("TLSv1 TLSv1.1 TLSv1.2"), Ok(vec![TlsVersion::V1_2]));
        assert_eq!(versions("TLSv1.2,TLSv1.3"), Ok(vec![TlsVersion::V1_2, TlsVersion::V1_3]));
        for bad in ["", "TLSv1", "TLSv1.4", "tlsv1.2", "HIGH"] {
            assert!(versions(bad).is_err(), "{bad}");
        }
    }
}
