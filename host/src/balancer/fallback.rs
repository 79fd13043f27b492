//! What happens when a balancer fails.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;

use super::{
    Answer, Balancer, Journal, Question, Refusal,
    breaker::{Breaker, FAILURES},
    tally::Tally,
};

/// The selected balancer and the one that answers where it fails. A refusal by policy is final; a failure is counted, and
/// logged when it starts and when it ends; after some in a row the selected balancer is set aside for a while, where
/// there is another to ask. The selected balancer can be replaced: decisions in flight end with the one
/// that they began with.
#[derive(Debug)]
pub struct Fallback {
    selected: ArcSwap<Serving>,
    /// None: a failure refuses the session (`balancer-fallback = refuse`).
    other: Option<Serving>,
    journal: Arc<Journal>,
}

/// A balancer in force, and what it has done since it is.
#[derive(Debug)]
pub struct Serving {
    /// The balancer.
    pub balancer: Arc<dyn Balancer>,
    /// Its decisions.
    pub tally: Tally,
    breaker: Breaker,
    journal: Arc<Journal>,
}

impl Serving {
    fn new(balancer: Arc<dyn Balancer>, journal: &Arc<Journal>) -> Self {
        Self { balancer, tally: Tally::default(), breaker: Breaker::default(), journal: Arc::clone(journal) }
    }

    /// Asks it, and keeps what it writes, also where it fails.
    fn ask(&self, question: &Question) -> Result<Answer, Refusal> {
        let hearing = self.balancer.hear(question);
        self.journal.write(self.balancer.name(), question, hearing.log());
        hearing.outcome
    }

    /// Decides in the place of a balancer that failed.
    fn stand_in(&self, question: &Question, failure: String) -> Result<Decided, Refusal> {
        let outcome = self.ask(question);
        self.tally.add(&outcome);
        match outcome {
            Ok(answer) => Ok(Decided { answer, balancer: Arc::clone(&self.balancer), fallback: Some(failure) }),
            Err(Refusal::Declined(why)) => Err(Refusal::Declined(why)),
            Err(Refusal::Failed(why)) => {
                Err(Refusal::Failed(format!("{failure}; its fallback {} failed: {why}", self.balancer.name())))
            }
        }
    }

    /// Decides where nothing comes of it: a failure is counted, and logged when it starts and when it ends.
    pub fn try_out(&self, question: &Question) -> Result<Answer, Refusal> {
        let outcome = self.ask(question);
        let (changed, name) = (self.tally.add(&outcome), self.balancer.name());
        match &outcome {
            Err(Refusal::Failed(why)) if changed => {
                tracing::warn!(balancer = name, why, "the shadow fails: there is nothing to compare");
            }
            Ok(_) if changed => tracing::info!(balancer = name, "the shadow answers again"),
            _ => {}
        }
        outcome
    }

    /// Whether it is not asked for a while, since it failed too often in a row.
    pub fn is_set_aside(&self) -> bool {
        self.breaker.is_open(Instant::now())
    }
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
        Self::writing(Arc::default(), selected, other)
    }

    /// The same with a journal for what they write.
    pub fn writing(journal: Arc<Journal>, selected: Arc<dyn Balancer>, other: Option<Arc<dyn Balancer>>) -> Self {
        let serving = |balancer| Serving::new(balancer, &journal);
        Self { selected: ArcSwap::from_pointee(serving(selected)), other: other.map(serving), journal }
    }

    /// The balancer that is selected.
    pub fn selected(&self) -> Arc<Serving> {
        self.selected.load_full()
    }

    /// Selects another balancer from the next decision on.
    pub fn select(&self, balancer: Arc<dyn Balancer>) {
        self.selected.store(Arc::new(Serving::new(balancer, &self.journal)));
    }

    /// The balancer that stands in for it.
    pub fn other(&self) -> Option<&Serving> {
        self.other.as_ref()
    }

    /// Decides without the selected balancer, which is too busy to be asked.
    pub fn rank_elsewhere(&self, question: &Question) -> Result<Decided, Refusal> {
        let why = format!("balancer {} is busy with other decisions", self.selected().balancer.name());
        match &self.other {
            Some(other) => other.stand_in(question, why),
            None => Err(Refusal::Failed(why)),
        }
    }

    /// Decides. May block for as long as the deadlines of both.
    pub fn rank(&self, question: &Question) -> Result<Decided, Refusal> {
        let selected = self.selected();
        let name = selected.balancer.name();
        if let Some(other) = self.other.as_ref().filter(|_| selected.is_set_aside()) {
            let why = selected.tally.last_failure().unwrap_or_default();
            let failure = format!("balancer {name} is set aside: it failed {FAILURES} times in a row, at last: {why}");
            return other.stand_in(question, failure);
        }
        let outcome = selected.ask(question);
        let changed = selected.tally.add(&outcome);
        let is_set_aside = selected.breaker.note(matches!(outcome, Err(Refusal::Failed(_))), Instant::now());
        let why = match outcome {
            Err(Refusal::Failed(why)) => why,
            outcome => {
                if changed {
                    tracing::info!(balancer = name, "the balancer answers again");
                }
                return Ok(Decided { answer: outcome?, balancer: Arc::clone(&selected.balancer), fallback: None });
            }
        };
        let failure = format!("balancer {name} failed: {why}");
        let Some(other) = &self.other else {
            if changed {
                tracing::error!(balancer = name, why, "the balancer fails: sessions are refused");
            }
            return Err(Refusal::Failed(failure));
        };
        if changed {
            tracing::error!(balancer = name, why, fallback = other.balancer.name(), "the balancer fails");
        }
        if is_set_aside {
            tracing::error!(balancer = name, "the balancer is set aside for a while: it does nothing but fail");
        }
        other.stand_in(question, failure)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex, mpsc},
        time::Duration,
    };

    use super::{FAILURES, Fallback};
    use crate::balancer::{Answer, Balancer, Columns, Hearing, Journal, LogLevel, LogLine, Question, Refusal, Request};

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
        Question {
            nodes: Arc::new(Columns::default()),
            user_sessions: Arc::new([]),
            request: Request::default(),
            session: None,
        }
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
        assert_eq!((fallback.selected().tally.failures(), fallback.selected().tally.is_failing()), (1, true));
        let decided = fallback.rank(&question()).expect("an answer");
        assert_eq!((decided.answer.order, decided.balancer.name(), decided.fallback), (vec![2], "mine", None));
        assert_eq!((fallback.selected().tally.failures(), fallback.selected().tally.is_failing()), (1, false));
    }

    /// Writes a line and fails.
    #[derive(Debug)]
    struct Complaining;

    impl Balancer for Complaining {
        fn name(&self) -> &str {
            "complaining"
        }

        fn digest(&self) -> Option<&str> {
            None
        }

        fn rank(&self, question: &Question) -> Result<Answer, Refusal> {
            self.hear(question).outcome
        }

        fn hear(&self, _: &Question) -> Hearing {
            let refused_log = vec![LogLine { level: LogLevel::Error, message: "no map".to_owned() }];
            let outcome = Err(Refusal::Failed("broke".to_owned()));
            Hearing { outcome, refused_log, duration: Duration::ZERO, memory: None }
        }
    }

    #[test]
    fn what_a_balancer_wrote_before_it_failed_is_kept_with_its_session() {
        let journal = Arc::new(Journal::default());
        let other = Scripted::new("other", vec![Ok(1)]);
        let fallback = Fallback::writing(Arc::clone(&journal), Arc::new(Complaining), Some(other));
        let session = "0123abcd".parse().ok();
        fallback.rank(&Question { session, ..question() }).expect("an answer");
        fallback.selected().try_out(&question()).expect_err("it fails as a shadow too");
        // Over a replacement too.
        fallback.select(Arc::new(Complaining));
        fallback.selected().try_out(&question()).expect_err("it fails");
        let kept = journal.read("complaining", None, 10);
        let told: Vec<_> = kept.iter().map(|entry| (entry.session, entry.line.message.as_str())).collect();
        assert_eq!(told, [(session, "no map"), (None, "no map"), (None, "no map")]);
        assert_eq!(journal.read("other", None, 10), []);
    }

    #[test]
    fn what_the_policy_declines_is_final() {
        let declined = Refusal::Declined("not for guests".to_owned());
        let fallback =
            Fallback::new(Scripted::new("mine", vec![Err(declined.clone())]), Some(Scripted::new("other", Vec::new())));
        assert_eq!(fallback.rank(&question()).expect_err("declined"), declined);
        assert_eq!(fallback.selected().tally.failures(), 0);
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

    /// Answers once it is told to, and says when it has been asked.
    #[derive(Debug)]
    struct Held {
        asked: mpsc::SyncSender<()>,
        told: Mutex<mpsc::Receiver<()>>,
    }

    impl Balancer for Held {
        fn name(&self) -> &str {
            "held"
        }

        fn digest(&self) -> Option<&str> {
            None
        }

        fn rank(&self, _: &Question) -> Result<Answer, Refusal> {
            self.asked.send(()).expect("somebody waits");
            self.told.lock().expect("unpoisoned").recv().expect("it is told");
            Ok(Answer { order: vec![0], scores: None, reason: None, log: Vec::new(), duration: Duration::ZERO })
        }
    }

    #[test]
    fn a_decision_in_flight_ends_with_the_balancer_that_it_began_with() {
        let (asked, was_asked) = mpsc::sync_channel(1);
        let (tell, told) = mpsc::channel();
        let fallback = Fallback::new(Arc::new(Held { asked, told: Mutex::new(told) }), None);
        std::thread::scope(|scope| {
            let in_flight = scope.spawn(|| fallback.rank(&question()).expect("an answer").balancer.name().to_owned());
            was_asked.recv().expect("it is asked");
            fallback.select(Scripted::new("new", vec![Ok(1)]));
            assert_eq!(fallback.rank(&question()).expect("an answer").balancer.name(), "new");
            tell.send(()).expect("it listens");
            assert_eq!(in_flight.join().expect("no panic"), "held");
        });
        assert_eq!(fallback.selected().tally.count().decisions, 1, "the new one answers for itself alone");
    }

    #[test]
    fn a_balancer_that_keeps_failing_is_asked_no_more_for_a_while() {
        let failures = || (0..FAILURES).map(|_| failed("broke")).collect();
        let answers = (0..=FAILURES).map(|_| Ok(1)).collect();
        let fallback = Fallback::new(Scripted::new("mine", failures()), Some(Scripted::new("other", answers)));
        for _ in 0..FAILURES {
            assert!(!fallback.selected().is_set_aside());
            fallback.rank(&question()).expect("an answer");
        }
        let decided = fallback.rank(&question()).expect("an answer");
        assert_eq!(
            decided.fallback.as_deref(),
            Some("balancer mine is set aside: it failed 5 times in a row, at last: broke")
        );
        assert!(fallback.selected().is_set_aside() && fallback.selected().tally.is_failing());
        // Another one begins anew.
        fallback.select(Scripted::new("new", vec![Ok(2)]));
        assert_eq!(fallback.rank(&question()).expect("an answer").balancer.name(), "new");
    }

    #[test]
    fn without_a_fallback_a_balancer_is_asked_however_often_it_failed() {
        let mut answers: Vec<_> = (0..2 * FAILURES).map(|_| failed("broke")).collect();
        answers.push(Ok(1));
        let fallback = Fallback::new(Scripted::new("mine", answers), None);
        for _ in 0..2 * FAILURES {
            fallback.rank(&question()).expect_err("refused");
        }
        fallback.rank(&question()).expect("an answer");
    }
}
