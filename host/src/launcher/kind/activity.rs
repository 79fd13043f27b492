//! How a kind shows that it is used, beside its traffic: the table `[activity]` of its file.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{Listen, Template};

/// Longer lists and texts are mistakes.
const MOST: usize = 64;
const LONGEST: usize = 200;

/// What counts as the use of a session, and what of its traffic does not.
#[derive(Clone, Debug, Default)]
pub struct ActivityRules {
    /// It is never idle: what it does, it does by itself.
    pub never_idle: bool,
    /// Requests that an open page makes by itself.
    pub polls: Vec<Poll>,
    /// Shorter messages of a web socket only keep it open.
    pub shortest_message: u64,
    /// What the program is asked.
    pub probes: Vec<Probe>,
}

/// Requests that an open page makes by itself: `GET api/kernels`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    method: String,
    path: String,
    /// Everything that begins so.
    begins: bool,
}

impl Poll {
    /// Whether a request is one; its path is that below the session's prefix.
    pub fn is(&self, method: &str, path: &str) -> bool {
        let path_fits = if self.begins { path.starts_with(&self.path) } else { path == self.path };
        path_fits && (method == self.method || (method == "HEAD" && self.method == "GET"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (method, path) = text.split_once(' ').unwrap_or(("GET", text));
        let begins = path.ends_with('*');
        let path = path.strip_suffix('*').unwrap_or(path);
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err("must be a path, or a method in capitals, a space and a path".to_owned());
        }
        if path.starts_with('/') || path.contains(['*', ' ', '?', '{']) {
            return Err("must be a path below the session's own prefix, without a slash at its beginning".to_owned());
        }
        Ok(Self { method: method.to_owned(), path: path.to_owned(), begins })
    }
}

/// A request whose answer, in JSON, says what the program does.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The request target.
    pub path: Template,
    /// Where in the answer it says what it does, and which words mean that it is busy.
    pub busy: Option<Busy>,
    /// Where it says when it was last used.
    pub last: Option<Selector>,
    /// For how long after its user's last use that counts; none: always. For a program that says so for as long as its
    /// page is open.
    pub most: Option<Duration>,
}

/// What of an answer means that a session is busy.
#[derive(Clone, Debug)]
pub struct Busy {
    /// Where the words stand.
    pub at: Selector,
    /// The words that mean it.
    pub is: Vec<String>,
    /// What then holds, for people: `a kernel is busy`.
    pub because: String,
}

/// Where something stands in JSON: the names of fields, or `*` for each item of a list or an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(pub(in crate::launcher) Vec<String>);

impl Selector {
    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        if parts.len() > 8 || parts.iter().any(String::is_empty) {
            return Err("must be at most 8 names of fields or *, separated by dots".to_owned());
        }
        Ok(Self(parts))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct RawActivity {
    never_idle: bool,
    polls: Vec<Spanned<String>>,
    shortest_message: u64,
    probes: Vec<RawProbe>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawProbe {
    path: Spanned<String>,
    busy: Option<RawBusy>,
    last: Option<Spanned<String>>,
    most_hours: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawBusy {
    at: Spanned<String>,
    is: Spanned<Vec<String>>,
    because: Spanned<String>,
}

impl super::file::Reader<'_> {
    pub(super) fn activity(&mut self, raw: RawActivity, listen: Listen) -> ActivityRules {
        let polls = raw.polls.iter().take(MOST).filter_map(|text| self.parsed(text, Poll::parse)).collect();
        if let Some(one_too_many) = raw.polls.get(MOST) {
            self.error(one_too_many.span(), format!("must be at most {MOST}"));
        }
        let probes = raw.probes.into_iter().filter_map(|probe| self.probe(probe, listen)).collect();
        ActivityRules { never_idle: raw.never_idle, polls, shortest_message: raw.shortest_message, probes }
    }

    fn probe(&mut self, raw: RawProbe, listen: Listen) -> Option<Probe> {
        if !raw.path.get_ref().starts_with('/') && !raw.path.get_ref().starts_with("{base_path}") {
            self.error(raw.path.span(), "must start with / or {base_path}".to_owned());
        }
        if raw.busy.is_none() && raw.last.is_none() {
            self.error(raw.path.span(), "what the answer says must be told by busy or last".to_owned());
        }
        let path = self.public(&raw.path, listen, "a request target is written to logs");
        if let Some(variable) = path.other_than_base_path() {
            self.error(raw.path.span(), format!("there is no {{{variable}}} here, only {{base_path}}"));
        }
        let busy = match raw.busy {
            Some(raw) => Some(self.busy(raw)?),
            None => None,
        };
        let last = match raw.last {
            Some(text) => Some(self.parsed(&text, Selector::parse)?),
            None => None,
        };
        let most = raw.most_hours.map(|hours| {
            if !(1..=8784).contains(hours.get_ref()) {
                self.error(hours.span(), "must be 1 to 8784 hours".to_owned());
            }
            Duration::from_secs(u64::from(hours.into_inner()) * 3600)
        });
        Some(Probe { path, busy, last, most })
    }

    fn busy(&mut self, raw: RawBusy) -> Option<Busy> {
        let words = raw.is.get_ref();
        if words.is_empty() || words.len() > MOST || words.iter().any(|word| word.len() > LONGEST) {
            self.error(raw.is.span(), format!("must be 1 to {MOST} words"));
        }
        let because = raw.because.get_ref().trim();
        if because.is_empty() || because.len() > LONGEST || because.contains(char::is_control) {
            self.error(raw.because.span(), format!("must be a sentence of at most {LONGEST} bytes"));
        }
        let at = self.parsed(&raw.at, Selector::parse)?;
        Some(Busy { at, is: raw.is.into_inner(), because: raw.because.into_inner() })
    }

    fn parsed<T>(&mut self, text: &Spanned<String>, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(text.get_ref()) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.error(text.span(), problem);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_known_by_its_method_and_its_path() {
        let poll = |text| Poll::parse(text).unwrap();
        assert!(poll("api/kernels").is("GET", "api/kernels") && poll("api/kernels").is("HEAD", "api/kernels"));
        assert!(!poll("api/kernels").is("POST", "api/kernels"), "it starts one");
        assert!(!poll("api/kernels").is("GET", "api/kernels/1") && poll("api/kernels*").is("GET", "api/kernels/1"));
        assert!(poll("POST events/get").is("POST", "events/get") && !poll("POST events/get").is("GET", "events/get"));
        for text in ["/api", "get x", " x", "a*b", "a?b", "{base_path}x"] {
            assert!(Poll::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_selector_is_names_and_stars() {
        assert_eq!(Selector::parse("*.kernel.state"), Ok(Selector(vec!["*".into(), "kernel".into(), "state".into()])));
        assert!(Selector::parse("").is_err() && Selector::parse("a..b").is_err());
        assert!(Selector::parse("a.b.c.d.e.f.g.h.i").is_err());
    }
}
