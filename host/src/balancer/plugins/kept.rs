//! The last good module of each name, kept so that it outlasts a restart while a bad file is in its place.
//!
//! `<name>.last` says which of the [`Modules`] was the last good one of that name, and in which directory its file lay, so
//! that a file that was removed is told from a directory that is not mounted.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    file::Home,
    modules::{Modules, is_digest},
};

const LAST: &str = "last";

/// The modules that are kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    modules: Modules,
}

/// What is known of the last good module of a name.
struct Last {
    digest: String,
    /// None where the system did not tell.
    home: Option<Home>,
}

impl Last {
    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let digest = lines.next()?.trim();
        let home = lines.next().and_then(|line| {
            let (device, inode) = line.split_once(' ')?;
            Some((device.parse().ok()?, inode.parse().ok()?))
        });
        is_digest(digest).then(|| Self { digest: digest.to_owned(), home })
    }

    fn to_text(&self) -> String {
        let home = self.home.map(|(device, inode)| format!("{device} {inode}\n"));
        format!("{}\n{}", self.digest, home.unwrap_or_default())
    }
}

impl Kept {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { modules: Modules::new(directory) }
    }

    /// Where a module is kept.
    pub(super) fn path(&self, digest: &str) -> PathBuf {
        self.modules.path(digest)
    }

    fn path_of_last(&self, name: &str) -> PathBuf {
        self.modules.directory.join(format!("{name}.{LAST}"))
    }

    fn last(&self, name: &str) -> Option<Last> {
        read(&self.path_of_last(name))
    }

    /// The SHA-256 of the last good module of that name.
    pub(super) fn digest(&self, name: &str) -> Option<String> {
        Some(self.last(name)?.digest)
    }

    /// The directory that the last good file of that name lay in.
    pub(super) fn home(&self, name: &str) -> Option<Home> {
        self.last(name)?.home
    }

    /// The last good module of that name; none where there is none, or where it is not what was put there.
    pub(super) fn read(&self, name: &str, limit: usize) -> Option<Vec<u8>> {
        self.modules.read(&self.last(name)?.digest, limit)
    }

    /// Keeps a module, whose file lies in `home`, as the last good one of that name.
    pub(super) fn keep(&self, name: &str, digest: &str, bytes: &[u8], home: Option<Home>) -> io::Result<()> {
        let alone = self.modules.alone()?;
        alone.put(digest, bytes, &self.named()?)?;
        let last = Last { digest: digest.to_owned(), home };
        alone.write(&self.path_of_last(name), last.to_text().as_bytes())
    }

    /// Keeps a module for the sake of what it decides.
    pub(super) fn hold(&self, digest: &str, bytes: &[u8]) -> io::Result<()> {
        let alone = self.modules.alone()?;
        match self.modules.read(digest, bytes.len()) {
            Some(_) => Ok(()),
            None => alone.put(digest, bytes, &self.named()?),
        }
    }

    /// Notes that the last good file of that name lies in `home` now.
    pub(super) fn move_to(&self, name: &str, home: Home) -> io::Result<()> {
        let alone = self.modules.alone()?;
        match self.last(name) {
            Some(last) if last.home != Some(home) => {
                let last = Last { home: Some(home), ..last };
                alone.write(&self.path_of_last(name), last.to_text().as_bytes())
            }
            _ => Ok(()),
        }
    }

    /// From now on there is no last good module of that name: its file was removed.
    pub(super) fn forget(&self, name: &str) -> io::Result<()> {
        if self.last(name).is_none() {
            return Ok(());
        }
        let _alone = self.modules.alone()?;
        fs::remove_file(self.path_of_last(name))
    }

    /// Lets go the modules that are not the last good ones of any name nor among those that are `wanted`, once they have not
    /// been `before` either; returns those for the next time.
    pub(super) fn sweep(
        &self,
        mut wanted: BTreeSet<String>,
        before: &BTreeSet<String>,
    ) -> io::Result<BTreeSet<String>> {
        let alone = self.modules.alone()?;
        wanted.append(&mut self.named()?);
        alone.sweep(&wanted, before)
    }

    /// The last good modules of all names.
    fn named(&self) -> io::Result<BTreeSet<String>> {
        let mut named = BTreeSet::new();
        for entry in self.modules.directory.read_dir()? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == LAST) {
                named.extend(read(&path).map(|last| last.digest));
            }
        }
        Ok(named)
    }
}

fn read(path: &Path) -> Option<Last> {
    Last::from_text(&fs::read_to_string(path).ok()?)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, os::unix::fs::PermissionsExt};

    use super::Kept;
    use crate::balancer::wasm::digest;

    fn sweep(kept: &Kept, wanted: &[&[u8]]) {
        let wanted = || wanted.iter().map(|bytes| digest(bytes)).collect();
        let before = kept.sweep(wanted(), &BTreeSet::new()).unwrap();
        kept.sweep(wanted(), &before).unwrap();
    }

    fn has(kept: &Kept, bytes: &[u8]) -> bool {
        kept.path(&digest(bytes)).is_file()
    }

    #[test]
    fn of_each_name_the_last_module_is_kept_and_of_the_others_those_that_are_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(dir.path().join("balancers"));
        assert_eq!(kept.read("mine", 10), None);
        for bytes in [b"one", b"two"] {
            kept.keep("mine", &digest(bytes), bytes, None).unwrap();
            kept.keep("mine", &digest(bytes), bytes, None).unwrap();
            assert_eq!(kept.read("mine", 10).as_deref(), Some(&bytes[..]));
        }
        assert_eq!(kept.modules.directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        // What another name has kept too stays.
        kept.keep("yours", &digest(b"two"), b"two", None).unwrap();
        kept.keep("mine", &digest(b"three"), b"three", None).unwrap();
        kept.hold(&digest(b"builtin"), b"builtin").unwrap();
        kept.hold(&digest(b"builtin"), b"builtin").unwrap();
        sweep(&kept, &[b"one", b"builtin"]);
        for bytes in [&b"one"[..], b"two", b"three", b"builtin"] {
            assert!(has(&kept, bytes));
        }
        sweep(&kept, &[]);
        assert_eq!(
            [&b"one"[..], b"two", b"three", b"builtin"].map(|bytes| has(&kept, bytes)),
            [false, true, true, false]
        );
        assert_eq!(kept.read("yours", 10).as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn a_kept_module_that_is_not_what_was_put_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(dir.path().join("balancers"));
        kept.keep("mine", &digest(b"one"), b"one", None).unwrap();
        std::fs::write(kept.path(&digest(b"one")), "uno").unwrap();
        assert_eq!(kept.read("mine", 10), None);
    }

    #[test]
    fn what_was_removed_is_forgotten_and_what_another_name_has_too_stays() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(dir.path().join("balancers"));
        kept.forget("mine").unwrap();
        for name in ["mine", "yours"] {
            kept.keep(name, &digest(b"one"), b"one", Some((7, 12_345))).unwrap();
        }
        kept.move_to("mine", (8, 9)).unwrap();
        assert_eq!((kept.home("mine"), kept.home("yours"), kept.home("ours")), (Some((8, 9)), Some((7, 12_345)), None));
        kept.forget("mine").unwrap();
        assert_eq!((kept.home("mine"), kept.read("mine", 10)), (None, None));
        assert_eq!(kept.read("yours", 10).as_deref(), Some(&b"one"[..]));
        kept.forget("yours").unwrap();
        assert_eq!(kept.read("yours", 10), None);
        assert!(has(&kept, b"one"), "what it decided may be on record");
        sweep(&kept, &[]);
        assert!(!has(&kept, b"one"));
    }
}
