//! `logging.conf`: how much the daemon logs.

use std::{collections::BTreeSet, fmt};

use super::{Problem, file::File, reader::Reader};

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Also what only helps to find a fault.
    Debug,
    /// What happens.
    #[default]
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

impl LogLevel {
    /// As a filter of `tracing_subscriber`: the libraries' own details stay out.
    pub fn filter(self) -> &'static str {
        match self {
            Self::Debug => "info,evenkeel=debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// The part of the file on all programs, and the one on the server, which goes before it.
const SECTIONS: [&str; 2] = ["*", "@rserver"];

/// Reads the file.
pub(super) fn read(file: &File, problems: &mut Vec<Problem>) -> LogLevel {
    let mut level = None;
    for section in SECTIONS {
        let mut reader = Reader::new(file, Some(section), problems);
        level = reader.take("log-level", parse).or(level);
        reader.finish();
    }
    let is_other = |section: &Option<&str>| section.is_none_or(|section| !SECTIONS.contains(&section));
    let others: BTreeSet<_> = file.entries.iter().map(|entry| entry.section.as_deref()).filter(is_other).collect();
    for section in others {
        let Some(first) = file.entries.iter().find(|entry| entry.section.as_deref() == section) else { continue };
        let message = match section {
            Some(section) => format!("[{section}] has no effect here: the daemon goes by [*] and [@rserver]"),
            None => "settings stand under [*] or [@rserver]".to_owned(),
        };
        problems.push(Problem::warning(&file.path, first.line, message));
    }
    level.unwrap_or_default()
}

fn parse(value: &str) -> Result<LogLevel, String> {
    let levels = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    let named = levels.into_iter().find(|level| level.to_string() == value);
    named.ok_or_else(|| "debug, info, warn or error".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn level(text: &str) -> (LogLevel, Vec<String>) {
        let mut problems = Vec::new();
        let file = File::parse(Path::new("logging.conf"), text, &mut problems);
        let level = read(&file, &mut problems);
        (level, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_said_of_the_server_goes_before_what_is_said_of_all() {
        assert_eq!(level(""), (LogLevel::Info, Vec::new()));
        assert_eq!(level("[*]\nlog-level=warn\n"), (LogLevel::Warn, Vec::new()));
        assert_eq!(level("[@rserver]\nlog-level=debug\n[*]\nlog-level=warn\n"), (LogLevel::Debug, Vec::new()));
    }

    #[test]
    fn other_programs_and_levels_are_told() {
        let (read, problems) = level("log-level=info\n[*]\nlog-level=loud\n[@rsession]\nlog-level=debug\n");
        assert_eq!(read, LogLevel::Info);
        assert_eq!(
            problems,
            [
                "logging.conf:3: log-level: expected debug, info, warn or error, found `loud`",
                "logging.conf:1: settings stand under [*] or [@rserver]",
                "logging.conf:5: [@rsession] has no effect here: the daemon goes by [*] and [@rserver]",
            ]
        );
    }
}
