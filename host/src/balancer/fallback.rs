//! What happens when a balancer fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{Answer, Balancer, Question, Refusal};

/// The selected balancer and the one that answers where it fails. A refusal by policy is final; failing is
/// logged when it begins and when it ends.
#[derive(Debug)]
pub struct Fallback {
    selected: Arc<dyn Balancer>,
    /// None: a failure refuses the session (`balancer-fallback = refuse`).
    other: Option<Arc<dyn Balancer>>,
    failing: AtomicBool,
}

/// An answer, and whose it is.
#[derive(Debug)]
pub struct Decided {
    /// The answer.
    pub answer: Answer,
    /// Who gave it.
    pub balancer: Arc<dyn Balancer>,
    /// Why the selected balancer did not, where another did.
    pub fallback: Option<String>,
}

impl Fallback {
    /// Asks `selected`, and where that fails `other`, if any.
    pub fn new(selected: Arc<dyn Balancer>, other: Option<Arc<dyn Balancer>>) -> Self {
        Self { selected, other, failing: AtomicBool::new(false) }
    }

    /// The balancer that is selected.
    pub fn selected(&self) -> &Arc<dyn Balancer> {
        &self.selected
    }

    /// Decides. May block for as long as the deadlines of both.
    pub fn rank(&self, question: &Question) -> Result<Decided, Refusal> {
        let why = match self.selected.rank(question) {
            Err(Refusal::Failed(why)) => why,
            outcome => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(balancer = self.selected.name(), "the balancer answers again");
                }
                let answer = outcome?;
                return Ok(Decided { answer, balancer: Arc::clone(&self.selected), fallback: None });
            }
        };
        let failure = format!("balancer {} failed: {why}", self.selected.name());
        let first = !self.failing.swap(true, Ordering::Relaxed);
        let Some(other) = &self.other else {
            if first {
                tracing::error!(balancer = self.selected.name(), why, "the balancer fails: sessions are refused");
            }
            return Err(Refusal::Failed(failure));
        };
        if first {
            tracing::error!(balancer = self.selected.name(), why, fallback = other.name(), "the balancer fails");
        }
        stand_in(other, question, failure)
    }

    /// Decides without the selected balancer, which is too busy to be asked.
    pub fn rank_elsewhere(&self, question: &Question) -> Result<Decided, Refusal> {
        let why = format!("balancer {} is busy with other decisions", self.selected.name());
        match &self.other {
            Some(other) => stand_in(other, question, why),
            None => Err(Refusal::Failed(why)),
        }
    }
}

/// Asks the one that stands in, and says why.
fn stand_in(other: &Arc<dyn Balancer>, question: &Question, why: String) -> Result<Decided, Refusal> {
    match other.rank(question) {
        Ok(answer) => Ok(Decided { answer, balancer: Arc::clone(other), fallback: Some(why) }),
        Err(Refusal::Declined(reason)) => Err(Refusal::Declined(reason)),
        Err(Refusal::Failed(too)) => {
            Err(Refusal::Failed(format!("{why}; its fallback {} failed: {too}", other.name())))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex, atomic::Ordering},
        time::Duration,
    };

    use super::Fallback;
    use crate::balancer::{Answer, Balancer, Columns, Question, Refusal, Request};

    #[derive(Debug)]
    struct Scripted(&'static str, Mutex<Vec<Result<u32, Refusal>>>);

    impl Scripted {
        fn new(name: &'static str, mut answers: Vec<Result<u32, Refusal>>) -> Arc<Self> {
            answers.reverse();
            Arc::new(Self(name, Mutex::new(answers)))
        }
    }

    impl Balancer for Scripted {
        fn name(&self) -> &str {
            self.0
        }

        fn digest(&self) -> Option<&str> {
            None
        }

        fn rank(&self, _: &Question) -> Result<Answer, Refusal> {
            let next = self.1.lock().expect("unpoisoned").pop().expect("it is not asked more often than expected");
            next.map(|node| Answer {
                order: vec![node],
                scores: None,
                reason: None,
                log: Vec::new(),
                duration: Duration::ZERO,
            })
        }
    }

    fn question() -> Question {
        Question { nodes: Arc::new(Columns::default()), user_sessions: Arc::new([]), request: Request::default() }
    }

    fn failed(why: &str) -> Result<u32, Refusal> {
        Err(Refusal::Failed(why.to_owned()))
    }

    #[test]
    fn a_failure_is_answered_by_the_fallback_which_says_why() {
        let fallback = Fallback::new(
            Scripted::new("mine", vec![failed("broke"), Ok(2)]),
            Some(Scripted::new("other", vec![Ok(1)])),
        );
        let decided = fallback.rank(&question()).expect("an answer");
        assert_eq!((decided.answer.order, decided.balancer.name()), (vec![1], "other"));
        assert_eq!(decided.fallback.as_deref(), Some("balancer mine failed: broke"));
        assert!(fallback.failing.load(Ordering::Relaxed));
        let decided = fallback.rank(&question()).expect("an answer");
        assert_eq!((decided.answer.order, decided.balancer.name(), decided.fallback), (vec![2], "mine", None));
        assert!(!fallback.failing.load(Ordering::Relaxed));
    }

    #[test]
    fn what_the_policy_declines_is_final() {
        let declined = Refusal::Declined("not for guests".to_owned());
        let fallback =
            Fallback::new(Scripted::new("mine", vec![Err(declined.clone())]), Some(Scripted::new("other", Vec::new())));
        assert_eq!(fallback.rank(&question()).expect_err("declined"), declined);
        assert!(!fallback.failing.load(Ordering::Relaxed));
    }

    #[test]
    fn without_a_fallback_a_failure_refuses() {
        let fallback = Fallback::new(Scripted::new("mine", vec![failed("broke")]), None);
        let refusal = fallback.rank(&question()).expect_err("refused");
        assert_eq!(refusal, Refusal::Failed("balancer mine failed: broke".to_owned()));
    }

    #[test]
    fn when_both_fail_both_are_named() {
        let fallback = Fallback::new(
            Scripted::new("mine", vec![failed("broke")]),
            Some(Scripted::new("other", vec![failed("too")])),
        );
        let refusal = fallback.rank(&question()).expect_err("refused").to_string();
        assert_eq!(refusal, "balancer mine failed: broke; its fallback other failed: too");
    }
}
