//! What a guest gets of WASI, and what it is denied.

use std::collections::BTreeSet;

use super::{
    Guest, engine, failure,
    guests::{answer, answer_of_length},
    load, load_in, patient, question, rank,
};
use crate::balancer::{Balancer, LogLevel, LogLine, Question, Request};

/// Instructions that stop the guest unless two numbers are the same.
fn same(kind: &str, one: &str, other: &str) -> String {
    format!("(if ({kind}.ne {one} {other}) (then unreachable))\n")
}

/// The number at an address is this one.
fn holds(address: u32, number: u32) -> String {
    same("i32", &format!("(i32.load (i32.const {address}))"), &format!("(i32.const {number})"))
}

/// The byte at an address is this one: so the case of a result, a variant or an enum.
fn is_case(address: u32, case: u32) -> String {
    same("i32", &format!("(i32.load8_u (i32.const {address}))"), &format!("(i32.const {case})"))
}

/// A guest that runs these instructions, and then names the first node.
fn then_answering(instructions: &str) -> Guest {
    Guest::ranking(format!("{instructions}{}", answer(&[0])))
}

fn assert_answers(guest: &Guest) {
    assert_eq!(rank(guest).expect("an answer").order, [0]);
}

fn with_request(request: Request) -> Question {
    Question { request, ..question(3) }
}

trait Imports {
    fn timers(self) -> Self;
    fn streams(self) -> Self;
}

impl Imports for Guest {
    fn timers(self) -> Self {
        self.importing_wasi("clocks/monotonic-clock", "subscribe-duration", "timer", "(param i64) (result i32)")
            .importing_wasi("clocks/monotonic-clock", "now", "now", "(result i64)")
            .importing_wasi("io/poll", "[method]pollable.block", "block", "(param i32)")
            .importing_wasi("io/poll", "poll", "poll", "(param i32 i32 i32)")
    }

    fn streams(self) -> Self {
        let write = "[method]output-stream.blocking-write-and-flush";
        self.importing_wasi("cli/stdout", "get-stdout", "stdout", "(result i32)")
            .importing_wasi("cli/stderr", "get-stderr", "stderr", "(result i32)")
            .importing_wasi("io/streams", write, "write", "(param i32 i32 i32 i32)")
            .importing_wasi("io/streams", "[resource-drop]output-stream", "drop", "(param i32)")
    }
}

#[test]
fn there_are_no_arguments_no_environment_and_no_directories() {
    let empty = holds(132, 0) + &holds(140, 0) + &holds(148, 0);
    let guest = then_answering(&format!(
        "(call $environment (i32.const 128)) (call $arguments (i32.const 136)) (call $directories (i32.const 144)) {empty}"
    ));
    assert_answers(
        &guest
            .importing_wasi("cli/environment", "get-environment", "environment", "(param i32)")
            .importing_wasi("cli/environment", "get-arguments", "arguments", "(param i32)")
            .importing_wasi("filesystem/preopens", "get-directories", "directories", "(param i32)"),
    );
}

#[test]
fn a_file_that_was_never_given_out_cannot_be_used() {
    let guest = then_answering("(call $sync (i32.const 1) (i32.const 128))");
    let guest = guest.importing_wasi("filesystem/types", "[method]descriptor.sync", "sync", "(param i32 i32)");
    assert!(failure(&guest).contains("unknown handle index 1"), "{}", failure(&guest));
}

#[test]
fn sockets_and_names_of_hosts_are_denied_with_the_error_that_says_so() {
    // The case 1 of the result is its error, and the case 1 of that is a lack of permission.
    let denied = is_case(128, 1) + &is_case(132, 1) + &is_case(160, 1) + &is_case(164, 1);
    let guest = then_answering(&format!(
        "(call $socket (i32.const 0) (i32.const 128))
         (call $resolve (call $network) (i32.const 256) (i32.const 9) (i32.const 160)) {denied}"
    ));
    assert_answers(
        &guest
            .importing_wasi("sockets/tcp-create-socket", "create-tcp-socket", "socket", "(param i32 i32)")
            .importing_wasi("sockets/instance-network", "instance-network", "network", "(result i32)")
            .importing_wasi("sockets/ip-name-lookup", "resolve-addresses", "resolve", "(param i32 i32 i32 i32)")
            .with_data(256, "localhost"),
    );
}

#[test]
fn the_standard_input_has_ended() {
    let guest = then_answering(&format!(
        "(call $read (call $stdin) (i64.const 100) (i32.const 128)) {}{}",
        is_case(128, 1),
        is_case(132, 1)
    ));
    assert_answers(&guest.importing_wasi("cli/stdin", "get-stdin", "stdin", "(result i32)").importing_wasi(
        "io/streams",
        "[method]input-stream.read",
        "read",
        "(param i32 i64 i32)",
    ));
}

#[test]
fn a_guest_that_waits_for_hours_wakes_at_once_and_finds_that_they_have_passed() {
    // Waits an hour, and then for the first of two and three hours, of which it is told.
    let guest = then_answering(&format!(
        "(call $block (call $timer (i64.const 3600000000000)))
         (if (i64.lt_u (call $now) (i64.const 3600000000000)) (then unreachable))
         (i32.store (i32.const 256) (call $timer (i64.const 10800000000000)))
         (i32.store (i32.const 260) (call $timer (i64.const 7200000000000)))
         (call $poll (i32.const 256) (i32.const 2) (i32.const 128))
         {}{}
         (if (i64.lt_u (call $now) (i64.const 10800000000000)) (then unreachable))
         (if (i64.gt_u (call $now) (i64.const 11000000000000)) (then unreachable))",
        holds(132, 1),
        same("i32", "(i32.load (i32.load (i32.const 128)))", "(i32.const 1)"),
    ));
    assert_answers(&guest.timers());
}

#[test]
fn to_wait_for_nothing_at_all_is_a_failure() {
    let guest = then_answering("(call $poll (i32.const 256) (i32.const 0) (i32.const 128))").timers();
    assert_eq!(failure(&guest), "it waited for nothing (in rank)");
}

#[test]
fn the_wall_clock_stands_at_the_time_of_the_request() {
    let guest = then_answering(&format!(
        "(call $time (i32.const 128)) {}{}",
        same("i64", "(i64.load (i32.const 128))", "(i64.const 1800000000)"),
        holds(136, 123_000_000)
    ));
    let balancer = load(&guest.importing_wasi("clocks/wall-clock", "now", "time", "(param i32)")).expect("it loads");
    let request = Request { now: 1_800_000_000_123, ..Request::default() };
    assert_eq!(balancer.rank(&with_request(request)).expect("an answer").order, [0]);
    let later = Request { now: 1_800_000_000_124, ..Request::default() };
    assert!(balancer.rank(&with_request(later)).is_err());
}

/// A guest that names one of three nodes by chance, and stops itself where it draws the same number twice.
fn gambler() -> Guest {
    Guest::ranking(format!(
        "(local $first i64)
         (local.set $first (call $draw))
         (if (i64.eq (local.get $first) (call $draw)) (then unreachable))
         (i32.store (i32.const 1024) (i32.wrap_i64 (i64.rem_u (local.get $first) (i64.const 3)))) {}",
        answer_of_length(1)
    ))
    .importing_wasi("random/random", "get-random-u64", "draw", "(result i64)")
}

#[test]
fn chance_is_the_requests_seed_so_that_the_same_seed_gives_the_same_answer() {
    let balancer = load(&gambler()).expect("it loads");
    let again = load(&gambler()).expect("it loads");
    let mut chosen = BTreeSet::new();
    for seed in 0..40 {
        let question = with_request(Request { seed, ..Request::default() });
        let order = balancer.rank(&question).expect("an answer").order;
        assert_eq!(balancer.rank(&question).expect("an answer").order, order, "seed {seed}");
        assert_eq!(again.rank(&question).expect("an answer").order, order, "seed {seed}, another engine");
        chosen.insert(order);
    }
    assert_eq!(chosen.len(), 3, "other seeds give other answers");
}

#[test]
fn random_bytes_are_drawn_up_to_a_bound() {
    let drawing = |length: u32| {
        let guest =
            then_answering(&format!("(call $random (i64.const {length}) (i32.const 128)) {}", holds(132, length)));
        let guest = guest.importing_wasi("random/random", "get-random-bytes", "random", "(param i64 i32)");
        Guest { pages: 3, ..guest }
    };
    for length in [0, 1, 33, 65_536] {
        assert_answers(&drawing(length));
    }
    assert_eq!(failure(&drawing(65_537)), "it drew more than 65536 random bytes in one call (in rank)");
    assert_eq!(failure(&drawing(u32::MAX)), "it drew more than 65536 random bytes in one call (in rank)");
}

/// A guest that takes so many streams, and gives each back where `back` says so.
fn taking(streams: u32, back: bool) -> Guest {
    let take = if back { "(call $drop (call $stdout))" } else { "(drop (call $stdout))" };
    then_answering(&format!(
        "(local $left i32)
         (local.set $left (i32.const {streams}))
         (loop $again {take}
           (local.set $left (i32.sub (local.get $left) (i32.const 1)))
           (br_if $again (local.get $left)))"
    ))
    .streams()
}

#[test]
fn a_thousand_handles_may_be_held_at_once_and_any_number_one_after_the_other() {
    assert_answers(&taking(1_000, false));
    assert_answers(&taking(20_000, true));
    assert_eq!(failure(&taking(1_001, false)), "it held more than 1000 streams and timers at once (in rank)");
}

/// What is in the log of a guest that writes so many bytes at 4096 so many times to a stream.
fn printed(stream: &str, bytes: u32, times: u32, text: &str) -> Vec<LogLine> {
    let guest = then_answering(&format!(
        "(local $left i32)
         (local $stream i32)
         (local.set $left (i32.const {times}))
         (local.set $stream (call ${stream}))
         (memory.fill (i32.const 4096) (i32.const 120) (i32.const 61440))
         (memory.copy (i32.const 4096) (i32.const 256) (i32.const {}))
         (loop $again
           (call $write (local.get $stream) (i32.const 4096) (i32.const {bytes}) (i32.const 128))
           {}
           (local.set $left (i32.sub (local.get $left) (i32.const 1)))
           (br_if $again (local.get $left)))",
        text.len(),
        is_case(128, 0)
    ));
    let data = text.replace('\n', "\\0a");
    let balancer = load_in(&engine(), &guest.streams().with_data(256, &data), patient()).expect("it loads");
    balancer.rank(&question(3)).expect("an answer").log
}

#[test]
fn what_is_printed_goes_to_the_log_line_by_line() {
    let line = |level, message: &str| LogLine { level, message: message.to_owned() };
    let text = "one\n\n  \ntwo";
    let expected = |level| vec![line(level, "one"), line(level, "twoone"), line(level, "two")];
    assert_eq!(printed("stdout", 11, 2, text), expected(LogLevel::Info));
    assert_eq!(printed("stderr", 11, 2, text), expected(LogLevel::Warn));
}

#[test]
fn a_flood_of_lines_on_the_standard_error_is_bounded_and_says_what_was_left_out() {
    let log = printed("stderr", 1_500, 1_000, "begun\n");
    assert_eq!(log.len(), 33);
    assert!(log.iter().all(|line| line.message.len() <= 1_024 && line.level == LogLevel::Warn));
    assert_eq!(log[0].message, "begun");
    assert!(log[1].message.ends_with("x…"), "{}", log[1].message);
    assert_eq!(log[32].message, "969 more lines were left out: 32 a decision are kept");
}

#[test]
fn a_line_that_never_ends_is_kept_up_to_a_bound() {
    let log = printed("stdout", 60_000, 1_000, "");
    assert_eq!(log.len(), 1);
    assert!(log[0].message.len() <= 1_024 && log[0].message.ends_with("x…"), "{}", log[0].message.len());
}

#[test]
fn more_is_not_written_in_one_call_than_a_bound() {
    let guest = then_answering("(call $write (call $stderr) (i32.const 4096) (i32.const 65537) (i32.const 128))");
    let guest = Guest { pages: 2, ..guest.streams() };
    assert_eq!(failure(&guest), "it wrote more than 65536 bytes in one call (in rank)");
}

#[test]
fn a_failure_is_told_with_the_last_line_on_the_standard_error() {
    let guest =
        Guest::ranking("(call $write (call $stderr) (i32.const 256) (i32.const 8) (i32.const 128)) unreachable");
    let why = failure(&guest.streams().with_data(256, "no nodes"));
    assert_eq!(why, "it stopped itself (in rank); its last error was: no nodes");
}

#[test]
fn a_guest_that_ends_itself_has_failed_even_with_success() {
    for status in [0, 1] {
        let guest = then_answering(&format!("(call $exit (i32.const {status}))"));
        let why = failure(&guest.importing_wasi("cli/exit", "exit", "exit", "(param i32)"));
        assert_eq!(why, format!("it ended itself with exit status {status} instead of answering (in rank)"));
    }
}

#[test]
fn what_has_no_error_for_a_lack_of_permission_stops_the_guest_when_it_is_called() {
    let guest = |rank: &str| then_answering(rank).importing_wasi("io/oracle", "answer", "ask", "(result i32)");
    let why = failure(&guest("(drop (call $ask))"));
    assert_eq!(why, "it called wasi:io/oracle answer, which balancers are not given (in rank)");
    assert_answers(&guest("(if (i32.const 0) (then (drop (call $ask))))"));
}
