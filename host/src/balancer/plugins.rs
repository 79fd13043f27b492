//! The balancer that is selected, and the directory that it may come from.
//!
//! `balancer = NAME` is `NAME.wasm` in the plugins directory where that exists, else the builtin of that name. A file that
//! is new or has changed must pass everything in [`inspect()`] before it replaces, in one step, what is in force; a file
//! that does not changes nothing and is reported once. A file that is removed gives way to the builtin of its name, else
//! to what stands in. A directory that cannot be read tells nothing, and the last good module stays; it is kept over
//! restarts too.

use std::{
    fmt::Debug,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::watch;

use self::{
    file::{Home, Look, Mark},
    kept::Kept,
};
use super::{
    Balancer, Fallback, Journal, Question, builtin,
    wasm::{self, LoadError},
};
use crate::domain::Clock;

mod absent;
mod begin;
mod file;
mod inspect;
mod kept;
mod report;
#[cfg(test)]
mod tests;
mod trial;
mod watch_directory;

pub use begin::SelectionError;
pub use inspect::{Inspection, Rejection, Terms, inspect};
pub use report::{Report, Source, State};
pub use trial::Trial;
pub use watch_directory::Describe;

use absent::Absent;
use begin::{Begin, Beginning, is_name};

/// What answers to a name where there is no file: the builtin, or none.
pub type Builtin = Box<dyn Fn() -> Result<Option<Arc<dyn Balancer>>, LoadError> + Send + Sync>;

/// Which balancer is selected, and what it may come from.
pub struct Selection {
    /// `balancer`.
    pub name: String,
    /// `plugins-dir`.
    pub directory: PathBuf,
    /// Where the last good module is kept.
    pub kept: PathBuf,
    /// What it is loaded with.
    pub terms: Terms,
    /// Where there is no file.
    pub builtin: Builtin,
    /// For how long a file must not have changed.
    pub settle: Duration,
    /// Where what it writes is kept.
    pub journal: Arc<Journal>,
}

/// How long a file must not have changed: who writes it may pause between two writes.
pub const SETTLE: Duration = Duration::from_millis(100);

/// The selected balancer, kept at what its file says.
pub struct Plugins {
    selection: Selection,
    path: PathBuf,
    kept: Kept,
    clock: Arc<dyn Clock>,
    policy: Arc<Fallback>,
    digest: watch::Sender<Option<String>>,
    now: Mutex<Now>,
}

/// How things stand.
#[derive(Debug)]
struct Now {
    /// What was taken up last.
    seen: Option<Look>,
    /// The directory that the file in force lay in.
    home: Option<Home>,
    source: Option<Source>,
    since: Timestamp,
    /// Why what should be in force is not.
    problem: Option<String>,
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    digest: Option<String>,
    since: Timestamp,
    why: String,
}

impl Plugins {
    /// Selects the balancer; `other` answers where it fails.
    pub fn open(
        selection: Selection,
        other: Option<Arc<dyn Balancer>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SelectionError> {
        Self::begin(selection, other, clock, true)
    }

    /// Selects a balancer that nobody depends on: where it cannot be had, it is missing until its file is there.
    pub fn open_shadow(selection: Selection, clock: Arc<dyn Clock>) -> Result<Self, SelectionError> {
        Self::begin(selection, None, clock, false)
    }

    fn begin(
        selection: Selection,
        other: Option<Arc<dyn Balancer>>,
        clock: Arc<dyn Clock>,
        required: bool,
    ) -> Result<Self, SelectionError> {
        if !is_name(&selection.name) {
            return Err(SelectionError::Name);
        }
        let path = selection.directory.join(format!("{}.wasm", selection.name));
        let kept = Kept::new(selection.kept.clone());
        let seen = file::settled(&selection.directory, &path, selection.settle);
        let begin = Begin { selection: &selection, path: &path, kept: &kept, now: clock.now() };
        let begun = match &seen {
            Some(Look::Found(_)) => begin.with_file(),
            Some(Look::Gone(_)) => begin.without_file(),
            Some(Look::NoDirectory) => begin.without_directory(None),
            Some(Look::Unknown(why)) => begin.without_directory(Some(why.clone())),
            None => begin.without_directory(Some(format!("{}: it keeps changing", path.display()))),
        };
        let Beginning { balancer, source, problem, refused } = match begun {
            Err(error) if !required => begin.with_nothing(&error),
            begun => begun?,
        };
        let now = Now { seen, home: file::home(&selection.directory), source, since: clock.now(), problem, refused };
        let digest = watch::Sender::new(balancer.digest().map(ToOwned::to_owned));
        let policy = Arc::new(Fallback::writing(Arc::clone(&selection.journal), balancer, other));
        Ok(Self { selection, path, kept, clock, policy, digest, now: Mutex::new(now) })
    }

    /// What placement asks.
    pub fn policy(&self) -> Arc<Fallback> {
        Arc::clone(&self.policy)
    }

    /// The SHA-256 of the module in force, as it changes.
    pub fn digest(&self) -> watch::Receiver<Option<String>> {
        self.digest.subscribe()
    }

    /// The plugins directory.
    pub fn directory(&self) -> &Path {
        &self.selection.directory
    }

    /// What is at the plugin's path where that is another than before, once it has settled.
    pub(super) fn change(&self) -> Option<Change> {
        let look = file::look(self.directory(), &self.path);
        if self.lock().seen.as_ref() == Some(&look) {
            return None;
        }
        let settled = file::settled(self.directory(), &self.path, self.selection.settle)?;
        (self.lock().seen.as_ref() != Some(&settled)).then_some(Change(settled))
    }

    /// Takes up a change. May take as long as compiling a module does.
    pub(super) fn take_up(&self, Change(look): Change, cluster: Option<Question>) {
        match &look {
            Look::Found(mark) => {
                if !self.take_file(*mark, cluster) {
                    return;
                }
            }
            Look::Gone(home) => self.take_removal(*home),
            Look::NoDirectory => self.keep_on(format!("{}: there is no such directory", self.directory().display())),
            Look::Unknown(why) => self.keep_on(why.clone()),
        }
        self.lock().seen = Some(look);
    }

    /// False where the file has changed meanwhile, so that it is looked at again.
    fn take_file(&self, mark: Mark, cluster: Option<Question>) -> bool {
        let terms = &self.selection.terms;
        let (bytes, read) = match inspect::read(&self.path, terms) {
            Ok(read) => read,
            Err(rejection) => {
                self.refuse(None, &rejection);
                return true;
            }
        };
        if read != mark {
            return false;
        }
        let digest = wasm::digest(&bytes);
        let in_force = self.policy.selected().balancer.digest() == Some(digest.as_str());
        if in_force && self.lock().source == Some(Source::File) {
            self.settle_down(Source::File);
            return true;
        }
        match inspect::admit(&self.selection.name, &bytes, terms, cluster) {
            Ok((balancer, _)) => {
                keep(&self.kept, &self.selection.name, &digest, &bytes);
                self.select(Arc::new(balancer), Some(Source::File));
                announce(&self.selection.name, &self.path, &digest);
            }
            Err(rejection) => self.refuse(Some(digest), &rejection),
        }
        true
    }

    fn take_removal(&self, home: Home) {
        let name = &self.selection.name;
        let (source, same) = {
            let now = self.lock();
            (now.source, now.home.is_none_or(|before| before == home))
        };
        match source {
            Some(Source::File | Source::Kept) if !same => self.keep_on(format!(
                "{}: this is another directory than before (is its file system mounted?)",
                self.directory().display()
            )),
            Some(Source::File | Source::Kept) => match (self.selection.builtin)() {
                Ok(Some(builtin)) => {
                    tracing::warn!(balancer = name, path = %self.path.display(), "the plugin was removed: the builtin decides");
                    self.select(builtin, Some(Source::Builtin));
                }
                Ok(None) => self.go_missing(format!("there is no {}", self.path.display())),
                Err(error) => self.go_missing(format!("there is no {}, and: {error}", self.path.display())),
            },
            Some(source @ (Source::Builtin | Source::Script)) => self.settle_down(source),
            None => {}
        }
    }

    fn go_missing(&self, why: String) {
        tracing::error!(balancer = self.selection.name, why, "the plugin was removed");
        self.select(Arc::new(Absent::new(&self.selection.name, &why)), None);
        self.lock().problem = Some(why);
    }

    /// Replaces what is in force.
    fn select(&self, balancer: Arc<dyn Balancer>, source: Option<Source>) {
        let digest = balancer.digest().map(ToOwned::to_owned);
        let mut now = self.lock();
        self.policy.select(balancer);
        now.home = file::home(self.directory());
        (now.source, now.since) = (source, self.clock.now());
        (now.problem, now.refused) = (None, None);
        self.digest.send_replace(digest);
    }

    /// What is in force is what should be.
    fn settle_down(&self, source: Source) {
        let mut now = self.lock();
        now.home = file::home(self.directory());
        now.source = Some(source);
        if now.problem.take().is_some() {
            tracing::info!(balancer = self.selection.name, "what is in the plugins directory is in force again");
        }
        now.refused = None;
    }

    /// What is in force stays, though it cannot be told whether it should.
    fn keep_on(&self, why: String) {
        let mut now = self.lock();
        if now.problem.as_ref() != Some(&why) {
            tracing::warn!(
                balancer = self.selection.name,
                why,
                "the plugins directory cannot be read: nothing changes"
            );
        }
        now.problem = Some(why);
    }

    fn refuse(&self, digest: Option<String>, rejection: &Rejection) {
        let why = rejection.to_string();
        let mut now = self.lock();
        now.problem = Some(why.clone());
        if now.refused.as_ref().is_none_or(|before| before.digest != digest || before.why != why) {
            report_refusal(&self.selection.name, &self.path, &why);
            now.refused = Some(Refused { digest, since: self.clock.now(), why });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something at the plugin's path that has not been taken up.
#[derive(Debug)]
pub(super) struct Change(Look);

impl Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").field("path", &self.path).field("now", &self.now).finish_non_exhaustive()
    }
}

fn keep(kept: &Kept, name: &str, digest: &str, bytes: &[u8]) {
    if let Err(error) = kept.keep(name, digest, bytes) {
        tracing::warn!(balancer = name, %error, "the plugin is not kept: it does not outlast a restart with a bad file");
    }
}

fn announce(name: &str, path: &Path, digest: &str) {
    if builtin::module(name).is_some() {
        tracing::warn!(
            balancer = name, path = %path.display(), digest, "this plugin takes the place of the builtin balancer of its name"
        );
    } else {
        tracing::info!(balancer = name, path = %path.display(), digest, "the plugin is in force");
    }
}

fn report_refusal(name: &str, path: &Path, why: &str) {
    tracing::error!(balancer = name, path = %path.display(), why, "the plugin is not taken");
}
