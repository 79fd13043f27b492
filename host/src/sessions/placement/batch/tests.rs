//! Batches, decided by policies that write down what they were asked.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use super::{super::Ruling, *};
use crate::{
    domain::{InsteadOf, Node, Revision, fakes::Numbers},
    sessions::fixtures::{new_session, node},
    store::Snapshot,
};

/// Prefers the nodes from the last to the first.
#[derive(Debug, Default)]
struct Backwards(Mutex<Vec<Question>>);

impl Policy for Backwards {
    fn rank(&self, question: &Question) -> Result<Ruling, Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(question.clone());
        let count = u32::try_from(question.nodes.count()).unwrap_or(u32::MAX);
        let answer = Answer {
            order: (0..count).rev().collect(),
            scores: Some((0..count).map(f64::from).collect()),
            reason: Some("the last is the best".to_owned()),
            log: Vec::new(),
            duration: Duration::from_micros(3),
        };
        let fallback = Some("the selected one is broken".to_owned());
        Ok(Ruling {
            answer,
            balancer: "backwards".to_owned(),
            digest: Some("abc".to_owned()),
            settings: Arc::default(),
            fallback,
            instead_of: Some(broken()),
        })
    }
}

/// The one that should have answered.
fn broken() -> InsteadOf {
    let duration = Some(Duration::from_millis(50));
    InsteadOf { balancer: "broken".to_owned(), digest: Some("def".to_owned()), duration }
}

/// Gives no answer.
#[derive(Debug)]
struct Failing;

impl Policy for Failing {
    fn rank(&self, _question: &Question) -> Result<Ruling, Refusal> {
        Err(Refusal::Failed("it trapped".to_owned()))
    }
}

fn view(nodes: Vec<Node>) -> View {
    View::new(Snapshot { revision: Revision(7), now: now(), nodes, live: Vec::new() })
}

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("a time")
}

#[test]
fn each_decision_sees_the_reservations_before_it_and_has_a_number_of_its_own() {
    let mut view = view((1..=3).map(node).collect());
    let (policy, entropy) = (Backwards::default(), Numbers::default());
    let wishes = ["ada", "bob", "ada"].map(|user| Wish::new(&new_session(user), &view, &entropy));
    let decided = decide(wishes.into(), &mut view, &policy, &entropy);
    assert!(
        decided.iter().all(|decision| matches!(decision, Ok(Some(made)) if made.reservation.session.node == NodeId(3)))
    );
    let asked = policy.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counts: Vec<_> = asked.iter().map(|asked| asked.nodes.sessions[2]).collect();
    let own: Vec<_> = asked.iter().map(|asked| asked.user_sessions[2]).collect();
    let unseen: Vec<_> = asked.iter().map(|asked| asked.nodes.unseen5[2]).collect();
    assert_eq!((counts, own, unseen), (vec![0, 1, 2], vec![0, 0, 1], vec![0.0, 1.0, 2.0]));
    let sequence: Vec<_> = asked.iter().map(|asked| asked.request.sequence).collect();
    assert_eq!(sequence, [7 * 64, 7 * 64 + 1, 7 * 64 + 2]);
    assert_eq!(asked[0].request.now, 1_700_000_000_000);
    assert_ne!(asked[0].request.seed, asked[1].request.seed);
}

#[test]
fn sixteen_candidates_are_kept_with_their_scores_and_what_is_to_be_recorded() {
    let mut view = view((1..=20).map(node).collect());
    let wish = Wish::new(&new_session("ada"), &view, &Numbers::default());
    let decided = decide(vec![wish], &mut view, &Backwards::default(), &Numbers::default());
    let [Ok(Some(made))] = decided.as_slice() else { panic!("{decided:?}") };
    let Reservation { session, new: true, decision, .. } = &made.reservation else { panic!("{made:?}") };
    assert_eq!(decision.candidates, (5..=20).rev().map(NodeId).collect::<Vec<_>>());
    assert_eq!(session.candidates, decision.candidates[1..]);
    assert_eq!(decision.scores.as_ref().map(|scores| (scores.len(), scores[0], scores[15])), Some((16, 19.0, 4.0)));
    assert_eq!((decision.eligible, decision.duration), (20, Duration::from_micros(3)));
    assert_eq!(decision.digest.as_deref(), Some("abc"));
    assert_eq!(decision.fallback.as_deref(), Some("the selected one is broken"));
    assert_eq!(decision.instead_of, Some(broken()));
    assert_eq!(decision.reason.as_deref(), Some("the last is the best"));
}

#[test]
fn a_resumed_session_names_the_node_it_comes_from_and_may_return_there() {
    let mut view = view((1..=2).map(node).collect());
    let stored = Wish::new(&new_session("ada"), &view, &Numbers::default()).session;
    let stored =
        Session { node: NodeId(2), state: State::Lost, failed_nodes: vec![NodeId(2)], claimed: true, ..stored };
    let policy = Backwards::default();
    let wish = Wish::resume(stored.clone(), &view);
    let decided = decide(vec![wish], &mut view, &policy, &Numbers::default());
    let [Ok(Some(made))] = decided.as_slice() else { panic!("{decided:?}") };
    let Reservation { session, new: false, .. } = &made.reservation else { panic!("{made:?}") };
    assert_eq!((session.id, session.node, session.epoch), (stored.id, NodeId(2), Epoch(2)));
    assert!(session.state == State::Starting && !session.claimed && session.failed_nodes.is_empty());
    let asked = policy.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(asked[0].request.previous_node.as_deref(), Some("node2"));
}

#[test]
fn what_fails_in_a_batch_leaves_the_others_alone() {
    let mut view = view(vec![Node { capacity: Some(2), ..node(1) }]);
    let (policy, entropy) = (Backwards::default(), Numbers::default());
    let wishes: Vec<_> = (0..4).map(|_| Wish::new(&new_session("ada"), &view, &entropy)).collect();
    let decided = decide(wishes, &mut view, &policy, &entropy);
    assert!(decided[0].is_ok() && decided[1].is_ok());
    let error = decided[3].as_ref().expect_err("full").to_string();
    assert_eq!(error, "no node can take the session: 1 node: 1 is full");
}

#[test]
fn a_policy_without_an_answer_is_named_as_the_reason() {
    let mut view = view(vec![node(1)]);
    let wish = Wish::new(&new_session("ada"), &view, &Numbers::default());
    let decided = decide(vec![wish], &mut view, &Failing, &Numbers::default());
    let error = decided[0].as_ref().expect_err("no answer").to_string();
    assert_eq!(error, "no node can take the session: the balancer could not decide: it trapped");
}

/// Has no answer for one user while others wait, and is slow from then on.
#[derive(Debug, Default)]
struct TurnsSlow(Backwards, AtomicBool);

impl Policy for TurnsSlow {
    fn rank(&self, question: &Question) -> Result<Ruling, Refusal> {
        self.0.rank(question)
    }

    fn rank_within(&self, question: &Question, _: Duration) -> Option<Result<Ruling, Refusal>> {
        if question.request.username == "stuck" {
            self.1.store(true, Ordering::Relaxed);
            return None;
        }
        Some(self.rank(question))
    }

    fn is_slow(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }
}

#[test]
fn once_a_policy_takes_too_long_the_rest_of_the_batch_does_not_wait_for_it() {
    let mut view = view((1..=2).map(node).collect());
    let (policy, entropy) = (TurnsSlow::default(), Numbers::default());
    let wishes: Vec<_> =
        ["ada", "stuck", "bob", "stuck"].map(|user| Wish::new(&new_session(user), &view, &entropy)).into();
    let decided = decide(wishes, &mut view, &policy, &entropy);
    let decided: Vec<_> = decided.iter().map(|one| one.as_ref().map(Option::is_some).expect("no refusal")).collect();
    assert_eq!(decided, [true, false, false, false]);
    let asked = policy.0.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(asked.len(), 1, "nobody else was asked about");
}
