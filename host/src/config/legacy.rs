//! The names of the legacy files: which of them are honoured, and what is said of the others.
//!
//! This is the one list of them. [`Reader`](super::reader::Reader) answers by it, docs/configuration.md shows it, and the
//! tests below go through every row.

pub mod files;
mod launcher;
mod load_balancer;
mod server;
mod sessions;
mod sign_in;

use super::reader::switch;

/// A name in a legacy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The section it stands in; none where that is the part before the first header.
    pub section: Option<&'static str>,
    /// The name.
    pub name: &'static str,
    /// What becomes of it.
    pub answer: Answer,
    /// Whether it is known from memory only, and from no page that could be read.
    pub recalled: bool,
}

/// What becomes of a legacy name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It does what it always did; with a text of its file in which it does.
    Honoured(&'static str),
    /// It changes nothing; what takes its place.
    Instead(&'static str),
    /// Only this value can be had, and any other ends the start: to go on all the same would not be what was asked for.
    Only(&'static str, &'static str),
}

/// The files, each with its names.
pub const FILES: [(&str, &[&[Name]]); 11] = [
    ("rserver.conf", &[server::NAMES, sign_in::NAMES]),
    ("load-balancer", &[load_balancer::NAMES]),
    ("database.conf", &[load_balancer::DATABASE]),
    ("rsession.conf", &[sessions::RSESSION]),
    ("profiles", &[sessions::PROFILES]),
    ("launcher.local.resources.conf", &[sessions::RESOURCES]),
    ("jupyter.conf", &[sessions::JUPYTER]),
    ("vscode.conf", &[sessions::VSCODE]),
    ("launcher.conf", &[launcher::LAUNCHER]),
    ("launcher.local.conf", &[launcher::LOCAL]),
    ("logging.conf", &[launcher::LOGGING]),
];

/// The names of a file.
pub fn names(file: &str) -> impl Iterator<Item = &'static Name> {
    let lists = FILES.iter().find(|(known, _)| *known == file).map(|(_, lists)| *lists).unwrap_or_default();
    lists.iter().copied().flatten()
}

/// A name in a file, whatever its section.
pub fn find(file: &str, name: &str) -> Option<&'static Name> {
    names(file).find(|known| known.name == name)
}

/// Whether a value says the same as the only one that can be had.
pub fn is_that(value: &str, only: &str) -> bool {
    value.eq_ignore_ascii_case(only) || switch(only).is_ok_and(|only| switch(value) == Ok(only))
}

/// Another file that has that name.
pub fn elsewhere(file: &str, name: &str) -> Option<&'static str> {
    let others = FILES.iter().map(|(other, _)| *other).filter(|other| *other != file);
    others.into_iter().find(|other| find(other, name).is_some())
}

const fn honoured(name: &'static str, text: &'static str) -> Name {
    Name { section: None, name, answer: Answer::Honoured(text), recalled: false }
}

const fn instead(name: &'static str, what: &'static str) -> Name {
    Name { section: None, name, answer: Answer::Instead(what), recalled: false }
}

const fn only(name: &'static str, value: &'static str, why: &'static str) -> Name {
    Name { section: None, name, answer: Answer::Only(value, why), recalled: false }
}

impl Name {
    const fn recalled(self) -> Self {
        Self { recalled: true, ..self }
    }

    const fn under(self, section: &'static str) -> Self {
        Self { section: Some(section), ..self }
    }
}

#[cfg(test)]
mod tests;
