//! Modules by their digest, `<digest>.wasm`: those that may be needed again, and those that decided what is still on record.
//!
//! Whoever changes the directory holds a lock on it, since the balancer that decides, the one that is asked beside it and
//! the one who tidies up share it.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::file;
use crate::{balancer::wasm, config::data_dir::make_private};

/// What all of them may take together, bytes.
const MOST: u64 = 1 << 30;

const MODULE: &str = "wasm";
const ASIDE: &str = "new";

/// A directory of modules.
#[derive(Clone, Debug)]
pub(super) struct Modules {
    pub(super) directory: PathBuf,
    most: u64,
}

/// The sole right to change the directory.
pub(super) struct Alone<'a> {
    modules: &'a Modules,
    _locked: File,
}

impl Modules {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, most: MOST }
    }

    #[cfg(test)]
    pub(super) fn of_size(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// Where a module is kept.
    pub(super) fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}.{MODULE}"))
    }

    /// A module; none where there is none, or where it is not what was put there.
    pub(super) fn read(&self, digest: &str, limit: usize) -> Option<Vec<u8>> {
        let (bytes, _) = file::read(&self.path(digest), limit).ok()?;
        (wasm::digest(&bytes) == digest).then_some(bytes)
    }

    /// Waits for the sole right to change the directory, which is made where it is missing.
    pub(super) fn alone(&self) -> io::Result<Alone<'_>> {
        make_private(&self.directory).map_err(io::Error::other)?;
        let locked = File::open(&self.directory)?;
        locked.lock()?;
        Ok(Alone { modules: self, _locked: locked })
    }

    /// The modules that there are: when each was put there, its digest and its size.
    fn all(&self) -> io::Result<Vec<(SystemTime, String, u64)>> {
        let mut all = Vec::new();
        for entry in self.directory.read_dir()? {
            let path = entry?.path();
            if let Some(digest) = digest(&path, MODULE) {
                let metadata = path.metadata()?;
                all.push((metadata.modified()?, digest, metadata.len()));
            }
        }
        Ok(all)
    }
}

impl Alone<'_> {
    /// Keeps a module. Where all take too much, the oldest that nobody needs any more are let go.
    pub(super) fn put(&self, digest: &str, bytes: &[u8], needed: &BTreeSet<String>) -> io::Result<()> {
        self.write(&self.modules.path(digest), bytes)?;
        let mut all = self.modules.all()?;
        let mut total: u64 = all.iter().map(|(_, _, size)| size).sum();
        all.sort_unstable();
        for (_, old, size) in all {
            if total <= self.modules.most {
                break;
            }
            if old != digest && !needed.contains(&old) {
                tracing::warn!(digest = old, "a module that decided before is not kept any longer: all take too much");
                remove(&self.modules.path(&old))?;
                total -= size;
            }
        }
        Ok(())
    }

    /// Lets go the modules that nobody needs, of those that nobody needed `before` either: what was replaced a moment ago
    /// may have decided what is about to be recorded. Returns those that are left to be let go the next time.
    pub(super) fn sweep(&self, needed: &BTreeSet<String>, before: &BTreeSet<String>) -> io::Result<BTreeSet<String>> {
        let mut left = BTreeSet::new();
        for (_, digest, _) in self.modules.all()? {
            if needed.contains(&digest) {
                continue;
            }
            if before.contains(&digest) {
                remove(&self.modules.path(&digest))?;
            } else {
                left.insert(digest);
            }
        }
        // What a crash left half written: who writes holds the lock.
        for entry in self.modules.directory.read_dir()? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == ASIDE) {
                remove(&path)?;
            }
        }
        Ok(left)
    }

    /// Written aside and put into place, so that nobody reads half of it.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let aside = path.with_extension(ASIDE);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    }
}

/// The digest that a file of modules is named after.
fn digest(path: &Path, extension: &str) -> Option<String> {
    let digest = path.file_stem()?.to_str()?;
    (path.extension()? == extension && is_digest(digest)).then(|| digest.to_owned())
}

/// Whether a text is a SHA-256 as this program writes it.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const LIMIT: usize = 100;

    /// Modules of these bytes, each put there a second after the one before it.
    fn with(modules: &Modules, all: &[&str], needed: &[&str]) -> BTreeSet<String> {
        let needed = needed.iter().map(|bytes| wasm::digest(bytes.as_bytes())).collect();
        for (seconds, bytes) in (1..).zip(all) {
            let digest = wasm::digest(bytes.as_bytes());
            modules.alone().unwrap().put(&digest, bytes.as_bytes(), &needed).unwrap();
            let file = File::options().write(true).open(modules.path(&digest)).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        }
        needed
    }

    fn has(modules: &Modules, bytes: &str) -> bool {
        modules.read(&wasm::digest(bytes.as_bytes()), LIMIT).is_some()
    }

    #[test]
    fn what_nobody_has_needed_for_a_while_is_let_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let modules = Modules::new(dir.path().join("balancers"));
        let needed = with(&modules, &["one", "two", "three"], &["two"]);
        for other in ["mine.last", "key", "0123.wasm"] {
            fs::write(modules.directory.join(other), "").unwrap();
        }
        fs::write(modules.path("0").with_extension(ASIDE), "half").unwrap();
        let sweep = |before: &BTreeSet<String>| modules.alone().unwrap().sweep(&needed, before).unwrap();
        let left = sweep(&BTreeSet::new());
        assert_eq!(["one", "two", "three"].map(|bytes| has(&modules, bytes)), [true; 3]);
        // One of them is needed again meanwhile.
        let three = BTreeSet::from([wasm::digest(b"three")]);
        assert_eq!(sweep(&left.difference(&three).cloned().collect()), three);
        assert_eq!(["one", "two", "three"].map(|bytes| has(&modules, bytes)), [false, true, true]);
        assert!(sweep(&three).is_empty() && !has(&modules, "three"));
        let files = modules.directory.read_dir().unwrap().count();
        assert_eq!(files, 4, "the module that is needed, and what is no module");
    }

    #[test]
    fn where_all_take_too_much_the_oldest_goes_that_nobody_needs() {
        let dir = tempfile::tempdir().unwrap();
        let modules = Modules::new(dir.path().join("balancers")).of_size(9);
        with(&modules, &["one", "two", "six"], &["one"]);
        assert_eq!(["one", "two", "six"].map(|bytes| has(&modules, bytes)), [true; 3]);
        with(&modules, &["ten"], &["one"]);
        assert_eq!(["one", "two", "six", "ten"].map(|bytes| has(&modules, bytes)), [true, false, true, true]);
        // The newest is kept however large it is.
        with(&modules, &["many more bytes"], &["one"]);
        assert_eq!(
            ["one", "six", "ten", "many more bytes"].map(|bytes| has(&modules, bytes)),
            [true, false, false, true]
        );
    }
}
