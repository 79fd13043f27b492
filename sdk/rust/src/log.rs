//! Lines for the administrator's log, marked as the balancer's. The host bounds their number and length.
//!
//! They exist where the balancer runs as Wasm; elsewhere (in tests) they are dropped.

#[cfg(target_family = "wasm")]
use crate::bindings::evenkeel::balancer::log as host;

macro_rules! level {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(message: &str) {
            #[cfg(target_family = "wasm")]
            host::$name(message);
            #[cfg(not(target_family = "wasm"))]
            let _ = message;
        }
    };
}

level!(
    /// Writes a line of the least importance.
    debug
);
level!(
    /// Writes a line.
    info
);
level!(
    /// Writes a line about something that an administrator may want to change.
    warn
);
level!(
    /// Writes a line about something that went wrong.
    error
);
