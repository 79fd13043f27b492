//! The local launcher: programs on this machine, each under a supervisor process of its own.
//!
//! Under the daemon's runtime directory each session has a directory with the supervisor's socket, `state.json` and
//! `exit.json`, which are the daemon's, and with one that is the session's user's own, for the program's socket; under its
//! data directory one with the log, and the record of the end once that has been seen. The former goes when the program has
//! ended, the latter when the session is forgotten.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

use async_trait::async_trait;
use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::Signal,
};
use tokio::task::JoinSet;

use super::{
    Activity, Exit, Launch, LaunchError, Launcher, LogPart, Running, Upstream, cgroup,
    kind::Kinds,
    leftover,
    record::{self, EXIT, ExitRecord},
    supervisor::protocol::Request,
};
use crate::{
    config::{
        ProgramOptions,
        data_dir::{make_closed, make_passable},
        load::tag,
    },
    domain::{Entropy, Epoch, SessionId},
};

mod activity;
mod adopt;
mod boot;
mod control;
mod job;
mod live;
mod part;
mod ports;
mod prepare;
mod probe;
mod spawn;
mod tail;

use boot::Boot;
use live::Live;
use ports::Ports;

/// `sockaddr_un` has room for 107 bytes, and `/<id>/control.sock` takes 22 of them.
const LONGEST_RUNTIME_DIR: usize = 85;
/// Which start of the machine the last daemon accounted for its sessions under.
const BOOT: &str = "boot";
/// How many of the log's last lines an error shows.
const ERROR_LINES: usize = 20;

/// Starts programs on this machine.
pub struct LocalLauncher {
    house: Arc<House>,
    /// Held for as long as this launcher lives: two daemons with one directory would each think the sessions theirs.
    _lock: Flock<std::fs::File>,
}

/// What the launcher's tasks share.
struct House {
    runtime_dir: PathBuf,
    data_dir: PathBuf,
    supervisor: PathBuf,
    kinds: Arc<Kinds>,
    entropy: Arc<dyn Entropy>,
    options: ProgramOptions,
    /// The user that the daemon runs as.
    uid: u32,
    /// Below which control groups are made, where they can be.
    cgroups: Option<PathBuf>,
    ports: Ports,
    live: RwLock<HashMap<SessionId, Arc<Live>>>,
    /// One start or stop of a session at a time.
    turns: Mutex<HashMap<SessionId, Weak<tokio::sync::Mutex<()>>>>,
    boot: Boot,
    processes: activity::Processes,
}

/// What a [`LocalLauncher`] is made of.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// Where sockets and state are; no other daemon uses it.
    pub runtime_dir: &'a Path,
    /// Where logs are.
    pub data_dir: &'a Path,
    /// This program's own executable; `/proc/self/exe` stays right while an upgrade replaces the file.
    pub supervisor: PathBuf,
    /// The kinds that are known.
    pub kinds: Arc<Kinds>,
    /// How programs are started.
    pub options: ProgramOptions,
    /// Where secrets are drawn.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for LocalLauncher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLauncher").field("runtime_dir", &self.house.runtime_dir).finish_non_exhaustive()
    }
}

impl Drop for LocalLauncher {
    /// The programs go on; whatever becomes of them is for the next launcher to see.
    fn drop(&mut self) {
        for live in self.house.live().values() {
            live.leave();
        }
    }
}

/// Whether sockets below a runtime directory can be reached.
pub fn check_length(runtime_dir: &Path) -> Result<(), LaunchError> {
    let length = runtime_dir.as_os_str().len();
    if length <= LONGEST_RUNTIME_DIR {
        return Ok(());
    }
    let problem = format!(
        "the runtime directory's path is {length} bytes long; the paths of sockets in it would be too long with more than \
         {LONGEST_RUNTIME_DIR}: set server-data-dir to a shorter one"
    );
    Err(LaunchError::Supervisor { context: runtime_dir.display().to_string(), problem })
}

impl LocalLauncher {
    /// A launcher for these parts. Looks at the file system: to be called before serving starts, or off the async threads.
    pub fn new(parts: Parts<'_>) -> Result<Self, LaunchError> {
        let Parts { runtime_dir, data_dir, supervisor, kinds, options, entropy } = parts;
        let data_dir = data_dir.join("sessions");
        make_closed(&data_dir)?;
        let uid = nix::unistd::geteuid().as_raw();
        // The users of sessions pass through it to what is their own.
        if uid == 0 {
            make_passable(runtime_dir)?;
        } else {
            make_closed(runtime_dir)?;
        }
        let runtime_dir = runtime_dir.canonicalize().map_err(failed(runtime_dir.display()))?;
        check_length(&runtime_dir)?;
        let lock = runtime_dir.join("lock");
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
        let lock = Flock::lock(file.map_err(failed(lock.display()))?, FlockArg::LockExclusiveNonblock).map_err(
            |(_, error)| LaunchError::Supervisor {
                context: lock.display().to_string(),
                problem: format!("another daemon uses the runtime directory: {error}"),
            },
        )?;
        let cgroups = cgroup::place(&tag(&runtime_dir));
        let boot = Boot::read(data_dir.join(BOOT));
        let house = House {
            runtime_dir,
            data_dir,
            supervisor,
            kinds,
            entropy,
            options,
            uid,
            cgroups,
            ports: Ports::default(),
            live: RwLock::default(),
            turns: Mutex::default(),
            boot,
            processes: activity::Processes::default(),
        };
        Ok(Self { house: Arc::new(house), _lock: lock })
    }

    /// Finds the programs of an earlier daemon again and takes them over; of those that ended meanwhile, clears away what
    /// is left and keeps how they ended. To be called once, before anything is started.
    pub async fn adopt(&self) -> Result<Vec<Running>, LaunchError> {
        let house = Arc::clone(&self.house);
        let found = blocking(move || adopt::directories(&house.runtime_dir)).await?;
        let mut tasks = JoinSet::new();
        for id in found.map_err(failed(self.house.runtime_dir.display()))? {
            let house = Arc::clone(&self.house);
            tasks.spawn(async move { adopt::session(&house, id).await });
        }
        while let Some(result) = tasks.join_next().await {
            if let Ok(Err(error)) = result {
                tracing::error!(%error, "a program of an earlier daemon cannot be taken over");
            }
        }
        Ok(self.running().await)
    }
}

impl House {
    /// Only root can start programs of others.
    fn may_run(&self, launch: &Launch) -> Result<(), LaunchError> {
        if self.uid == 0 || launch.account.uid == self.uid {
            return Ok(());
        }
        let user = &launch.account.name;
        Err(LaunchError::User(format!("the daemon is not root, and cannot run sessions of {user}")))
    }

    fn live(&self) -> RwLockReadGuard<'_, HashMap<SessionId, Arc<Live>>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn live_mut(&self) -> RwLockWriteGuard<'_, HashMap<SessionId, Arc<Live>>> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session's program, if it runs under this epoch.
    fn find(&self, id: SessionId, epoch: Epoch) -> Option<Arc<Live>> {
        self.live().get(&id).filter(|live| live.running.epoch == epoch).cloned()
    }

    fn turn(&self, id: SessionId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&id).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(id, Arc::downgrade(&turn));
        turn
    }

    fn runtime(&self, id: SessionId) -> PathBuf {
        self.runtime_dir.join(id.as_str())
    }

    fn data(&self, id: SessionId) -> PathBuf {
        self.data_dir.join(id.as_str())
    }

    fn log(&self, id: SessionId) -> PathBuf {
        self.data(id).join("log")
    }

    /// How a program ended that is not there any more.
    async fn ended(&self, id: SessionId, epoch: Epoch) -> Option<Exit> {
        let path = self.data(id).join(EXIT);
        let record = blocking(move || record::read::<ExitRecord>(&path)).await.ok()?.ok()??;
        (record.epoch == epoch).then(|| record.ended.into())
    }

    async fn tail(&self, id: SessionId, lines: usize) -> Result<Option<String>, LaunchError> {
        let log = self.log(id);
        let context = log.display().to_string();
        blocking(move || tail::tail(&log, lines)).await?.map_err(failed(context))
    }

    async fn tail_for_error(&self, id: SessionId) -> String {
        self.tail(id, ERROR_LINES).await.ok().flatten().unwrap_or_default()
    }
}

#[async_trait]
impl Launcher for LocalLauncher {
    async fn start(&self, launch: &Launch) -> Result<Running, LaunchError> {
        let (house, launch) = (Arc::clone(&self.house), launch.clone());
        // A task of its own: whoever asked may give up, but a program that was started is known.
        let task = tokio::spawn(async move { spawn::start(&house, &launch).await });
        task.await.map_err(failed("starting a program"))?
    }

    async fn ready(&self, id: SessionId, epoch: Epoch) -> Result<(), LaunchError> {
        let exit = match self.house.find(id, epoch) {
            Some(live) => match probe::ready(&live).await? {
                probe::Outcome::Ready => return Ok(()),
                probe::Outcome::Slow(seconds) => {
                    return Err(LaunchError::NotReady { seconds, log: self.house.tail_for_error(id).await });
                }
                probe::Outcome::Ended(exit) => exit,
            },
            None => self.house.ended(id, epoch).await.ok_or(LaunchError::Unknown(id))?,
        };
        Err(LaunchError::EndedEarly { exit, log: self.house.tail_for_error(id).await })
    }

    async fn stop(&self, id: SessionId, epoch: Epoch) -> Result<(), LaunchError> {
        let turn = self.house.turn(id);
        let _turn = turn.lock().await;
        match self.house.find(id, epoch) {
            Some(live) => live.stop(None).await,
            None => Ok(()),
        }
    }

    async fn suspend(&self, id: SessionId, epoch: Epoch) -> Result<(), LaunchError> {
        let turn = self.house.turn(id);
        let _turn = turn.lock().await;
        let Some(live) = self.house.find(id, epoch) else { return Ok(()) };
        let kind = self.house.kinds.get(&live.running.kind);
        live.stop(kind.and_then(|kind| kind.stop.suspend_signal)).await
    }

    async fn activity(&self, id: SessionId, epoch: Epoch) -> Result<Activity, LaunchError> {
        let live = self.house.find(id, epoch).ok_or(LaunchError::Unknown(id))?;
        activity::of(&self.house, &live).await
    }

    fn machine_restarted(&self) -> bool {
        self.house.boot.restarted()
    }

    async fn note_machine_start(&self) {
        let house = Arc::clone(&self.house);
        let noted = blocking(move || house.boot.note()).await;
        if let Err(error) | Ok(Err(error)) = noted.map(|noted| noted.map_err(failed(BOOT))) {
            tracing::debug!("which start of the machine this is cannot be noted: {error}");
        }
    }

    async fn signal(&self, id: SessionId, epoch: Epoch, signal: Signal) -> Result<(), LaunchError> {
        let live = self.house.find(id, epoch).ok_or(LaunchError::Unknown(id))?;
        let request = Request::Signal { signal: signal as i32 };
        let context = format!("sending {signal} to session {id}");
        control::ask(&live.directory, &request).await.map(drop).map_err(failed(context))
    }

    async fn watch(&self, id: SessionId, epoch: Epoch) -> Exit {
        match self.house.find(id, epoch) {
            Some(live) => live.ended().await,
            None => self.house.ended(id, epoch).await.unwrap_or(Exit::Unknown),
        }
    }

    async fn running(&self) -> Vec<Running> {
        let mut running: Vec<Running> = self.house.live().values().map(|live| live.running.clone()).collect();
        running.sort_by_key(|running| running.id);
        running
    }

    fn upstream(&self, id: SessionId) -> Option<Arc<Upstream>> {
        self.house.live().get(&id).and_then(|live| live.upstream.clone())
    }

    async fn log_tail(&self, id: SessionId, lines: usize) -> Result<String, LaunchError> {
        self.house.tail(id, lines).await?.ok_or(LaunchError::NoLog(id))
    }

    async fn log_part(&self, id: SessionId, from: u64) -> Result<LogPart, LaunchError> {
        let log = self.house.log(id);
        let context = log.display().to_string();
        blocking(move || part::read(&log, from)).await?.map_err(failed(context))?.ok_or(LaunchError::NoLog(id))
    }

    async fn kept(&self) -> Result<Vec<SessionId>, LaunchError> {
        let house = Arc::clone(&self.house);
        let context = self.house.data_dir.display().to_string();
        blocking(move || adopt::directories(&house.data_dir)).await?.map_err(failed(context))
    }

    async fn forget(&self, id: SessionId) {
        let turn = self.house.turn(id);
        let _turn = turn.lock().await;
        if self.house.live().contains_key(&id) {
            return;
        }
        let data = self.house.data(id);
        let removed = blocking(move || leftover::remove(&data).map_err(|error| (data, error))).await;
        if let Ok(Err((data, error))) = removed {
            tracing::warn!(directory = %data.display(), %error, "what a session left cannot be removed");
        }
    }
}

/// An error that names what was being done.
fn failed<E: fmt::Display>(context: impl fmt::Display) -> impl FnOnce(E) -> LaunchError {
    move |error| LaunchError::Supervisor { context: context.to_string(), problem: error.to_string() }
}

/// Does what touches files or processes off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LaunchError> {
    tokio::task::spawn_blocking(work).await.map_err(failed("a blocking task"))
}
