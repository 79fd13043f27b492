//! Which balancer a daemon starts with.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;

use super::{
    Absent, Refused, Rejection, Selection, Source, announce,
    file::{self, Home},
    forget, inspect, keep,
    kept::Kept,
    moved, report_refusal,
};
use crate::balancer::{
    Balancer, builtin,
    wasm::{self, LoadError},
};

/// Why there is no balancer of the selected name to start with.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// It would lead out of the directory.
    #[error(
        "a balancer's name has letters, digits, `-`, `_` and `.`, at most {NAME_LENGTH}, and does not begin with `.`"
    )]
    Name,
    /// There is none of that name.
    #[error("there is no balancer of that name; builtin are: {}; {} has: {}",
        builtin::NAMES.join(", "), .directory.display(), if found.is_empty() { "nothing".to_owned() } else { found.join(", ") })]
    Missing {
        /// The plugins directory.
        directory: PathBuf,
        /// The names in it.
        found: Vec<String>,
    },
    /// Its file is not taken, and there is no earlier one.
    #[error("{}: {rejection}", .path.display())]
    Rejected {
        /// The file.
        path: PathBuf,
        /// Why.
        rejection: Rejection,
    },
    /// The builtin cannot be had with these settings.
    #[error(transparent)]
    Builtin(#[from] LoadError),
}

impl SelectionError {
    /// Whether the configuration is wrong, and not a file that may be put right while the daemon runs.
    fn is_configuration(&self) -> bool {
        match self {
            Self::Name | Self::Builtin(_) => true,
            Self::Rejected { rejection: Rejection::Load(error), .. } => {
                matches!(error, LoadError::Setting { .. } | LoadError::Refused { .. })
            }
            Self::Missing { .. } | Self::Rejected { .. } => false,
        }
    }
}

const NAME_LENGTH: usize = 64;

/// A name that can be selected, and stays within the directory.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_LENGTH).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

/// What there is to begin with.
pub(super) struct Beginning {
    pub(super) balancer: Arc<dyn Balancer>,
    /// None where there is nothing of that name.
    pub(super) source: Option<Source>,
    pub(super) problem: Option<String>,
    pub(super) refused: Option<Refused>,
}

/// The balancer to begin with.
pub(super) struct Begin<'a> {
    pub(super) selection: &'a Selection,
    pub(super) path: &'a Path,
    pub(super) kept: &'a Kept,
    pub(super) now: Timestamp,
    /// Whether a daemon starts where there is no balancer of that name.
    pub(super) tolerant: bool,
}

impl Begin<'_> {
    /// The last good module, where the file is another: it is to be looked at once the daemon runs.
    pub(super) fn interim(&self) -> Option<Beginning> {
        let Selection { name, terms, .. } = self.selection;
        let last = self.kept.digest(name)?;
        let (bytes, _) = inspect::read(self.path, terms).ok()?;
        if wasm::digest(&bytes) == last {
            return None;
        }
        self.last_good(&format!("{}: it has changed since the daemon stopped, and is looked at", self.path.display()))
    }

    /// A file that is not taken changes nothing: what was there before it decides.
    pub(super) fn with_file(&self) -> Result<Beginning, SelectionError> {
        let Selection { name, terms, .. } = self.selection;
        let mut digest = None;
        let admitted = inspect::read(self.path, terms).and_then(|(bytes, _)| {
            let digest = digest.insert(wasm::digest(&bytes));
            let (balancer, _) = inspect::admit(name, &bytes, terms, None)?;
            keep(self.kept, self.selection, digest, &bytes);
            announce(name, self.path, digest);
            Ok(Beginning { balancer: Arc::new(balancer), source: Some(Source::File), problem: None, refused: None })
        });
        let rejection = match admitted {
            Ok(beginning) => return Ok(beginning),
            Err(rejection) => rejection,
        };
        let why = rejection.to_string();
        report_refusal(name, self.path, &why);
        let before = self.last_good(&why).or_else(|| {
            let builtin = (self.selection.builtin)().ok().flatten()?;
            Some(Beginning {
                balancer: builtin,
                source: Some(Source::Builtin),
                problem: Some(why.clone()),
                refused: None,
            })
        });
        let refused = Some(Refused::new(digest, &rejection, self.now, Instant::now()));
        match before {
            Some(before) => Ok(Beginning { refused, ..before }),
            None => {
                let nothing = self.nothing(SelectionError::Rejected { path: self.path.to_owned(), rejection })?;
                Ok(Beginning { refused, ..nothing })
            }
        }
    }

    /// `home` is the directory that the file is not in: where its last one lay, it has been removed.
    pub(super) fn without_file(&self, home: Home) -> Result<Beginning, SelectionError> {
        let Selection { name, directory, .. } = self.selection;
        if self.kept.home(name) == Some(home) {
            forget(self.kept, name);
        } else if let Some(good) = self.last_good(&moved(directory)) {
            return Ok(good);
        }
        self.builtin(None)?.map_or_else(|| self.missing(), Ok)
    }

    /// `why` is what is wrong with the directory, where that is more than that there is none.
    pub(super) fn without_directory(&self, why: Option<String>) -> Result<Beginning, SelectionError> {
        let directory = self.selection.directory.display();
        let problem = why.clone().unwrap_or_else(|| format!("{directory}: there is no such directory"));
        match self.last_good(&problem) {
            Some(good) => Ok(good),
            None => self.builtin(why)?.map_or_else(|| self.missing(), Ok),
        }
    }

    fn builtin(&self, problem: Option<String>) -> Result<Option<Beginning>, SelectionError> {
        let builtin = (self.selection.builtin)()?;
        Ok(builtin.map(|balancer| Beginning { balancer, source: Some(Source::Builtin), problem, refused: None }))
    }

    fn last_good(&self, why: &str) -> Option<Beginning> {
        let Selection { name, terms, .. } = self.selection;
        let bytes = self.kept.read(name, terms.limits.module)?;
        let balancer = terms
            .load(name, &bytes)
            .inspect_err(|error| tracing::error!(balancer = name, %error, "the last good plugin cannot be used either"))
            .ok()?;
        tracing::warn!(balancer = name, digest = balancer.digest(), why, "the last good plugin stands in");
        let problem = Some(why.to_owned());
        Some(Beginning { balancer: Arc::new(balancer), source: Some(Source::Kept), problem, refused: None })
    }

    fn missing(&self) -> Result<Beginning, SelectionError> {
        let directory = self.selection.directory.clone();
        self.nothing(SelectionError::Missing { found: file::names(&directory), directory })
    }

    /// Begins without a balancer of that name, where that may be.
    fn nothing(&self, error: SelectionError) -> Result<Beginning, SelectionError> {
        if !self.tolerant || error.is_configuration() {
            return Err(error);
        }
        let (name, why) = (&self.selection.name, error.to_string());
        tracing::error!(balancer = name, why, "the balancer is missing until its file is there");
        let balancer = Arc::new(Absent::new(name, &why));
        Ok(Beginning { balancer, source: None, problem: Some(why), refused: None })
    }
}
