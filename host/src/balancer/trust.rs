//! Whether a file that the daemon runs or loads could have been put there by somebody else.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Symbolic links that are followed before a path counts as going in circles.
const LINKS: usize = 40;

/// A path that somebody other than the daemon's user can change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", .path.display())]
pub struct Untrusted {
    /// The file or the directory that is wrong.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

/// Checks that a file and every directory above it are root's and that neither their groups nor others can write to them.
/// A sticky directory of root's (`/tmp`) may be written to by everybody, since nobody can replace what is another's in it.
/// Where the daemon is not root, its user harms nobody else and nothing is checked.
pub fn check(path: &Path) -> Result<(), Untrusted> {
    let own = nix::unistd::geteuid().as_raw();
    if own == 0 { walk(path, own, LINKS) } else { Ok(()) }
}

/// `own` is the user who may own things beside root.
fn walk(path: &Path, own: u32, links: usize) -> Result<(), Untrusted> {
    let wrong = |place: &Path, problem: String| Err(Untrusted { path: place.to_owned(), problem });
    let path = match std::path::absolute(path) {
        Ok(path) => path,
        Err(error) => return wrong(path, format!("cannot be found: {error}")),
    };
    for place in path.ancestors() {
        let metadata = match place.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) => return wrong(place, format!("cannot be looked at: {error}")),
        };
        let owner = metadata.uid();
        if owner != 0 && owner != own {
            return wrong(place, format!("belongs to user id {owner}, who could change it; run chown root on it"));
        }
        if metadata.is_symlink() {
            // What a link's mode says has no meaning; where it leads has.
            let target = match place.read_link() {
                Ok(target) => place.parent().unwrap_or(place).join(target),
                Err(error) => return wrong(place, format!("cannot be followed: {error}")),
            };
            match links.checked_sub(1) {
                Some(links) => walk(&target, own, links)?,
                None => return wrong(place, "its links go in circles".to_owned()),
            }
            continue;
        }
        let sticky = metadata.is_dir() && owner == 0 && metadata.mode() & 0o1000 != 0;
        if metadata.mode() & 0o022 != 0 && !sticky {
            return wrong(place, "its group or others can write to it; run chmod go-w on it".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
        path::{Path, PathBuf},
    };

    use super::{LINKS, walk};

    /// A directory that its owner alone can write to, with a file in it.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("plugins");
        fs::create_dir(&below).unwrap();
        chmod(&below, 0o755);
        let file = below.join("mine.wasm");
        fs::write(&file, "").unwrap();
        chmod(&file, 0o644);
        (dir, file)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// The path that is wrong, as the owner of `dir` sees it.
    fn wrong(file: &Path) -> Option<PathBuf> {
        let own = nix::unistd::geteuid().as_raw();
        walk(file, own, LINKS).err().map(|error| error.path)
    }

    #[test]
    fn what_only_its_owner_can_change_is_trusted_below_a_sticky_directory_too() {
        let (_dir, file) = place();
        assert_eq!(wrong(&file), None);
    }

    #[test]
    fn a_file_or_a_directory_that_others_can_write_to_is_named() {
        let (dir, file) = place();
        chmod(&file, 0o664);
        assert_eq!(wrong(&file), Some(file.clone()));
        chmod(&file, 0o644);
        chmod(file.parent().unwrap(), 0o777);
        assert_eq!(wrong(&file).as_deref(), file.parent());
        chmod(file.parent().unwrap(), 0o755);
        chmod(dir.path(), 0o702);
        assert_eq!(wrong(&file).as_deref(), Some(dir.path()));
    }

    #[test]
    fn what_belongs_to_another_user_is_named() {
        let (_dir, file) = place();
        let owner = file.metadata().unwrap().uid();
        let error = walk(&file, owner + 1, LINKS);
        // Root's files are everybody's to trust.
        assert_eq!(error.is_err(), owner != 0, "{error:?}");
        if owner == 0 {
            std::os::unix::fs::chown(&file, Some(4711), None).unwrap();
            assert_eq!(wrong(&file), Some(file));
        }
    }

    #[test]
    fn a_link_is_as_good_as_what_it_leads_to() {
        let (dir, file) = place();
        let link = dir.path().join("link.wasm");
        symlink("plugins/mine.wasm", &link).unwrap();
        assert_eq!(wrong(&link), None);
        chmod(&file, 0o646);
        assert_eq!(wrong(&link), Some(file));
        let circle = dir.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert_eq!(wrong(&circle), Some(circle));
    }
}
