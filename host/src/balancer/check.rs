//! The checks that every balancer's answer goes through, whatever gave it.

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It names no node.
    #[error("it named no node")]
    Empty,
    /// It names more nodes than there are.
    #[error("it named {named} nodes, of {count}")]
    TooMany {
        /// How many it named.
        named: usize,
        /// How many there are.
        count: usize,
    },
    /// It names a node that does not exist.
    #[error("it named node {index}, but the nodes are 0 to {last}")]
    OutOfRange {
        /// What it named.
        index: u32,
        /// The last that there is.
        last: usize,
    },
    /// It names a node twice.
    #[error("it named node {0} twice")]
    Repeated(u32),
    /// Its scores are not one a node.
    #[error("it gave {given} scores for {count} nodes")]
    ScoreCount {
        /// How many it gave.
        given: usize,
        /// How many nodes there are.
        count: usize,
    },
    /// A score is NaN or infinite.
    #[error("its score of node {index} is {score}")]
    Score {
        /// Whose.
        index: usize,
        /// The number, as text: NaN equals nothing.
        score: String,
    },
}

/// Whether `order` names nodes below `count`, none twice, and at least one.
pub fn order(order: &[u32], count: usize) -> Result<(), AnswerError> {
    if order.is_empty() {
        return Err(AnswerError::Empty);
    }
    if order.len() > count {
        return Err(AnswerError::TooMany { named: order.len(), count });
    }
    let mut seen = vec![0_u64; count.div_ceil(64)];
    for &index in order {
        let at = index as usize;
        if at >= count {
            return Err(AnswerError::OutOfRange { index, last: count - 1 });
        }
        let (word, bit) = (at / 64, 1 << (at % 64));
        if seen[word] & bit != 0 {
            return Err(AnswerError::Repeated(index));
        }
        seen[word] |= bit;
    }
    Ok(())
}

/// Whether there is one finite score for each of `count` nodes.
pub fn scores(scores: &[f64], count: usize) -> Result<(), AnswerError> {
    if scores.len() != count {
        return Err(AnswerError::ScoreCount { given: scores.len(), count });
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(index) => Err(AnswerError::Score { index, score: scores[index].to_string() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{AnswerError, order, scores};

    #[test]
    fn an_order_names_existing_nodes_once_each() {
        assert_eq!(order(&[], 3), Err(AnswerError::Empty));
        assert_eq!(order(&[0, 1, 0], 2), Err(AnswerError::TooMany { named: 3, count: 2 }));
        assert_eq!(order(&[3], 3), Err(AnswerError::OutOfRange { index: 3, last: 2 }));
        assert_eq!(order(&[1, 2, 1], 3), Err(AnswerError::Repeated(1)));
        assert_eq!(order(&[2], 3), Ok(()));
        assert_eq!(order(&(0..1_000).rev().collect::<Vec<_>>(), 1_000), Ok(()));
    }

    #[test]
    fn scores_are_finite_and_one_a_node() {
        assert_eq!(scores(&[1.0, -2.0], 2), Ok(()));
        assert_eq!(scores(&[1.0], 2), Err(AnswerError::ScoreCount { given: 1, count: 2 }));
        assert_eq!(scores(&[1.0, f64::NAN], 2), Err(AnswerError::Score { index: 1, score: "NaN".to_owned() }));
        assert_eq!(scores(&[f64::NEG_INFINITY], 1), Err(AnswerError::Score { index: 0, score: "-inf".to_owned() }));
    }
}
