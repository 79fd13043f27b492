//! Where a log begins in all that was ever written to it: what was rotated away stands before it.
//!
//! The number is absent while the log is being rotated, so that whoever reads it before and after reading the log knows
//! whether it belongs to what was read.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

fn path(log: &Path) -> PathBuf {
    log.with_extension("start")
}

/// Where the log begins; none where that is not known just now.
pub(in crate::launcher) fn read(log: &Path) -> io::Result<Option<u64>> {
    match std::fs::read_to_string(path(log)) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Says where it begins, in one step.
pub(in crate::launcher) fn write(log: &Path, start: u64) -> io::Result<()> {
    let aside = log.with_extension("start.new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside);
    file?.write_all(start.to_string().as_bytes())?;
    std::fs::rename(aside, path(log))
}

/// What it says is about to be true no longer.
pub(super) fn clear(log: &Path) -> io::Result<()> {
    match std::fs::remove_file(path(log)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
