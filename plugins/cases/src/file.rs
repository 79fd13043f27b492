//! The format of a file of cases.

use std::collections::BTreeMap;

use super::{Deserialize, Outcome, Question};

/// A file of cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The balancer that they are about.
    pub balancer: String,
    /// The cases.
    pub case: Vec<Case>,
}

/// A question and what must be answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the key of that name in README.md")]
pub struct Case {
    pub name: String,
    pub nodes: Vec<Node>,
    #[serde(default)]
    pub request: Request,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    #[serde(default)]
    pub any_order: bool,
    pub expect: Expect,
}

impl Case {
    /// The orders of the nodes that the case holds for.
    pub fn orders(&self) -> Vec<Vec<Node>> {
        let mut orders = vec![self.nodes.clone()];
        if self.any_order {
            orders.push(self.nodes.iter().rev().cloned().collect());
            for places in 1..self.nodes.len() {
                let mut rotated = self.nodes.clone();
                rotated.rotate_left(places);
                orders.push(rotated);
            }
        }
        orders
    }

    /// Whether the answer is the one expected; the error says how it differs.
    pub fn compare(&self, question: &Question, outcome: &Outcome) -> Result<(), String> {
        let expect = &self.expect;
        match (&expect.order, &expect.refused, &expect.declined, &expect.failed, outcome) {
            (Some(order), None, None, None, Outcome::Ranked { order: got, scores, reason }) => {
                let named: Option<Vec<&String>> = got.iter().map(|&node| question.names.get(node as usize)).collect();
                if named.as_ref().is_none_or(|named| !named.iter().copied().eq(order)) {
                    return Err(format!("expected {order:?}, got {got:?}, which is {named:?}"));
                }
                if !self.scored_as_expected(question, scores.as_deref()) {
                    return Err(format!("expected scores {:?}, got {scores:?}", expect.scores));
                }
                if expect.reason.is_some() && expect.reason != *reason {
                    return Err(format!("expected the reason {:?}, got {reason:?}", expect.reason));
                }
                Ok(())
            }
            (None, Some(expected), None, None, Outcome::Refused(got))
            | (None, None, Some(expected), None, Outcome::Declined(got))
            | (None, None, None, Some(expected), Outcome::Failed(got))
                if expect.scores.is_none() && expect.reason.is_none() =>
            {
                if got.contains(expected) {
                    Ok(())
                } else {
                    Err(format!("expected {expected:?} in {got:?}"))
                }
            }
            _ => Err(format!("expected {expect:?}, got {outcome:?}")),
        }
    }

    fn scored_as_expected(&self, question: &Question, scores: Option<&[f64]>) -> bool {
        let Some(expected) = &self.expect.scores else { return true };
        let Some(scores) = scores else { return false };
        let close = |(node, &expected): (&Node, &f64)| {
            let place = question.names.iter().position(|name| *name == node.name);
            let got = place.and_then(|place| scores.get(place));
            got.is_some_and(|got| (got - expected).abs() <= 1e-9 * expected.abs().max(1.0))
        };
        expected.len() == self.nodes.len()
            && scores.len() == expected.len()
            && self.nodes.iter().zip(expected).all(close)
    }
}

/// A node of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the key of that name in README.md")]
pub struct Node {
    pub name: String,
    pub address: Option<String>,
    #[serde(default = "four")]
    pub cores: u32,
    #[serde(default = "hundred")]
    pub weight: u32,
    #[serde(default = "unlimited")]
    pub capacity: u32,
    #[serde(default)]
    pub sessions: u32,
    #[serde(default)]
    pub user_sessions: u32,
    #[serde(default)]
    pub load1: f64,
    #[serde(default)]
    pub load5: f64,
    #[serde(default)]
    pub load15: f64,
    #[serde(default)]
    pub unseen5: f64,
    #[serde(default)]
    pub cpus_promised: f64,
    #[serde(default)]
    pub memory_total: u64,
    #[serde(default)]
    pub memory_available: u64,
    #[serde(default)]
    pub memory_promised: u64,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

fn four() -> u32 {
    4
}

fn hundred() -> u32 {
    100
}

fn unlimited() -> u32 {
    u32::MAX
}

/// The request of a case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[expect(missing_docs, reason = "each is the key of that name in README.md")]
pub struct Request {
    pub username: String,
    pub groups: Vec<String>,
    pub kind: String,
    pub cpus: f64,
    pub memory: u64,
    pub labels: BTreeMap<String, String>,
    pub previous_node: Option<String>,
    pub now: u64,
    pub seed: u64,
    pub sequence: u64,
}

/// What must be answered.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is the key of that name in README.md")]
pub struct Expect {
    pub order: Option<Vec<String>>,
    pub scores: Option<Vec<f64>>,
    pub reason: Option<String>,
    pub refused: Option<String>,
    pub declined: Option<String>,
    pub failed: Option<String>,
}
