//! Sign-outs that the other nodes have not heard of, kept over a restart: `sign-outs.json` in the data directory, while there
//! are any.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::SignOut;

/// The file.
#[derive(Debug)]
pub(super) struct Outbox {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Line {
    sign_in: [u8; 16],
    until: Timestamp,
}

/// Many times what is ever written.
const MOST_BYTES: u64 = 4 << 20;

impl Outbox {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What the daemon before this one could not tell.
    pub(super) fn read(&self) -> io::Result<Vec<SignOut>> {
        let file = match std::fs::File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        let lines: Vec<Line> = serde_json::from_reader(io::BufReader::new(io::Read::take(file, MOST_BYTES)))?;
        Ok(lines.into_iter().map(|Line { sign_in, until }| SignOut { sign_in, until }).collect())
    }

    /// Keeps these and nothing else.
    pub(super) fn write(&self, sign_outs: &[SignOut]) -> io::Result<()> {
        if sign_outs.is_empty() {
            return match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let lines: Vec<_> = sign_outs.iter().map(|&SignOut { sign_in, until }| Line { sign_in, until }).collect();
        let aside = self.path.with_extension("new");
        std::fs::write(&aside, serde_json::to_vec(&lines)?)?;
        std::fs::rename(aside, &self.path)
    }
}
