//! The program's output in a file of bounded size.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{program::Flag, start};

/// A log: `log`, and `log.1` with what came before it. The log of an earlier start is `log.previous`.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// What was written before this file began.
    start: u64,
    written: u64,
    limit: u64,
}

impl Log {
    /// Begins a log of at most twice `limit` bytes.
    pub(super) fn create(path: &Path, limit: u64) -> io::Result<Self> {
        if path.metadata().is_ok_and(|data| data.len() > 0) {
            std::fs::rename(path, path.with_extension("previous"))?;
        }
        if let Err(error) = std::fs::remove_file(path.with_extension("1"))
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        start::clear(path)?;
        let file = open(path)?;
        // A full disk costs the log, never the program.
        let _ = start::write(path, 0);
        Ok(Self { file, path: path.to_owned(), start: 0, written: 0, limit })
    }

    /// Writes all that comes until the last process that could write is gone.
    pub(super) fn keep(mut self, mut output: impl Read, drained: &Flag) {
        let mut buffer = [0; 8192];
        loop {
            match output.read(&mut buffer) {
                Ok(0) => break,
                // A full disk costs the log, never the program: its output is read in any case.
                Ok(length) => drop(self.write(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        drained.set();
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written + bytes.len() as u64 > self.limit && self.written > 0 {
            start::clear(&self.path)?;
            std::fs::rename(&self.path, self.path.with_extension("1"))?;
            self.file = open(&self.path)?;
            self.start += self.written;
            self.written = 0;
            start::write(&self.path, self.start)?;
        }
        self.written += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
}
