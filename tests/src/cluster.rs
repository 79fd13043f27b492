//! A cluster of daemons on one machine, and its end.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use evenkeel_test_postgres::Database;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tempfile::TempDir;

use crate::{
    Client, Node, binaries,
    layout::{self, NodeFiles, Settings},
    processes::{self, Process},
    wait,
};

/// How long sessions may take to end: a program is asked first and killed after its grace period.
const END: Duration = Duration::from_secs(40);

/// How long processes may take to vanish once their daemon says that they have ended.
const VANISH: Duration = Duration::from_secs(10);

/// How a cluster is to be.
#[derive(Clone, Debug)]
pub struct Builder {
    nodes: usize,
    first_port: Option<u16>,
    listen: String,
    settings: Settings,
    loads: Option<Vec<[f64; 3]>>,
    programs: Vec<PathBuf>,
    program: Option<PathBuf>,
    database: Option<Arc<Database>>,
}

/// Daemons that share one store. When it goes out of scope, its sessions are ended, its daemons are stopped, and
/// nothing that they have started may be left.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    root: TempDir,
    path: OsString,
    /// Whose sessions are to be ended, beside those of the one who runs it.
    users: Mutex<BTreeSet<String>>,
    closed: bool,
    /// Removed once nobody uses it.
    _database: Option<Arc<Database>>,
}

impl Builder {
    /// A cluster of that many nodes `n1`, `n2`, … with the program's defaults, but for the login shell: whoever runs this may
    /// have a profile that takes long, or waits for another that reads it.
    pub fn new(nodes: usize) -> Self {
        let settings = Settings::default();
        let (loads, programs, listen) = (None, Vec::new(), "127.0.0.1".to_owned());
        let builder =
            Self { nodes, first_port: None, listen, settings, loads, programs, program: None, database: None };
        builder.setting("session-login-shell", "0")
    }

    /// A cluster for a test: it offers the kind `echo`, its nodes' load averages are zero until they are set, and it
    /// notices everything quickly.
    pub fn for_test(nodes: usize) -> Result<Self> {
        let builder = Self::new(nodes).echo()?;
        Ok(builder.setting("heartbeat-interval-ms", "250").loads(&vec![[0.0; 3]; nodes]))
    }

    /// Offers the kind `echo`, a small program for tests.
    pub fn echo(self) -> Result<Self> {
        binaries::find("evenkeel-echo")?;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds/echo.toml");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(self.kind("echo", text).programs(binaries::directory()?))
    }

    /// Uses the ports from this one on instead of free ones.
    #[must_use]
    pub fn first_port(mut self, port: u16) -> Self {
        self.first_port = Some(port);
        self
    }

    /// Has the registry in that database, which must be empty; else it is in SQLite.
    #[must_use]
    pub fn on_postgres(mut self, database: &Arc<Database>) -> Self {
        let (place, password) = (database.uri(), database.server().password());
        let place = place.replacen('@', &format!(":{password}@"), 1);
        let lines = format!("provider=postgresql\nconnection-uri={place}?sslmode=allow\n");
        self.settings.database = Some((lines, format!("the-key-of-{}", database.name())));
        self.database = Some(Arc::clone(database));
        self
    }

    /// Listens on that address instead of `127.0.0.1`, which it must include.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// Has each node's port take TLS, with a certificate of its own.
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.settings.tls = true;
        self
    }

    /// Names the balancer.
    #[must_use]
    pub fn balancer(mut self, name: &str) -> Self {
        self.settings.balancer = Some(name.to_owned());
        self
    }

    /// Adds a setting of the balancer.
    #[must_use]
    pub fn balancer_setting(mut self, key: &str, value: &str) -> Self {
        self.settings.balancer_settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Gives all nodes one plugins directory.
    #[must_use]
    pub fn shared_plugins(mut self) -> Self {
        self.settings.shared_plugins = true;
        self
    }

    /// Adds a line to each node's `rserver.conf`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.server.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a line to each node's `rsession.conf`.
    #[must_use]
    pub fn session_setting(mut self, name: &str, value: &str) -> Self {
        self.settings.session.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets each node's load averages.
    #[must_use]
    pub fn loads(mut self, loads: &[[f64; 3]]) -> Self {
        self.loads = Some(loads.to_vec());
        self
    }

    /// Adds a kind of session.
    #[must_use]
    pub fn kind(mut self, name: &str, file: String) -> Self {
        self.settings.kinds.push((name.to_owned(), file));
        self
    }

    /// Adds a directory in which the daemons look for the programs of sessions, before the usual ones.
    #[must_use]
    pub fn programs(mut self, directory: PathBuf) -> Self {
        self.programs.push(directory);
        self
    }

    /// Uses this program instead of the one beside the test.
    #[must_use]
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Lays out the directories of the cluster and starts none of it.
    pub fn prepare(self) -> Result<Cluster> {
        let program = self.program.map_or_else(|| binaries::find("evenkeel"), Ok)?;
        let usual = env::var_os("PATH").unwrap_or_default();
        // Short: sockets lie below it, and their paths are limited to 107 bytes.
        let root = tempfile::Builder::new().prefix("evenkeel-").tempdir()?;
        // Users of sessions pass through it to what is their own.
        fs::set_permissions(root.path(), Permissions::from_mode(0o711))?;
        let programs = self.programs.into_iter().map(|directory| binaries::reachable(&directory, root.path()));
        let programs = programs.collect::<Result<Vec<_>>>()?;
        let path = env::join_paths(programs.into_iter().chain(env::split_paths(&usual)))?;
        if self.settings.shared_plugins {
            fs::create_dir(layout::plugins(root.path()))?;
        }
        let mut nodes = Vec::new();
        for index in 0..self.nodes {
            let name = format!("n{}", index + 1);
            let load = self.loads.as_ref().map(|loads| loads.get(index).copied().unwrap_or_default());
            let files = NodeFiles::create(root.path(), &name, &self.settings, load)?;
            let port = match self.first_port {
                None => 0,
                Some(first) => u16::try_from(index).ok().and_then(|i| first.checked_add(i)).context("no such port")?,
            };
            nodes.push(Node::new(&name, files, program.clone(), path.clone(), (&self.listen, port)));
        }
        Ok(Cluster { nodes, root, path, users: Mutex::default(), closed: false, _database: self.database })
    }

    /// Starts the cluster and waits until every node sees every other online.
    pub async fn start(self) -> Result<Cluster> {
        let mut cluster = self.prepare()?;
        cluster.start_all().await?;
        Ok(cluster)
    }
}

impl Cluster {
    /// A cluster for a test, of that many nodes.
    pub async fn start(nodes: usize) -> Result<Self> {
        Builder::for_test(nodes)?.start().await
    }

    /// Starts all nodes at once and waits until every one sees every other online.
    pub async fn start_all(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.spawn()?;
        }
        for node in &mut self.nodes {
            node.wait_ready().await?;
        }
        self.wait_online().await
    }

    /// Waits until every node sees all of them online.
    pub async fn wait_online(&self) -> Result<()> {
        for node in &self.nodes {
            let client = node.client()?;
            wait::until(&format!("all nodes to be online as node {} sees them", node.name), wait::LONG, async || {
                let nodes = client.nodes().await?;
                let online = nodes.iter().filter(|node| node.status == "online").count();
                ensure!(online == self.nodes.len(), "{online} of {} are online", self.nodes.len());
                Ok(())
            })
            .await
            .with_context(|| node.log_tail())?;
        }
        Ok(())
    }

    /// Waits until the cluster knows these load averages of its nodes.
    pub async fn wait_loads(&self, loads: &[[f64; 3]]) -> Result<()> {
        let client = self.client(0)?;
        wait::until("the nodes' load averages to be known", wait::LONG, async || {
            let nodes = client.nodes().await?;
            for (node, expected) in self.nodes.iter().zip(loads) {
                let known = nodes.iter().find(|known| known.name == node.name).context("a node is missing")?;
                let near = known.load.iter().zip(expected).all(|(known, expected)| (known - expected).abs() < 0.006);
                ensure!(near, "{}: {:?}", node.name, known.load);
            }
            Ok(())
        })
        .await
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node by its index.
    pub fn node(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// A client of the node with that index.
    pub fn client(&self, index: usize) -> Result<&Client> {
        self.nodes[index].client()
    }

    /// A browser of that user's at the node with that index, signed in by a link. What the user has started by it is ended
    /// with the cluster.
    pub async fn sign_in(&self, index: usize, user: &str) -> Result<Client> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_owned());
        self.nodes[index].sign_in_as(user).await
    }

    /// The index of the node with that name.
    pub fn index(&self, name: &str) -> Result<usize> {
        self.nodes.iter().position(|node| node.name == name).with_context(|| format!("there is no node {name}"))
    }

    /// A client of a node other than the one with that name, and that node's index.
    pub fn client_elsewhere(&self, name: &str) -> Result<(usize, &Client)> {
        let index = (self.index(name)? + 1) % self.nodes.len();
        Ok((index, self.client(index)?))
    }

    /// The directory that everything of the cluster lies in.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The plugins directory that its nodes share, where they do.
    pub fn plugins(&self) -> PathBuf {
        layout::plugins(self.root())
    }

    /// The program as a command, with the environment of the daemons.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binaries::find("evenkeel")?);
        command.args(arguments).env("PATH", &self.path).stdin(Stdio::null());
        Ok(command)
    }

    /// The processes that the cluster has started and that still run.
    pub fn processes(&self) -> Vec<Process> {
        self.root.path().to_str().map(processes::marked).unwrap_or_default()
    }

    /// Ends the sessions, stops the daemons, and says what was left running; that is killed.
    pub async fn close(mut self) -> Result<()> {
        self.take_down().await
    }

    async fn take_down(&mut self) -> Result<()> {
        self.closed = true;
        // Taken before anything ends, since a process whose parent has gone cannot be told to be ours.
        let mut ours = self.processes();
        let all_run = self.nodes.iter_mut().all(Node::runs);
        let mut problems: Vec<_> = self.nodes.iter_mut().filter_map(Node::crash).collect();
        if let Err(error) = self.end_sessions().await {
            problems.push(format!("{error:#}"));
        }
        ours.extend(self.processes());
        for node in self.nodes.iter_mut().filter_map(|node| node.runs().then_some(node)) {
            match node.stop().await {
                Ok(status) if status.success() => {}
                Ok(status) => problems.push(format!("node {} ended with {status}", node.name)),
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
        let gone = wait::until("every process to end", VANISH, async || {
            let left: Vec<_> = ours.iter().filter(|process| process.runs()).collect();
            ensure!(left.is_empty(), "left running: {left:?}");
            Ok(())
        });
        // Sessions of a daemon that a test has killed and left dead go on, as they should.
        if all_run && let Err(error) = gone.await {
            problems.push(format!("{error:#}"));
        }
        for process in ours.iter().chain(&self.processes()) {
            process.kill();
        }
        for node in &mut self.nodes {
            node.kill9()?;
        }
        if problems.is_empty() { Ok(()) } else { Err(anyhow!("{}", problems.join("; "))) }
    }

    async fn end_sessions(&mut self) -> Result<()> {
        let running: Vec<_> = self.nodes.iter_mut().filter_map(|n| n.runs().then(|| n.name.clone())).collect();
        let Some(node) = self.nodes.iter().find(|node| running.contains(&node.name)) else { return Ok(()) };
        // Not the node's own client: its open connections belong to a runtime that may be waiting for this to end.
        let Ok(own) = Client::of(&node.place(), &node.files.data) else { return Ok(()) };
        let mut clients = vec![own];
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for user in users {
            clients.push(node.sign_in_as(&user).await?);
        }
        for client in &clients {
            end_sessions_of(client, &running).await?;
        }
        Ok(())
    }
}

/// Ends what runs on nodes that do.
async fn end_sessions_of(client: &Client, running: &[String]) -> Result<()> {
    let live = async || {
        let sessions = client.sessions().await?.into_iter();
        anyhow::Ok(sessions.filter(|s| s.is_live() && running.contains(&s.node.name)).collect::<Vec<_>>())
    };
    let ended = stream::iter(live().await?).map(async |session| client.end(&session.id).await);
    ended.buffer_unordered(16).try_collect::<()>().await?;
    wait::until("the sessions to end", END, async || {
        let left: Vec<_> = live().await?.into_iter().map(|session| session.id).collect();
        if !left.is_empty() {
            bail!("live: {}", left.join(", "));
        }
        Ok(())
    })
    .await
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        if thread::panicking() {
            for node in &self.nodes {
                eprintln!("{}", node.log_tail());
            }
        }
        // Dropped within a runtime, which cannot be blocked on from here.
        let outcome = thread::scope(|scope| {
            let work = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(self.take_down())
            });
            work.join().unwrap_or_else(|_| Err(anyhow!("taking the cluster down panicked")))
        });
        if let Err(error) = outcome {
            assert!(thread::panicking(), "the cluster did not end cleanly: {error:#}");
            eprintln!("the cluster did not end cleanly either: {error:#}");
        }
    }
}
