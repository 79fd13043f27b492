//! Numbers that an administrator publishes for balancers: `*.prom` in a directory, in the text format of Prometheus.
//!
//! What was written longer ago than the maximum age says nothing, so that a collector that died steers nobody. The
//! directory lies in the daemon's own; who else may write there is the administrator's decision, and the numbers only
//! steer placement.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::condition::{Change, Condition};
use crate::{aside::aside, domain::Clock};

mod files;
#[cfg(test)]
mod tests;
mod text;

use files::{Files, Found, MOST_FILES, Numbers};

/// The most numbers of one node.
const MOST_NUMBERS: usize = 1_000;

/// How long a heartbeat waits for a reading: the directory may be a link to storage that has gone away. What comes later
/// counts from the next one on.
const LIMIT: Duration = Duration::from_millis(500);

/// Reads a node's published numbers.
#[derive(Clone, Debug)]
pub struct MetricsSource {
    directory: PathBuf,
    max_age: Duration,
    /// The machine's own clock, as the times of files are.
    clock: Arc<dyn Clock>,
    limit: Duration,
    /// At most one reading is under way, so that those that hang do not pile up.
    turn: Arc<Semaphore>,
    /// What a reading found, also where nobody waited for it to the end.
    found: Arc<Mutex<Option<Files>>>,
    /// What stands while the directory cannot be read.
    last: Arc<Files>,
}

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// Finite numbers by key: the name of a metric, with its labels where it has any, as in `free{kind="a100"}`.
    pub numbers: BTreeMap<String, f64>,
    /// What is wrong, by file, or by the directory.
    pub problems: BTreeMap<PathBuf, String>,
}

impl MetricsSource {
    /// Numbers come from `*.prom` in `directory`, which need not exist, unless they are older than `max_age` by `clock`,
    /// the one that files on this machine are dated by.
    pub fn new(directory: impl Into<PathBuf>, max_age: Duration, clock: Arc<dyn Clock>) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        Self {
            directory: directory.into(),
            max_age,
            clock,
            limit: LIMIT,
            turn,
            found: Arc::default(),
            last: Arc::default(),
        }
    }

    /// What the files say now. Takes half a second at most; where the directory cannot be read, what was read last stands
    /// until it is too old.
    pub async fn read(&mut self) -> Published {
        // So that the next look reads again only what has changed.
        self.take_found();
        let looked = self.look().await;
        self.take_found();
        let trouble = match looked {
            Ok(()) => {
                let more = || format!("there are more than {MOST_FILES} files: the last by name are not read");
                self.last.more.then(more)
            }
            Err(problem) => Some(format!("cannot be read: {problem}")),
        };
        let mut published = self.judge();
        if let Some(trouble) = trouble {
            published.problems.insert(self.directory.clone(), trouble);
        }
        published
    }

    fn take_found(&mut self) {
        if let Some(files) = self.found.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.last = Arc::new(files);
        }
    }

    async fn look(&self) -> Result<(), String> {
        let turn =
            Arc::clone(&self.turn).try_acquire_owned().map_err(|_| "an earlier reading still hangs".to_owned())?;
        let (directory, before, now) = (self.directory.clone(), Arc::clone(&self.last), self.clock.now());
        let found = Arc::clone(&self.found);
        let looked = aside("evenkeel-metrics", self.limit, move || {
            // Given back only once what was found is in its place.
            let _turn = turn;
            let files = Files::look(&directory, &before, now)?;
            *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(files);
            std::io::Result::Ok(())
        });
        looked.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// The numbers of what was read last that are not too old.
    fn judge(&self) -> Published {
        let mut published = Published::default();
        for (name, found) in &self.last.files {
            let problems = match found {
                Found::Read(numbers) => self.take(numbers, &mut published.numbers),
                Found::Not(problem) => vec![problem.clone()],
            };
            if !problems.is_empty() {
                published.problems.insert(self.directory.join(name), problems.join("; "));
            }
        }
        published
    }

    /// Adds a file's numbers, and says what is wrong with them.
    fn take(&self, numbers: &Numbers, all: &mut BTreeMap<String, f64>) -> Vec<String> {
        let now = self.clock.now().as_millisecond();
        let (mut old, mut again, mut left_out) = (false, None, numbers.content.left_out);
        for sample in &numbers.content.samples {
            // A time in the future by more than that is no better: the number would not grow old.
            if u128::from(now.abs_diff(sample.taken.unwrap_or(numbers.written))) > self.max_age.as_millis() {
                old = true;
            } else if sample.value.is_finite() {
                if all.contains_key(&sample.key) {
                    again = again.or(Some(&sample.key));
                } else if all.len() >= MOST_NUMBERS {
                    left_out += 1;
                } else {
                    all.insert(sample.key.clone(), sample.value);
                }
            }
        }
        let mut problems = Vec::new();
        if let Some((line, problem)) = numbers.content.wrong {
            problems.push(format!("line {line}: {problem}; lines that are wrong do not count"));
        }
        if old {
            let seconds = self.max_age.as_secs();
            problems.push(format!("numbers older than {seconds} s (metrics-max-age-seconds), or dated as much later than now, do not count"));
        }
        if let Some(key) = again {
            problems.push(format!("{key} is given again: the first of the files in the order of their names holds"));
        }
        if left_out > 0 {
            problems.push(format!("{left_out} numbers do not count: a node has at most {MOST_NUMBERS}"));
        }
        problems
    }
}

/// What is wrong with the files, as it was last told.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<PathBuf, Condition>);

impl Told {
    /// Logs what is new.
    pub(super) fn tell(&mut self, problems: &BTreeMap<PathBuf, String>) {
        for file in problems.keys() {
            self.0.entry(file.clone()).or_default();
        }
        self.0.retain(|file, condition| {
            let problem = problems.get(file);
            match condition.now(problem) {
                Change::None => {}
                Change::Failed(problem) => tracing::warn!("{}: {problem}", file.display()),
                Change::Recovered => tracing::info!("{}: in order again, or gone", file.display()),
            }
            problem.is_some()
        });
    }
}
