//! Where something that was installed lies, and whether it is whole.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::unistd::geteuid;

use crate::workspace;

/// A place below `target`, or one that others can read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its directory, below `target`.
    pub(super) folder: &'static str,
    /// Where it is if root works in a directory that others cannot enter, and others run its programs.
    pub(super) public: Option<&'static str>,
}

impl Place {
    pub(super) fn directory(self) -> Result<PathBuf> {
        let target = workspace::target()?;
        let hidden = geteuid().is_root() && !others_can_enter(&target);
        Ok(match self.public {
            Some(public) if hidden => public.into(),
            _ => target.join(self.folder),
        })
    }
}

/// Says that a directory holds all of `what`: to be written last.
pub(super) fn mark(directory: &Path, what: &str) -> Result<()> {
    let path = marker(directory);
    fs::write(&path, what).with_context(|| path.display().to_string())
}

/// Whether a directory holds all of `what`.
pub(super) fn is_marked(directory: &Path, what: &str) -> bool {
    fs::read_to_string(marker(directory)).is_ok_and(|installed| installed == what)
}

fn marker(directory: &Path) -> PathBuf {
    directory.join("evenkeel-requirements.txt")
}

/// Whether every directory on the way lets others through.
fn others_can_enter(path: &Path) -> bool {
    path.ancestors().all(|directory| fs::metadata(directory).is_ok_and(|data| data.permissions().mode() & 0o001 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_below_a_private_one_cannot_be_entered_by_others() {
        let private = tempfile::tempdir().unwrap();
        fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
        let inner = private.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!others_can_enter(&inner));
        assert!(others_can_enter(Path::new("/usr/bin")));
    }
}
