//! The balancers that ship with the program.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Balancer,
    wasm::{Engine, Limits, LoadError, Origin, WasmBalancer},
};

/// Their names.
pub const NAMES: [&str; 3] = ["sessions", "system-load", "user-hash"];

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
    Ok(Arc::new(WasmBalancer::load_from(Origin::Ours, engine, name, bytes, settings, limits)?))
}

/// The builtin balancer that stands in for one that fails (`balancer-fallback`). Its deadline is long, since after it there
/// is nobody left to ask; so it may also stand in for itself, where a machine under load took too long.
pub fn stand_in(
    name: &str,
    settings: BTreeMap<String, String>,
    engine: &Engine,
) -> Result<Arc<dyn Balancer>, LoadError> {
    let limits = Limits { deadline: Duration::from_secs(1), ..Limits::default() };
    select(name, settings, engine, limits)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{NAMES, module, select, stand_in};
    use crate::balancer::wasm::{Engine, Limits, LoadError};

    #[test]
    fn every_builtin_balancer_loads_with_its_defaults() {
        let engine = Engine::new().expect("an engine");
        for name in NAMES {
            let balancer = select(name, BTreeMap::new(), &engine, Limits::default()).expect("it loads");
            assert_eq!(balancer.name(), name);
            assert!(balancer.digest().is_some());
        }
    }

    #[test]
    fn a_name_that_is_no_builtin_is_refused_with_those_there_are() {
        let engine = Engine::new().expect("an engine");
        assert!(module("round-robin").is_none());
        let error = select("round-robin", BTreeMap::new(), &engine, Limits::default()).expect_err("unknown");
        assert!(matches!(error, LoadError::Unknown { .. }));
        assert_eq!(
            error.to_string(),
            "there is no builtin balancer round-robin; there are: sessions, system-load, user-hash"
        );
    }

    #[test]
    fn a_builtin_balancer_stands_in_under_its_own_settings() {
        let engine = Engine::new().expect("an engine");
        let stand_in = |settings| stand_in("user-hash", settings, &engine);
        assert_eq!(stand_in(BTreeMap::new()).expect("it loads").name(), "user-hash");
        let settings = |value: &str| BTreeMap::from([("scheme".to_owned(), value.to_owned())]);
        assert!(stand_in(settings("modulo")).is_ok());
        assert!(stand_in(settings("dice")).is_err());
    }
}
