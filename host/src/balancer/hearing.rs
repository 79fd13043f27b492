//! A decision, with all that can be told of it.

use std::time::Duration;

use super::{Answer, Balancer, LogLine, Question, Refusal};

/// A decision under the real deadline that a busy machine interrupts is no fault of the balancer.
const ATTEMPTS: usize = 5;

/// But no machine is so busy that decisions which fail for so long fail for its sake.
const ENOUGH: Duration = Duration::from_secs(1);

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
        let mut taken = hearing.duration;
        for _ in 1..ATTEMPTS {
            if taken > ENOUGH || !matches!(hearing.outcome, Err(Refusal::Failed(_))) {
                break;
            }
            hearing = balancer.hear(question);
            taken += hearing.duration;
        }
        hearing
    }

    /// What it wrote to its log.
    pub fn log(&self) -> &[LogLine] {
        self.outcome.as_ref().map_or(&self.refused_log, |answer| &answer.log)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::balancer::wasm::tests::question;

    /// Fails after so many milliseconds, as it says, and counts how often.
    #[derive(Debug)]
    struct Failing(u64, AtomicUsize);

    impl Balancer for Failing {
        fn name(&self) -> &str {
            "failing"
        }

        fn digest(&self) -> Option<&str> {
            None
        }

        fn rank(&self, question: &Question) -> Result<Answer, Refusal> {
            self.hear(question).outcome
        }

        fn hear(&self, _: &Question) -> Hearing {
            self.1.fetch_add(1, Ordering::Relaxed);
            let duration = Duration::from_millis(self.0);
            Hearing {
                outcome: Err(Refusal::Failed("late".to_owned())),
                refused_log: Vec::new(),
                duration,
                memory: None,
            }
        }
    }

    #[test]
    fn what_fails_is_asked_again_for_a_second_or_so() {
        for (millis, times) in [(50, 5), (400, 3), (10_000, 1)] {
            let failing = Failing(millis, AtomicUsize::new(0));
            assert!(Hearing::patient(&failing, &question(3)).outcome.is_err());
            assert_eq!(failing.1.into_inner(), times, "{millis} ms each");
        }
    }
}
