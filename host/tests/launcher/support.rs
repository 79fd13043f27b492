//! A launcher in directories of its own, and kinds that run this very test binary as their program.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use evenkeel::{
    accounts::{Account, lookup},
    config::ProgramOptions,
    domain::{Entropy, Epoch, SessionId},
    launcher::{
        Kind, Kinds, Launch, LaunchError, Launcher,
        local::{LocalLauncher, Parts},
    },
};
use procfs::process::{Process, Stat, all_processes};
use tempfile::TempDir;

/// Bytes that differ, and no more than that.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU8);

impl Entropy for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(7, Ordering::Relaxed));
    }
}

/// Directories for one daemon after another. On drop, nothing may be left running.
pub(crate) struct Ground {
    directory: PathBuf,
    /// Removed on drop, where this process made it.
    owned: Option<TempDir>,
    pub(crate) account: Account,
    pub(crate) options: ProgramOptions,
}

pub(crate) fn id() -> SessionId {
    "abcdefgh".parse().unwrap()
}

impl Ground {
    pub(crate) fn new() -> Self {
        let owned = tempfile::tempdir().unwrap();
        let mut ground = Self::at(owned.path());
        ground.owned = Some(owned);
        ground
    }

    /// The ground that another process has made.
    pub(crate) fn at(directory: &Path) -> Self {
        let account = lookup::by_uid(nix::unistd::geteuid().as_raw()).unwrap().unwrap();
        // Whoever runs this may have a profile that takes long.
        let options = ProgramOptions { login_shell: false, ..ProgramOptions::default() };
        Self { directory: directory.to_owned(), owned: None, account, options }
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.directory.join("run")
    }

    pub(crate) fn session(&self) -> PathBuf {
        self.directory_of(id())
    }

    fn directory_of(&self, id: SessionId) -> PathBuf {
        let runtime = self.runtime();
        runtime.canonicalize().unwrap_or(runtime).join(id.as_str())
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("data/sessions").join(id().as_str()).join("log")
    }

    pub(crate) fn try_launcher(&self) -> Result<LocalLauncher, LaunchError> {
        self.launcher_with(None)
    }

    /// A launcher to which the kind of [`Self::script`] is known.
    pub(crate) fn launcher_of_scripts(&self) -> LocalLauncher {
        let kinds = self.directory.join("kinds");
        std::fs::create_dir(&kinds).unwrap();
        std::fs::write(kinds.join("script.toml"), self.script_kind()).unwrap();
        self.launcher_with(Some(&kinds)).unwrap()
    }

    fn launcher_with(&self, kinds: Option<&Path>) -> Result<LocalLauncher, LaunchError> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        LocalLauncher::new(Parts {
            runtime_dir: &self.runtime(),
            data_dir: &self.directory.join("data"),
            supervisor: env!("CARGO_BIN_EXE_evenkeel").into(),
            kinds: Arc::new(Kinds::load(kinds, &search).unwrap()),
            options: self.options.clone(),
            entropy: Arc::new(Counter::default()),
        })
    }

    pub(crate) fn launcher(&self) -> LocalLauncher {
        self.try_launcher().unwrap()
    }

    /// A launch of this test binary's `program`, which does what `act` says; see there.
    pub(crate) fn launch(&self, act: &str, more: &str) -> Launch {
        let own = std::env::current_exe().unwrap();
        self.launch_kind(&format!(
            r#"
            name = "test"
            title = "Test"
            program = "{}"
            arguments = ["program", "--exact", "--ignored", "--nocapture", "--test-threads=1"]
            listen = "unix"
            base-path = "kept"
            suspend = "loses"
            environment = {{ ACT = "{act}", SOCKET = "{{socket}}", SECRET = "{{secret}}" }}
            headers = {{ Authorization = "token {{secret}}" }}
            ready = {{ path = "{{base_path}}status", statuses = [204], seconds = 30 }}
            directory = "/"
            {more}
            "#,
            own.display()
        ))
    }

    /// A launch of a shell script.
    pub(crate) fn script(&self, script: &str) -> Launch {
        std::fs::write(self.script_file(), script).unwrap();
        self.launch_kind(&self.script_kind())
    }

    fn script_file(&self) -> PathBuf {
        self.directory.join("script.sh")
    }

    fn script_kind(&self) -> String {
        format!(
            r#"
            name = "script"
            title = "Script"
            program = "sh"
            arguments = ["{}"]
            listen = "unix"
            base-path = "kept"
            suspend = "loses"
            environment = {{ SOCKET = "{{socket}}" }}
            ready = {{ path = "/", seconds = 1 }}
            stop = {{ grace-seconds = 1 }}
            directory = "/"
            "#,
            self.script_file().display()
        )
    }

    pub(crate) fn launch_kind(&self, kind: &str) -> Launch {
        Launch {
            id: id(),
            epoch: Epoch::FIRST,
            account: self.account.clone(),
            groups: Vec::new(),
            kind: Arc::new(Kind::parse(Path::new("test.toml"), kind).unwrap()),
            cpus: 0.0,
            memory: 0,
            job: None,
        }
    }

    /// The processes of this ground's sessions, by their mark; the supervisors too, by their argument.
    pub(crate) fn processes(&self) -> Vec<Stat> {
        let directory = self.session();
        all_processes()
            .unwrap()
            .filter_map(Result::ok)
            .filter(|process| {
                let marked = process.environ().is_ok_and(|all| {
                    all.get(OsStr::new("EVENKEEL_SESSION_DIR")).is_some_and(|mark| mark == directory.as_os_str())
                });
                marked || process.cmdline().is_ok_and(|words| words.iter().any(|word| Path::new(word) == directory))
            })
            .filter_map(|process| process.stat().ok())
            .filter(|stat| stat.state != 'Z')
            .collect()
    }

    pub(crate) fn supervisor(&self) -> i32 {
        self.supervisor_of(id())
    }

    pub(crate) fn supervisor_of(&self, id: SessionId) -> i32 {
        let state = std::fs::read(self.directory_of(id).join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        state["supervisor"]["pid"].as_i64().unwrap().try_into().unwrap()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.owned.is_none() {
            return;
        }
        if std::thread::panicking() {
            for stat in self.processes() {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(stat.pid), nix::sys::signal::Signal::SIGKILL);
            }
            return;
        }
        let mut left = String::new();
        for stat in self.processes() {
            let _ = write!(left, " {} {}", stat.pid, stat.comm);
        }
        assert!(left.is_empty(), "processes are left:{left}");
    }
}

/// Stops the session's program and makes sure that nothing of it is there.
pub(crate) async fn stop(ground: &Ground, launcher: &LocalLauncher, epoch: Epoch) {
    launcher.stop(id(), epoch).await.unwrap();
    assert_eq!(launcher.running().await, []);
    assert!(launcher.upstream(id()).is_none());
    assert!(!ground.session().exists());
    let left: Vec<_> = ground.processes().into_iter().map(|stat| (stat.pid, stat.comm)).collect();
    assert_eq!(left, []);
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn is_alive(pid: i32) -> bool {
    Process::new(pid).and_then(|process| process.stat()).is_ok_and(|stat| stat.state != 'Z')
}
