//! What a script prints and how it ends.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::balancer::{LogLevel, LogLine};

#[test]
fn the_node_may_be_followed_by_a_newline_by_blanks_by_both_or_by_nothing() {
    for print in [r"printf 'n2:8787'", "echo n2:8787", r"printf 'n2:8787\r\n'", r"printf 'n2:8787 \t \n'"] {
        assert_eq!(Bench::new(print).node(), 1, "{print}");
    }
}

#[test]
fn nothing_is_no_answer() {
    assert_eq!(Bench::new("true").failure(), "printed nothing");
    assert_eq!(Bench::new("echo; echo ' '").failure(), "printed nothing");
}

#[test]
fn two_lines_are_no_answer_though_each_is_a_node() {
    let failure = Bench::new("echo n1:8787; echo n2:8787").failure();
    assert_eq!(failure, "printed 2 lines, and must print one: `n1:8787 n2:8787`");
}

#[test]
fn a_node_that_is_not_in_the_list_is_named() {
    let failure = Bench::new("echo n9:8787").failure();
    assert_eq!(failure, "printed `n9:8787`, which is none of the nodes it was given");
}

#[test]
fn a_host_without_its_port_is_no_answer_but_a_hint() {
    let failure = Bench::new("echo n3").failure();
    assert_eq!(failure, "printed `n3`, which is none of the nodes it was given; did it mean n3:8788?");
}

#[test]
fn ten_mebibytes_of_text_are_cut_short() {
    let failure = Bench::new("yes n1:8787 | head -c 10485760").failure();
    assert!(failure.starts_with("printed more than 65536 bytes, which begin with `n1:8787 n1:8787"), "{failure}");
    assert!(failure.len() < 300, "{failure}");
}

#[test]
fn text_that_is_not_utf8_is_shown_as_far_as_it_goes() {
    assert_eq!(Bench::new(r"printf 'n1\377:8787\n'").failure(), "printed what is not UTF-8: `n1\u{fffd}:8787`");
}

#[test]
fn what_steers_a_terminal_is_not_passed_on() {
    let failure = Bench::new(r"printf 'n1\033[31m:8787\n'").failure();
    assert_eq!(failure, "printed `n1 [31m:8787`, which is none of the nodes it was given");
}

#[test]
fn an_exit_status_other_than_zero_is_a_failure_whatever_was_printed() {
    assert_eq!(Bench::new("echo n1:8787; exit 3").failure(), "ended with exit status 3, and printed `n1:8787`");
    assert_eq!(Bench::new("kill -9 $$").failure(), "was ended by SIGKILL, and printed nothing");
}

#[test]
fn standard_error_does_not_disturb_the_answer_and_explains_a_failure() {
    assert_eq!(Bench::new("echo thinking >&2; echo n1:8787").node(), 0);
    assert_eq!(Bench::new("yes complaint | head -c 10485760 >&2; echo n1:8787").node(), 0);
    let failure = Bench::new("echo first >&2; echo no database >&2; exit 1").failure();
    assert_eq!(failure, "ended with exit status 1, and printed nothing; it complained: `no database`");
}

#[test]
fn what_goes_to_standard_error_is_its_log_also_where_it_fails() {
    for (lines, decides) in [("echo so far >&2; echo n1:8787", true), ("echo so far >&2; exit 1", false)] {
        let bench = Bench::new(lines);
        let hearing = Script::new("custom", bench.setup.clone()).hear(&question());
        let log = [LogLine { level: LogLevel::Warn, message: "so far".to_owned() }];
        assert_eq!((hearing.log(), hearing.outcome.is_ok()), (&log[..], decides));
    }
    let bench = Bench::new("yes complaint | head -c 10485760 >&2; echo n1:8787");
    assert_eq!(Script::new("custom", bench.setup.clone()).hear(&question()).log().len(), 20);
}

#[test]
fn a_file_that_is_missing_or_not_executable_or_has_no_interpreter_is_a_failure() {
    let bench = Bench::new("echo n1:8787");
    fs::set_permissions(&bench.setup.program, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert_eq!(bench.failure(), "cannot be run: Permission denied (os error 13)");
    fs::remove_file(&bench.setup.program).expect("it is ours");
    assert_eq!(bench.failure(), "cannot be run: No such file or directory (os error 2)");
    let failure = Bench::of_file(b"#!/no/such/interpreter\necho n1:8787\n", 0o755).failure();
    assert_eq!(failure, "cannot be run: No such file or directory (os error 2)");
    let failure = Bench::of_file(b"echo n1:8787\n", 0o755).failure();
    assert_eq!(failure, "names no interpreter: its first line must begin with #!");
    assert!(Bench::of_file(b"", 0o755).failure().starts_with("names no interpreter"));
}

#[test]
fn more_nodes_than_an_environment_holds_are_a_failure() {
    let bench = Bench::new("echo n1:8787");
    let addresses = (0..20_000).map(|number| format!("node{number}:8787")).collect();
    let question = Question { nodes: Columns { addresses, ..Columns::default() }.into(), ..question() };
    let refusal = bench.ask(&question).expect_err("too long").to_string();
    assert!(refusal.ends_with("cannot be run: Argument list too long (os error 7)"), "{refusal}");
}
