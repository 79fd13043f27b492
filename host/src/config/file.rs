//! The format of the legacy files: `name=value` lines, `#` comments, `[section]` headers.
//!
//! Values are literal text: no escapes, no quotes taken off. The INI crates do not say which line a value stood on, and
//! every complaint here names its line; so the few lines that read the format are our own.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use super::Problem;

/// How it is told that a file cannot be read.
pub(super) const UNREADABLE: &str = "cannot be read";

/// The section of bare names.
pub const NODES: &str = "nodes";

/// One `name=value` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section it stands in, the words between the brackets with a blank between two; none before the first header.
    pub section: Option<String>,
    /// The name, trimmed.
    pub name: String,
    /// The value, trimmed.
    pub value: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it lies.
    pub path: PathBuf,
    /// Its entries in order.
    pub entries: Vec<Entry>,
    /// What was asked of it.
    pub asked: RefCell<Vec<Asked>>,
}

/// A setting that was asked of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The section it may stand in.
    pub section: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value and the line where that stands, if it is given.
    pub given: Option<(String, usize)>,
}

impl File {
    /// One that has nothing in it.
    pub fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), entries: Vec::new(), asked: RefCell::default() }
    }

    /// Reads a file; a missing one is empty.
    pub fn read(path: &Path, problems: &mut Vec<Problem>) -> Self {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                problems.push(Problem::error(path, 0, format!("{UNREADABLE}: {error}")));
                Vec::new()
            }
        };
        Self::parse(path, &decoded(path, &bytes, problems), problems)
    }

    /// What is to be said of the sections of a file that has none: nothing in them is read, and a registry that was meant to be
    /// elsewhere must not be here without a word.
    pub fn in_vain(&self) -> Vec<Problem> {
        let mut told = Vec::new();
        let mut problems = Vec::new();
        for entry in &self.entries {
            let Some(section) = entry.section.as_deref().filter(|section| !told.contains(section)) else { continue };
            told.push(section);
            let message =
                format!("this file has no sections, and what follows [{section}] is not read; take that line out");
            problems.push(match self.path.ends_with("database.conf") {
                true => Problem::error(&self.path, entry.line, message),
                false => Problem::warning(&self.path, entry.line, message),
            });
        }
        problems
    }

    /// The same with what stands in a section as if it stood before any.
    #[must_use]
    pub fn without_section(mut self, name: &str) -> Self {
        for entry in &mut self.entries {
            entry.section.take_if(|section| section == name);
        }
        self
    }

    /// Reads the format.
    pub fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Self {
        let mut entries = Vec::new();
        let mut section = None;
        for (line, content) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if let Some(header) = content.strip_prefix('[') {
                match header.strip_suffix(']') {
                    Some(name) => section = Some(name.split_whitespace().collect::<Vec<_>>().join(" ")),
                    None => {
                        problems.push(Problem::error(path, line, "a section header wants a closing `]`".to_owned()));
                    }
                }
                continue;
            }
            match content.split_once('=') {
                Some((name, value)) if !name.trim().is_empty() => entries.push(Entry {
                    section: section.clone(),
                    name: name.trim().to_owned(),
                    value: value.trim().to_owned(),
                    line,
                }),
                // The oldest form of `load-balancer` lists nodes, one a line.
                _ if section.as_deref() == Some(NODES) => entries.push(Entry {
                    section: section.clone(),
                    name: content.to_owned(),
                    value: String::new(),
                    line,
                }),
                _ => problems.push(Problem::error(path, line, "expected `name=value`".to_owned())),
            }
        }
        Self { path: path.to_owned(), entries, asked: RefCell::default() }
    }
}

/// The text of a file. Comments may be in any encoding.
fn decoded(path: &Path, bytes: &[u8], problems: &mut Vec<Problem>) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::new();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        match std::str::from_utf8(bytes) {
            Ok(content) => text.push_str(content),
            Err(_) if bytes.trim_ascii_start().starts_with(b"#") => {}
            Err(_) => problems.push(Problem::error(path, line, "is not UTF-8".to_owned())),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literal_text() {
        let mut problems = Vec::new();
        let file = File::parse(
            Path::new("f"),
            "a=1\n# note\n\n b = \"x\\n\" # y \n[balancer best fit]\nc=d=e\n",
            &mut problems,
        );
        assert!(problems.is_empty());
        let entries: Vec<_> =
            file.entries.iter().map(|e| (e.section.as_deref(), e.name.as_str(), e.value.as_str(), e.line)).collect();
        assert_eq!(
            entries,
            [(None, "a", "1", 1), (None, "b", "\"x\\n\" # y", 4), (Some("balancer best fit"), "c", "d=e", 6),]
        );
    }

    #[test]
    fn lines_of_no_form_are_named() {
        let mut problems = Vec::new();
        File::parse(Path::new("/etc/evenkeel/rserver.conf"), "a=1\nnonsense\n[open\n", &mut problems);
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "/etc/evenkeel/rserver.conf:2: expected `name=value`",
                "/etc/evenkeel/rserver.conf:3: a section header wants a closing `]`",
            ]
        );
    }

    #[test]
    fn what_is_not_utf_8_is_named_and_comments_may_be_anything() {
        let mut problems = Vec::new();
        let text = decoded(Path::new("f"), b"# caf\xe9\na=1\nb=\xff\n  # \xff\nc=2", &mut problems);
        assert_eq!(text, "\na=1\n\n\nc=2\n");
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), ["f:3: is not UTF-8"]);
    }
}
