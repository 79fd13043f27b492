//! The process above each program: `evenkeel supervisor DIRECTORY`, started by the local launcher.
//!
//! It is small, a mode of the same binary with plain threads, and outlives the daemon, so that a restart or an upgrade of
//! the daemon ends no session. It starts the program, keeps its output in a log of bounded size, answers the daemon on a
//! socket in the session's directory, and is the subreaper of all that the program starts: when the program ends,
//! nothing of it stays. Its last act is the record of how it ended, and then it ends too; a daemon that sees the
//! connection close finds the record.

use std::{
    ffi::OsString,
    io::{PipeReader, Read, Write},
    os::unix::{
        fs::{OpenOptionsExt as _, fchown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use nix::{
    sys::{
        prctl,
        signal::{SigSet, Signal},
        stat::{Mode, umask},
    },
    unistd,
};

use super::{
    Exit,
    cgroup::Cgroup,
    leftover, processes,
    record::{
        self, CONTROL, EXIT, ExitRecord, MOST_BYTES, OWN, Order, OrderFile, ProcessId, Report, RunsAs, STATE, State,
    },
};

mod control;
mod log;
mod memory;
mod program;
pub(super) mod protocol;
mod spawn;
pub(super) mod start;

use program::Supervised;

/// The start failed: what was being done, and what went wrong.
struct Failure(Report);

impl Failure {
    fn broken(context: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self(Report::Broken { context: context.into(), problem: problem.to_string() })
    }
}

/// Runs the supervisor. `arguments` are the words after `supervisor`: the session's directory. The order to start comes on
/// standard input, the report of the start goes to standard output.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    close_inherited();
    let mut arguments = arguments.into_iter();
    let (Some(directory), None) = (arguments.next(), arguments.next()) else {
        let _ = writeln!(std::io::stderr(), "evenkeel supervisor DIRECTORY is started by the daemon, not by hand");
        return ExitCode::from(64);
    };
    let directory = PathBuf::from(directory);
    match start(&directory) {
        Ok(supervised) => {
            supervised.run();
            ExitCode::SUCCESS
        }
        Err(Failure(report)) => {
            let _ = std::fs::remove_file(directory.join(CONTROL));
            let _ = tell(&report);
            ExitCode::FAILURE
        }
    }
}

/// Every descriptor of the daemon's is close-on-exec; this is for those that its own parent left open.
fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(|fd| *fd > 2).collect();
    for descriptor in open {
        let _ = unistd::close(descriptor);
    }
}

fn start(directory: &Path) -> Result<Supervised, Failure> {
    let order = read_order()?;
    // Fails only where this process leads a session already.
    let _ = unistd::setsid();
    prctl::set_child_subreaper(true).map_err(|error| Failure::broken("becoming the subreaper", error))?;
    // A mask is inherited; the program starts with an empty one, whatever the daemon blocked.
    SigSet::empty().thread_set_mask().map_err(|error| Failure::broken("unblocking signals", error))?;
    std::env::set_current_dir("/").map_err(|error| Failure::broken("/", error))?;
    // What is made here is this user's alone, the socket too.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);

    let own = processes::identify(std::process::id().cast_signed())
        .ok_or_else(|| Failure::broken("/proc", "does not show this process"))?;
    let mut state = State {
        session: order.session,
        epoch: order.epoch,
        user: order.user.clone(),
        kind: order.kind.clone(),
        boot: processes::boot(),
        supervisor: own,
        program: None,
        stop: order.stop,
        service: order.service.clone(),
        cgroup: order.cgroup.as_ref().map(|order| order.path.clone()),
    };
    // From here on a daemon that starts anew finds this session; so no program runs that none would find.
    write_state(directory, &state)?;
    let socket = directory.join(CONTROL);
    let listener = UnixListener::bind(&socket).map_err(|error| Failure::broken(socket.display().to_string(), error))?;
    let log = log::Log::create(&order.log, order.log_limit)
        .map_err(|error| Failure::broken(order.log.display().to_string(), error))?;

    files(&order.runs_as, &order.files)?;
    let (child, output) = start_program(&order)?;
    state.program = Some(child);
    let supervised = Supervised::new(directory.to_owned(), &state, child, order.cgroup);
    if let Err(failure) = write_state(directory, &state).and_then(|()| serve(&supervised, listener, log, output)) {
        supervised.end_all();
        return Err(failure);
    }
    if tell(&Report::Started { program: child, supervisor: own }).is_err() {
        // The daemon is gone; its successor finds the program by its state.
    }
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    if let Ok(null) = null {
        let _ = unistd::dup2_stdin(&null);
        let _ = unistd::dup2_stdout(&null);
        let _ = unistd::dup2_stderr(&null);
    }
    Ok(supervised)
}

/// Makes the control group and starts the program in it.
fn start_program(order: &Order) -> Result<(ProcessId, PipeReader), Failure> {
    let group = order.cgroup.as_ref().map(Cgroup::make).transpose();
    let group = group.map_err(|error| Failure::broken("making the control group", error))?;
    spawn::spawn(order, group.as_ref()).map_err(|report| {
        if let Some(group) = &group {
            let _ = group.remove();
        }
        Failure(report)
    })
}

fn read_order() -> Result<Order, Failure> {
    let mut text = Vec::new();
    std::io::stdin()
        .take(MOST_BYTES)
        .read_to_end(&mut text)
        .map_err(|error| Failure::broken("reading the order to start", error))?;
    serde_json::from_slice(&text).map_err(|error| Failure::broken("reading the order to start", error))
}

/// Makes the session's own files, in a directory where its user can make others meanwhile: only new ones are written to.
fn files(runs_as: &RunsAs, files: &[OrderFile]) -> Result<(), Failure> {
    let is_own = runs_as.uid == unistd::geteuid().as_raw();
    for file in files {
        let path = runs_as.own.join(&file.name);
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.and_then(|mut made| {
            made.write_all(file.content.as_bytes())?;
            if is_own { Ok(()) } else { fchown(&made, Some(runs_as.uid), Some(runs_as.gid)) }
        })
        .map_err(|error| Failure::broken(path.display().to_string(), error))?;
    }
    Ok(())
}

fn write_state(directory: &Path, state: &State) -> Result<(), Failure> {
    let path = directory.join(STATE);
    record::write(&path, state).map_err(|error| Failure::broken(path.display().to_string(), error))
}

/// Starts the threads: the log's, the listener's, the one that waits for signals.
fn serve(supervised: &Supervised, listener: UnixListener, log: log::Log, output: PipeReader) -> Result<(), Failure> {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    signals.thread_block().map_err(|error| Failure::broken("blocking signals", error))?;
    let thread = |name: &str, body: Box<dyn FnOnce() + Send>| {
        program::thread(name, body).map_err(|error| Failure::broken(format!("starting the thread {name}"), error))
    };
    let drained = Arc::clone(&supervised.drained);
    thread("log", Box::new(move || log.keep(output, &drained)))?;
    let shared = Arc::clone(&supervised.shared);
    thread("control", Box::new(move || control::listen(&listener, &shared)))?;
    let shared = Arc::clone(&supervised.shared);
    thread(
        "signals",
        Box::new(move || {
            while let Ok(signal) = signals.wait() {
                // The machine shuts down: the program gets its own way of stopping, and the record is written.
                if signal != Signal::SIGHUP {
                    shared.stop(None, None);
                }
            }
        }),
    )
}

fn tell(report: &Report) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut output = std::io::stdout();
    output.write_all(&line)?;
    output.flush()
}

/// Removes the sockets and writes the record: what a daemon finds.
fn leave(directory: &Path, epoch: crate::domain::Epoch, exit: &Exit) {
    // Where the record cannot be written the daemon calls the end unknown, and that is what it is.
    let _ = record::write(&directory.join(EXIT), &ExitRecord { epoch, ended: exit.into() });
    // Here, lest the daemon have to go through what a user has made: it may be deeper than files can be open.
    let _ = leftover::remove(&directory.join(OWN));
    let _ = std::fs::remove_file(directory.join(CONTROL));
}
