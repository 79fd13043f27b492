//! Room for the stack of compiled code, which is the calling thread's.

use std::{io, panic, thread};

use super::limits::STACK;

/// What the host's own calls take above a guest's, bytes.
const OWN: usize = 1 << 20;

/// Does work that needs a stack of `size` bytes: on a thread of its own where those that the daemon has are too small.
pub(super) fn with<T: Send>(size: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    if size <= STACK {
        return Ok(work());
    }
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("balancer".to_owned()).stack_size(size + OWN);
        let thread = builder.spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
    })
}
