//! What a guest answers, and what the host makes of it.

use super::{
    Guest, engine, failure,
    guests::{answer, answer_of_length, refusal},
    load, load_in, patient, question, rank,
};
use crate::balancer::{Balancer, LogLevel, Refusal, wasm::Limits};

#[test]
fn an_order_of_nodes_is_the_answer() {
    let answer = rank(&Guest::ranking(answer(&[2, 0]))).expect("an answer");
    assert_eq!((answer.order, answer.scores, answer.reason, answer.log), (vec![2, 0], None, None, Vec::new()));
}

#[test]
fn an_index_out_of_range_is_a_failure() {
    assert_eq!(failure(&Guest::ranking(answer(&[1, 3]))), "it named node 3, but the nodes are 0 to 2");
}

#[test]
fn a_node_named_twice_is_a_failure() {
    assert_eq!(failure(&Guest::ranking(answer(&[1, 2, 1]))), "it named node 1 twice");
}

#[test]
fn an_answer_longer_than_the_cluster_is_a_failure() {
    assert_eq!(failure(&Guest::ranking(answer(&[0, 1, 2, 0]))), "it named 4 nodes, of 3");
}

#[test]
fn an_answer_without_a_node_is_a_failure() {
    assert_eq!(failure(&Guest::ranking(answer(&[]))), "it named no node");
}

#[test]
fn an_answer_beyond_its_memory_is_a_failure() {
    let why = failure(&Guest::ranking(answer_of_length(20_000)));
    assert!(why.contains("out of bounds"), "{why}");
}

#[test]
fn a_huge_answer_is_refused_before_the_host_makes_room_for_it() {
    let guest = Guest { pages: 100, ..Guest::ranking(answer_of_length(1_500_000)) };
    assert_eq!(failure(&guest), "it handed over more than 1024 KiB in one call");
}

#[test]
fn what_the_policy_declines_is_told_as_it_was_said() {
    let guest = Guest::ranking(refusal(0, 256, 15)).with_data(256, "no\\1b[31m\\0aguests!!!");
    assert_eq!(rank(&guest), Err(Refusal::Declined("no [31m guests!".to_owned())));
}

#[test]
fn a_balancer_that_says_it_failed_has_failed() {
    let guest = Guest::ranking(refusal(1, 256, 7)).with_data(256, "no data");
    assert_eq!(rank(&guest), Err(Refusal::Failed("no data".to_owned())));
}

fn scoring(scores: &[&str]) -> Guest {
    let mut text = String::new();
    for (index, score) in scores.iter().enumerate() {
        text += &format!("(f64.store (i32.const {}) (f64.const {score}))\n", 2_048 + 8 * index);
    }
    text += &format!("(call $scores (i32.const 2048) (i32.const {}))\n", scores.len());
    Guest::ranking(text + &answer(&[0])).importing("answer", "scores", "(param i32 i32)")
}

#[test]
fn scores_are_kept_with_the_answer() {
    assert_eq!(rank(&scoring(&["1", "-2.5", "0"])).expect("an answer").scores, Some(vec![1.0, -2.5, 0.0]));
}

#[test]
fn scores_that_are_not_one_a_node_are_a_failure() {
    assert_eq!(failure(&scoring(&["1", "2"])), "it gave 2 scores for 3 nodes (in rank)");
    assert_eq!(failure(&scoring(&["1", "2", "3", "4"])), "it gave 4 scores for 3 nodes (in rank)");
}

#[test]
fn scores_that_are_not_finite_are_a_failure() {
    assert_eq!(failure(&scoring(&["1", "nan", "3"])), "its score of node 1 is NaN (in rank)");
    assert_eq!(failure(&scoring(&["1", "2", "-inf"])), "its score of node 2 is -inf (in rank)");
}

#[test]
fn a_reason_is_cut_between_characters_and_keeps_to_one_line() {
    let guest = Guest::ranking(format!("(call $reason (i32.const 2048) (i32.const 1200))\n{}", answer(&[0])))
        .importing("answer", "reason", "(param i32 i32)")
        .with_data(2_048, &format!("a\\0a{}", "ä".repeat(600)));
    let reason = rank(&guest).expect("an answer").reason.expect("a reason");
    assert!(reason.starts_with("a ä") && reason.ends_with("ä…"), "{reason}");
    assert!(reason.len() <= 1_024);
}

#[test]
fn a_reason_that_is_not_text_is_a_failure() {
    let guest = Guest::ranking(format!("(call $reason (i32.const 2048) (i32.const 2))\n{}", answer(&[0])))
        .importing("answer", "reason", "(param i32 i32)")
        .with_data(2_048, "\\ff\\fe");
    assert!(failure(&guest).contains("utf-8"), "{}", failure(&guest));
}

#[test]
fn a_flood_of_log_lines_is_bounded_and_says_what_was_left_out() {
    let flood = "(local $i i32)
        (loop $again
          (call $info (i32.const 2048) (i32.const 1500))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))";
    let guest = Guest::ranking(format!("{flood}\n{}", answer(&[0])))
        .importing("log", "info", "(param i32 i32)")
        .with_data(2_048, &"x".repeat(1_500));
    let balancer = load_in(&engine(), &guest, patient()).expect("it loads");
    let log = balancer.rank(&question(3)).expect("an answer").log;
    assert_eq!(log.len(), 33);
    assert!(log.iter().all(|line| line.message.len() <= 1_024));
    assert_eq!(log[0].level, LogLevel::Info);
    assert_eq!(
        (log[32].level, &*log[32].message),
        (LogLevel::Warn, "968 more lines were left out: 32 a decision are kept")
    );
}

#[test]
fn a_log_is_as_long_as_was_set() {
    let guest = Guest::ranking(format!("(call $info (i32.const 2048) (i32.const 1500))\n{}", answer(&[0])))
        .importing("log", "info", "(param i32 i32)")
        .with_data(2_048, &"x".repeat(1_500));
    let line = |limits| {
        let balancer = load_in(&engine(), &guest, limits).expect("it loads");
        balancer.rank(&question(3)).expect("an answer").log.swap_remove(0).message.len()
    };
    assert_eq!(line(Limits { log_line: 2_000, ..patient() }), 1_500);
    assert!(line(Limits { log_line: 99, ..patient() }) <= 99);
}

#[test]
fn no_state_survives_a_decision() {
    // Answers with the number of decisions it remembers, counted in a global and in its memory.
    let guest = Guest::ranking(
        "(i32.store (i32.const 1024) (i32.add (global.get $count) (i32.load (i32.const 8192))))
         (global.set $count (i32.const 1)) (i32.store (i32.const 8192) (i32.const 1))
         (i32.store (i32.const 68) (i32.const 1024)) (i32.store (i32.const 72) (i32.const 1))",
    );
    let guest = Guest { items: "(global $count (mut i32) (i32.const 0))".to_owned(), ..guest };
    for engine in [engine(), super::super::engine::on_demand_for_tests()] {
        let balancer = load_in(&engine, &guest, patient()).expect("it loads");
        for _ in 0..200 {
            assert_eq!(balancer.rank(&question(3)).expect("an answer").order, [0]);
        }
    }
}

#[test]
fn a_guest_sees_the_columns_of_the_question() {
    // Answers with the sessions column as its order: the nodes of `question` have 0, 1, 2, … sessions.
    let guest = Guest::ranking(
        "(call $sessions (i32.const 128))
         (i32.store (i32.const 68) (i32.load (i32.const 128))) (i32.store (i32.const 72) (i32.load (i32.const 132)))",
    )
    .importing("nodes", "sessions", "(param i32)");
    let balancer = load(&guest).expect("it loads");
    for count in [1, 3, 1_000, 10_000] {
        assert_eq!(balancer.rank(&question(count)).expect("an answer").order, (0..count as u32).collect::<Vec<_>>());
    }
}

#[test]
fn decisions_may_run_at_once() {
    let guest = Guest::ranking(answer(&[1]));
    let balancer = load_in(&engine(), &guest, patient()).expect("it loads");
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(balancer.rank(&question(3)).expect("an answer").order, [1]);
                }
            });
        }
    });
}
