//! Which start of the machine this is, beside the one that is noted: whatever ran under another ended with it.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::launcher::{processes, record};

/// This start of the machine, and whether it is another than the noted one.
pub(super) struct Boot {
    path: PathBuf,
    now: String,
    restarted: AtomicBool,
    noted: AtomicBool,
}

impl Boot {
    /// Compares this start with what the file says.
    pub(super) fn read(path: PathBuf) -> Self {
        let now = processes::boot();
        let noted: Option<String> = record::read(&path).unwrap_or_default();
        Self {
            restarted: AtomicBool::new(noted.as_ref().is_some_and(|noted| *noted != now)),
            noted: AtomicBool::new(noted.as_ref() == Some(&now)),
            path,
            now,
        }
    }

    /// Whether sessions of an earlier start may not be accounted for yet.
    pub(super) fn restarted(&self) -> bool {
        self.restarted.load(Ordering::Relaxed)
    }

    /// They are. Writes the file where it does not say so.
    pub(super) fn note(&self) -> io::Result<()> {
        self.restarted.store(false, Ordering::Relaxed);
        if !self.noted.load(Ordering::Relaxed) {
            record::write(&self.path, &self.now)?;
            self.noted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_known_until_what_it_ended_is_accounted_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("boot");
        let first = Boot::read(path.clone());
        assert!(!first.restarted(), "nothing ran before");
        first.note().unwrap();
        assert!(!Boot::read(path.clone()).restarted());

        record::write(&path, &"another start".to_owned()).unwrap();
        drop(Boot::read(path.clone()));
        let later = Boot::read(path.clone());
        assert!(later.restarted(), "the daemon before died before it could account for anything");
        later.note().unwrap();
        assert!(!later.restarted(), "what ends from now on ends by itself");
        assert!(!Boot::read(path).restarted());
    }
}
