//! When sessions were last used, over a restart of the daemon: a file that one daemon leaves and the next takes.
//!
//! It says for how long each had not been used, so that the time without a daemon counts for nothing: nobody could use
//! them. A daemon that is killed leaves none. What it saw last is unknown then, and the next daemon begins to count anew: a
//! restart never makes a session idle sooner.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Owner;
use crate::{
    domain::{Epoch, SessionId},
    sessions::traffic::{Traffic, Unused},
};

/// What a daemon may still pass on after it has written.
const SLACK: Duration = Duration::from_secs(15);
const MOST_BYTES: u64 = 4 << 20;

/// What the daemon before this one left.
#[derive(Debug, Default)]
pub(super) struct Carried(Mutex<BTreeMap<SessionId, Used>>);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Used {
    epoch: Epoch,
    /// For how long it has not been used, milliseconds.
    unused: u64,
    /// For how long not by its user.
    unused_by_user: u64,
}

impl Carried {
    /// Takes the file away and keeps what is in it. One that stays could be read again when it is no longer true, so
    /// nothing of it holds.
    pub(super) fn read(&self, path: &Path) -> io::Result<()> {
        let mut text = Vec::new();
        match std::fs::File::open(path) {
            Ok(file) => file.take(MOST_BYTES).read_to_end(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        std::fs::remove_file(path)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = serde_json::from_slice(&text)?;
        Ok(())
    }

    /// For how long a start has not been used, once.
    pub(super) fn take(&self, id: SessionId, epoch: Epoch) -> Option<Unused> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)?;
        let unused = |milliseconds| Duration::from_millis(milliseconds).saturating_sub(SLACK);
        (used.epoch == epoch).then(|| Unused { at_all: unused(used.unused), by_user: unused(used.unused_by_user) })
    }
}

impl Owner {
    /// Takes what the daemon before this one left.
    pub(super) async fn take_over(self: &Arc<Self>) {
        let owner = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || owner.carried.read(&owner.activity_file)).await;
        if let Ok(Err(error)) = read {
            let file = self.activity_file.display();
            tracing::warn!("{file}: {error}; sessions count as used just now");
        }
    }

    /// Leaves it to the daemon after this one.
    pub(super) async fn hand_over(self: &Arc<Self>) {
        let owner = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || write(&owner.activity_file, &owner.traffic)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(
                "{}: {error}; the next daemon counts sessions as used when it starts",
                self.activity_file.display()
            );
        }
    }
}

/// Leaves the file for the next daemon.
pub(super) fn write(path: &Path, traffic: &Traffic) -> io::Result<()> {
    let milliseconds = |unused: Duration| u64::try_from(unused.as_millis()).unwrap_or(u64::MAX);
    let meters = traffic.all();
    let used = meters.iter().map(|meter| {
        let Unused { at_all, by_user } = meter.unused();
        let used = Used { epoch: meter.epoch, unused: milliseconds(at_all), unused_by_user: milliseconds(by_user) };
        (meter.id, used)
    });
    let used: BTreeMap<SessionId, Used> = used.collect();
    let aside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(&serde_json::to_vec(&used)?)?;
    drop(file);
    std::fs::rename(aside, path)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::domain::{IdleLimits, fakes::SetClock};

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_one_daemon_leaves_the_next_takes_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("activity.json");
        let clock = Arc::new(SetClock::at(Timestamp::UNIX_EPOCH));
        let traffic = Arc::new(Traffic::new(clock.clone()));
        let id: SessionId = "00000000".parse().unwrap();
        let before = Unused { at_all: HOUR, by_user: 3 * HOUR };
        let _metering = traffic.enter((id, Epoch(3)), None, IdleLimits::default(), before);
        clock.advance(SignedDuration::from_hours(1));
        write(&path, &traffic).unwrap();

        let carried = Carried::default();
        carried.read(&path).unwrap();
        let after = Unused { at_all: 2 * HOUR - SLACK, by_user: 4 * HOUR - SLACK };
        assert_eq!(carried.take(id, Epoch(3)), Some(after));
        assert_eq!(carried.take(id, Epoch(3)), None);
        assert!(!path.exists(), "a daemon that is killed leaves nothing");
        carried.read(&path).unwrap();
        write(&path, &traffic).unwrap();
        carried.read(&path).unwrap();
        assert_eq!(carried.take(id, Epoch(4)), None, "another start");
    }

    #[test]
    fn a_damaged_file_is_taken_away_and_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("activity.json");
        std::fs::write(&path, "{\"00000000\": {\"epoch\": ").unwrap();
        let carried = Carried::default();
        carried.read(&path).unwrap_err();
        assert!(!path.exists());
        assert_eq!(carried.take("00000000".parse().unwrap(), Epoch(1)), None);
    }
}
