//! What a second balancer would have decided, and how that compares.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Decision, NodeId, Percentiles, Placement};

/// The answer of the balancer that is asked beside the one that decides (`balancer-shadow`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// Its name.
    pub balancer: String,
    /// The SHA-256 of its module, hexadecimal; none where it is not a module.
    pub digest: Option<String>,
    /// How long it took.
    pub duration: Duration,
    /// What it said.
    pub outcome: Outcome,
    /// The node that the balancer which decides named first on the same question. Where that could not take the session any
    /// more when it was committed, another was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<NodeId>,
}

/// What it said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It gave an order.
    Chose {
        /// The nodes, best first, at least one and at most 16.
        candidates: Vec<NodeId>,
        /// Their scores, where it gave any.
        scores: Option<Vec<f64>>,
        /// The decision in its own sentence.
        reason: Option<String>,
    },
    /// It would have refused the session, with these words.
    Declined(String),
    /// It could not decide, for this reason.
    Failed(String),
}

/// How a shadow's answer compares with what was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It prefers the same node.
    Same,
    /// It prefers another.
    Different,
    /// It would have refused the session.
    Declined,
    /// It could not decide.
    Failed,
}

impl Shadow {
    /// The node that it prefers.
    pub fn first(&self) -> Option<NodeId> {
        match &self.outcome {
            Outcome::Chose { candidates, .. } => candidates.first().copied(),
            Outcome::Declined(_) | Outcome::Failed(_) => None,
        }
    }

    /// The node that the deciding balancer preferred.
    fn other_first(&self, decision: &Decision) -> Option<NodeId> {
        self.compared_with.or(decision.candidates.first().copied())
    }

    /// How it compares with a decision.
    pub fn verdict(&self, decision: &Decision) -> Verdict {
        match &self.outcome {
            Outcome::Chose { .. } if self.first() == self.other_first(decision) => Verdict::Same,
            Outcome::Chose { .. } => Verdict::Different,
            Outcome::Declined(_) => Verdict::Declined,
            Outcome::Failed(_) => Verdict::Failed,
        }
    }
}

impl Verdict {
    /// As the interface names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Declined => "declined",
            Self::Failed => "failed",
        }
    }
}

/// Many decisions and what the shadow said of them, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many the shadow prefers the same node for.
    pub same: u64,
    /// How many it prefers another for.
    pub different: u64,
    /// How many it would have refused.
    pub declined: u64,
    /// How many it could not decide.
    pub failed: u64,
    /// From the node that was chosen to the one that the shadow prefers, and how often; the most frequent first.
    pub shifts: Vec<(NodeId, NodeId, u64)>,
    /// How often each node was chosen, and how often the shadow would have chosen it.
    pub nodes: BTreeMap<NodeId, (u64, u64)>,
    /// The durations of the decisions.
    pub real: Percentiles,
    /// The durations of the shadow's.
    pub shadow: Percentiles,
}

impl Comparison {
    /// Sums up those placements that the shadow was asked about.
    pub fn of<'p>(placements: impl IntoIterator<Item = &'p Placement>) -> Self {
        let mut sum = Self::default();
        let mut shifts: BTreeMap<(NodeId, NodeId), u64> = BTreeMap::new();
        let (mut real, mut shadows) = (Vec::new(), Vec::new());
        for placement in placements {
            let Some(shadow) = &placement.shadow else { continue };
            let decision = &placement.decision;
            match shadow.verdict(decision) {
                Verdict::Same => sum.same += 1,
                Verdict::Different => sum.different += 1,
                Verdict::Declined => sum.declined += 1,
                Verdict::Failed => sum.failed += 1,
            }
            let (chosen, preferred) = (shadow.other_first(decision), shadow.first());
            if let Some(node) = chosen {
                sum.nodes.entry(node).or_default().0 += 1;
            }
            if let Some(node) = preferred {
                sum.nodes.entry(node).or_default().1 += 1;
            }
            if let Some(shift) = chosen.zip(preferred).filter(|(from, to)| from != to) {
                *shifts.entry(shift).or_default() += 1;
            }
            real.push(decision.duration);
            shadows.push(shadow.duration);
        }
        sum.shifts = shifts.into_iter().map(|((from, to), count)| (from, to, count)).collect();
        sum.shifts.sort_by_key(|&(_, _, count)| std::cmp::Reverse(count));
        (sum.real, sum.shadow) = (Percentiles::of(real), Percentiles::of(shadows));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, PlacementId, SessionId, fakes::Numbers};

    fn placement(chosen: i64, micros: u64, outcome: Option<Outcome>) -> Placement {
        let decision = Decision {
            balancer: "sessions".to_owned(),
            digest: None,
            candidates: vec![NodeId(chosen), NodeId(9)],
            scores: None,
            reason: None,
            fallback: None,
            instead_of: None,
            eligible: 3,
            duration: Duration::from_micros(micros),
        };
        let duration = Duration::from_micros(10 * micros);
        Placement {
            id: PlacementId(1),
            session: SessionId::draw(&Numbers::default()),
            user: "ada".to_owned(),
            epoch: Epoch::FIRST,
            decision,
            attempts: Vec::new(),
            decided: jiff::Timestamp::UNIX_EPOCH,
            shadow: outcome.map(|outcome| Shadow {
                balancer: "second".to_owned(),
                digest: None,
                duration,
                outcome,
                compared_with: None,
            }),
        }
    }

    fn chose(node: i64) -> Option<Outcome> {
        Some(Outcome::Chose { candidates: vec![NodeId(node), NodeId(8)], scores: None, reason: None })
    }

    #[test]
    fn what_is_compared_is_what_both_said_to_one_question() {
        let chose = Outcome::Chose { candidates: vec![NodeId(1)], scores: None, reason: None };
        let mut one = placement(2, 10, Some(chose));
        let shadow = one.shadow.as_mut().expect("it is there");
        assert_eq!(shadow.verdict(&one.decision), Verdict::Different);
        // Node 1 had filled up before the decision was committed.
        shadow.compared_with = Some(NodeId(1));
        assert_eq!(shadow.verdict(&one.decision), Verdict::Same);
        let sum = Comparison::of([&one]);
        assert_eq!((sum.same, sum.shifts.len(), sum.nodes[&NodeId(1)]), (1, 0, (1, 1)));
    }

    #[test]
    fn decisions_are_compared_by_the_first_node_and_shifts_are_counted() {
        let placements = [
            placement(1, 5, chose(1)),
            placement(1, 1, chose(2)),
            placement(3, 2, chose(1)),
            placement(3, 3, chose(1)),
            placement(2, 4, Some(Outcome::Declined("no".to_owned()))),
            placement(2, 6, Some(Outcome::Failed("broke".to_owned()))),
            placement(7, 1_000, None),
        ];
        let sum = Comparison::of(&placements);
        assert_eq!((sum.same, sum.different, sum.declined, sum.failed), (1, 3, 1, 1));
        assert_eq!(sum.shifts, [(NodeId(3), NodeId(1), 2), (NodeId(1), NodeId(2), 1)]);
        let nodes: Vec<_> = sum.nodes.into_iter().map(|(node, counts)| (node.0, counts)).collect();
        assert_eq!(nodes, [(1, (2, 3)), (2, (2, 1)), (3, (2, 0))]);
        let micros = |number| Some(Duration::from_micros(number));
        assert_eq!((sum.real.p50, sum.real.p99), (micros(3), micros(6)));
        assert_eq!((sum.shadow.p50, sum.shadow.p99), (micros(30), micros(60)));
    }

    #[test]
    fn where_nothing_was_compared_there_is_nothing_to_say() {
        assert_eq!(Comparison::of(&[placement(1, 1, None)]), Comparison::default());
    }

    #[test]
    fn an_answer_is_kept_as_it_was_given() {
        for shadow in [chose(3), Some(Outcome::Declined("no".to_owned())), Some(Outcome::Failed("broke".to_owned()))] {
            let shadow = placement(1, 1, shadow).shadow.unwrap();
            let text = serde_json::to_string(&shadow).unwrap();
            assert_eq!(serde_json::from_str::<Shadow>(&text).unwrap(), shadow, "{text}");
        }
    }
}
