//! The last good module of each name, kept so that it outlasts a restart while a bad file is in its place.
//!
//! Modules lie by their digest, `<digest>.wasm`; `<name>.last` says which one was the last good of that name.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::file;
use crate::{balancer::wasm, config::data_dir::make_private};

/// The directory of the modules that are kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    directory: PathBuf,
}

impl Kept {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Where a module is kept.
    pub(super) fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}.wasm"))
    }

    fn last(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.last"))
    }

    fn digest(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.last(name)).ok()?;
        let digest = text.trim();
        let is_one = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| digest.to_owned())
    }

    /// The last good module of that name; none where there is none, or where it is not what was put there.
    pub(super) fn read(&self, name: &str, limit: usize) -> Option<Vec<u8>> {
        let digest = self.digest(name)?;
        let (bytes, _) = file::read(&self.path(&digest), limit).ok()?;
        (wasm::digest(&bytes) == digest).then_some(bytes)
    }

    /// Keeps a module as the last good one of that name; the one before it is let go.
    pub(super) fn keep(&self, name: &str, digest: &str, bytes: &[u8]) -> io::Result<()> {
        make_private(&self.directory).map_err(io::Error::other)?;
        let before = self.digest(name).filter(|before| before != digest);
        self.write(&self.path(digest), bytes)?;
        self.write(&self.last(name), digest.as_bytes())?;
        match before {
            Some(before) if !self.is_named(&before)? => fs::remove_file(self.path(&before)),
            _ => Ok(()),
        }
    }

    fn is_named(&self, digest: &str) -> io::Result<bool> {
        for entry in self.directory.read_dir()? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "last") && fs::read_to_string(path)?.trim() == digest {
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
            kept.keep("mine", &digest(bytes), bytes).unwrap();
            kept.keep("mine", &digest(bytes), bytes).unwrap();
            assert_eq!(kept.read("mine", 10).as_deref(), Some(&bytes[..]));
        }
        assert_eq!(files(&kept), 2);
        assert_eq!(kept.directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        // What another name has kept too stays.
        kept.keep("yours", &digest(b"two"), b"two").unwrap();
        kept.keep("mine", &digest(b"three"), b"three").unwrap();
        assert_eq!(kept.read("yours", 10).as_deref(), Some(&b"two"[..]));
        assert_eq!(files(&kept), 4);
    }

    #[test]
    fn a_kept_module_that_is_not_what_was_put_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(dir.path().join("balancers"));
        kept.keep("mine", &digest(b"one"), b"one").unwrap();
        std::fs::write(kept.path(&digest(b"one")), "uno").unwrap();
        assert_eq!(kept.read("mine", 10), None);
    }
}
