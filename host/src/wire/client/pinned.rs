//! A Unix socket that lies where its user can change things, held while one connects to it.
//!
//! To connect by a path would follow what the user has put there: a link to storage that hangs, which would hang the thread,
//! or to a socket that starts a service.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2},
    sys::stat::{Mode, SFlag, fstat},
};

/// The socket itself.
pub(super) struct Pinned(OwnedFd);

impl Pinned {
    /// Opens it. The last two parts of the path, its name and the directory that it lies in, are its user's; what lies above
    /// is the daemon's.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let directory = path.parent().ok_or_else(missing)?;
        let above = directory.parent().ok_or_else(missing)?;
        let below = path.strip_prefix(above).map_err(|_| missing())?;
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let above = open(above, flags | OFlag::O_DIRECTORY, Mode::empty())?;
        // Nor into what is mounted there.
        let resolve = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
        let how = OpenHow::new().flags(flags | OFlag::O_NOFOLLOW).resolve(resolve);
        let found = match openat2(&above, below, how) {
            // A kernel before 5.6.
            Err(Errno::ENOSYS) => openat(&above, below, flags | OFlag::O_NOFOLLOW, Mode::empty())?,
            found => found?,
        };
        let mode = SFlag::from_bits_truncate(fstat(&found)?.st_mode & SFlag::S_IFMT.bits());
        if mode != SFlag::S_IFSOCK {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "it is no socket"));
        }
        Ok(Self(found))
    }

    /// A path that leads to it and nowhere else, for as long as this is held.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::symlink,
        net::{UnixListener, UnixStream},
    };

    use super::*;

    #[test]
    fn a_socket_is_reached_and_what_stands_in_its_place_is_not() {
        let root = tempfile::tempdir().expect("a directory");
        let own = root.path().join("own");
        std::fs::create_dir(&own).expect("made");
        let socket = own.join("ide.sock");
        assert_eq!(Pinned::open(&socket).err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
        let listener = UnixListener::bind(&socket).expect("bound");
        let pinned = Pinned::open(&socket).expect("it is there");
        UnixStream::connect(pinned.path()).expect("connected");
        listener.accept().expect("it was reached");

        let elsewhere = root.path().join("elsewhere");
        std::fs::rename(&socket, &elsewhere).expect("moved");
        symlink(&elsewhere, &socket).expect("linked");
        assert!(Pinned::open(&socket).is_err(), "a link");
        std::fs::remove_file(&socket).expect("removed");
        std::fs::write(&socket, "").expect("written");
        assert!(Pinned::open(&socket).is_err(), "a file");
    }
}
