//! What happens when a balancer fails.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use super::{
    Answer, Balancer, Hearing, Journal, Question, Refusal,
    breaker::{Breaker, FAILURES},
    tally::Tally,
};
use crate::domain::InsteadOf;

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
    fn hear(&self, question: &Question) -> Hearing {
        self.kept(question, self.balancer.hear(question))
    }

    /// Keeps what it wrote.
    fn kept(&self, question: &Question, hearing: Hearing) -> Hearing {
        self.journal.write(self.balancer.name(), question, hearing.log());
        hearing
    }

    /// Decides in the place of a balancer that failed.
    fn stand_in(&self, question: &Question, failure: String, instead_of: InsteadOf) -> Result<Decided, Refusal> {
        let hearing = self.hear(question);
        self.tally.add(&hearing);
        match hearing.outcome {
            Ok(answer) => {
                let fallback = Some((failure, instead_of));
                Ok(Decided { answer, balancer: Arc::clone(&self.balancer), fallback })
            }
            Err(Refusal::Declined(why)) => Err(Refusal::Declined(why)),
            Err(Refusal::Failed(why)) => {
                Err(Refusal::Failed(format!("{failure}; its fallback {} failed: {why}", self.balancer.name())))
            }
        }
    }

    /// Decides where nothing comes of it: a failure is counted, and logged when it starts and when it ends.
    pub fn try_out(&self, question: &Question) -> Result<Answer, Refusal> {
        let hearing = self.hear(question);
        let (changed, name) = (self.tally.add(&hearing), self.balancer.name());
        match &hearing.outcome {
            Err(Refusal::Failed(why)) if changed => {
                tracing::warn!(balancer = name, why, "the shadow fails: there is nothing to compare");
            }
            Ok(_) if changed => tracing::info!(balancer = name, "the shadow answers again"),
            _ => {}
        }
        hearing.outcome
    }

    /// What is known of it where another answers in its place, after it took so long to fail.
    fn failed_after(&self, duration: Option<Duration>) -> InsteadOf {
        let (balancer, digest) = (self.balancer.name().to_owned(), self.balancer.digest().map(ToOwned::to_owned));
        InsteadOf { balancer, digest, duration }
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
    /// Why the selected balancer did not, and which that is, where another did.
    pub fallback: Option<(String, InsteadOf)>,
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
        let selected = self.selected();
        let why = format!("balancer {} is busy with other decisions", selected.balancer.name());
        match &self.other {
            Some(other) => other.stand_in(question, why, selected.failed_after(None)),
            None => Err(Refusal::Failed(why)),
        }
    }

    /// Whether others must not wait for a decision. While the selected balancer is set aside, its stand-in decides.
    pub fn is_slow(&self) -> bool {
        let selected = self.selected();
        self.resting(&selected).is_none() && (selected.balancer.is_slow() || selected.tally.is_slow())
    }

    /// Decides. May block for as long as the deadlines of both.
    pub fn rank(&self, question: &Question) -> Result<Decided, Refusal> {
        let selected = self.selected();
        match self.resting(&selected) {
            Some(other) => instead(&selected, other, question),
            None => self.conclude(&selected, selected.hear(question), question),
        }
    }

    /// Decides where others wait for it. None where the selected balancer has not answered within `patience` and may take
    /// longer: it counts as slow from then on, and is to be asked beside those who wait.
    pub fn rank_within(&self, question: &Question, patience: Duration) -> Option<Result<Decided, Refusal>> {
        let selected = self.selected();
        if let Some(other) = self.resting(&selected) {
            return Some(instead(&selected, other, question));
        }
        let Some(hearing) = selected.balancer.hear_within(question, patience) else {
            selected.tally.overrun();
            return None;
        };
        Some(self.conclude(&selected, selected.kept(question, hearing), question))
    }

    /// Who stands in for the selected balancer while that is set aside.
    fn resting(&self, selected: &Serving) -> Option<&Serving> {
        self.other.as_ref().filter(|_| selected.is_set_aside())
    }

    /// Takes what the selected balancer said, and asks the other where that is nothing.
    fn conclude(&self, selected: &Serving, hearing: Hearing, question: &Question) -> Result<Decided, Refusal> {
        let name = selected.balancer.name();
        let changed = selected.tally.add(&hearing);
        let is_set_aside = selected.breaker.note(matches!(hearing.outcome, Err(Refusal::Failed(_))), Instant::now());
        let duration = hearing.duration;
        let why = match hearing.outcome {
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
        other.stand_in(question, failure, selected.failed_after(Some(duration)))
    }
}

/// Decides in the place of a balancer that is set aside.
fn instead(selected: &Serving, other: &Serving, question: &Question) -> Result<Decided, Refusal> {
    let (name, why) = (selected.balancer.name(), selected.tally.last_failure().unwrap_or_default());
    let failure = format!("balancer {name} is set aside: it failed {FAILURES} times in a row, at last: {why}");
    other.stand_in(question, failure, selected.failed_after(None))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex, mpsc},
        time::Duration,
    };

    use super::{FAILURES, Fallback};
    use crate::balancer::{
        Answer, Balancer, Columns, Hearing, Journal, LogLevel, LogLine, Question, Refusal, Request, tally::Count,
    };

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
            Some("ab12")
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
        let (why, instead_of) = decided.fallback.expect("another was asked first");
        assert_eq!(why, "balancer mine failed: broke");
        assert_eq!((instead_of.balancer.as_str(), instead_of.digest.as_deref()), ("mine", Some("ab12")));
        assert!(instead_of.duration.is_some());
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
        let (why, instead_of) = decided.fallback.expect("another should have answered");
        assert_eq!(why, "balancer mine is set aside: it failed 5 times in a row, at last: broke");
        assert_eq!((instead_of.balancer.as_str(), instead_of.duration), ("mine", None), "it was not asked");
        assert!(fallback.selected().is_set_aside() && fallback.selected().tally.is_failing());
        // Another one begins anew.
        fallback.select(Scripted::new("new", vec![Ok(2)]));
        assert_eq!(fallback.rank(&question()).expect("an answer").balancer.name(), "new");
    }

    /// Answers those who have time, and no others.
    #[derive(Debug)]
    struct Unhurried(Arc<Scripted>);

    impl Balancer for Unhurried {
        fn name(&self) -> &str {
            self.0.name()
        }

        fn digest(&self) -> Option<&str> {
            None
        }

        fn rank(&self, question: &Question) -> Result<Answer, Refusal> {
            self.0.rank(question)
        }

        fn hear_within(&self, _: &Question, _: Duration) -> Option<Hearing> {
            None
        }
    }

    #[test]
    fn a_balancer_that_takes_too_long_for_those_who_wait_is_slow_and_has_not_failed() {
        let fallback = Fallback::new(Arc::new(Unhurried(Scripted::new("mine", vec![Ok(3)]))), None);
        assert!(!fallback.is_slow());
        assert!(fallback.rank_within(&question(), Duration::ZERO).is_none());
        assert!(fallback.is_slow());
        assert_eq!(fallback.selected().tally.count(), Count::default());
        assert_eq!(fallback.rank(&question()).expect("an answer").answer.order, [3]);
        // Another one is as quick as anyone, until it is asked.
        fallback.select(Scripted::new("new", Vec::new()));
        assert!(!fallback.is_slow());
    }

    #[test]
    fn while_a_slow_balancer_is_set_aside_its_stand_in_decides_in_the_queue() {
        let failures = (0..FAILURES).map(|_| failed("broke")).collect();
        let answers = (0..=FAILURES).map(|_| Ok(1)).collect();
        let slow = Unhurried(Scripted::new("mine", failures));
        let fallback = Fallback::new(Arc::new(slow), Some(Scripted::new("other", answers)));
        assert!(fallback.rank_within(&question(), Duration::ZERO).is_none());
        for _ in 0..FAILURES {
            assert!(fallback.is_slow());
            fallback.rank(&question()).expect("an answer");
        }
        assert!(!fallback.is_slow());
        let decided = fallback.rank_within(&question(), Duration::ZERO).expect("at once").expect("an answer");
        assert_eq!(decided.balancer.name(), "other");
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
