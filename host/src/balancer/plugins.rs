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
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::watch;

use self::{
    file::{Home, Look, Mark},
    kept::Kept,
    refused::{Refused, Retry},
};
use super::{
    Balancer, Fallback, Journal, Question, builtin,
    wasm::{self, LoadError},
};
use crate::domain::Clock;

mod absent;
mod ahead;
mod begin;
mod file;
mod inspect;
mod kept;
mod modules;
mod refused;
mod report;
#[cfg(test)]
mod tests;
mod tidy;
mod trial;
mod watch_directory;

pub use begin::{SelectionError, is_name};
pub use inspect::{Inspection, Rejection, Terms, inspect, inspect_builtin};
pub use modules::is_digest;
pub use report::{Report, Source, State, shadows_builtin};
pub use tidy::OnRecord;
pub use trial::Trial;
pub use watch_directory::Describe;

use absent::Absent;
use ahead::Ahead;
use begin::{Begin, Beginning};

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
    /// The names of the plugins in the directory, as of the last look.
    listed: Mutex<Arc<[String]>>,
}

/// How things stand.
#[derive(Debug)]
struct Now {
    /// What was taken up last.
    seen: Option<Look>,
    /// The directory that the file in force lay in, or the one that is kept in its place.
    home: Option<Home>,
    source: Option<Source>,
    since: Timestamp,
    /// Why what should be in force is not.
    problem: Option<String>,
    refused: Option<Refused>,
    ahead: Option<Ahead>,
}

impl Plugins {
    /// Selects the balancer; `other` answers where it fails, and for as long as there is none of that name.
    pub fn open(
        selection: Selection,
        other: Option<Arc<dyn Balancer>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SelectionError> {
        let tolerant = other.is_some();
        Self::begin(selection, other, clock, tolerant)
    }

    /// Selects a balancer that nobody depends on: where it cannot be had, it is missing until its file is there.
    pub fn open_shadow(selection: Selection, clock: Arc<dyn Clock>) -> Result<Self, SelectionError> {
        Self::begin(selection, None, clock, true)
    }

    fn begin(
        selection: Selection,
        other: Option<Arc<dyn Balancer>>,
        clock: Arc<dyn Clock>,
        tolerant: bool,
    ) -> Result<Self, SelectionError> {
        if !is_name(&selection.name) {
            return Err(SelectionError::Name);
        }
        let path = selection.directory.join(format!("{}.wasm", selection.name));
        let kept = Kept::new(selection.kept.clone());
        let seen = file::settled(&selection.directory, &path, selection.settle);
        let begin = Begin { selection: &selection, path: &path, kept: &kept, now: clock.now(), tolerant };
        // Compiling may take long, and a node that starts has sessions to look after: what was good before decides meanwhile.
        let interim = matches!(seen, Some(Look::Found(_))).then(|| begin.interim()).flatten();
        let is_interim = interim.is_some();
        let Beginning { balancer, source, problem, refused } = match (interim, &seen) {
            (Some(interim), _) => interim,
            (None, Some(Look::Found(_))) => begin.with_file()?,
            (None, Some(Look::Gone(home))) => begin.without_file(*home)?,
            (None, Some(Look::NoDirectory)) => begin.without_directory(None)?,
            (None, Some(Look::Unknown(why))) => begin.without_directory(Some(why.clone()))?,
            (None, None) => begin.without_directory(Some(format!("{}: it keeps changing", path.display())))?,
        };
        let home = match source {
            Some(Source::Kept) => kept.home(&selection.name),
            _ => file::home(&selection.directory),
        };
        let seen = seen.filter(|_| !is_interim);
        let now = Now { seen, home, source, since: clock.now(), problem, refused, ahead: None };
        for one in std::iter::once(&balancer).chain(&other) {
            hold(&kept, one.as_ref());
        }
        let digest = watch::Sender::new(balancer.digest().map(ToOwned::to_owned));
        let policy = Arc::new(Fallback::writing(Arc::clone(&selection.journal), balancer, other));
        let listed = Mutex::new(file::names(&selection.directory).into());
        Ok(Self { selection, path, kept, clock, policy, digest, now: Mutex::new(now), listed })
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

    /// The names of the plugins in the directory, as of the last look.
    fn listed(&self) -> Arc<[String]> {
        Arc::clone(&self.listed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks what is in the directory.
    pub(super) fn list(&self) {
        let names = file::names(self.directory()).into();
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// What is at the plugin's path where that is another than before, once it has settled; also what was refused, where it
    /// may pass now.
    pub(super) fn change(&self, now: Instant) -> Option<Change> {
        let look = file::look(self.directory(), &self.path);
        let is_due = matches!(look, Look::Found(_)) && self.is_due(now);
        if self.lock().seen.as_ref() == Some(&look) && !is_due {
            return None;
        }
        let settled = file::settled(self.directory(), &self.path, self.selection.settle)?;
        (is_due || self.lock().seen.as_ref() != Some(&settled)).then_some(Change(settled))
    }

    /// Whether a file that was refused is to be tried again, though it is the same.
    fn is_due(&self, now: Instant) -> bool {
        let refused = self.lock().refused.as_ref().map(|refused| (refused.retry(), refused.why.clone()));
        match refused {
            None | Some((Retry::Never, _)) => false,
            Some((Retry::From(due, _), _)) => now >= due,
            Some((Retry::Always, why)) => {
                inspect::read(&self.path, &self.selection.terms).err().is_none_or(|error| error.to_string() != why)
            }
        }
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
                keep(&self.kept, &self.selection, &digest, &bytes);
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
            Some(Source::File | Source::Kept) if !same => self.keep_on(moved(self.directory())),
            Some(Source::File | Source::Kept) => {
                forget(&self.kept, name);
                match (self.selection.builtin)() {
                    Ok(Some(builtin)) => {
                        hold(&self.kept, builtin.as_ref());
                        tracing::warn!(balancer = name, path = %self.path.display(), "the plugin was removed: the builtin decides");
                        self.select(builtin, Some(Source::Builtin));
                    }
                    Ok(None) => self.go_missing(self.gone()),
                    Err(error) => self.go_missing(format!("{}, and: {error}", self.gone())),
                }
            }
            Some(source @ (Source::Builtin | Source::Script)) => self.settle_down(source),
            None => self.go_missing(self.gone()),
        }
    }

    fn gone(&self) -> String {
        format!("there is no {}", self.path.display())
    }

    fn go_missing(&self, why: String) {
        tracing::error!(balancer = self.selection.name, why, "the balancer is missing until its file is there");
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
        (now.problem, now.refused, now.ahead) = (None, None, None);
        self.digest.send_replace(digest);
    }

    /// What is in force is what should be.
    fn settle_down(&self, source: Source) {
        let home = file::home(self.directory());
        if let (Source::File, Some(home)) = (source, home)
            && let Err(error) = self.kept.move_to(&self.selection.name, home)
        {
            tracing::warn!(balancer = self.selection.name, %error, "where the plugin lies now is not noted");
        }
        let mut now = self.lock();
        now.home = home;
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
        let moment = Instant::now();
        let refused = Refused::new(digest, rejection, self.clock.now(), moment);
        let mut now = self.lock();
        now.problem = Some(refused.why.clone());
        let (refused, is_news) = refused.after(now.refused.as_ref(), moment);
        if is_news {
            report_refusal(&self.selection.name, &self.path, &refused.why);
        }
        now.refused = Some(refused);
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the module of this SHA-256 lies, if it is kept, in the directory of those that are; none where the text is no
/// SHA-256.
pub fn kept_module(directory: &Path, digest: &str) -> Option<PathBuf> {
    is_digest(digest).then(|| Kept::new(directory.to_owned()).path(digest))
}

/// Something at the plugin's path that has not been taken up.
#[derive(Debug)]
pub(super) struct Change(Look);

impl Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").field("path", &self.path).field("now", &self.now).finish_non_exhaustive()
    }
}

fn keep(kept: &Kept, Selection { name, directory, .. }: &Selection, digest: &str, bytes: &[u8]) {
    if let Err(error) = kept.keep(name, digest, bytes, file::home(directory)) {
        tracing::warn!(balancer = name, %error, "the plugin is not kept: it does not outlast a restart with a bad file");
    }
}

/// Keeps the module of a builtin balancer too: another version of the program has another, and decisions are on record.
fn hold(kept: &Kept, balancer: &dyn Balancer) {
    let Some(bytes) = builtin::module(balancer.name()) else { return };
    let digest = wasm::digest(bytes);
    if balancer.digest() == Some(digest.as_str())
        && let Err(error) = kept.hold(&digest, bytes)
    {
        tracing::warn!(balancer = balancer.name(), %error, "the builtin balancer's module is not kept for the records");
    }
}

/// What was removed must not return with the next start: nodes that start at another time would decide by another policy.
fn forget(kept: &Kept, name: &str) {
    if let Err(error) = kept.forget(name) {
        tracing::warn!(balancer = name, %error, "the plugin that was removed is still kept, and returns with a restart");
    }
}

fn moved(directory: &Path) -> String {
    format!("{}: this is another directory than before (is its file system mounted?)", directory.display())
}

fn announce(name: &str, path: &Path, digest: &str) {
    match shadows_builtin(name) {
        Some(why) => tracing::warn!(balancer = name, path = %path.display(), digest, why, "the plugin is in force"),
        None => tracing::info!(balancer = name, path = %path.display(), digest, "the plugin is in force"),
    }
}

fn report_refusal(name: &str, path: &Path, why: &str) {
    tracing::error!(balancer = name, path = %path.display(), why, "the plugin is not taken");
}
