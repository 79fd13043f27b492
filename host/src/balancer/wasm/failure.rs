//! Why a guest failed, in a sentence.

use std::fmt::Write as _;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use super::{
    guest::Guest,
    limits::{HANDOVER, Limits},
};
use crate::balancer::text;

/// Bytes that are kept of a function's name.
const NAME: usize = 120;
/// Functions that are named.
const FRAMES: usize = 4;
/// Bytes that are kept of the whole.
const FAILURE: usize = 2_048;

/// What became of a guest whose call ended in `error`: the limit it met, the functions it was in where its module names
/// them, and the last error that it wrote to its log.
pub(super) fn describe(error: &wasmtime::Error, guest: &Guest, limits: &Limits) -> String {
    let mut told = cause(error, limits);
    if let Some(refused) = guest.meter.refused {
        let _ = write!(
            told,
            "; it had asked for {} MiB of memory, and may have {}",
            refused.div_ceil(1 << 20),
            limits.memory >> 20
        );
    }
    let functions = functions(error);
    if !functions.is_empty() {
        let _ = write!(told, " (in {})", functions.join(", called by "));
    }
    if let Some(line) = guest.said.last_error() {
        let _ = write!(told, "; its last error was: {line}");
    }
    text::clean(&told, FAILURE)
}

/// Whether its deadline ended the call.
pub(super) fn is_late(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref(), Some(Trap::Interrupt))
}

fn cause(error: &wasmtime::Error, limits: &Limits) -> String {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => {
            format!("it had not answered after {} ms, its deadline", limits.deadline.as_millis())
        }
        Some(Trap::StackOverflow) => format!("it used up its stack of {} KiB", limits.stack >> 10),
        Some(Trap::UnreachableCodeReached) => "it stopped itself".to_owned(),
        Some(trap) => {
            let text = trap.to_string();
            format!("it broke down: {}", text.strip_prefix("wasm trap: ").unwrap_or(&text))
        }
        None if error.is::<PoolConcurrencyLimitError>() => format!("there was no room for it: {error}"),
        None => {
            let root = error.root_cause().to_string();
            if root.contains("fuel allocated for hostcalls") {
                return format!("it handed over more than {} KiB in one call", HANDOVER >> 10);
            }
            root
        }
    }
}

/// The innermost functions, where the module has names.
fn functions(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    if backtrace.frames().iter().all(|frame| frame.func_name().is_none()) {
        return Vec::new();
    }
    // Its own rendering is the only one that has the names demangled: `  0:  0x1a - module!function`.
    backtrace
        .to_string()
        .lines()
        .filter_map(|line| line.split_once('!'))
        .map(|(_, name)| text::clean(name, NAME))
        // Functions without a name among those that have one are the seams between guest and host.
        .filter(|name| !name.starts_with("<wasm function "))
        .take(FRAMES)
        .collect()
}
