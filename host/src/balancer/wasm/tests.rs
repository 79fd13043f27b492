//! Balancers that misbehave, and what becomes of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Engine, Limits, LoadError, WasmBalancer};
use crate::balancer::{Answer, Balancer, Columns, Question, Refusal, Request};

mod answers;
mod fixtures;
pub(in crate::balancer) mod guests;
mod limits;
mod load;
mod wasi;

use guests::Guest;

/// A question over `count` nodes that are alike.
pub(in crate::balancer) fn question(count: usize) -> Question {
    let names: Vec<String> = (0..count).map(|index| format!("node{index}")).collect();
    let same = |value: u32| -> Arc<[u32]> { vec![value; count].into() };
    let zero: Arc<[f64]> = vec![0.0; count].into();
    let bytes: Arc<[u64]> = vec![0; count].into();
    Question {
        nodes: Arc::new(Columns {
            addresses: names.iter().map(|name| format!("{name}:8787")).collect(),
            ips: vec![None; count].into(),
            name_hashes: names.iter().map(|name| crate::balancer::columns::name_hash(name)).collect(),
            names: names.into(),
            cores: same(4),
            weights: same(100),
            capacities: same(u32::MAX),
            sessions: (0..u32::try_from(count).expect("few")).collect(),
            load1: Arc::clone(&zero),
            load5: Arc::clone(&zero),
            load15: Arc::clone(&zero),
            unseen5: Arc::clone(&zero),
            memory_total: Arc::clone(&bytes),
            memory_available: Arc::clone(&bytes),
            cpus_promised: zero,
            memory_promised: bytes,
            labels: vec![BTreeMap::new(); count].into(),
            metrics: vec![BTreeMap::new(); count].into(),
        }),
        user_sessions: same(0),
        request: Request { username: "ada".to_owned(), kind: "jupyterlab".to_owned(), ..Request::default() },
        session: None,
    }
}

pub(in crate::balancer) fn engine() -> Engine {
    Engine::new().expect("an engine")
}

fn load_in(engine: &Engine, guest: &Guest, limits: Limits) -> Result<WasmBalancer, LoadError> {
    WasmBalancer::load(engine, "guest", &guest.bytes(), BTreeMap::new(), limits)
}

fn load(guest: &Guest) -> Result<WasmBalancer, LoadError> {
    load_in(&engine(), guest, patient())
}

fn rank(guest: &Guest) -> Result<Answer, Refusal> {
    load(guest).expect("it loads").rank(&question(3))
}

/// The sentence with which it failed.
fn failure(guest: &Guest) -> String {
    match rank(guest) {
        Err(Refusal::Failed(why)) => why,
        other => panic!("it was to fail, and did not: {other:?}"),
    }
}

/// Its deadline cannot be met by accident, however slow the machine is.
pub(in crate::balancer) fn patient() -> Limits {
    Limits { deadline: Duration::from_secs(60), ..Limits::default() }
}

const APART: &str = "EVENKEEL_TEST_APART";

/// Runs an ignored test of this program in a process of its own, which a shell prepares.
pub(super) fn apart(prepare: &str, test: &str) {
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", &format!("{prepare} && exec \"$0\" --exact \"$1\" --ignored")])
        .arg(std::env::current_exe().expect("this program"))
        .arg(test)
        .env(APART, "1")
        .output()
        .expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether this process is one of those. Elsewhere the test that asks has nothing to show.
pub(super) fn is_apart() -> bool {
    std::env::var_os(APART).is_some()
}
