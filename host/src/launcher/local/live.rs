//! A program that runs, as the daemon keeps it: its facts, and a task that sees it end.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio::{sync::watch, task::AbortHandle};

use super::{
    House, blocking,
    control::{self, Client},
    failed,
    ports::Claim,
    prepare,
};
use crate::{
    config::data_dir::make_closed,
    domain::Epoch,
    launcher::{
        Exit, LaunchError, Running, Upstream,
        cgroup::Cgroup,
        leftover, processes,
        record::{self, EXIT, ExitRecord, ProcessId, Service, State},
        supervisor::protocol::Request,
    },
};

/// Beyond the grace period: what killing everything may take.
const KILLING: Duration = Duration::from_secs(10);
/// One that does not listen may be about to end.
const LEAVING: Duration = Duration::from_secs(2);
/// How long the marked processes of a dead supervisor are hunted.
const HUNT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// A program that runs.
pub(super) struct Live {
    pub(super) running: Running,
    pub(super) directory: PathBuf,
    /// Where it is reached, if it listens.
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) service: Service,
    supervisor: ProcessId,
    grace: Duration,
    exit: watch::Receiver<Option<Exit>>,
    keeper: OnceLock<AbortHandle>,
    _port: Option<Claim>,
}

impl Live {
    /// Takes a running program into the house's books, and watches it from now on.
    pub(super) fn enter(
        house: &Arc<House>,
        state: &State,
        program: ProcessId,
        port: Option<Claim>,
    ) -> io::Result<Arc<Self>> {
        let directory = house.runtime(state.session);
        let (tell, exit) = watch::channel(None);
        let live = Arc::new(Self {
            running: Running {
                id: state.session,
                epoch: state.epoch,
                user: state.user.clone(),
                kind: state.kind.clone(),
                pid: program.pid.unsigned_abs(),
            },
            upstream: prepare::upstream(state.epoch, &directory, &state.service)?.map(Arc::new),
            service: state.service.clone(),
            supervisor: state.supervisor,
            grace: Duration::from_millis(state.stop.grace_ms),
            directory,
            exit,
            keeper: OnceLock::new(),
            _port: port,
        });
        house.live_mut().insert(state.session, Arc::clone(&live));
        let remains = Remains {
            epoch: state.epoch,
            uid: state.service.uid,
            supervisor: state.supervisor,
            program: Some(program),
            directory: live.directory.clone(),
            data: house.data(state.session),
            cgroup: state.cgroup.clone(),
            unseen: Exit::Unknown,
        };
        let keeper = tokio::spawn(keep(Arc::downgrade(house), Arc::downgrade(&live), remains, tell));
        let _ = live.keeper.set(keeper.abort_handle());
        Ok(live)
    }

    /// Looks after the program no longer: that is the next daemon's.
    pub(super) fn leave(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }

    /// Waits until the program has ended and all of it is cleared away.
    pub(super) async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        if let Ok(seen) = exit.wait_for(Option::is_some).await
            && let Some(exit) = &*seen
        {
            return exit.clone();
        }
        // The launcher is gone or the daemon is ending: that is no end of the program.
        std::future::pending().await
    }

    /// The supervisor's process id.
    pub(super) fn supervisor_pid(&self) -> i32 {
        self.supervisor.pid
    }

    /// Stops the program, by another signal than its kind's where one is named, and returns when nothing of it is left.
    pub(super) async fn stop(&self, signal: Option<Signal>) -> Result<(), LaunchError> {
        let request = Request::Stop { signal: signal.map(|signal| signal as i32), grace_ms: None };
        let asked = control::ask(&self.directory, &request).await;
        let limit = if asked.is_ok() { self.grace.saturating_add(KILLING) } else { LEAVING };
        if tokio::time::timeout(limit, self.ended()).await.is_ok() {
            return Ok(());
        }
        if asked.is_err() || control::ask(&self.directory, &Request::Status).await.is_err() {
            // A supervisor that does not answer: ended from here, with all that is under it.
            tracing::warn!(session = %self.running.id, "its supervisor does not answer and is killed");
            let supervisor = self.supervisor;
            blocking(move || kill_with_supervisor(supervisor)).await?;
            if tokio::time::timeout(KILLING, self.ended()).await.is_ok() {
                return Ok(());
            }
        }
        Err(failed(format!("stopping session {}", self.running.id))("its processes do not end, even killed"))
    }
}

fn kill_with_supervisor(supervisor: ProcessId) {
    if processes::is_alive(supervisor) {
        processes::kill_below(supervisor.pid);
        processes::kill(supervisor);
    }
}

/// What may be left of a program.
pub(super) struct Remains {
    pub(super) epoch: Epoch,
    pub(super) uid: u32,
    pub(super) supervisor: ProcessId,
    pub(super) program: Option<ProcessId>,
    pub(super) directory: PathBuf,
    pub(super) data: PathBuf,
    /// Its control group, where it has one.
    pub(super) cgroup: Option<PathBuf>,
    /// How it must have ended where there is no record of it.
    pub(super) unseen: Exit,
}

async fn keep(house: Weak<House>, live: Weak<Live>, remains: Remains, tell: watch::Sender<Option<Exit>>) {
    let (session, epoch) = (remains.directory.display().to_string(), remains.epoch);
    let exit = wait(&remains).await;
    let (cleared, exit) = match blocking(move || remains.clear(exit)).await {
        Ok((result, exit)) => (result, exit),
        Err(error) => (Err(io::Error::other(error)), Exit::Unknown),
    };
    if let Err(error) = cleared {
        tracing::warn!(%session, %epoch, %error, "what is left of a program cannot be cleared away");
    }
    if let (Some(house), Some(live)) = (house.upgrade(), live.upgrade()) {
        let mut all = house.live_mut();
        if all.get(&live.running.id).is_some_and(|other| Arc::ptr_eq(other, &live)) {
            all.remove(&live.running.id);
        }
    }
    let _ = tell.send(Some(exit));
}

/// Waits for the end: told by the supervisor, read from its record, or none where it is gone without one.
async fn wait(remains: &Remains) -> Option<Exit> {
    loop {
        if let Ok(mut client) = Client::connect(&remains.directory).await
            && let Ok(answer) = client.call(&Request::Wait).await
            && let Some(ended) = answer.exit
        {
            return Some(ended.into());
        }
        // Looked at before the record: one that ends in between has written it.
        let supervisor = remains.supervisor;
        let gone = blocking(move || processes::is_gone(supervisor)).await.unwrap_or(false);
        let (path, epoch) = (remains.directory.join(EXIT), remains.epoch);
        if let Ok(Ok(Some(exit))) = blocking(move || read_exit(&path, epoch)).await {
            return Some(exit);
        }
        if gone {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(super) fn read_exit(path: &Path, epoch: Epoch) -> io::Result<Option<Exit>> {
    Ok(record::read::<ExitRecord>(path)?.filter(|record| record.epoch == epoch).map(|record| record.ended.into()))
}

impl Remains {
    /// Clears away what is left, and keeps how it ended with the log.
    pub(super) fn clear(&self, exit: Option<Exit>) -> (io::Result<()>, Exit) {
        let killed = match exit {
            Some(_) => self.see_supervisor_off(),
            None => hunt(self.program, &self.directory, self.uid, self.cgroup.as_deref()),
        };
        let emptied = self.cgroup.as_deref().map_or(Ok(()), |path| Cgroup::at(path).remove());
        let exit = exit.unwrap_or_else(|| self.unseen.clone());
        let record = ExitRecord { epoch: self.epoch, ended: (&exit).into() };
        let kept = make_closed(&self.data)
            .map_err(io::Error::other)
            .and_then(|()| record::write(&self.data.join(EXIT), &record));
        (killed.and(emptied).and(kept).and(leftover::remove(&self.directory)), exit)
    }

    /// Its supervisor has nothing left to do.
    fn see_supervisor_off(&self) -> io::Result<()> {
        let deadline = Instant::now() + HUNT;
        while processes::is_alive(self.supervisor) {
            if Instant::now() >= deadline {
                processes::kill(self.supervisor);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Where its supervisor is gone, and cannot end what was below it: what is in its control group, the program's descendants
/// as far as the chain holds, and whatever carries the session's mark.
pub(super) fn hunt(program: Option<ProcessId>, directory: &Path, uid: u32, cgroup: Option<&Path>) -> io::Result<()> {
    let deadline = Instant::now() + HUNT;
    loop {
        let mut left = cgroup.map_or(0, |path| Cgroup::at(path).kill());
        if let Some(program) = program.filter(|program| processes::is_alive(*program)) {
            left += 1 + processes::kill_below(program.pid);
            processes::kill(program);
        }
        left += processes::kill_marked(directory, uid);
        if left == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(io::Error::other(format!("{left} processes of the session do not end, even killed")));
        }
        std::thread::sleep(PAUSE);
    }
}
