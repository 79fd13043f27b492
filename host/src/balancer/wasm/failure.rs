//! Why a guest failed, in a sentence.

use std::fmt::Write as _;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use super::{guest::Guest, limits::Limits};
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
                return format!("it handed over more than {} KiB in one call", limits.handover >> 10);
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
    let rendered = backtrace.to_string();
    let names = rendered.lines().filter_map(|line| line.split_once('!')).map(|(_, name)| without_hashes(name));
    // Functions without a name among those that have one are the seams between guest and host.
    let names: Vec<String> = names.filter(|name| !name.starts_with("<wasm function ")).collect();
    let own = names.iter().position(|name| !is_panicking(name)).unwrap_or_default();
    names[own..].iter().take(FRAMES).map(|name| text::clean(name, NAME)).collect()
}

/// Whether a function is what Rust runs after a panic, above the one that panicked.
fn is_panicking(name: &str) -> bool {
    const PANICKING: [&str; 6] =
        ["__rustc::", "__rust_", "rust_panic", "std::panicking::", "core::panicking::", "std::sys::backtrace::"];
    let name = name.trim_start_matches('<');
    PANICKING.iter().any(|start| name.starts_with(start))
}

/// A Rust name without the hashes of its crates: `std[c93659f63f3a4727]::panicking` is `std::panicking`.
fn without_hashes(name: &str) -> String {
    const LENGTH: usize = 16;
    let is_hash = |inner: &str| inner.len() == LENGTH && inner.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        rest = match after.split_once(']') {
            Some((inner, after)) if is_hash(inner) => after,
            _ => {
                plain.push('[');
                after
            }
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::{is_panicking, without_hashes};

    #[test]
    fn a_name_is_shown_without_the_hashes_of_its_crates() {
        for (name, plain) in [
            ("std[c93659f63f3a4727]::panicking::panic_with_hook", "std::panicking::panic_with_hook"),
            (
                "<mine[0123456789abcdef]::Policy as sdk[0123456789abcdef]::Balancer>::rank",
                "<mine::Policy as sdk::Balancer>::rank",
            ),
            ("<[u8]>::len[", "<[u8]>::len["),
            ("misstep", "misstep"),
            ("[[0123456789abcdef]", "["),
        ] {
            assert_eq!(without_hashes(name), plain);
        }
    }

    #[test]
    fn what_runs_after_a_panic_is_told_from_what_panicked() {
        for name in ["__rustc::__rust_abort", "rust_panic", "std::panicking::panic_handler::{closure#0}"] {
            assert!(is_panicking(name), "{name}");
        }
        for name in ["<mine::Policy as sdk::Balancer>::rank", "rust::policy", "core::slice::sort"] {
            assert!(!is_panicking(name), "{name}");
        }
    }
}
