//! Who may sign in by password, and how: the part of `rserver.conf` on it.

use std::time::Duration;

use super::reader::{self, Reader};
use crate::domain::text::clean;

/// How people sign in by password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInOptions {
    /// `auth-pam-enabled`: whether they do.
    pub by_pam: bool,
    /// `auth-pam-service`: the PAM service; else the first of the usual ones that there is.
    pub pam_service: Option<String>,
    /// `auth-pam-timeout`: how long that may take.
    pub pam_timeout: Duration,
    /// `auth-required-user-group`: only members of one of these sign in; everybody where there is none.
    pub required_groups: Vec<String>,
    /// `auth-stay-signed-in-days`: how long a sign-in holds however much it is used.
    pub longest: Duration,
    /// `auth-cookies-force-secure`: whether browsers may send the cookie over TLS only.
    pub secure_cookie: bool,
    /// `admin-group`: members of one of these see everybody's sessions.
    pub admin_groups: Vec<String>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for SignInOptions {
    fn default() -> Self {
        Self {
            by_pam: true,
            pam_service: None,
            pam_timeout: Duration::from_secs(30),
            required_groups: Vec::new(),
            longest: DAY * 30,
            secure_cookie: false,
            admin_groups: Vec::new(),
        }
    }
}

impl SignInOptions {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let usual = Self::default();
        Self {
            by_pam: reader.take("auth-pam-enabled", reader::switch).unwrap_or(usual.by_pam),
            pam_service: reader.take("auth-pam-service", service),
            // Below what any answer may take.
            pam_timeout: reader.take("auth-pam-timeout", reader::seconds(1, 45)).unwrap_or(usual.pam_timeout),
            required_groups: reader.take("auth-required-user-group", groups).unwrap_or_default(),
            longest: reader
                .take("auth-stay-signed-in-days", reader::number(1, 365))
                .map_or(usual.longest, |days| DAY * days),
            secure_cookie: reader.take("auth-cookies-force-secure", reader::switch).unwrap_or(usual.secure_cookie),
            admin_groups: reader.take("admin-group", groups).unwrap_or_default(),
        }
    }
}

/// A file's name: PAM would look at the last part of a path only.
fn service(value: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&value.len()) && !value.starts_with('.') && value.chars().all(is_plain) {
        Ok(value.to_owned())
    } else {
        Err("the name of a file in /etc/pam.d".to_owned())
    }
}

/// Names of groups, separated by commas. One that is left out by mistake would open the door to everybody.
fn groups(value: &str) -> Result<Vec<String>, String> {
    let groups: Vec<_> = value.split(',').map(|name| name.trim().to_owned()).collect();
    let is_name = |name: &String| !name.is_empty() && clean(name, 256) == *name;
    if groups.iter().all(is_name) { Ok(groups) } else { Err("names of groups, separated by commas".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::file::File;

    fn read(text: &str) -> (SignInOptions, Vec<String>) {
        let mut problems = Vec::new();
        let file = File::parse(Path::new("rserver.conf"), text, &mut problems);
        let mut reader = Reader::new(&file, None, &mut problems);
        let options = SignInOptions::read(&mut reader);
        reader.finish();
        (options, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn everybody_signs_in_by_the_usual_service_where_nothing_is_said() {
        assert_eq!(read(""), (SignInOptions::default(), Vec::new()));
    }

    #[test]
    fn service_time_limit_and_groups_are_read() {
        let (options, problems) = read(
            "auth-pam-service=rstudio\nauth-pam-timeout=5\nauth-required-user-group=staff, domain users\nadmin-group=ops\nauth-stay-signed-in-days=7\nauth-cookies-force-secure=1\n",
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            options,
            SignInOptions {
                by_pam: true,
                pam_service: Some("rstudio".to_owned()),
                pam_timeout: Duration::from_secs(5),
                required_groups: vec!["staff".to_owned(), "domain users".to_owned()],
                longest: DAY * 7,
                secure_cookie: true,
                admin_groups: vec!["ops".to_owned()],
            }
        );
    }

    #[test]
    fn what_would_open_another_door_is_an_error() {
        let (_, problems) = read("auth-pam-service=../shadow\nauth-required-user-group=staff,\nauth-pam-timeout=60\n");
        assert_eq!(
            problems,
            [
                "rserver.conf:1: auth-pam-service: expected the name of a file in /etc/pam.d, found `../shadow`",
                "rserver.conf:3: auth-pam-timeout: expected a whole number from 1 to 45, found `60`",
                "rserver.conf:2: auth-required-user-group: expected names of groups, separated by commas, found `staff,`",
            ]
        );
    }
}
