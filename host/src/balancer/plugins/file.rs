//! What lies at a plugin's path, as seen from outside and read whole.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{ErrorKind, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Rejection, is_name};

/// Tells a file from what it was before, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Tells a directory from another that is mounted in its place.
pub(super) type Home = (u64, u64);

/// What a look at a path has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Something is there.
    Found(Mark),
    /// The directory can be read, and holds nothing of that name.
    Gone(Home),
    /// There is no such directory.
    NoDirectory,
    /// It cannot be told: the directory is stale, unreadable, or no directory.
    Unknown(String),
}

/// The identity of a directory.
pub(super) fn home(directory: &Path) -> Option<Home> {
    directory.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Looks at `path`, which lies in `directory`.
pub(super) fn look(directory: &Path, path: &Path) -> Look {
    let unknown = |error: std::io::Error| Look::Unknown(format!("{}: {error}", directory.display()));
    match path.metadata() {
        Ok(metadata) => return Look::Found(Mark::of(&metadata)),
        Err(error) if error.kind() != ErrorKind::NotFound => return unknown(error),
        Err(_) => {}
    }
    match directory.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Look::NoDirectory,
        Err(error) => unknown(error),
        // Only a directory that can be read says that something is not in it.
        Ok(metadata) => match directory.read_dir() {
            Ok(_) => Look::Gone((metadata.dev(), metadata.ino())),
            Err(error) => unknown(error),
        },
    }
}

/// How often a file that keeps changing is looked at before it is left for later.
const LOOKS: usize = 50;

/// What is at the path once it has not changed for as long as `pause`; none where it keeps changing.
pub(super) fn settled(directory: &Path, path: &Path, pause: Duration) -> Option<Look> {
    let mut before = look(directory, path);
    for _ in 0..LOOKS {
        if !matches!(before, Look::Found(_)) {
            return Some(before);
        }
        std::thread::sleep(pause);
        let now = look(directory, path);
        if now == before {
            return Some(now);
        }
        before = now;
    }
    None
}

/// The bytes of a plugin, and the mark of what they were read from.
pub(super) fn read(path: &Path, limit: usize) -> Result<(Vec<u8>, Mark), Rejection> {
    let failed = |error| Rejection::Unreadable { path: path.to_owned(), error };
    // A pipe would otherwise hold up whoever opens it.
    let file =
        OpenOptions::new().read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Rejection::NotAFile(path.to_owned()));
    }
    if metadata.size() > limit as u64 {
        return Err(Rejection::TooLarge { path: path.to_owned(), size: metadata.size(), limit });
    }
    let bytes = read_at_most(file, limit).map_err(failed)?;
    if bytes.len() > limit {
        return Err(Rejection::TooLarge { path: path.to_owned(), size: bytes.len() as u64, limit });
    }
    Ok((bytes, Mark::of(&metadata)))
}

/// One byte more than the limit tells that there is more.
fn read_at_most(file: File, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Entries of a directory that are looked at: it is listed every second.
const ENTRIES: usize = 1_000;

/// The names of the plugins in a directory that could be selected, sorted.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let entries = directory.read_dir().into_iter().flatten().take(ENTRIES).flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "wasm"));
    let names = paths.filter_map(|path: PathBuf| path.file_stem()?.to_str().map(ToOwned::to_owned));
    let mut names: Vec<String> = names.filter(|name| is_name(name)).collect();
    names.sort_unstable();
    names
}
