//! The child's side: this program as the one that asks PAM, started by the daemon.
//!
//! Its standard input is a socket: the length of an [`Order`], four bytes, least first, the order as JSON, and the password come in, up
//! to the end; a verdict in one line of JSON goes out. Nothing else is read or written.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    net::IpAddr,
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
};

use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
        stat::{Mode, umask},
    },
    unistd::{dup2_stdin, pause},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{CHECKER, Password, Verdict, library};

/// The longest order, bytes.
const LONGEST_ORDER: usize = 16 << 10;

/// Address space, bytes, the program's own included; what a module leaks it leaks here.
const MEMORY: u64 = 2 << 30;

/// What is to be done, the password left out: that follows by itself, so that no copy of it is made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) service: String,
    pub(super) user: String,
    pub(super) client: Option<IpAddr>,
    /// Processor time, seconds.
    pub(super) processor: u64,
}

/// Checks one password. By hand it does nothing: there is no socket then.
pub fn main() -> ExitCode {
    let socket = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let Some(socket) = socket.ok().filter(|socket| socket.local_addr().is_ok()) else {
        let _ = writeln!(io::stderr(), "evenkeel {CHECKER} is started by the daemon, not by hand");
        return ExitCode::from(64);
    };
    match run(socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(mut socket: UnixStream) -> io::Result<()> {
    // Who started it may be gone before this takes effect: then there is nobody to write to either.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // What a module starts and lets go stays below this process, and is killed with it.
    prctl::set_child_subreaper(true)?;
    // No other process of this user looks into it, and no core is written.
    prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    umask(Mode::from_bits_truncate(0o077));
    // What modules start must not have the socket.
    dup2_stdin(File::open("/dev/null")?)?;
    let (order, password) = read(&mut socket)?;
    setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY)?;
    setrlimit(Resource::RLIMIT_CPU, order.processor, order.processor + 1)?;
    let answer: Result<Verdict, String> = library::PamLibrary::open(library::NAME)
        .and_then(|pam| pam.ask(&order.service, &order.user, password, order.client));
    writeln!(socket, "{}", serde_json::to_string(&answer)?)?;
    // What modules have started stays below this process, and would be let go with its end: the daemon kills it with them.
    loop {
        pause();
    }
}

fn read(socket: &mut UnixStream) -> io::Result<(Order, Password)> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_ORDER {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut order = vec![0; length];
    socket.read_exact(&mut order)?;
    // Of its full length from the start: one that grows leaves copies behind.
    let mut password = Zeroizing::new(vec![0; Password::LONGEST + 1]);
    let mut filled = 0;
    loop {
        match socket.read(&mut password[filled..])? {
            0 => break,
            more => filled += more,
        }
    }
    password.truncate(filled);
    Ok((serde_json::from_slice(&order)?, Password::new(password)))
}
