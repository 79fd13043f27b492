//! A daemon's own directory: made with the mode it must have, held by one daemon at a time, with the token in it.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use nix::fcntl::{Flock, FlockArg};

use crate::domain::Entropy;

/// The fewest characters of a secret.
pub(super) const MIN_SECRET: usize = 16;

/// Why a directory or a file of the daemon's own cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The system refused.
    #[error("{}: {action}: {error}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What it said.
        error: std::io::Error,
    },
    /// Another daemon has it.
    #[error("{}: another evenkeel runs with this data directory; stop it, or give --data-dir", .0.display())]
    Held(PathBuf),
    /// Somebody else could change or read what lies there.
    #[error("{}: {problem}", .path.display())]
    Exposed {
        /// Where.
        path: PathBuf,
        /// Who could, and what to do.
        problem: String,
    },
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> DataDirError {
    move |error| DataDirError::Io { path: path.to_owned(), action, error }
}

/// A data directory that this process holds.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataDir {
    /// Makes the directory where it is missing and takes hold of it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        make_private(path)?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path, "cannot be opened for writing"))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            nix::errno::Errno::EWOULDBLOCK => DataDirError::Held(path.to_owned()),
            other => failed(&lock_path, "cannot be locked")(other.into()),
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The token by which programs of the daemon's user sign in, in file `token`; drawn where there is none.
    pub fn token(&self, entropy: &dyn Entropy) -> Result<String, DataDirError> {
        secret(&self.path.join("token"), entropy)
    }
}

/// Makes a directory, and those above it, that only its owner can enter; one that exists must be its owner's alone to
/// change.
pub fn make_private(path: &Path) -> Result<(), DataDirError> {
    if make_own(path)?.mode() & 0o022 != 0 {
        let problem = "others can write to it; run chmod go-w on it".to_owned();
        return Err(DataDirError::Exposed { path: path.to_owned(), problem });
    }
    Ok(())
}

/// Makes a directory, and those above it, that only its owner can enter, and closes one that exists to everybody else.
pub fn make_closed(path: &Path) -> Result<(), DataDirError> {
    close(path, 0o700)
}

/// Makes a directory in which only its owner can see or change anything, and through which everybody can pass to what lies
/// in it, if they know its name; so are those above it that are made.
pub fn make_passable(path: &Path) -> Result<(), DataDirError> {
    let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|above| !above.exists()).collect();
    make_own(path)?;
    for above in missing {
        std::fs::set_permissions(above, Permissions::from_mode(0o711)).map_err(failed(above, "cannot be opened"))?;
    }
    close(path, 0o711)
}

fn close(path: &Path, to: u32) -> Result<(), DataDirError> {
    let mode = make_own(path)?.mode();
    if mode & 0o002 != 0 {
        // Such as /tmp: to close it would take it from everybody, and what lies in it may be anybody's.
        let problem = "everybody can write to it; choose a directory of the daemon's own".to_owned();
        return Err(DataDirError::Exposed { path: path.to_owned(), problem });
    }
    if mode & 0o777 != to {
        let closed = Permissions::from_mode(to);
        std::fs::set_permissions(path, closed).map_err(failed(path, "cannot be closed to others"))?;
    }
    Ok(())
}

/// Makes a directory where it is missing; one that exists must belong to this process's user.
fn make_own(path: &Path) -> Result<Metadata, DataDirError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path, "cannot be made"))?;
    let metadata = path.metadata().map_err(failed(path, "cannot be read"))?;
    let own = nix::unistd::geteuid().as_raw();
    if metadata.uid() != own {
        let problem =
            format!("belongs to user id {}, and the daemon runs as {own}; choose another directory", metadata.uid());
        return Err(DataDirError::Exposed { path: path.to_owned(), problem });
    }
    Ok(metadata)
}

/// The secret in a file: 256 bits as base64url, drawn and written with mode 0600 where the file is missing. Of several
/// processes that find it missing at once, one writes it and all read the same.
pub fn secret(path: &Path, entropy: &dyn Entropy) -> Result<String, DataDirError> {
    if let Some(found) = read_secret(path)? {
        return Ok(found);
    }
    // Written aside and linked into place, so that nobody reads half of it and the first to arrive wins.
    let aside = path.with_extension(URL_SAFE_NO_PAD.encode(entropy.bytes::<9>()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        writeln!(file, "{}", URL_SAFE_NO_PAD.encode(entropy.bytes::<32>()))?;
        file.sync_all()
    };
    write().map_err(failed(&aside, "cannot be written"))?;
    let linked = std::fs::hard_link(&aside, path);
    std::fs::remove_file(&aside).map_err(failed(&aside, "cannot be removed"))?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(path, "cannot be made")(error)),
        _ => read_secret(path)?.ok_or_else(|| failed(path, "vanished")(ErrorKind::NotFound.into())),
    }
}

/// The secret in a file; none where there is no such file.
pub(super) fn read_secret(path: &Path) -> Result<Option<String>, DataDirError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "cannot be read")(error)),
    };
    let metadata = file.metadata().map_err(failed(path, "cannot be read"))?;
    if metadata.mode() & 0o077 != 0 {
        let problem =
            "others can read this secret; run chmod 600 on it, and replace it if it may have been read".to_owned();
        return Err(DataDirError::Exposed { path: path.to_owned(), problem });
    }
    // Whoever wrote it knows it.
    let of_directory = path.parent().and_then(|directory| directory.metadata().ok()).map(|directory| directory.uid());
    let own = nix::unistd::geteuid().as_raw();
    if ![Some(0), Some(own), of_directory].contains(&Some(metadata.uid())) {
        let problem = format!(
            "belongs to user id {}, who is neither root, nor this program's, nor the owner of the directory; remove it, or \
             chown it if it is the right one",
            metadata.uid()
        );
        return Err(DataDirError::Exposed { path: path.to_owned(), problem });
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).map_err(failed(path, "cannot be read"))?;
    let text = text.trim();
    if text.len() < MIN_SECRET {
        let problem = format!("holds no secret: expected at least {MIN_SECRET} characters; remove it to have one made");
        return Err(DataDirError::Exposed { path: path.to_owned(), problem });
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fakes::Numbers;

    #[test]
    fn two_daemons_do_not_share_a_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Held(_))));
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn a_secret_that_another_account_has_put_there_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secure-cookie-key");
        std::fs::write(&path, "a-secret-that-somebody-else-knows-as-well").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(read_secret(&path).unwrap().is_some());
        if !nix::unistd::geteuid().is_root() {
            // Only root can make files of others.
            return;
        }
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        let error = read_secret(&path).unwrap_err().to_string();
        assert!(error.contains("belongs to user id 65534"), "{error}");
        // A directory of that account's own is another matter: root looks after its daemon.
        std::os::unix::fs::chown(dir.path(), Some(65_534), None).unwrap();
        assert!(read_secret(&path).unwrap().is_some());
    }

    #[test]
    fn a_secret_is_drawn_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let entropy = Numbers::default();
        let first = secret(&path, &entropy).unwrap();
        assert_eq!(first.len(), 43);
        assert_eq!(secret(&path, &entropy).unwrap(), first);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "0123456789abcdef0123").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(secret(&path, &Numbers::default()).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn many_that_find_no_secret_agree_on_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secure-cookie-key");
        let entropy = Numbers::default();
        let secrets: std::collections::BTreeSet<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| secret(&path, &entropy).unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(secrets.len(), 1);
    }

    #[test]
    fn a_file_where_a_directory_should_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, "").unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert!(error.contains("data: cannot be made"), "{error}");
    }
}
