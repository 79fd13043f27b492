//! What a node measures of itself.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::sync::Semaphore;

use crate::{aside::aside, domain::Reading};

/// Where the kernel says how much memory there is.
const MEMORY_FILE: &str = "/proc/meminfo";

/// More than either file has; what is longer is something else.
const LONGEST: u64 = 64 << 10;

/// No machine has a run queue of this length.
const GREATEST_LOAD: f64 = 1e6;

/// The file named may lie on storage that has gone away.
const LIMIT: Duration = Duration::from_secs(2);

/// Reads a node's load and memory.
#[derive(Clone, Debug)]
pub struct LoadSource {
    load_file: PathBuf,
    memory_file: PathBuf,
    limit: Duration,
    /// At most one reading is under way, so that those that hang do not pile up.
    turn: Arc<Semaphore>,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .file.display())]
pub struct LoadError {
    /// The file that says it.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// What a machine has, whatever its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Logical processors that this process may use, at least 1.
    pub cores: u32,
    /// Physical memory, bytes.
    pub memory_total: u64,
}

impl LoadSource {
    /// Load averages come from `load_file`, `/proc/loadavg` or a file of its format; memory from the kernel.
    pub fn new(load_file: impl Into<PathBuf>) -> Self {
        Self {
            load_file: load_file.into(),
            memory_file: MEMORY_FILE.into(),
            limit: LIMIT,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Measures.
    ///
    /// # Errors
    /// The file that cannot be read or does not hold what it should, and why; nothing is made up in its place.
    pub async fn read(&self) -> Result<Reading, LoadError> {
        let unread = |problem: String| LoadError { file: self.load_file.clone(), problem };
        let turn = Arc::clone(&self.turn);
        let turn = turn.try_acquire_owned().map_err(|_| unread("an earlier reading of it still hangs".to_owned()))?;
        let (load_file, memory_file) = (self.load_file.clone(), self.memory_file.clone());
        aside("evenkeel-load", self.limit, move || {
            let _turn = turn;
            Ok(Reading {
                load: parsed(&load_file, parse_load)?,
                memory_available: parsed(&memory_file, |text| memory_field(text, "MemAvailable"))?,
            })
        })
        .await
        .map_err(|error| unread(error.to_string()))?
    }

    /// What the machine has.
    ///
    /// # Errors
    /// As for [`LoadSource::read`].
    pub async fn machine(&self) -> Result<Machine, LoadError> {
        let file = self.memory_file.clone();
        aside("evenkeel-load", self.limit, move || {
            let cores =
                thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX));
            Ok(Machine { cores, memory_total: parsed(&file, |text| memory_field(text, "MemTotal"))? })
        })
        .await
        .map_err(|error| LoadError { file: self.memory_file.clone(), problem: error.to_string() })?
    }
}

fn parsed<T>(file: &Path, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, LoadError> {
    let problem = |problem: String| LoadError { file: file.to_owned(), problem };
    let text = text_of(file).map_err(|error| problem(error.to_string()))?;
    parse(&text).map_err(problem)
}

fn text_of(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// The first three words of a text as load averages.
fn parse_load(text: &str) -> Result<[f64; 3], String> {
    let mut words = text.split_ascii_whitespace();
    let mut load = [0.0; 3];
    for (value, minutes) in load.iter_mut().zip(["1", "5", "15"]) {
        let Some(word) = words.next() else {
            return Err(format!(
                "no load average over {minutes} minutes: expected three numbers, as in \"0.20 0.18 0.12\""
            ));
        };
        let number = word.parse().ok().filter(|number: &f64| number.is_finite() && number.is_sign_positive());
        *value = number.filter(|number| *number <= GREATEST_LOAD).ok_or_else(|| {
            format!("load average over {minutes} minutes: \"{}\" is not a number of 0 or more", shortened(word))
        })?;
    }
    Ok(load)
}

/// A field of `/proc/meminfo` in bytes; the file has it in kibibytes.
fn memory_field(text: &str, name: &str) -> Result<u64, String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .ok_or_else(|| format!("there is no field {name}"))?
        .trim();
    value
        .strip_suffix("kB")
        .and_then(|number| number.trim_end().parse::<u64>().ok())
        .and_then(|kibibytes| kibibytes.checked_mul(1024))
        .ok_or_else(|| format!("field {name}: \"{}\" is not a number of kB", shortened(value)))
}

fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn source(directory: &TempDir, load: &str) -> LoadSource {
        let file = directory.path().join("loadavg");
        std::fs::write(&file, load).unwrap();
        LoadSource::new(file)
    }

    #[tokio::test]
    async fn the_kernels_files_can_be_read() {
        let source = LoadSource::new("/proc/loadavg");
        let reading = source.read().await.unwrap();
        let machine = source.machine().await.unwrap();
        assert!(machine.cores >= 1);
        assert!(reading.memory_available > 0 && reading.memory_available <= machine.memory_total);
    }

    #[tokio::test]
    async fn a_file_of_the_same_format_gives_the_loads() {
        let directory = TempDir::new().unwrap();
        for text in ["0.20 1.5 12.00 1/80 11206\n", "0.20 1.5 12"] {
            assert_eq!(source(&directory, text).read().await.unwrap().load, [0.2, 1.5, 12.0]);
        }
    }

    #[tokio::test]
    async fn bad_content_is_named_with_its_file() {
        let directory = TempDir::new().unwrap();
        for (text, complaint) in [
            ("", "no load average over 1 minutes"),
            ("0.1 0.2\n", "no load average over 15 minutes"),
            ("0.1 NaN 0.2", "over 5 minutes: \"NaN\""),
            ("0.1 0.2 inf", "over 15 minutes: \"inf\""),
            ("-1 0 0", "over 1 minutes: \"-1\""),
            ("-0.0 0 0", "over 1 minutes: \"-0.0\""),
            ("1e300 0 0", "over 1 minutes: \"1e300\""),
            ("0,5 0 0", "over 1 minutes: \"0,5\""),
        ] {
            let source = source(&directory, text);
            let error = source.read().await.unwrap_err();
            assert_eq!(error.file, source.load_file);
            assert!(error.to_string().contains(complaint), "{text}: {error}");
        }
        std::fs::write(directory.path().join("loadavg"), [0xFF; 20]).unwrap();
        LoadSource::new(directory.path().join("loadavg")).read().await.unwrap_err();
        LoadSource::new(directory.path()).read().await.unwrap_err();
        let error = LoadSource::new(directory.path().join("none")).read().await.unwrap_err();
        assert!(error.to_string().contains("none: No such file"), "{error}");
    }

    #[tokio::test]
    async fn a_file_without_end_is_not_read_to_it() {
        LoadSource::new("/dev/zero").read().await.unwrap_err();
    }

    #[tokio::test]
    async fn a_file_that_hangs_costs_the_limit_once_and_is_read_again_when_it_answers() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("loadavg");
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let source = LoadSource { limit: Duration::from_millis(50), ..LoadSource::new(&file) };
        let error = source.read().await.unwrap_err().to_string();
        assert!(error.contains("no answer within"), "{error}");
        let error = source.read().await.unwrap_err().to_string();
        assert!(error.contains("still hangs"), "{error}");

        // Lets the reading that hangs go, and puts a file that answers in its place.
        std::fs::write(&file, "1 2 3").unwrap();
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "4 5 6").unwrap();
        drop(source.turn.acquire().await.unwrap());
        let source = LoadSource { limit: LIMIT, ..source };
        assert_eq!(source.read().await.unwrap().load, [4.0, 5.0, 6.0]);
    }

    #[test]
    fn memory_is_told_in_bytes_and_only_from_its_own_field() {
        let text = "MemTotal:        3905 kB\nMemAvailableX: 1 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(memory_field(text, "MemAvailable"), Ok(1 << 20));
        assert!(memory_field(text, "MemFree").unwrap_err().contains("MemFree"));
        for bad in ["MemFree: -1 kB", "MemFree: 1 MB", "MemFree:", "MemFree: 99999999999999999999 kB"] {
            assert!(memory_field(bad, "MemFree").is_err(), "{bad}");
        }
        assert!(memory_field(&format!("MemFree: {} kB", u64::MAX), "MemFree").is_err());
    }
}
