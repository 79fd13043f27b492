//! What is wrong with the configuration, and where.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Something wrong with a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: PathBuf,
    /// Which line, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// Whether the daemon cannot start for its sake.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
}

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The line has no effect.
    Warning,
    /// The daemon does not start.
    Error,
}

impl Problem {
    /// A problem that keeps the daemon from starting.
    pub fn error(path: &Path, line: usize, message: String) -> Self {
        Self { path: path.to_owned(), line, severity: Severity::Error, message }
    }

    /// A problem to be mentioned.
    pub fn warning(path: &Path, line: usize, message: String) -> Self {
        Self { path: path.to_owned(), line, severity: Severity::Warning, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.message)
    }
}
