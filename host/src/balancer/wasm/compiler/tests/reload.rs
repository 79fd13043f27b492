//! Many modules one after the other.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{few, generous};
use crate::balancer::{
    Balancer,
    wasm::{
        WasmBalancer,
        tests::{engine, guests::Guest, patient},
    },
};

const RELOADS: usize = 60;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("it is there").count()
}

/// Address space, pages. The pool of one engine has far more than a GiB.
fn pages() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("text");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

#[test]
fn a_module_that_is_replaced_leaves_neither_a_thread_nor_a_pool_behind() {
    let engine = engine();
    let modules = [Guest::default().bytes(), Guest { pages: 2, ..Guest::default() }.bytes()];
    let reload = |times: usize| {
        for number in 0..times {
            let limits = if number % 2 == 0 { patient() } else { generous() };
            let bytes = &modules[number % 2];
            let balancer = WasmBalancer::load(&engine, "guest", bytes, BTreeMap::new(), limits).expect("it loads");
            assert_eq!(balancer.rank(&few()).expect("an answer").order, [0]);
        }
    };
    // What is made once is there after a few.
    reload(6);
    let before = pages();
    reload(RELOADS);
    // The clock of the last engine may be about to end. Any leak is seen at least once a reload of its kind.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (threads, pages) = (threads(), pages());
        if threads <= most_threads() && pages < before + (1 << 30) / 4096 {
            break;
        }
        assert!(Instant::now() < deadline, "{threads} threads, {pages} pages, of which {before} were there before");
        std::thread::yield_now();
    }
}

/// The test's own, the harness's, the shared engine's clock, and the compiler's.
fn most_threads() -> usize {
    4 + std::thread::available_parallelism().map_or(1, usize::from)
}
