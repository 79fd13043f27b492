//! The balancers that ship with the program.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Balancer,
    wasm::{Engine, Limits, LoadError, WasmBalancer},
};

/// Their names, the default first.
pub const NAMES: [&str; 3] = ["sessions", "system-load", "user-hash"];

/// What decides where nothing else is configured, and where another balancer fails.
pub const DEFAULT: &str = NAMES[0];

/// The module of a builtin balancer. `cargo xtask plugins` makes them from their sources in `plugins/`.
pub fn module(name: &str) -> Option<&'static [u8]> {
    match name {
        "sessions" => Some(include_bytes!("../../../plugins/dist/sessions.wasm")),
        "system-load" => Some(include_bytes!("../../../plugins/dist/system-load.wasm")),
        "user-hash" => Some(include_bytes!("../../../plugins/dist/user-hash.wasm")),
        _ => None,
    }
}

/// A builtin balancer, ready to be asked.
pub fn select(
    name: &str,
    settings: BTreeMap<String, String>,
    engine: &Engine,
    limits: Limits,
) -> Result<Arc<dyn Balancer>, LoadError> {
    let bytes = module(name).ok_or_else(|| LoadError::Unknown { name: name.to_owned(), known: NAMES.to_vec() })?;
    Ok(Arc::new(WasmBalancer::load(engine, name, bytes, settings, limits)?))
}
