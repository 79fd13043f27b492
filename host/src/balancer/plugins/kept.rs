//! The last good module of each name, kept so that it outlasts a restart while a bad file is in its place.
//!
//! Modules lie by their digest, `<digest>.wasm`; `<name>.last` says which one was the last good of that name, and in which
//! directory its file lay, so that a file that was removed is told from a directory that is not mounted.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::file::{self, Home};
use crate::{balancer::wasm, config::data_dir::make_private};

/// The directory of the modules that are kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    directory: PathBuf,
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
        let is_one = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let home = lines.next().and_then(|line| {
            let (device, inode) = line.split_once(' ')?;
            Some((device.parse().ok()?, inode.parse().ok()?))
        });
        is_one.then(|| Self { digest: digest.to_owned(), home })
    }

    fn to_text(&self) -> String {
        let home = self.home.map(|(device, inode)| format!("{device} {inode}\n"));
        format!("{}\n{}", self.digest, home.unwrap_or_default())
    }
}

impl Kept {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Where a module is kept.
    pub(super) fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}.wasm"))
    }

    fn path_of_last(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.last"))
    }

    fn last(&self, name: &str) -> Option<Last> {
        Last::from_text(&fs::read_to_string(self.path_of_last(name)).ok()?)
    }

    /// The directory that the last good file of that name lay in.
    pub(super) fn home(&self, name: &str) -> Option<Home> {
        self.last(name)?.home
    }

    /// The last good module of that name; none where there is none, or where it is not what was put there.
    pub(super) fn read(&self, name: &str, limit: usize) -> Option<Vec<u8>> {
        let Last { digest, .. } = self.last(name)?;
        let (bytes, _) = file::read(&self.path(&digest), limit).ok()?;
        (wasm::digest(&bytes) == digest).then_some(bytes)
    }

    /// Keeps a module, whose file lies in `home`, as the last good one of that name; the one before it is let go.
    pub(super) fn keep(&self, name: &str, digest: &str, bytes: &[u8], home: Option<Home>) -> io::Result<()> {
        make_private(&self.directory).map_err(io::Error::other)?;
        let before = self.last(name).map(|last| last.digest).filter(|before| before != digest);
        self.write(&self.path(digest), bytes)?;
        let last = Last { digest: digest.to_owned(), home };
        self.write(&self.path_of_last(name), last.to_text().as_bytes())?;
        before.map_or(Ok(()), |before| self.let_go(&before))
    }

    /// Notes that the last good file of that name lies in `home` now.
    pub(super) fn move_to(&self, name: &str, home: Home) -> io::Result<()> {
        match self.last(name) {
            Some(last) if last.home != Some(home) => {
                let last = Last { home: Some(home), ..last };
                self.write(&self.path_of_last(name), last.to_text().as_bytes())
            }
            _ => Ok(()),
        }
    }

    /// From now on there is no last good module of that name: its file was removed.
    pub(super) fn forget(&self, name: &str) -> io::Result<()> {
        let Some(Last { digest, .. }) = self.last(name) else { return Ok(()) };
        fs::remove_file(self.path_of_last(name))?;
        self.let_go(&digest)
    }

    /// Removes a module, unless it is the last good one of some name.
    fn let_go(&self, digest: &str) -> io::Result<()> {
        if self.is_named(digest)? { Ok(()) } else { fs::remove_file(self.path(digest)) }
    }

    fn is_named(&self, digest: &str) -> io::Result<bool> {
        for entry in self.directory.read_dir()? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "last")
                && Last::from_text(&fs::read_to_string(path)?).is_some_and(|last| last.digest == digest)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Written aside and put into place, so that nobody reads half of it.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let aside = path.with_extension("new");
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::Kept;
    use crate::balancer::wasm::digest;

    fn files(kept: &Kept) -> usize {
        kept.directory.read_dir().unwrap().count()
    }

    #[test]
    fn of_each_name_the_last_module_is_kept_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(dir.path().join("balancers"));
        assert_eq!(kept.read("mine", 10), None);
        for bytes in [b"one", b"two"] {
            kept.keep("mine", &digest(bytes), bytes, None).unwrap();
            kept.keep("mine", &digest(bytes), bytes, None).unwrap();
            assert_eq!(kept.read("mine", 10).as_deref(), Some(&bytes[..]));
        }
        assert_eq!(files(&kept), 2);
        assert_eq!(kept.directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        // What another name has kept too stays.
        kept.keep("yours", &digest(b"two"), b"two", None).unwrap();
        kept.keep("mine", &digest(b"three"), b"three", None).unwrap();
        assert_eq!(kept.read("yours", 10).as_deref(), Some(&b"two"[..]));
        assert_eq!(files(&kept), 4);
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
        assert_eq!(files(&kept), 0);
    }
}
