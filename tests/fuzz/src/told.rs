//! What must hold of a decision, whatever the balancer.

use std::collections::HashSet;

use evenkeel::balancer::{Answer, Balancer as _, LogLine, Question, Refusal, text::clean, wasm::WasmBalancer};

use crate::Outcome;

/// The longest sentence: a setting that there is not is told with all those that there are.
const SENTENCE: usize = 256 << 10;
/// The longest that is kept of what a balancer says.
const SAID: usize = 1_024;
/// The longest of a failure: its cause, the functions it was in, its last error.
const FAILURE: usize = 2_048;
/// Lines of a log, and the one that counts the others.
const LINES: usize = 33;

/// Puts a question, and checks what comes back against rules that are written here once more, and plainer.
pub(crate) fn decision(balancer: &WasmBalancer, question: &Question) -> Outcome {
    let hearing = balancer.hear(question);
    log(hearing.log());
    let memory = hearing.memory.expect("a module's memory is known");
    assert!(memory <= crate::limits().memory, "it took {memory} bytes");
    match hearing.outcome {
        Ok(found) => {
            answer(&found, question.nodes.count());
            Outcome::Answered
        }
        Err(Refusal::Declined(why)) => {
            short(&why, SAID);
            Outcome::Declined
        }
        Err(Refusal::Failed(why)) => {
            short(&why, FAILURE);
            Outcome::Failed
        }
    }
}

fn answer(answer: &Answer, count: usize) {
    assert!(is_order(&answer.order, count), "{:?} of {count} nodes", answer.order);
    if let Some(scores) = &answer.scores {
        assert!(are_scores(scores, count), "{scores:?} of {count} nodes");
    }
    if let Some(reason) = &answer.reason {
        short(reason, SAID);
    }
}

/// At least one node, each once, none that there is not.
pub(crate) fn is_order(order: &[u32], count: usize) -> bool {
    let different: HashSet<u32> = order.iter().copied().collect();
    !order.is_empty() && different.len() == order.len() && order.iter().all(|&index| (index as usize) < count)
}

/// One a node, and each a number.
pub(crate) fn are_scores(scores: &[f64], count: usize) -> bool {
    scores.len() == count && !scores.iter().any(|score| score.is_nan() || score.is_infinite())
}

fn log(lines: &[LogLine]) {
    assert!(lines.len() <= LINES, "{} lines", lines.len());
    lines.iter().for_each(|line| short(&line.message, SAID));
}

fn short(text: &str, limit: usize) {
    assert!(text.len() <= limit, "{} bytes", text.len());
    sentence(text);
}

/// Text that can be shown as it is.
pub(crate) fn sentence(text: &str) {
    assert!(text.len() <= SENTENCE, "{} bytes", text.len());
    assert_eq!(clean(text, text.len()), text.trim(), "it was not made fit to be shown");
}
