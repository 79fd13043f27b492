//! What a guest holds of WASI.

use wasmtime::{
    Error, Result,
    component::{Resource, ResourceTable},
};

use super::print::Unfinished;

/// Handles that a guest may hold at once.
const HANDLES: usize = 1_000;

/// A guest's share of WASI. Empty until it is used.
#[derive(Debug, Default)]
pub(in crate::balancer::wasm) struct Wasi {
    pub(super) handles: ResourceTable,
    /// What the monotonic clock shows, nanoseconds. It moves when the guest reads it or waits.
    pub(super) clock: u64,
    /// Blocks of randomness that were drawn.
    pub(super) drawn: u64,
    pub(super) unfinished: Unfinished,
}

impl Wasi {
    /// Gives out a handle.
    pub(super) fn hold<T: Send + 'static>(&mut self, what: T) -> Result<Resource<T>> {
        self.handles.set_max_capacity(HANDLES);
        self.handles
            .push(what)
            .map_err(|_| Error::msg(format!("it held more than {HANDLES} streams and timers at once")))
    }
}

/// Something to wait for: the time on the monotonic clock when it will have happened.
#[derive(Debug)]
pub(super) struct Pollable {
    pub(super) due: u64,
}

/// The standard input, which is empty.
#[derive(Debug)]
pub(super) struct InputStream;

/// The standard output or error, whose lines go to the log.
#[derive(Clone, Copy, Debug)]
pub(super) enum OutputStream {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
}

/// A network that nothing can be reached through.
#[derive(Debug)]
pub(super) struct Network;

/// What became of an operation on a stream. There is never one.
#[derive(Debug)]
pub(super) struct Failure;

/// A file. There is never one.
#[derive(Debug)]
pub(super) struct Descriptor;

/// A terminal. There is never one.
#[derive(Debug)]
pub(super) struct Terminal;
