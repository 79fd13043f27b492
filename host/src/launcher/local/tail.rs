//! The last lines of a log.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// However long the lines are.
const MOST_BYTES: usize = 64 * 1024;

/// The last lines of a log and of the part rotated before it; none where there is no log.
pub(super) fn tail(log: &Path, lines: usize) -> io::Result<Option<String>> {
    let Some((mut bytes, mut cut)) = end(log, MOST_BYTES)? else { return Ok(None) };
    if !cut && bytes.len() < MOST_BYTES {
        let (mut before, cut_before) = end(&log.with_extension("1"), MOST_BYTES - bytes.len())?.unwrap_or_default();
        before.append(&mut bytes);
        (bytes, cut) = (before, cut_before);
    }
    // Bytes that are no text take up to three times their space.
    let text = String::from_utf8_lossy(&bytes);
    let mut start = text.len().saturating_sub(MOST_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let cut = cut || start > 0;
    let text = &text[start..];
    // The first line of what was cut is a part of one.
    let whole = if cut { text.split_once('\n').map_or(text, |(_, rest)| rest) } else { text };
    let ended = whole.strip_suffix('\n').unwrap_or(whole);
    let from = lines
        .checked_sub(1)
        .map_or(ended.len(), |skip| ended.rmatch_indices('\n').nth(skip).map_or(0, |(at, _)| at + 1));
    Ok(Some(ended[from..].to_owned()))
}

/// The end of a file, and whether there is more before it.
fn end(path: &Path, most: usize) -> io::Result<Option<(Vec<u8>, bool)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let skipped = file.metadata()?.len().saturating_sub(most as u64);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(Some((bytes, skipped > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_come_from_both_parts_of_a_log() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        assert_eq!(tail(&log, 10).unwrap(), None);
        std::fs::write(&log, "three\nfour\n").unwrap();
        std::fs::write(log.with_extension("1"), "one\ntwo\n").unwrap();
        assert_eq!(tail(&log, 1).unwrap().unwrap(), "four");
        assert_eq!(tail(&log, 3).unwrap().unwrap(), "two\nthree\nfour");
        assert_eq!(tail(&log, 100).unwrap().unwrap(), "one\ntwo\nthree\nfour");
        assert_eq!(tail(&log, 0).unwrap().unwrap(), "");
    }

    #[test]
    fn long_lines_and_bytes_that_are_no_text_stay_within_the_bound() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, vec![0xff; 300_000]).unwrap();
        let text = tail(&log, 5).unwrap().unwrap();
        assert!(!text.is_empty() && text.len() <= MOST_BYTES, "{}", text.len());
        std::fs::write(&log, format!("{}\nlast\n", "x".repeat(100_000))).unwrap();
        assert_eq!(tail(&log, 5).unwrap().unwrap(), "last");
    }
}
