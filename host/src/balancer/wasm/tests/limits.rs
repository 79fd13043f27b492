//! Guests that take more than they may.

use std::time::{Duration, Instant};

use super::{
    Guest, apart, engine, failure,
    guests::{answer, refusal},
    is_apart, load, load_in, patient, question,
};
use crate::balancer::{
    Balancer, Refusal,
    wasm::{Limits, engine::on_demand_within},
};

const ENDLESS: &str = "(loop $again (br $again))";

#[test]
fn an_endless_loop_is_stopped_near_its_deadline() {
    let balancer = load_in(&engine(), &Guest::ranking(ENDLESS), Limits::default()).expect("it loads");
    let start = Instant::now();
    let refusal = balancer.rank(&question(3)).expect_err("it cannot answer");
    let took = start.elapsed();
    assert!(refusal.to_string().starts_with("it had not answered after 50 ms, its deadline (in "), "{refusal}");
    assert!(took >= Duration::from_millis(50), "{took:?}");
    // Generous: other tests run beside this one.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_deadline_is_the_one_that_was_set() {
    let limits = Limits { deadline: Duration::from_millis(5), ..Limits::default() };
    let balancer = load_in(&engine(), &Guest::ranking(ENDLESS), limits).expect("it loads");
    let refusal = balancer.rank(&question(3)).expect_err("it cannot answer").to_string();
    assert!(refusal.starts_with("it had not answered after 5 ms"), "{refusal}");
}

#[test]
fn whoever_waits_is_told_in_time_that_an_answer_takes_longer() {
    let engine = engine();
    let balancer =
        |guest: &Guest, deadline| load_in(&engine, guest, Limits { deadline, ..Limits::default() }).expect("it loads");
    let (long, short) = (Duration::from_secs(600), Duration::from_millis(5));
    let endless = Guest::ranking(ENDLESS);
    assert_eq!(balancer(&endless, long).hear_within(&question(3), short), None);
    let failed = balancer(&endless, short).hear_within(&question(3), long).expect("its own deadline comes first");
    let why = failed.outcome.expect_err("it cannot answer").to_string();
    assert!(why.starts_with("it had not answered after 5 ms"), "{why}");
    // What fails by itself has failed, and is not to be asked again.
    let broken = balancer(&Guest::ranking("unreachable"), long).hear_within(&question(3), Duration::from_secs(60));
    assert!(broken.expect("that is all there will be").outcome.is_err());
}

#[test]
fn a_start_function_counts_towards_the_deadline() {
    let guest = Guest { items: format!("(func $begin {ENDLESS}) (start $begin)"), ..Guest::default() };
    let error = load_in(&engine(), &guest, Limits::default()).expect_err("it cannot be loaded").to_string();
    assert!(error.starts_with("it failed when it was loaded: it had not answered after 1000 ms"), "{error}");
}

#[test]
fn one_guest_in_a_loop_does_not_stop_another() {
    let engine = engine();
    let limits = Limits { deadline: Duration::from_secs(1), ..Limits::default() };
    let endless = load_in(&engine, &Guest::ranking(ENDLESS), limits).expect("it loads");
    let quick = load_in(&engine, &Guest::default(), patient()).expect("it loads");
    std::thread::scope(|scope| {
        let stuck = scope.spawn(|| endless.rank(&question(3)));
        while !stuck.is_finished() {
            assert_eq!(quick.rank(&question(3)).expect("an answer").order, [0]);
        }
        assert!(stuck.join().expect("no panic").is_err());
    });
}

/// A guest that answers once it has called itself so often.
fn deep(calls: u32) -> Guest {
    let items = "(func $deep (param $left i32) (result i32) (if (result i32) (i32.eqz (local.get $left))
        (then (i32.const 1))
        (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get $left) (i32.const 1)))))))";
    let rank = format!("(drop (call $deep (i32.const {calls}))){}", answer(&[0]));
    Guest { items: items.to_owned(), ..Guest::ranking(rank) }
}

#[test]
fn deep_recursion_is_stopped() {
    let why = failure(&deep(u32::MAX));
    assert!(why.starts_with("it used up its stack of 512 KiB (in deep, called by deep"), "{why}");
}

#[test]
fn a_balancer_with_the_largest_stack_gets_all_of_it() {
    let limits = Limits { stack: 8 << 20, ..patient() };
    for engine in [engine(), on_demand_within(&limits)] {
        let balancer = load_in(&engine, &deep(100_000), limits).expect("it loads");
        assert_eq!(balancer.rank(&question(3)).expect("an answer").order, [0]);
        let endless = load_in(&engine, &deep(u32::MAX), limits).expect("it loads");
        let why = endless.rank(&question(3)).expect_err("even that ends").to_string();
        assert!(why.starts_with("it used up its stack of 8192 KiB"), "{why}");
    }
}

#[test]
fn memory_does_not_grow_beyond_the_limit() {
    // The 64 MiB are 1,024 pages, of which it has one: 1,023 more are given and the next is not.
    let grow = "(if (i32.ne (memory.grow (i32.const 1023)) (i32.const 1)) (then unreachable))
        (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))";
    for engine in [engine(), super::super::engine::on_demand_for_tests()] {
        let guest = Guest::ranking(format!("{grow}{}", answer(&[0])));
        let balancer = load_in(&engine, &guest, patient()).expect("it loads");
        assert_eq!(balancer.rank(&question(3)).expect("an answer").order, [0]);
    }
}

#[test]
fn a_guest_that_dies_for_want_of_memory_is_told_so() {
    let why = failure(&Guest::ranking("(drop (memory.grow (i32.const 2000))) unreachable"));
    assert_eq!(why, "it stopped itself; it had asked for 126 MiB of memory, and may have 64 (in rank)");
}

#[test]
fn a_module_that_begins_with_more_memory_than_it_may_have_is_refused() {
    let error = load(&Guest { pages: 1_025, ..Guest::default() }).expect_err("it cannot be loaded").to_string();
    assert!(error.contains("memory"), "{error}");
}

#[test]
fn a_balancer_with_a_larger_limit_gets_a_larger_pool() {
    let guest = Guest { pages: 1_025, ..Guest::default() };
    let limits = Limits { memory: 128 << 20, ..patient() };
    let balancer = load_in(&engine(), &guest, limits).expect("it loads");
    assert_eq!(balancer.rank(&question(3)).expect("an answer").order, [0]);
}

#[test]
fn a_table_does_not_grow_beyond_the_limit() {
    let grow = "(if (i32.ne (table.grow $table (ref.null func) (i32.const 20001)) (i32.const -1)) (then unreachable))";
    let guest =
        Guest { items: "(table $table 0 funcref)".to_owned(), ..Guest::ranking(format!("{grow}{}", answer(&[0]))) };
    assert_eq!(load(&guest).expect("it loads").rank(&question(3)).expect("an answer").order, [0]);
}

#[test]
fn a_trap_names_the_functions_it_happened_in() {
    let guest = Guest {
        items: "(func $choose (drop (i32.div_u (i32.const 1) (i32.const 0))))".to_owned(),
        ..Guest::ranking("(call $choose)")
    };
    assert_eq!(failure(&guest), "it broke down: integer divide by zero (in choose, called by rank)");
}

#[test]
fn a_trap_comes_with_the_last_error_of_its_log() {
    let guest = Guest::ranking("(call $error (i32.const 256) (i32.const 13)) unreachable")
        .importing("log", "error", "(param i32 i32)")
        .with_data(256, "index is gone");
    assert_eq!(failure(&guest), "it stopped itself (in rank); its last error was: index is gone");
}

#[test]
fn a_refusal_longer_than_may_be_handed_over_is_a_failure() {
    let guest = Guest { pages: 40, ..Guest::ranking(refusal(0, 1_024, 2_000_000)) };
    let refusal = load(&guest).expect("it loads").rank(&question(3)).expect_err("too long");
    assert_eq!(refusal, Refusal::Failed("it handed over more than 1024 KiB in one call".to_owned()));
}

#[test]
fn what_may_be_handed_over_is_what_was_set() {
    let limits = Limits { handover: 4 << 10, ..patient() };
    let told = |length| {
        let guest = Guest { pages: 40, ..Guest::ranking(refusal(0, 1_024, length)) };
        load_in(&engine(), &guest, limits).expect("it loads").rank(&question(3)).expect_err("it refuses").to_string()
    };
    assert_eq!(told(8_000), "it handed over more than 4 KiB in one call");
    assert!(!told(1_000).contains("handed over"), "{}", told(1_000));
}

#[test]
fn a_component_of_more_instances_or_tables_than_were_set_is_not_loaded() {
    let plain = Guest::default();
    let with_tables = Guest { items: "(table 1 funcref) (table 1 funcref)".to_owned(), ..Guest::default() };
    for (guest, limits) in
        [(&plain, Limits { instances: 0, ..patient() }), (&with_tables, Limits { tables: 1, ..patient() })]
    {
        load_in(&engine(), guest, patient()).expect("it loads otherwise");
        let error = load_in(&engine(), guest, limits).expect_err("it may not have them").to_string();
        assert!(error.contains("limit"), "{error}");
    }
}

#[test]
fn a_host_that_cannot_hand_over_a_column_fails_the_guest() {
    // Its allocator never grows the memory, and 10,000 numbers do not fit in one page.
    let guest = Guest::ranking(format!("(call $load5 (i32.const 128)){}", answer(&[0]))).importing(
        "nodes",
        "load5",
        "(param i32)",
    );
    let refusal = load(&guest).expect("it loads").rank(&question(10_000)).expect_err("no room").to_string();
    assert!(refusal.contains("beyond end of memory"), "{refusal}");
}

#[test]
fn where_address_space_is_limited_each_decision_allocates_its_own() {
    apart("ulimit -v 8388608", "balancer::wasm::tests::limits::with_little_address_space");
}

#[test]
#[ignore = "run by the test above, in a process whose address space is limited"]
fn with_little_address_space() {
    if !is_apart() {
        return;
    }
    let engine = engine();
    assert!(!engine.is_pooled());
    let balancer = load_in(&engine, &Guest::default(), patient()).expect("it loads");
    assert_eq!(balancer.rank(&question(3)).expect("an answer").order, [0]);
}

#[test]
fn elsewhere_instances_come_from_a_pool() {
    assert!(engine().is_pooled());
}
