//! A Postgres server for tests, of Debian's programs, with nothing left behind.
//!
//! A server lies in a directory of its own below the system's for temporary files, listens on a socket there and on a free
//! port of 127.0.0.1, and runs as an account without rights where the tests are root's. A script keeps it (`keeper.sh`),
//! for as long as any process holds a lock; the kernel lets go of that when a test ends, however it does. So all tests of a
//! run share one server ([`Server::shared`]), whether each is a process of its own or they are threads of one; each has a
//! database of its own. Tests that want a server to themselves, to stop it or to have it ask for certificates, start one
//! ([`Server::start`]).

#![expect(clippy::panic, reason = "a test without its server has nothing to go on with")]

use std::{
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub mod certificates;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// The role that owns everything.
pub const USER: &str = "evenkeel";

/// What a server is to be like.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Lines for `postgresql.conf`.
    pub settings: String,
    /// `pg_hba.conf`; passwords by SCRAM where it is empty.
    pub hba: String,
    /// Files that lie in its directory, by name.
    pub files: Vec<(String, String)>,
    /// Whether a commit waits for the disk, as it does outside of tests.
    pub durable: bool,
}

/// A server, kept running while this is there.
#[derive(Debug)]
pub struct Server {
    directory: PathBuf,
    port: u16,
    /// Locked for as long as it is needed.
    _held: File,
    /// Whether nobody else uses it.
    own: bool,
}

impl Server {
    /// The server that all tests of this tree share, started by whoever needs it first.
    ///
    /// # Panics
    /// Where it cannot be started; `cargo xtask setup` installs what it takes.
    pub fn shared() -> Arc<Self> {
        Self::shared_as("password", Options::default)
    }

    /// The same, of a server that speaks TLS, and over TCP lets nobody in but by a certificate: [`USER`] by `client.pem` and
    /// `client.key` in its directory. What signed them, and its own certificate for `localhost`, is `ca.pem`.
    ///
    /// # Panics
    /// As [`Server::shared`].
    pub fn shared_by_certificate() -> Arc<Self> {
        Self::shared_as("certificate", || {
            let authority = certificates::Authority::new("An authority");
            let (server, client) = (authority.server(&["localhost"]), authority.client(USER));
            let files = [
                ("ca.pem", authority.certificate()),
                ("server.pem", server.certificate),
                ("server.key", server.key),
                ("client.pem", client.certificate),
                ("client.key", client.key),
            ];
            Options {
                settings: "ssl = on\nssl_cert_file = '../server.pem'\nssl_key_file = '../server.key'\n\
                           ssl_ca_file = '../ca.pem'\n"
                    .to_owned(),
                hba: "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 cert\n".to_owned(),
                files: files.map(|(name, content)| (name.to_owned(), content)).to_vec(),
                durable: false,
            }
        })
    }

    fn shared_as(kind: &str, options: impl FnOnce() -> Options) -> Arc<Self> {
        let uid = fs::metadata("/proc/self").expect("procfs").uid();
        // Among what is built, where every test finds it.
        let program = std::env::current_exe().expect("a program");
        let built = program.ancestors().nth(2).expect("target/debug/deps");
        let base = built.join(format!("test-postgres-{uid}-{kind}"));
        fs::create_dir_all(&base).expect("a directory");
        let lock = File::create(base.join("lock")).expect("a lock");
        lock.lock().expect("the lock");
        let current = base.join("current");
        let running = fs::read_to_string(&current).ok().and_then(|directory| Self::join(Path::new(directory.trim())));
        Arc::new(running.unwrap_or_else(|| {
            let server = Self::run(&options(), "2");
            fs::write(&current, server.directory.to_str().expect("a path in UTF-8")).expect("written");
            server
        }))
    }

    /// A server of one's own.
    ///
    /// # Panics
    /// As [`Server::shared`].
    pub fn start(options: &Options) -> Arc<Self> {
        Arc::new(Self { own: true, ..Self::run(options, "0") })
    }

    fn join(directory: &Path) -> Option<Self> {
        let held = File::open(directory.join("held")).ok()?;
        // Where the keeper is about to end, this waits until it has.
        held.lock_shared().ok()?;
        let port = fs::read_to_string(directory.join("port")).ok()?.trim().parse().ok()?;
        Some(Self { directory: directory.to_owned(), port, _held: held, own: false })
    }

    fn run(options: &Options, linger: &str) -> Self {
        let bin = programs();
        let directory = tempfile::Builder::new().prefix("ek-pg-").tempdir().expect("a directory").keep();
        // The port may be taken by another between here and there: the start fails then, and is tried again.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let (sync, path) = (if options.durable { "on" } else { "off" }, directory.display());
        let settings = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{path}'\nfsync = {sync}\n\
             full_page_writes = {sync}\nmax_connections = 200\nshared_buffers = 32MB\nlog_min_messages = warning\n{}\n",
            options.settings
        );
        let password = format!("{:016x}", rand());
        let mut files = vec![("password", password.as_str()), ("settings", settings.as_str())];
        if !options.hba.is_empty() {
            files.push(("hba", &options.hba));
        }
        files.extend(options.files.iter().map(|(name, content)| (name.as_str(), content.as_str())));
        for (name, content) in files {
            use std::os::unix::fs::OpenOptionsExt as _;
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(name));
            file.and_then(|mut file| file.write_all(content.as_bytes())).expect("written");
        }
        let held = File::create(directory.join("held")).expect("a lock");
        held.lock_shared().expect("the lock");
        // In a session of its own, with nobody's standard output: it outlives the test that starts it, and whoever waits
        // for that test does not wait for it.
        let mut keeper = Command::new("setsid");
        keeper
            .args(["--fork", "sh", "-c", include_str!("keeper.sh"), "keeper.sh"])
            .arg(&directory)
            .arg(account().unwrap_or("-"))
            .arg(&bin)
            .args([&port.to_string(), linger])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = keeper.process_group(0).status().expect("setsid, of util-linux");
        assert!(started.success(), "setsid: {started}");
        let begin = Instant::now();
        while !directory.join("port").exists() {
            let log = directory.join("failed");
            if log.exists() || begin.elapsed() > PATIENCE {
                let log = fs::read_to_string(log).unwrap_or_default();
                let _ = fs::remove_dir_all(&directory);
                panic!("Postgres does not start: {log}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Self { directory, port, _held: held, own: false }
    }

    /// Its directory, with its socket, its `data` and the files that it was given.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of [`USER`].
    pub fn password(&self) -> String {
        fs::read_to_string(self.directory.join("password")).expect("the password")
    }

    /// A database of one's own on it, empty.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn database(self: &Arc<Self>) -> Database {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        Database { server: Arc::clone(self), name }
    }

    /// Does something to a database as its owner, and returns what it says.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let output = Command::new(programs().join("psql"))
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-p", &self.port.to_string()])
            .arg("-h")
            .arg(&self.directory)
            .args(["-c", statements])
            .env("PGPASSWORD", self.password())
            .stdin(Stdio::null())
            .output()
            .expect("psql");
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Stops it at once, with all connections to it.
    ///
    /// # Panics
    /// Where others use it, or it does not stop.
    pub fn stop(&self) {
        self.control(&["stop", "-m", "fast"]);
    }

    /// Starts it again after [`Server::stop`], on the same port.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&self) {
        self.control(&["start", "-l", "log.again"]);
    }

    /// Has all of its processes stand still, as on a machine that hangs, or go on.
    ///
    /// # Panics
    /// Where others use it.
    pub fn freeze(&self, still: bool) {
        assert!(self.own, "others use this server");
        let signal = if still { "-STOP" } else { "-CONT" };
        let data = self.directory.join("data");
        let is_ours = |process: &Path| fs::read_link(process.join("cwd")).is_ok_and(|directory| directory == data);
        let processes = fs::read_dir("/proc").expect("procfs").flatten().map(|entry| entry.path());
        let ours =
            processes.filter(|process| is_ours(process)).filter_map(|process| process.file_name().map(Into::into));
        let ours: Vec<std::ffi::OsString> = ours.collect();
        assert!(!ours.is_empty(), "it does not run");
        let sent = Command::new("kill").arg(signal).args(ours).status().expect("kill");
        assert!(sent.success(), "kill: {sent}");
    }

    fn control(&self, arguments: &[&str]) {
        assert!(self.own, "others use this server");
        let mut command = match account() {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", "nogroup", "--clear-groups"]).arg(programs().join("pg_ctl"));
                command
            }
            None => Command::new(programs().join("pg_ctl")),
        };
        let status = command
            .args(["-w", "-s", "-D", "data"])
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("pg_ctl");
        assert!(status.success(), "pg_ctl {arguments:?}: {status}");
    }
}

/// A database of one test's own, removed when this is dropped.
#[derive(Debug)]
pub struct Database {
    server: Arc<Server>,
    name: String,
}

impl Database {
    /// Where it is.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is reached over TCP, without the password.
    pub fn uri(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// As [`Server::sql`].
    pub fn sql(&self, statements: &str) -> String {
        self.server.sql(&self.name, statements)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // With the server goes what a test that failed left there.
        if !thread::panicking() && self.server.directory.join("data/postmaster.pid").exists() {
            self.server.sql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

/// Where Postgres' programs are: the newest that Debian has installed.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let Some(newest) = newest else {
        panic!(
            "there is no PostgreSQL in /usr/lib/postgresql: run `cargo xtask setup`, or install Debian's postgresql"
        );
    };
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}

/// Whom the server runs as where the tests are root's, which it refuses to be.
fn account() -> Option<&'static str> {
    (fs::metadata("/proc/self").expect("procfs").uid() == 0).then_some("nobody")
}

/// A number that nobody knows.
fn rand() -> u64 {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("random bytes");
    u64::from_ne_bytes(bytes)
}
