//! Whether what a daemon that runs as root is about to run is out of other accounts' reach.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// How many symbolic links a path may lead through: as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Who may have put a program on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Anybody: the daemon has no more rights than the account that configured it.
    Anybody,
    /// These user ids.
    Owners(Vec<u32>),
}

/// Why a path is not to be trusted. Each names the part of the path that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be looked at.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Somebody else's.
    #[error("{} belongs to user id {owner}, and must be root's or the server user's", .path.display())]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may change it.
    #[error("{} can be written to by its group or by others; run chmod go-w on it", .0.display())]
    Writable(PathBuf),
    /// Links that lead to links.
    #[error("{} leads through too many symbolic links", .0.display())]
    Links(PathBuf),
}

impl Trust {
    /// Checks a file or a directory, every directory above it, and both sides of every symbolic link on the way. A sticky
    /// directory, such as `/tmp`, may be open to everybody: nobody can change there what is another's.
    pub fn check(&self, path: &Path) -> Result<(), TrustError> {
        let Self::Owners(owners) = self else { return Ok(()) };
        let mut checked = PathBuf::from("/");
        inspect(owners, &checked)?;
        let mut rest: VecDeque<OsString> = parts(path);
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                checked.pop();
                continue;
            }
            checked.push(&part);
            if let Some(target) = inspect(owners, &checked)? {
                links += 1;
                if links > MOST_LINKS {
                    return Err(TrustError::Links(path.to_owned()));
                }
                checked.pop();
                if target.is_absolute() {
                    checked = PathBuf::from("/");
                }
                let mut way = parts(&target);
                way.append(&mut rest);
                rest = way;
            }
        }
        Ok(())
    }
}

/// Checks one part of a path; where it is a symbolic link, returns what it leads to.
fn inspect(owners: &[u32], path: &Path) -> Result<Option<PathBuf>, TrustError> {
    let failed = |error| TrustError::Io { path: path.to_owned(), error };
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    if !owners.contains(&metadata.uid()) {
        return Err(TrustError::Owner { path: path.to_owned(), owner: metadata.uid() });
    }
    if metadata.is_symlink() {
        // The mode of a link says nothing.
        return fs::read_link(path).map(Some).map_err(failed);
    }
    let sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
    if metadata.mode() & 0o022 != 0 && !sticky {
        return Err(TrustError::Writable(path.to_owned()));
    }
    Ok(None)
}

/// The names of a path, without its root.
fn parts(path: &Path) -> VecDeque<OsString> {
    let name = |part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A directory with a file `deep/script` in it, and the trust in whoever runs the tests, and in root.
    fn tree() -> (tempfile::TempDir, PathBuf, Trust) {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("deep/script");
        fs::create_dir(script.parent().unwrap()).unwrap();
        fs::write(&script, "#!/bin/sh\n").unwrap();
        mode(script.parent().unwrap(), 0o755);
        mode(&script, 0o755);
        (dir, script, Trust::Owners(vec![0, nix::unistd::geteuid().as_raw()]))
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_only_trusted_accounts_can_change_is_trusted() {
        let (_dir, script, trust) = tree();
        trust.check(&script).unwrap();
    }

    #[test]
    fn a_file_or_a_directory_that_others_can_write_to_is_named() {
        let (_dir, script, trust) = tree();
        let above = script.parent().unwrap();
        for (path, bits) in [(script.as_path(), 0o775), (&script, 0o757), (above, 0o775), (above, 0o777)] {
            mode(path, bits);
            let error = trust.check(&script).unwrap_err();
            assert!(matches!(&error, TrustError::Writable(wrong) if wrong == path), "{error}");
            assert!(error.to_string().contains("chmod go-w"));
            assert!(Trust::Anybody.check(&script).is_ok());
            mode(path, 0o755);
        }
    }

    #[test]
    fn what_belongs_to_another_account_is_named_with_it() {
        let (_dir, script, _) = tree();
        let error = Trust::Owners(vec![12_345]).check(&script).unwrap_err();
        assert!(matches!(&error, TrustError::Owner { path, owner: 0 } if path == Path::new("/")), "{error}");
    }

    #[test]
    fn a_link_is_followed_and_every_directory_on_both_ways_counts() {
        let (dir, script, trust) = tree();
        let links = dir.path().join("links");
        fs::create_dir(&links).unwrap();
        mode(&links, 0o755);
        let link = links.join("script");
        symlink("../deep/script", &link).unwrap();
        trust.check(&link).unwrap();
        mode(script.parent().unwrap(), 0o777);
        let error = trust.check(&link).unwrap_err();
        assert!(matches!(&error, TrustError::Writable(wrong) if wrong.ends_with("deep")), "{error}");
        mode(script.parent().unwrap(), 0o755);
        mode(&links, 0o777);
        let error = trust.check(&link).unwrap_err();
        assert!(matches!(&error, TrustError::Writable(wrong) if wrong.ends_with("links")), "{error}");
    }

    #[test]
    fn links_that_lead_in_a_circle_end() {
        let (dir, _, trust) = tree();
        let link = dir.path().join("circle");
        symlink(&link, &link).unwrap();
        assert!(matches!(trust.check(&link).unwrap_err(), TrustError::Links(_)));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (dir, _, trust) = tree();
        let error = trust.check(&dir.path().join("none/script")).unwrap_err().to_string();
        assert!(error.ends_with("none: No such file or directory (os error 2)"), "{error}");
    }
}
