//! The child's side: this program as a compiler, started by the daemon.
//!
//! Its standard input is a socket: an [`Order`] in one line and the module come in, a [`Verdict`] in one line and the code
//! go out. It reads and writes nothing else.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
};

use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
    signal::Signal,
};
use serde::{Deserialize, Serialize};

use super::{ARGUMENT, Compiled, Shape, here};
use crate::balancer::wasm::{LoadError, engine};

/// How much others come first. Not the last of all: on a machine whose processors are all taken a module would never be
/// compiled.
const NICE: i32 = 10;

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) shape: Shape,
    /// Address space, bytes.
    pub(super) memory: u64,
    /// Processor time, seconds.
    pub(super) processor: u64,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// Code of this many bytes follows.
    Compiled {
        export: String,
        length: u64,
    },
    NotWasm,
    Invalid(String),
    Import(String),
    Version(String),
    Contract(String),
    NoPolicy,
    /// The system or the engine failed, for which the module may be as good as any.
    Broken(String),
}

impl From<LoadError> for Verdict {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NotWasm => Self::NotWasm,
            LoadError::Invalid(why) => Self::Invalid(why),
            LoadError::Import(name) => Self::Import(name),
            LoadError::Version { found } => Self::Version(found),
            LoadError::Contract { problem } => Self::Contract(problem),
            LoadError::NoPolicy => Self::NoPolicy,
            other => Self::Broken(other.to_string()),
        }
    }
}

/// Runs the compiler. By hand it does nothing: there is no socket then.
pub fn main() -> ExitCode {
    let socket = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let Some(socket) = socket.ok().filter(|socket| socket.local_addr().is_ok()) else {
        let _ = writeln!(io::stderr(), "evenkeel {ARGUMENT} is started by the daemon, not by hand");
        return ExitCode::from(64);
    };
    match run(socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut socket: UnixStream) -> io::Result<()> {
    // Who started it may be gone before this takes effect: then there is nobody to write to either.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let mut input = BufReader::new(socket.try_clone()?);
    let mut line = String::new();
    input.by_ref().take(1_024).read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    confine(&order)?;
    let mut module = Vec::new();
    input.read_to_end(&mut module)?;
    let compiled = engine::compile_only(order.shape).and_then(|engine| here(&engine, &module));
    let (verdict, code) = match compiled {
        Ok(Compiled { export, code }) => (Verdict::Compiled { export, length: code.len() as u64 }, code),
        Err(error) => (error.into(), Vec::new()),
    };
    writeln!(socket, "{}", serde_json::to_string(&verdict)?)?;
    socket.write_all(&code)
}

/// What is set here holds for the whole process, before anything of the module has been read.
fn confine(order: &Order) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_AS, order.memory, order.memory)?;
    setrlimit(Resource::RLIMIT_CPU, order.processor, order.processor + 1)?;
    setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
    rustix::process::nice(NICE)?;
    Ok(())
}
