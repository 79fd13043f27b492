//! Kinds of session as data: what to run, where it listens, when it is ready, how it is stopped.
//!
//! A kind is one TOML file. The builtin ones are part of the program; a file of the configuration's `kinds` directory
//! adds a kind, or takes the place of the one that has its name.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderName;
use nix::sys::signal::Signal;
use tokio::sync::Notify;

use crate::config::{KindOptions, KindsChanged};

pub mod activity;
mod file;
mod template;

pub use activity::ActivityRules;
pub use template::{Template, Values, Variable};

/// The kinds that ship with the program, by file name.
const BUILTIN: [(&str, &str); 5] = [
    ("jupyterlab.toml", include_str!("../../kinds/jupyterlab.toml")),
    ("jupyter-notebook.toml", include_str!("../../kinds/jupyter-notebook.toml")),
    ("job.toml", include_str!("../../kinds/job.toml")),
    ("rstudio.toml", include_str!("../../kinds/rstudio.toml")),
    ("vscode.toml", include_str!("../../kinds/vscode.toml")),
];

/// A kind of session.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name in requests and in the store: `jupyterlab`.
    pub name: String,
    /// Its name for people: `JupyterLab`.
    pub title: String,
    /// Labels that a node must have to run it.
    pub labels: BTreeMap<String, String>,
    /// What to run: a name to be looked for, or an absolute path; empty where that comes with each session.
    pub program: String,
    /// Directories to look in before the search path.
    pub search: Vec<PathBuf>,
    /// The program's arguments.
    pub arguments: Vec<Template>,
    /// Environment variables beside those that every program gets.
    pub environment: BTreeMap<String, Template>,
    /// The directory it starts in.
    pub directory: Template,
    /// Where it listens.
    pub listen: Listen,
    /// Whether it expects the prefix `/s/<id>/` in the request target.
    pub base_path: BasePath,
    /// Headers that the proxy sets on each request.
    pub headers: Vec<(HeaderName, Template)>,
    /// How it shows that it can be used; none where it listens on nothing.
    pub ready: Option<Ready>,
    /// How it is stopped.
    pub stop: Stop,
    /// What suspending does to it.
    pub suspend: Suspend,
    /// Files made in the session's own directory, for its user alone, by name.
    pub files: BTreeMap<String, Template>,
    /// What its program is given to say its version; none where it is not asked.
    pub version: Option<Vec<String>>,
    /// Written by the program's documentation, and tried with the program itself by nobody.
    pub untested: bool,
    /// How it shows that it is used, beside its traffic.
    pub activity: ActivityRules,
}

/// Where a program listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listen {
    /// On a Unix socket, `{socket}`.
    Unix,
    /// On a port of 127.0.0.1, `{port}`.
    Port,
    /// On nothing: it is no service. What it runs comes with each session: a job.
    Nothing,
}

/// Whether a program expects the prefix `/s/<id>/` in the request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasePath {
    /// It does.
    Kept,
    /// It uses relative URLs and expects the target without it.
    Stripped,
}

/// What suspending does to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suspend {
    /// It stores its state when it is stopped and finds it again.
    Keeps,
    /// What was only in its memory is lost.
    Loses,
}

/// How a program shows that it can be used.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The request target of the probe.
    pub path: Template,
    /// The statuses that mean yes.
    pub statuses: Vec<u16>,
    /// How long it may take.
    pub limit: Duration,
}

/// How a program is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// What it is sent.
    pub signal: Signal,
    /// How long it has before it is killed.
    pub grace: Duration,
    /// What it is sent instead where it is to suspend itself.
    pub suspend_signal: Option<Signal>,
    /// The exit status by which it says that it has suspended itself.
    pub suspended_status: Option<i32>,
}

/// What is wrong with a file of a kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {}{problem}", .file.display(), At(*.line), Field(.field))]
pub struct KindError {
    /// Which file.
    pub file: PathBuf,
    /// The line, counted from 1; none where the file as a whole is wrong.
    pub line: Option<usize>,
    /// The field: `stop.signal`.
    pub field: Option<String>,
    /// What is wrong with it and what it may be.
    pub problem: String,
}

/// All that is wrong with the files of kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindErrors(pub Vec<KindError>);

struct At(Option<usize>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

struct Field<'a>(&'a Option<String>);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |field| write!(f, "{field}: "))
    }
}

impl fmt::Display for KindErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for KindErrors {}

impl Kind {
    /// Reads one kind. `file` is for the errors.
    pub fn parse(file: &Path, text: &str) -> Result<Self, KindErrors> {
        file::parse(file, text)
    }

    /// What `jupyter.conf` and `vscode.conf` make of it.
    fn changed(mut self, changed: &KindsChanged) -> Self {
        let Some(KindOptions { program, arguments, .. }) = changed.get(&self.name) else { return self };
        if let Some(program) = program {
            self.program = program.display().to_string();
        }
        self.arguments.extend(arguments.iter().map(|argument| Template::literal(argument)));
        self
    }

    /// Whether its sessions are jobs, each of which says what it runs.
    pub fn is_job(&self) -> bool {
        self.listen == Listen::Nothing
    }
}

/// The kinds that are known, and where their programs are looked for. They can be replaced while the daemon runs.
#[derive(Debug, Default)]
pub struct Kinds {
    kinds: ArcSwap<BTreeMap<String, Arc<Kind>>>,
    search_path: OsString,
    replaced: Notify,
}

impl Kinds {
    /// The builtin kinds as they are, and those of `directory`.
    pub fn load(directory: Option<&Path>, search_path: &OsStr) -> Result<Self, KindErrors> {
        Self::load_changed(directory, &KindsChanged::new(), search_path)
    }

    /// The builtin kinds as they are `changed`, extended and overridden by each `*.toml` of `directory`, which need not
    /// exist. `search_path` is where programs are looked for, as in PATH. Every error of every file is reported.
    pub fn load_changed(
        directory: Option<&Path>,
        changed: &KindsChanged,
        search_path: &OsStr,
    ) -> Result<Self, KindErrors> {
        let mut kinds = BTreeMap::new();
        let mut errors = Vec::new();
        for (file, text) in BUILTIN {
            match Kind::parse(Path::new(file), text) {
                Ok(kind) => {
                    let kind = kind.changed(changed);
                    kinds.insert(kind.name.clone(), Arc::new(kind));
                }
                Err(more) => errors.extend(more.0),
            }
        }
        let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
        for file in directory.map(|directory| toml_files(directory, &mut errors)).unwrap_or_default() {
            match file::read(&file) {
                Ok(kind) => {
                    if let Some(other) = seen.insert(kind.name.clone(), file.clone()) {
                        errors.push(KindError {
                            field: Some("name".to_owned()),
                            line: None,
                            problem: format!("{} already describes the kind {}", other.display(), kind.name),
                            file,
                        });
                    }
                    kinds.insert(kind.name.clone(), Arc::new(kind));
                }
                Err(more) => errors.extend(more.0),
            }
        }
        kinds.retain(|name, _| changed.get(name).is_none_or(|options| !options.withheld));
        if errors.is_empty() {
            Ok(Self {
                kinds: ArcSwap::from_pointee(kinds),
                search_path: search_path.to_owned(),
                replaced: Notify::new(),
            })
        } else {
            Err(KindErrors(errors))
        }
    }

    /// One kind, whether or not its program is here.
    pub fn get(&self, name: &str) -> Option<Arc<Kind>> {
        self.kinds.load().get(name).cloned()
    }

    /// Every kind that is known, by name.
    pub fn all(&self) -> Vec<Arc<Kind>> {
        self.kinds.load().values().cloned().collect()
    }

    /// From now on, the kinds are those; running sessions go on as they are.
    pub fn replace(&self, others: &Self) {
        self.kinds.store(others.kinds.load_full());
        self.replaced.notify_one();
    }

    /// Waits until they are replaced; for one who waits.
    pub async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// The kinds whose programs are on this machine, by name. Looks at the file system, so that a program installed later
    /// is found: not for an async thread.
    pub fn offered(&self) -> Vec<Arc<Kind>> {
        self.all().into_iter().filter(|kind| kind.is_job() || self.program(kind).is_some()).collect()
    }

    /// Where a kind's program is, if it is here and can be executed. Looks at the file system.
    pub fn program(&self, kind: &Kind) -> Option<PathBuf> {
        let search = kind.search.iter().cloned().chain(std::env::split_paths(&self.search_path));
        which::which_in(&kind.program, std::env::join_paths(search).ok(), "/").ok()
    }

    /// Where programs are looked for.
    pub fn search_path(&self) -> &OsStr {
        &self.search_path
    }
}

fn toml_files(directory: &Path, errors: &mut Vec<KindError>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(directory).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            errors.push(KindError { file: directory.to_owned(), line: None, field: None, problem: error.to_string() });
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension() == Some(OsStr::new("toml")));
    files.sort();
    files
}
