//! The supervisor's socket: a thread for each connection, few at once.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::{
    memory,
    program::{self, Shared},
    protocol::{Answer, MOST_LINE, Request},
};

/// A daemon needs two, its successor two more; whoever holds more is told to go.
const MOST_CONNECTIONS: usize = 16;

/// The writing half of a connection: answers come from its own thread and from the main one.
#[derive(Clone)]
pub(super) struct Writer(Arc<Mutex<UnixStream>>);

impl Writer {
    /// Sends an answer. A daemon that does not read within the time limit loses it, not the supervisor its time.
    pub(super) fn send(&self, answer: &Answer) {
        let Ok(mut line) = serde_json::to_vec(answer) else { return };
        line.push(b'\n');
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
    }
}

/// Accepts connections for as long as the process lives.
pub(super) fn listen(listener: &UnixListener, shared: &Arc<Shared>) {
    let open = Arc::new(AtomicUsize::new(0));
    for number in 0.. {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, say: not for ever.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let _ = stream.set_write_timeout(Some(Duration::from_secs(2)));
        let Ok(writer) = stream.try_clone().map(|half| Writer(Arc::new(Mutex::new(half)))) else { continue };
        if !is_allowed(&stream) {
            writer.send(&Answer::error("this supervisor answers to its own user and to root"));
            continue;
        }
        if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            writer.send(&Answer::error(format!("{MOST_CONNECTIONS} connections are open already")));
            continue;
        }
        let (shared, counter) = (Arc::clone(shared), Arc::clone(&open));
        let body = move || {
            converse(stream, &writer, number, &shared);
            shared.forget(number);
            counter.fetch_sub(1, Ordering::Relaxed);
        };
        if program::thread("connection", Box::new(body)).is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The directory keeps others out; this holds where its mode was changed.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

fn converse(stream: UnixStream, writer: &Writer, number: u64, shared: &Arc<Shared>) {
    let mut input = BufReader::with_capacity(1024, stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.by_ref().take(MOST_LINE as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.len() > MOST_LINE => {
                writer.send(&Answer::error(format!("a request is at most {MOST_LINE} bytes long")));
                return;
            }
            Ok(_) => {}
        }
        match serde_json::from_slice::<Request>(&line) {
            Ok(Request::Wait) => shared.wait(number, writer),
            Ok(request) => writer.send(&answer(&request, shared)),
            Err(error) => writer.send(&Answer::error(format!("not a request: {error}"))),
        }
        // What a daemon says next it often says days later. Where this fails, the process is larger than it need be, and
        // nothing else.
        let _ = memory::give_back();
    }
}

fn answer(request: &Request, shared: &Arc<Shared>) -> Answer {
    match *request {
        Request::Hello => shared.about.clone(),
        Request::Status | Request::Wait => {
            Answer { program: shared.about.program, exit: shared.exit().as_ref().map(Into::into), ..Answer::default() }
        }
        Request::Signal { signal } => match shared.signal(signal) {
            Ok(()) => Answer::default(),
            Err(problem) => Answer::error(problem),
        },
        Request::Stop { signal, grace_ms } => {
            shared.stop(signal, grace_ms);
            Answer::default()
        }
        Request::Unknown => {
            Answer::error(format!("this supervisor, protocol {}, does not know the request", super::protocol::VERSION))
        }
    }
}
