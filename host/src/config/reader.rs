//! Takes named values out of a file, and complains of what is left.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use super::{
    Problem,
    file::{Asked, Entry, File},
    legacy::{self, Answer},
};
use crate::domain::{HostPort, host_port::NotAHost};

/// One file, or one of its sections, being read.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a File,
    section: Option<&'a str>,
    problems: &'a mut Vec<Problem>,
    known: Vec<&'static str>,
    prefixes: Vec<&'static str>,
    /// Names that do not begin so have all been taken.
    others: Option<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads `section` of a file; none is the part before the first header.
    pub fn new(file: &'a File, section: Option<&'a str>, problems: &'a mut Vec<Problem>) -> Self {
        Self { file, section, problems, known: Vec::new(), prefixes: Vec::new(), others: None }
    }

    fn entries(&self) -> impl Iterator<Item = &'a Entry> + Clone + use<'a> {
        let section = self.section;
        self.file.entries.iter().filter(move |entry| entry.section.as_deref() == section)
    }

    /// The entry of a name, the last where it is given more than once.
    fn entry(&mut self, name: &'static str) -> Option<&'a Entry> {
        self.known.push(name);
        let mut given: Vec<_> = self.entries().filter(|entry| entry.name == name).collect();
        let last = given.pop()?;
        for earlier in given {
            self.warn_of(earlier, last);
        }
        Some(last)
    }

    fn warn_of(&mut self, earlier: &Entry, last: &Entry) {
        let message = format!("{} is given again on line {}, and that one holds", last.name, last.line);
        self.problems.push(Problem::warning(&self.file.path, earlier.line, message));
    }

    /// The entries whose names are like that, each name once.
    fn entries_of(&mut self, is_like: impl Fn(&str) -> bool) -> Vec<&'a Entry> {
        let mut last: BTreeMap<&str, &Entry> = BTreeMap::new();
        for entry in self.entries().filter(|entry| is_like(&entry.name)) {
            if let Some(earlier) = last.insert(&entry.name, entry) {
                self.warn_of(earlier, entry);
            }
        }
        for entry in last.values() {
            self.note(&entry.name, Some(entry));
        }
        last.into_values().collect()
    }

    /// Remembers that a setting was asked for.
    fn note(&self, name: &str, entry: Option<&Entry>) {
        self.file.asked.borrow_mut().push(Asked {
            section: self.section.map(str::to_owned),
            name: name.to_owned(),
            given: entry.map(|entry| (entry.value.clone(), entry.line)),
        });
    }

    /// The value of a name, read by `parse`, which says what is expected where it cannot be.
    pub fn take<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let entry = self.entry(name);
        self.note(name, entry);
        let entry = entry?;
        match parse(&entry.value) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.problems.push(Problem::error(
                    &self.file.path,
                    entry.line,
                    format!("{name}: expected {expected}, found `{}`", entry.value),
                ));
                None
            }
        }
    }

    /// The values of all names that begin with `prefix`, by the rest of the name.
    pub fn take_prefixed(&mut self, prefix: &'static str) -> BTreeMap<String, String> {
        self.prefixes.push(prefix);
        let mut taken = BTreeMap::new();
        for entry in self.entries_of(|name| name.starts_with(prefix)) {
            match entry.name.strip_prefix(prefix) {
                Some(rest) if !rest.is_empty() => drop(taken.insert(rest.to_owned(), entry.value.clone())),
                _ => {
                    let message = format!("{prefix}: expected a name behind it, as in {prefix}gpu");
                    self.problems.push(Problem::error(&self.file.path, entry.line, message));
                }
            }
        }
        taken
    }

    /// The values of all names that do not begin with `prefix`.
    pub fn take_others(&mut self, prefix: &'static str) -> BTreeMap<String, String> {
        self.others = Some(prefix);
        let others = self.entries_of(|name| !name.starts_with(prefix));
        others.into_iter().map(|entry| (entry.name.clone(), entry.value.clone())).collect()
    }

    /// Names that are known elsewhere and cannot be meant here.
    pub fn never(&mut self, names: &[&'static str], instead: &str) {
        for name in names {
            if let Some(entry) = self.entry(name) {
                let message = format!("{name} has no place here: {instead}");
                self.problems.push(Problem::error(&self.file.path, entry.line, message));
            }
        }
    }

    /// Answers every name that has not been taken: as the list of legacy names says, or that there is none.
    pub fn finish(self) {
        let file = self.file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        for entry in self.entries() {
            let taken = self.known.iter().any(|known| *known == entry.name)
                || self.prefixes.iter().any(|prefix| entry.name.starts_with(prefix))
                || self.others.is_some_and(|prefix| !entry.name.starts_with(prefix));
            if taken {
                continue;
            }
            let Entry { name, value, line, .. } = entry;
            let path = &self.file.path;
            match legacy::find(file, name).map(|name| name.answer) {
                Some(Answer::Instead(what)) => {
                    let message = format!("{name} has no effect here: {what}");
                    self.problems.push(Problem::warning(path, *line, message));
                }
                Some(Answer::Only(only, _)) if legacy::is_that(value, only) => {}
                Some(Answer::Only(_, why)) => {
                    let message = format!("{name}={value} cannot be had in this version: {why}");
                    self.problems.push(Problem::error(path, *line, message));
                }
                Some(Answer::Honoured(_)) | None => {
                    let message = format!("there is no setting {name}{}", self.hint(file, name));
                    self.problems.push(Problem::warning(path, *line, message));
                }
            }
        }
    }

    /// What was meant by a name that there is not.
    fn hint(&self, file: &str, name: &str) -> String {
        if let Some(other) = legacy::elsewhere(file, name) {
            return format!(" in this file; it belongs in {other}");
        }
        let known = self.known.iter().copied().chain(legacy::names(file).map(|name| name.name));
        let nearest = known.max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        match nearest {
            Some(known) if strsim::jaro_winkler(known, name) > 0.8 => format!("; did you mean {known}?"),
            _ => String::new(),
        }
    }
}

/// Any text.
pub fn text(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("a value".to_owned()) } else { Ok(value.to_owned()) }
}

/// An absolute path.
pub fn path(value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    if path.is_absolute() { Ok(path) } else { Err("an absolute path".to_owned()) }
}

/// A switch, in any of the words that the legacy product takes.
pub fn switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "0" | "no" | "off" | "false" => Ok(false),
        "1" | "yes" | "on" | "true" => Ok(true),
        _ => Err("0 or 1".to_owned()),
    }
}

/// A number within bounds.
pub fn number(low: u32, high: u32) -> impl FnOnce(&str) -> Result<u32, String> {
    move |value| match value.parse() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("a whole number from {low} to {high}")),
    }
}

/// A number within bounds, which may have a fraction.
pub fn decimal(low: f64, high: f64) -> impl FnOnce(&str) -> Result<f64, String> {
    move |value| match value.parse() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("a number from {low} to {high}")),
    }
}

/// A number of seconds within bounds.
pub fn seconds(low: u32, high: u32) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |value| number(low, high)(value).map(|seconds| Duration::from_secs(seconds.into()))
}

/// A number of milliseconds within bounds.
pub fn milliseconds(low: u32, high: u32) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |value| number(low, high)(value).map(|milliseconds| Duration::from_millis(milliseconds.into()))
}

/// A number of minutes within bounds.
pub fn minutes(low: u32, high: u32) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |value| number(low, high)(value).map(|minutes| Duration::from_secs(u64::from(minutes) * 60))
}

/// A number of hours within bounds.
pub fn hours(low: u32, high: u32) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |value| number(low, high)(value).map(|hours| Duration::from_secs(u64::from(hours) * 3600))
}

/// A port.
pub fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| "a port from 0 to 65535".to_owned())
}

/// An IP address.
pub fn address(value: &str) -> Result<IpAddr, String> {
    value.parse().map_err(|_| "an IP address".to_owned())
}

/// A node's name: what hashing and plugins go by.
pub fn node_name(value: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !value.is_empty() && value.len() <= 253 && value.chars().all(valid) {
        Ok(value.to_owned())
    } else {
        Err("1 to 253 letters, digits, dots, hyphens and underscores".to_owned())
    }
}

/// A host with or without a port.
pub fn host(value: &str) -> Result<HostPort, String> {
    value.parse().map_err(|error: NotAHost| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_written_in_many_ways() {
        for (on, texts) in [(false, ["0", "no", "False", "off"]), (true, ["1", "YES", "true", "on"])] {
            assert!(texts.iter().all(|text| switch(text) == Ok(on)));
        }
        for wrong in ["", "2", "y", "enabled"] {
            assert_eq!(switch(wrong), Err("0 or 1".to_owned()));
        }
    }

    #[test]
    fn names_that_are_taken_by_how_they_begin_are_warned_of_twice_and_want_a_rest() {
        let mut problems = Vec::new();
        let text = "node-label-gpu=1\nnode-label-gpu=2\nnode-label-=3\n";
        let file = File::parse(std::path::Path::new("f"), text, &mut problems);
        let taken = Reader::new(&file, None, &mut problems).take_prefixed("node-label-");
        assert_eq!(taken, BTreeMap::from([("gpu".to_owned(), "2".to_owned())]));
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let again = "f:1: node-label-gpu is given again on line 2, and that one holds";
        assert_eq!(told, [again, "f:3: node-label-: expected a name behind it, as in node-label-gpu"]);
    }
}
