//! What a balancer answers.

use crate::order;

/// The nodes to try, and why.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// Indexes of nodes, best first, none twice, at least one. The host keeps the first [`CANDIDATES`](crate::CANDIDATES).
    pub order: Vec<u32>,
    /// How good each node is, the higher the better: finite, one a node, in the order of the nodes.
    pub scores: Option<Vec<f64>>,
    /// The decision in a sentence, for those who ask why; at most 1,024 bytes are kept.
    pub reason: Option<String>,
}

impl Answer {
    /// The nodes to try, best first.
    pub fn order(order: Vec<u32>) -> Self {
        Self { order, ..Self::default() }
    }

    /// The nodes by their scores, the highest first; of equal scores the first in the list comes first.
    pub fn highest(scores: Vec<f64>) -> Self {
        let order = order::best(scores.len(), |a, b| scores[b].total_cmp(&scores[a]));
        Self::order(order).scored(scores)
    }

    /// The same with scores for the record.
    #[must_use]
    pub fn scored(self, scores: Vec<f64>) -> Self {
        Self { scores: Some(scores), ..self }
    }

    /// The same with a sentence for the record.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}

/// Why a balancer chooses no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The policy does not want this session to start. Final: the sentence is shown to the user.
    Declined(String),
    /// The balancer could not decide. The host asks its fallback instead.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_score_comes_first_and_ties_keep_their_order() {
        let answer = Answer::highest(vec![1.0, 3.0, -2.0, 3.0]);
        assert_eq!(answer.order, [1, 3, 0, 2]);
        assert_eq!(answer.scores, Some(vec![1.0, 3.0, -2.0, 3.0]));
    }
}
