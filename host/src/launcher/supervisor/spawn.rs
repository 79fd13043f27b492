//! Starting the program as its user.
//!
//! What can hang, as a home on storage that has gone away does, hangs in the process that is to become the program, as its
//! user, and this one waits for it only so long.

use std::{
    ffi::CString,
    io::{self, PipeReader, PipeWriter, Read},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
    unistd::{self, Gid, Uid},
};

use crate::launcher::{
    cgroup::Cgroup,
    processes,
    record::{Limits, Order, ProcessId, Report},
};

/// How long the way from here to the program may take: a directory of the user's is entered, and a file is executed.
const LIMIT: Duration = Duration::from_secs(10);

/// How far the new process has come. It says so before each stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// Its own session, its limits.
    Setup = 1,
    /// Becoming the user.
    User,
    /// Entering the directory that is the user's own.
    Own,
    /// Entering the directory in which the program starts.
    Directory,
    /// Executing the program.
    Execution,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Setup, Self::User, Self::Own, Self::Directory, Self::Execution];
}

/// Starts the program in a session of its own. Its output comes out of the pipe.
pub(super) fn spawn(order: &Order, group: Option<&Cgroup>) -> Result<(ProcessId, PipeReader), Report> {
    let (output, input) = io::pipe().map_err(|error| broken("making a pipe", &error))?;
    let also = input.try_clone().map_err(|error| broken("making a pipe", &error))?;
    let (mut stages, stage) = io::pipe().map_err(|error| broken("making a pipe", &error))?;
    let mut command = Command::new(&order.program);
    command.args(&order.arguments).env_clear().envs(&order.environment);
    if let Some(name) = &order.name {
        command.arg0(name);
    }
    command.stdin(Stdio::null()).stdout(input).stderr(also);
    prepare(&mut command, order, group, stage)?;

    // The call returns once the program is executed, which may never be.
    let (tell, told) = mpsc::channel();
    let start = move || drop(tell.send(command.spawn()));
    super::program::thread("start", Box::new(start)).map_err(|error| broken("starting a thread", &error))?;
    let started: io::Result<Child> = match told.recv_timeout(LIMIT) {
        Ok(started) => started,
        Err(RecvTimeoutError::Timeout) => {
            processes::kill_below(std::process::id().cast_signed());
            Err(Errno::ETIMEDOUT.into())
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("its thread ended")),
    };
    match started {
        // It is not reaped yet, so it has an entry even if it has ended.
        Ok(child) => processes::identify(child.id().cast_signed())
            .map(|id| (id, output))
            .ok_or_else(|| broken("/proc", &"does not show the program")),
        Err(error) => Err(failure(order, reached(&mut stages), &error)),
    }
}

/// Has the new process become what the order says before it executes the program.
fn prepare(command: &mut Command, order: &Order, group: Option<&Cgroup>, stage: PipeWriter) -> Result<(), Report> {
    let entrance = group.map(Cgroup::entrance).transpose().map_err(|error| broken("the control group", &error))?;
    let (limits, mask, no_new_privileges) = (order.limits, order.umask, order.no_new_privileges);
    let account = (order.runs_as.uid != unistd::geteuid().as_raw()).then(|| Become::of(order));
    let own = path(&order.runs_as.own)?;
    let directory = path(&order.directory)?;
    let become_it = move || -> io::Result<()> {
        let reach = |next: Stage| unistd::write(&stage, &[next as u8]);
        reach(Stage::Setup)?;
        unistd::setsid()?;
        if let Some(entrance) = &entrance {
            unistd::write(entrance, b"0")?;
        }
        limit(limits)?;
        umask(Mode::from_bits_truncate(mask));
        reach(Stage::User)?;
        if let Some(account) = &account {
            account.assume()?;
        }
        if no_new_privileges {
            prctl::set_no_new_privs()?;
        }
        reach(Stage::Own)?;
        unistd::chdir(own.as_c_str())?;
        reach(Stage::Directory)?;
        unistd::chdir(directory.as_c_str())?;
        reach(Stage::Execution)?;
        Ok(())
    };
    #[expect(unsafe_code, reason = "there is no other way to do something between fork and exec")]
    // SAFETY: the closure makes system calls and nothing else: it neither allocates nor takes a lock, and what it needs was
    // made before.
    unsafe {
        command.pre_exec(become_it);
    }
    Ok(())
}

/// What it takes to be another user.
struct Become {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Become {
    fn of(order: &Order) -> Self {
        let account = &order.runs_as;
        Self {
            uid: Uid::from_raw(account.uid),
            gid: Gid::from_raw(account.gid),
            groups: account.groups.iter().copied().map(Gid::from_raw).collect(),
        }
    }

    fn assume(&self) -> nix::Result<()> {
        leave_keyring();
        unistd::setgroups(&self.groups)?;
        unistd::setresgid(self.gid, self.gid, self.gid)?;
        unistd::setresuid(self.uid, self.uid, self.uid)
    }
}

/// Whoever starts a daemon may have keys in the kernel's session keyring, and would hand them on.
fn leave_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    #[expect(unsafe_code, reason = "no library that is used here knows the call")]
    // SAFETY: the call takes a number and a name, which is absent: the new keyring has none. Where the kernel has no
    // keyrings, there is none to leave.
    unsafe {
        libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>());
    }
}

fn limit(limits: Limits) -> nix::Result<()> {
    let all = [
        (Resource::RLIMIT_AS, limits.address_space),
        (Resource::RLIMIT_STACK, limits.stack),
        (Resource::RLIMIT_NPROC, limits.processes),
    ];
    for (resource, limit) in all {
        let Some(limit) = limit else { continue };
        let (_, most) = getrlimit(resource)?;
        let limit = limit.min(most);
        setrlimit(resource, limit, limit)?;
    }
    Ok(())
}

fn path(path: &Path) -> Result<CString, Report> {
    CString::new(path.as_os_str().as_bytes()).map_err(|error| broken(&path.display().to_string(), &error))
}

/// The last stage that was begun.
fn reached(stages: &mut PipeReader) -> Option<Stage> {
    // Another process may hold the other end: one that hangs.
    let _ = nix::fcntl::fcntl(&*stages, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK));
    let mut all = [0; Stage::ALL.len()];
    let count = stages.read(&mut all).unwrap_or_default();
    let last = *all[..count].last()?;
    Stage::ALL.into_iter().find(|stage| *stage as u8 == last)
}

/// Says in a sentence what went wrong.
fn failure(order: &Order, stage: Option<Stage>, error: &io::Error) -> Report {
    let (user, account) = (&order.user, &order.runs_as);
    match stage {
        None | Some(Stage::Setup) => broken("preparing the program's process", error),
        Some(Stage::User) => failed(&format!("becoming {user}, user id {}", account.uid), error),
        Some(Stage::Own) => {
            let problem = format!("{user} cannot get there, since a directory above it lets nobody pass: {error}");
            failed(&account.own.display().to_string(), &problem)
        }
        Some(Stage::Directory) => {
            let what = if order.directory == account.home { "home directory" } else { "working directory" };
            failed(&order.directory.display().to_string(), &directory_problem(what, user, error))
        }
        Some(Stage::Execution) if is_timeout(error) => broken(
            &order.program.display().to_string(),
            &format!("could not be executed within {} s; does its storage hang?", LIMIT.as_secs()),
        ),
        Some(Stage::Execution) => {
            Report::Failed { program: order.program.display().to_string(), problem: error.to_string() }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ETIMEDOUT as i32)
}

fn directory_problem(what: &str, user: &str, error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => format!("the {what} of {user} does not exist on this node"),
        Some(Errno::ENOTDIR) => format!("the {what} of {user} is no directory on this node"),
        Some(Errno::EACCES) => format!("{user} may not enter the {what} on this node"),
        Some(Errno::ETIMEDOUT) => {
            format!("the {what} of {user} does not answer within {} s; does its storage hang?", LIMIT.as_secs())
        }
        _ => format!("the {what} of {user} cannot be reached on this node: {error}"),
    }
}

fn broken(context: &str, problem: &dyn ToString) -> Report {
    Report::Broken { context: context.to_owned(), problem: problem.to_string() }
}

/// The program was not executed.
fn failed(program: &str, problem: &dyn ToString) -> Report {
    Report::Failed { program: program.to_owned(), problem: problem.to_string() }
}
