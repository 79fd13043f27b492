//! The daemon's side: a child that compiles one module.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, PipeReader, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        resource::{Resource, getrlimit},
        signal::{Signal, killpg},
    },
    unistd::Pid,
};

use super::{
    Compiled, Compiler, CompilerLimits, Shape,
    inside::{Order, Verdict},
};
use crate::balancer::{text, wasm::LoadError};

/// Code that is taken of it, bytes.
const MOST_CODE: u64 = 1 << 30;
/// A verdict's line, bytes.
const MOST_WORDS: u64 = 64 << 10;
/// Threads that it compiles with.
const THREADS: &str = "4";

/// A child that is killed, with all in its group, when this goes.
struct Running {
    child: Child,
    errors: PipeReader,
    reaped: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once it is reaped, its number may be another's.
        if self.reaped {
            return;
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// Compiles a module. Blocks until the child is done, or its time is over.
pub(super) fn compile(compiler: &Compiler, shape: Shape, module: &[u8]) -> Result<Compiled, LoadError> {
    let limits = attainable(compiler.limits);
    let order = Order { shape, memory: limits.memory, processor: limits.processor };
    let (mut running, mut socket) = start(compiler).map_err(|error| {
        LoadError::Compiler(format!("{}: it cannot be started: {error}", compiler.program.display()))
    })?;
    let deadline = Instant::now() + limits.patience;
    let answered = talk(&mut socket, &order, module, deadline);
    // What it waits for, if for anything, does not come any more.
    drop(socket);
    match answered {
        Ok((Verdict::Compiled { export, .. }, code)) => Ok(Compiled { export, code }),
        Ok((verdict, _)) => Err(refusal(verdict, limits)),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            Err(LoadError::Compiler(format!("it took longer than {} s", limits.patience.as_secs_f64())))
        }
        Err(_) => Err(LoadError::Compiler(running.why(limits))),
    }
}

/// What a child of this process can be given of its limits: nobody but root has more than their own.
fn attainable(limits: CompilerLimits) -> CompilerLimits {
    let own = |resource| getrlimit(resource).map_or(u64::MAX, |(_, hard)| hard);
    CompilerLimits {
        memory: limits.memory.min(own(Resource::RLIMIT_AS)),
        // One second passes between the signal that tells what is the matter and the one that ends it.
        processor: limits.processor.min(own(Resource::RLIMIT_CPU).saturating_sub(1)),
        ..limits
    }
}

fn start(compiler: &Compiler) -> io::Result<(Running, UnixStream)> {
    let (ours, its) = UnixStream::pair()?;
    let (errors, its_errors) = io::pipe()?;
    // One that writes more than a pipe holds waits until its time is over.
    fcntl(errors.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut command = Command::new(&compiler.program);
    command.args(&compiler.arguments).env_clear().current_dir("/").process_group(0);
    // Each thread and each arena of the allocator reserves address space, however little it uses.
    command.env("RAYON_NUM_THREADS", THREADS).env("MALLOC_ARENA_MAX", "2");
    command.stdin(OwnedFd::from(its)).stdout(Stdio::null()).stderr(its_errors);
    let child = command.spawn()?;
    Ok((Running { child, errors, reaped: false }, ours))
}

/// Hands over the module and takes the verdict. Each call waits no longer than to the deadline.
fn talk(socket: &mut UnixStream, order: &Order, module: &[u8], deadline: Instant) -> io::Result<(Verdict, Vec<u8>)> {
    let mut stream = Timed { socket, deadline };
    stream.write_all(format!("{}\n", serde_json::to_string(order)?).as_bytes())?;
    stream.write_all(module)?;
    stream.socket.shutdown(Shutdown::Write)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.by_ref().take(MOST_WORDS).read_line(&mut line)?;
    let verdict = serde_json::from_str(&line)?;
    let mut code = Vec::new();
    if let Verdict::Compiled { length, .. } = verdict {
        if length > MOST_CODE {
            return Ok((Verdict::Invalid(format!("it becomes {} MiB of code", length >> 20)), code));
        }
        stream.take(length).read_to_end(&mut code)?;
        if code.len() as u64 != length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((verdict, code))
}

/// A socket whose every call ends at one moment.
struct Timed<'a> {
    socket: &'a mut UnixStream,
    deadline: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

/// A socket says that it would block where its time is over.
fn late(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer).map_err(late)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(buffer).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

fn refusal(verdict: Verdict, limits: CompilerLimits) -> LoadError {
    match verdict {
        Verdict::NotWasm => LoadError::NotWasm,
        // What is invalid may quote any words of the module's.
        Verdict::Broken(why) if is_out_of_memory(&why) => LoadError::Compiler(too_much(limits)),
        Verdict::Invalid(why) => LoadError::Invalid(why),
        Verdict::Import(name) => LoadError::Import(name),
        Verdict::Version(found) => LoadError::Version { found },
        Verdict::Contract(problem) => LoadError::Contract { problem },
        Verdict::NoPolicy => LoadError::NoPolicy,
        Verdict::Broken(why) => LoadError::Compiler(why),
        Verdict::Compiled { .. } => LoadError::Compiler("it said two things at once".to_owned()),
    }
}

fn too_much(limits: CompilerLimits) -> String {
    format!("it needed more than {} MiB of memory", limits.memory >> 20)
}

fn is_out_of_memory(text: &str) -> bool {
    ["memory allocation of", "Cannot allocate memory", "os error 12", "out of memory"]
        .iter()
        .any(|sign| text.contains(sign))
}

impl Running {
    /// How it came to end without a verdict.
    fn why(&mut self, limits: CompilerLimits) -> String {
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => return format!("nobody knows what became of it: {error}"),
        };
        self.reaped = true;
        let mut words = Vec::new();
        // Ends where the pipe is empty.
        let _ = self.errors.by_ref().take(MOST_WORDS).read_to_end(&mut words);
        cause(status, &String::from_utf8_lossy(&words), limits)
    }
}

fn cause(status: ExitStatus, words: &str, limits: CompilerLimits) -> String {
    let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
    match signal {
        _ if is_out_of_memory(words) => too_much(limits),
        Some(Signal::SIGXCPU) => format!("it took longer than {} s of processor time", limits.processor),
        Some(signal) => {
            let words = said(words);
            let separator = if words.is_empty() { "" } else { ": " };
            format!("it broke down over the module ({signal}){separator}{words}")
        }
        None => format!("it broke down over the module ({status}): {}", said(words)),
    }
}

/// Text that a compiler said, made fit to be shown.
fn said(text: &str) -> String {
    text::clean(text.trim(), 300)
}
