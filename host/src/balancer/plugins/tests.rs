//! What becomes of the files in a plugins directory.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{OnRecord, Plugins, Report, Selection, SelectionError, Source, State, Terms, trial};
use crate::{
    balancer::{
        builtin,
        trust::Trust,
        wasm::{Engine, Limits, digest, tests::guests::Guest},
    },
    domain::Clock,
};

mod begin;
mod memory;
mod reload;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().expect("an engine"));

/// A module, and another one.
static ONE: LazyLock<Vec<u8>> = LazyLock::new(|| Guest::default().bytes());
static OTHER: LazyLock<Vec<u8>> = LazyLock::new(|| Guest { pages: 2, ..Guest::default() }.bytes());

/// Each look at it is a second later.
#[derive(Debug, Default)]
struct Seconds(AtomicI64);

impl Clock for Seconds {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.fetch_add(1, Ordering::Relaxed)).expect("a time")
    }
}

/// A plugins directory and what a daemon has beside it.
struct Bed {
    root: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let bed = Self { root: tempfile::tempdir().expect("a directory") };
        bed.make_directory();
        bed
    }

    fn directory(&self) -> PathBuf {
        self.root.path().join("plugins")
    }

    fn make_directory(&self) {
        fs::create_dir(self.directory()).expect("it is made");
        fs::set_permissions(self.directory(), Permissions::from_mode(0o755)).expect("it is the owner's");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.wasm"))
    }

    /// Copies a file there.
    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).expect("it is written");
        fs::set_permissions(self.file(name), Permissions::from_mode(0o644)).expect("it is the owner's");
    }

    fn selection(&self, name: &str) -> Selection {
        let limits = Limits { deadline: Duration::from_secs(60), ..Limits::default() };
        let trust = Trust::Owners(vec![0, nix::unistd::geteuid().as_raw()]);
        let terms = Terms { engine: ENGINE.clone(), settings: BTreeMap::new(), limits, allowed: Vec::new(), trust };
        let (own, made) = (name.to_owned(), terms.clone());
        Selection {
            name: name.to_owned(),
            directory: self.directory(),
            kept: self.root.path().join("balancers"),
            terms,
            builtin: Box::new(move || {
                let known = builtin::module(&own).is_some();
                known.then(|| builtin::select(&own, BTreeMap::new(), &made.engine, made.limits)).transpose()
            }),
            settle: Duration::from_millis(20),
            journal: Arc::default(),
        }
    }

    /// A daemon that starts, with `sessions` to stand in.
    fn open(&self, name: &str) -> Result<Plugins, SelectionError> {
        let other = builtin::stand_in("sessions", BTreeMap::new(), &ENGINE).expect("it loads");
        Plugins::open(self.selection(name), Some(other), Arc::new(Seconds::default()))
    }
}

/// Takes up what has changed, if anything; whether anything had.
fn look(plugins: &Plugins) -> bool {
    look_at(plugins, Instant::now())
}

/// The same at another moment.
fn look_at(plugins: &Plugins, now: Instant) -> bool {
    let change = plugins.change(now);
    let changed = change.is_some();
    if let Some(change) = change {
        plugins.take_up(change, None);
    }
    changed
}

/// The digest of what decides.
fn in_force(plugins: &Plugins) -> Option<String> {
    plugins.policy().selected().balancer.digest().map(ToOwned::to_owned)
}

/// What is said of the selected balancer.
fn report(plugins: &Plugins) -> Report {
    plugins.reports().remove(0)
}

fn refused(plugins: &Plugins) -> Option<Report> {
    plugins.reports().into_iter().find(|report| report.state == State::Refused)
}

/// What is logged meanwhile, a line each.
fn logged<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let writer = Arc::new(file.reopen().expect("it opens"));
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
    let outcome = tracing::subscriber::with_default(subscriber, work);
    let text = fs::read_to_string(file.path()).expect("text");
    (outcome, text.lines().map(ToOwned::to_owned).collect())
}
