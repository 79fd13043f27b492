//! One run of a program within bounds of time and output.

use std::{
    fs::File,
    io::{self, ErrorKind, PipeReader, PipeWriter, Read},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::Signal,
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use super::running::{Group, Running};

/// How much standard output is read, bytes.
pub(super) const MOST_OUTPUT: usize = 64 << 10;

/// How much standard error is kept, bytes; the rest is read and forgotten.
const MOST_ERRORS: usize = 8 << 10;

/// How many pieces are read in one go: more than a pipe holds, so that what a program wrote before its end is not missed.
const PIECES: usize = 32;

/// How long a killed program may take to be gone.
const GRACE: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug)]
pub(super) struct Run {
    /// Its standard output, at most [`MOST_OUTPUT`].
    pub(super) output: Vec<u8>,
    /// The beginning of its standard error.
    pub(super) errors: Vec<u8>,
    /// How it ended.
    pub(super) end: End,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that did not come from here.
    Signal(Signal),
    /// By its time limit.
    Late,
    /// By printing too much.
    TooMuch,
}

/// A program that was started. When this goes, its process group is killed, and then it is reaped.
struct Started {
    group: Group,
    output: Stream,
    errors: Stream,
    /// The last to go.
    _keep: mpsc::Sender<()>,
}

/// Runs what `command` makes. Whatever blocks in the kernel, the file system included, blocks a thread that the caller does
/// not wait for, and which holds `running` until it is done.
pub(super) fn run(
    command: impl FnOnce() -> Result<Command, String> + Send + 'static,
    limit: Duration,
    running: &Arc<Running>,
) -> Result<Run, String> {
    let deadline = Instant::now() + limit;
    let failed = |error: io::Error| format!("cannot be run: {error}");
    let (gone, goes) = io::pipe().map_err(failed)?;
    let (tell, told) = mpsc::channel();
    let (tell_end, end) = mpsc::channel();
    let running = Arc::clone(running);
    let keeper = move || keep(command, &running, &tell, &tell_end, goes);
    let keeper = thread::Builder::new().name("script".to_owned()).spawn(keeper).map_err(failed)?;
    let mut started = match told.recv_timeout(limit) {
        Ok(started) => started?,
        Err(_) => return Err(format!("could not be started within {} s", limit.as_secs_f64())),
    };
    let cut = started.listen(&gone, deadline).map_err(failed)?;
    let (output, errors) = (std::mem::take(&mut started.output.kept), std::mem::take(&mut started.errors.kept));
    drop(started);
    let end = match cut {
        Some(cut) => cut,
        None => end.recv().map_err(|_| "ended, and nobody knows how".to_owned())?,
    };
    if ready(&gone, GRACE) {
        // It reaps, and ends.
        let _ = keeper.join();
    }
    Ok(Run { output, errors, end })
}

/// Starts a program, waits for its end, and reaps it once nobody needs its id any more.
fn keep(
    command: impl FnOnce() -> Result<Command, String>,
    running: &Arc<Running>,
    tell: &mpsc::Sender<Result<Started, String>>,
    tell_end: &mpsc::Sender<End>,
    goes: PipeWriter,
) {
    let (keep, kept) = mpsc::channel();
    let start = || {
        let mut child = command()?.spawn().map_err(|error| format!("cannot be run: {error}"))?;
        let started = Started::new(&mut child, running, keep).map_err(|error| format!("cannot be run: {error}"))?;
        Ok((child, started))
    };
    let (mut child, pid) = match start() {
        Ok((child, started)) => {
            let pid = started.group.leader;
            // Where nobody listens any more, this drops it, and so kills it.
            drop(tell.send(Ok(started)));
            (child, pid)
        }
        Err(problem) => return drop(tell.send(Err(problem))),
    };
    let end = loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::Exited(_, status)) => break Some(End::Exited(status)),
            Ok(WaitStatus::Signaled(_, signal, _)) => break Some(End::Signal(signal)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => break None,
        }
    };
    if let Some(end) = end {
        // Who does not listen has no use for it.
        let _ = tell_end.send(end);
    }
    drop(goes);
    // Ends when what was started is dropped.
    let _ = kept.recv();
    let _ = child.wait();
}

impl Started {
    fn new(child: &mut Child, running: &Arc<Running>, keep: mpsc::Sender<()>) -> io::Result<Self> {
        let missing = || io::Error::from(ErrorKind::BrokenPipe);
        let output = child.stdout.take().map(OwnedFd::from);
        let errors = child.stderr.take().map(OwnedFd::from);
        let leader = i32::try_from(child.id()).map(Pid::from_raw).map_err(|_| missing())?;
        Ok(Self {
            group: running.enter(leader),
            output: Stream::new(output.ok_or_else(missing)?, MOST_OUTPUT + 1)?,
            errors: Stream::new(errors.ok_or_else(missing)?, MOST_ERRORS)?,
            _keep: keep,
        })
    }

    /// Reads what it says until it is gone, though somebody else may hold its output open. Returns why it must end first.
    fn listen(&mut self, gone: &PipeReader, deadline: Instant) -> io::Result<Option<End>> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Some(End::Late));
            }
            let pipes = [Some(gone.as_fd()), self.output.fd(), self.errors.fd()];
            let mut waited: Vec<_> =
                pipes.into_iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)).collect();
            match poll(&mut waited, timeout(left)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let is_gone = waited[0].any().unwrap_or(true);
            self.output.read()?;
            self.errors.read()?;
            if self.output.kept.len() > MOST_OUTPUT {
                self.output.kept.truncate(MOST_OUTPUT);
                return Ok(Some(End::TooMuch));
            }
            if is_gone {
                return Ok(None);
            }
        }
    }
}

/// One of its outputs.
struct Stream {
    /// None once it is closed.
    pipe: Option<File>,
    kept: Vec<u8>,
    most: usize,
}

impl Stream {
    fn new(pipe: OwnedFd, most: usize) -> io::Result<Self> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { pipe: Some(File::from(pipe)), kept: Vec::new(), most })
    }

    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is there, for a bounded time, and keeps its beginning.
    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        for _ in 0..PIECES {
            let Some(pipe) = &mut self.pipe else { return Ok(()) };
            match pipe.read(&mut piece) {
                Ok(0) => self.pipe = None,
                Ok(length) => {
                    let room = self.most - self.kept.len();
                    self.kept.extend_from_slice(&piece[..length.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Waits until a pipe has something to read, or is closed.
fn ready(pipe: &PipeReader, limit: Duration) -> bool {
    let mut waited = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut waited, timeout(limit)).is_ok_and(|ready| ready > 0)
}

/// Rounded up, so that it does not end just before the time.
fn timeout(left: Duration) -> PollTimeout {
    PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
}
