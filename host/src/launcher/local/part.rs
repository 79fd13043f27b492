//! A part of a log, by its position in all that was written since the log began.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

use crate::launcher::{LogPart, supervisor::start};

/// How often is looked again while the log is being rotated, and how long is waited in between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// Reads from a position on; none where there is no log. What was rotated away is passed over.
pub(super) fn read(log: &Path, from: u64) -> io::Result<Option<LogPart>> {
    for _ in 0..TRIES {
        let before = start::read(log)?;
        let Some(part) = read_at(log, from, before.unwrap_or_default())? else { return Ok(None) };
        // Both parts were what the start says, unless it has changed meanwhile. A supervisor of an earlier release writes
        // none, and nor does one that is just rotating.
        if before.is_some() && start::read(log)? == before {
            return Ok(Some(part));
        }
        std::thread::sleep(PAUSE);
    }
    read_at(log, from, 0)
}

fn read_at(log: &Path, from: u64, start: u64) -> io::Result<Option<LogPart>> {
    let Some((mut file, length)) = open(log)? else { return Ok(None) };
    // A log that has begun anew.
    let from = if from > start + length { 0 } else { from };
    if from >= start {
        file.seek(SeekFrom::Start(from - start))?;
        return Ok(Some(LogPart { from, bytes: some(file)? }));
    }
    let Some((mut earlier, length)) = open(&log.with_extension("1"))? else {
        return Ok(Some(LogPart { from: start, bytes: some(file)? }));
    };
    let from = from.max(start.saturating_sub(length));
    earlier.seek(SeekFrom::Start(from + length - start))?;
    Ok(Some(LogPart { from, bytes: some(earlier)? }))
}

fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let length = file.metadata()?.len();
            Ok(Some((file, length)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn some(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LogPart::MOST as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(log: &Path, from: u64) -> (u64, String) {
        let part = read(log, from).unwrap().unwrap();
        (part.from, String::from_utf8(part.bytes).unwrap())
    }

    #[test]
    fn a_log_is_read_on_over_its_rotation_and_what_is_gone_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        assert_eq!(read(&log, 0).unwrap(), None);
        std::fs::write(&log, "0123").unwrap();
        start::write(&log, 0).unwrap();
        assert_eq!(part(&log, 0), (0, "0123".to_owned()));
        assert_eq!(part(&log, 3), (3, "3".to_owned()));
        assert_eq!(part(&log, 4), (4, String::new()));
        // 8 bytes are gone, 4 are in the earlier part.
        std::fs::rename(&log, log.with_extension("1")).unwrap();
        std::fs::write(&log, "89").unwrap();
        start::write(&log, 12).unwrap();
        assert_eq!(part(&log, 4), (8, "0123".to_owned()));
        assert_eq!(part(&log, 10), (10, "23".to_owned()));
        assert_eq!(part(&log, 12), (12, "89".to_owned()));
        assert_eq!(part(&log, 14), (14, String::new()));
        assert_eq!(part(&log, 15), (8, "0123".to_owned()), "it has begun anew");
    }

    #[test]
    fn without_a_start_the_log_begins_at_none_and_one_part_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, "x".repeat(LogPart::MOST + 1)).unwrap();
        let first = read(&log, 0).unwrap().unwrap();
        assert_eq!((first.bytes.len(), first.next()), (LogPart::MOST, LogPart::MOST as u64));
        assert_eq!(part(&log, first.next()), (LogPart::MOST as u64, "x".to_owned()));
    }
}
