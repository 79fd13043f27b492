//! The files of the directory, each read again only when it has changed.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use nix::fcntl::OFlag;

use super::text::{self, Content};

/// The most files that are read.
pub(super) const MOST_FILES: usize = 100;

/// The most names of a directory that are looked at.
const MOST_NAMES: usize = 10_000;

/// The most bytes of one file.
const LONGEST: u64 = 1 << 20;

/// A file that was written less than this before it was read may have been written again within one tick of its times.
const TICK_MILLISECONDS: u64 = 2_000;

/// What was found, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) files: BTreeMap<String, Found>,
    /// Whether there are more files than are read.
    pub(super) more: bool,
}

/// One file.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Read(Arc<Numbers>),
    /// Why it says nothing.
    Not(String),
}

/// What a file says.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) content: Content,
    /// When it was written, milliseconds since the Unix epoch.
    pub(super) written: i64,
    /// How to tell that it is the same; none where it has to be read again anyhow.
    stamp: Option<Stamp>,
}

/// Device, inode, size, and the nanoseconds of the last change of content and of anything.
type Stamp = [i128; 5];

impl Files {
    /// Looks at a directory, again where `before` was found in it. One that is not there has no files.
    pub(super) fn look(directory: &Path, before: &Self, now: Timestamp) -> io::Result<Self> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        let mut more = false;
        for entry in entries {
            if names.len() == MOST_NAMES {
                more = true;
                break;
            }
            names.push(entry?.file_name());
        }
        let mut names: Vec<_> = names.into_iter().filter_map(wanted).collect();
        names.sort_unstable();
        more |= names.len() > MOST_FILES;
        names.truncate(MOST_FILES);
        let mut files = BTreeMap::new();
        for name in names {
            let found = match read(&directory.join(&name), before.files.get(&name), now) {
                Ok(numbers) => Found::Read(numbers),
                // It went between the two looks.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => Found::Not(error.to_string()),
            };
            files.insert(name, found);
        }
        Ok(Self { files, more })
    }
}

/// A name that ends in `.prom` and is not hidden, as half-copied files are.
fn wanted(name: OsString) -> Option<String> {
    let name = name.into_string().ok()?;
    (name.ends_with(".prom") && !name.starts_with('.')).then_some(name)
}

fn read(path: &Path, before: Option<&Found>, now: Timestamp) -> io::Result<Arc<Numbers>> {
    // Looked at first: some things must not even be opened.
    regular(&fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    let stamp = stamp(&metadata);
    if let Some(Found::Read(numbers)) = before
        && numbers.stamp == Some(stamp)
    {
        return Ok(Arc::clone(numbers));
    }
    let content = text::parse(&bytes(file)?);
    let written = metadata.mtime().saturating_mul(1_000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    let settled = now.as_millisecond().abs_diff(written) > TICK_MILLISECONDS;
    Ok(Arc::new(Numbers { content, written, stamp: settled.then_some(stamp) }))
}

fn regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(io::Error::other("is not a regular file")) }
}

fn bytes(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if length as u64 > LONGEST { Err(io::Error::other("is larger than 1 MiB")) } else { Ok(bytes) }
}

fn stamp(metadata: &Metadata) -> Stamp {
    let time = |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    [
        metadata.dev().into(),
        metadata.ino().into(),
        metadata.size().into(),
        time(metadata.mtime(), metadata.mtime_nsec()),
        time(metadata.ctime(), metadata.ctime_nsec()),
    ]
}
