//! The balancers that ship with the program.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use super::{
    Balancer,
    wasm::{self, Engine, Limits, LoadError, Origin, WasmBalancer},
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

/// The SHA-256 of the module of a builtin balancer.
pub fn digest(name: &str) -> Option<String> {
    static DIGESTS: LazyLock<[Option<String>; 3]> = LazyLock::new(|| NAMES.map(|name| module(name).map(wasm::digest)));
    DIGESTS.get(NAMES.iter().position(|builtin| *builtin == name)?)?.clone()
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
    use std::{collections::BTreeMap, sync::Arc};

    use super::{NAMES, digest, module, select, stand_in};
    use crate::balancer::{
        Columns, Question,
        wasm::{
            CONTRACT_VERSION, Engine, Limits, LoadError,
            tests::{patient, question},
        },
    };

    #[test]
    fn every_builtin_balancer_loads_with_its_defaults() {
        let engine = Engine::new().expect("an engine");
        for name in NAMES {
            let balancer = select(name, BTreeMap::new(), &engine, Limits::default()).expect("it loads");
            assert_eq!(balancer.name(), name);
            assert_eq!(balancer.digest(), digest(name).as_deref());
            assert_eq!(balancer.contract(), Some(CONTRACT_VERSION), "as `plugin list` says of those not loaded");
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

    const MANY: u32 = 10_000;

    fn order(name: &str, question: &Question) -> Vec<u32> {
        let balancer = select(name, BTreeMap::new(), &Engine::new().expect("an engine"), patient()).expect("it loads");
        let answer = balancer.rank(question).expect("an answer");
        assert!(answer.scores.is_some_and(|scores| scores.len() == MANY as usize));
        answer.order
    }

    /// CityHash128 with the low word in the low half.
    fn city(bytes: &[u8]) -> u128 {
        cityhash_rs::cityhash_110_128(bytes).rotate_left(64)
    }

    #[test]
    fn of_ten_thousand_nodes_each_builtin_balancer_names_the_best() {
        let alike = question(MANY as usize);
        let mut columns = Columns::clone(&alike.nodes);
        columns.sessions = (0..MANY).map(|node| node * 7_919 % MANY).collect();
        columns.load5 = (0..MANY).map(|node| f64::from(node * 4_093 % MANY)).collect();
        let question = Question { nodes: Arc::new(columns), ..alike };
        let columns = &question.nodes;

        let mut sorted: Vec<u32> = (0..MANY).collect();
        sorted.sort_by_key(|&node| columns.sessions[node as usize]);
        assert_eq!(order("sessions", &question), sorted[..16]);
        sorted.sort_by(|&a, &b| columns.load5[a as usize].total_cmp(&columns.load5[b as usize]));
        assert_eq!(order("system-load", &question), sorted[..16]);
        let user = city(b"ada").to_le_bytes();
        let pair = |node: u32| city(&[&user[..], &columns.name_hashes[node as usize].to_le_bytes()].concat());
        sorted.sort_by_key(|&node| std::cmp::Reverse(pair(node)));
        assert_eq!(order("user-hash", &question), sorted[..16]);
    }
}
