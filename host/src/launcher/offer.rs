//! What this node offers: the kinds whose programs are here, and what those say their version is.
//!
//! Programs come and go while the daemon runs, so it looks again every minute. A program is asked for its version when it is
//! new or its file has changed, and never as root.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::kind::{Kind, Kinds};

mod version;

pub use version::Nobody;

/// How often is looked again.
const PERIOD: Duration = Duration::from_secs(60);

/// The kinds that are offered, each with its version where that is known.
pub type Offered = BTreeMap<String, Option<String>>;

/// Keeps what is offered up to date.
#[derive(Debug)]
pub struct Offer {
    kinds: Arc<Kinds>,
    asker: version::Asker,
    current: watch::Sender<Offered>,
    known: HashMap<PathBuf, Known>,
}

/// What a program said when it was asked last.
#[derive(Debug)]
struct Known {
    file: FileState,
    said: Option<String>,
}

/// By what a changed file is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

/// A kind and where its program is; jobs have none.
type Found = Vec<(Arc<Kind>, Option<(PathBuf, FileState)>)>;

impl Offer {
    /// What is here now, with no versions yet. Looks at the file system: not for an async thread. `nobody` is whom
    /// programs are asked as where the daemon is root.
    pub fn new(kinds: Arc<Kinds>, nobody: Option<Nobody>) -> Self {
        let search_path: OsString = kinds.search_path().to_owned();
        let found = look(&kinds).into_iter().map(|(kind, _)| (kind.name.clone(), None)).collect();
        let current = watch::Sender::new(found);
        Self { kinds, asker: version::Asker { search_path, nobody }, current, known: HashMap::new() }
    }

    /// What is offered, as it changes.
    pub fn watch(&self) -> watch::Receiver<Offered> {
        self.current.subscribe()
    }

    /// Looks again and again until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let looking = async {
            loop {
                self.refresh().await;
                let _ = tokio::time::timeout(PERIOD, self.kinds.replaced()).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    /// Looks again: first at what is here, then at the versions of what is new.
    async fn refresh(&mut self) {
        let kinds = Arc::clone(&self.kinds);
        let Ok(found) = tokio::task::spawn_blocking(move || look(&kinds)).await else { return };
        self.publish(&found);
        for (kind, program) in &found {
            let (Some((path, file)), Some(arguments)) = (program, &kind.version) else { continue };
            if self.known.get(path).is_some_and(|known| known.file == *file) {
                continue;
            }
            let said = match self.asker.ask(path, arguments, &kind.search).await {
                Ok(said) => Some(said),
                Err(problem) => {
                    tracing::debug!(kind = kind.name, program = %path.display(), problem, "its version is not known");
                    None
                }
            };
            self.known.insert(path.clone(), Known { file: *file, said });
            self.publish(&found);
        }
        self.known.retain(|path, _| found.iter().any(|(_, program)| program.as_ref().is_some_and(|(p, _)| p == path)));
    }

    fn publish(&self, found: &Found) {
        let version = |program: &Option<(PathBuf, FileState)>| {
            let (path, file) = program.as_ref()?;
            self.known.get(path).filter(|known| known.file == *file)?.said.clone()
        };
        let now: Offered = found.iter().map(|(kind, program)| (kind.name.clone(), version(program))).collect();
        self.current.send_if_modified(|before| {
            for kind in now.keys().filter(|kind| !before.contains_key(*kind)) {
                tracing::info!(kind, "its program is here now: offered");
            }
            for kind in before.keys().filter(|kind| !now.contains_key(*kind)) {
                tracing::warn!(kind, "its program is gone: not offered any more");
            }
            let changed = *before != now;
            *before = now.clone();
            changed
        });
    }
}

fn look(kinds: &Kinds) -> Found {
    let program = |kind: &Kind| {
        let path = kinds.program(kind)?;
        let file = FileState::of(&path)?;
        Some((path, file))
    };
    kinds.offered().into_iter().map(|kind| (Arc::clone(&kind), program(&kind))).collect()
}

impl FileState {
    fn of(path: &Path) -> Option<Self> {
        let data = path.metadata().ok()?;
        Some(Self { inode: data.ino(), length: data.len(), modified: (data.mtime(), data.mtime_nsec()) })
    }
}

#[cfg(test)]
mod tests;
