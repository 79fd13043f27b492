//! A decision, with all that can be told of it.

use std::time::Duration;

use super::{Answer, Balancer, LogLine, Question, Refusal};

/// A decision under the real deadline that a busy machine interrupts is no fault of the balancer.
const ATTEMPTS: usize = 5;

/// What a balancer did with a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Hearing {
    /// What it said.
    pub outcome: Result<Answer, Refusal>,
    /// What it wrote before it refused; an answer carries its own lines.
    pub refused_log: Vec<LogLine>,
    /// How long it took.
    pub duration: Duration,
    /// The memory that it had at the end, bytes, where that is known.
    pub memory: Option<usize>,
}

impl Hearing {
    /// Asks outside of any placement: what fails is asked again, a few times, and fails only where each of them did.
    pub fn patient(balancer: &dyn Balancer, question: &Question) -> Self {
        let mut hearing = balancer.hear(question);
        for _ in 1..ATTEMPTS {
            if !matches!(hearing.outcome, Err(Refusal::Failed(_))) {
                break;
            }
            hearing = balancer.hear(question);
        }
        hearing
    }

    /// What it wrote to its log.
    pub fn log(&self) -> &[LogLine] {
        self.outcome.as_ref().map_or(&self.refused_log, |answer| &answer.log)
    }
}
