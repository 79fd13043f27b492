//! The format of a file of cases.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{Outcome, Question, number};

/// A file of cases.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The balancer that they are about.
    pub balancer: String,
    /// The cases.
    pub case: Vec<Case>,
}

/// A question and what must be answered.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the key of that name in README.md")]
pub struct Case {
    pub name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub any_order: bool,
    /// None where it is only asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub settings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub request: Request,
    pub nodes: Vec<Node>,
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
        let Some(expect) = &self.expect else { return Err(format!("nothing is expected; got {outcome:?}")) };
        match (&expect.order, &expect.refused, &expect.declined, &expect.failed, outcome) {
            (Some(order), None, None, None, Outcome::Ranked { order: got, scores, reason }) => {
                let named: Option<Vec<&String>> = got.iter().map(|&node| question.names.get(node as usize)).collect();
                if named.as_ref().is_none_or(|named| !named.iter().copied().eq(order)) {
                    return Err(format!("expected {order:?}, got {got:?}, which is {named:?}"));
                }
                if !self.scored_as(expect, question, scores.as_deref()) {
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

    fn scored_as(&self, expect: &Expect, question: &Question, scores: Option<&[f64]>) -> bool {
        let Some(expected) = &expect.scores else { return true };
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
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the key of that name in README.md")]
pub struct Node {
    pub name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub ip: Option<IpAddr>,
    #[serde(default = "cores")]
    pub cores: u32,
    #[serde(default = "weight", skip_serializing_if = "is_normal")]
    pub weight: u32,
    #[serde(default = "capacity", skip_serializing_if = "is_unlimited")]
    pub capacity: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub sessions: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub user_sessions: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub load1: f64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub load5: f64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub load15: f64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub unseen5: f64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpus_promised: f64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_total: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_available: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_promised: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub metrics: BTreeMap<String, f64>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: None,
            ip: None,
            cores: cores(),
            weight: weight(),
            capacity: capacity(),
            sessions: 0,
            user_sessions: 0,
            load1: 0.0,
            load5: 0.0,
            load15: 0.0,
            unseen5: 0.0,
            cpus_promised: 0.0,
            memory_total: 0,
            memory_available: 0,
            memory_promised: 0,
            labels: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }
}

fn cores() -> u32 {
    4
}

fn weight() -> u32 {
    100
}

fn capacity() -> u32 {
    u32::MAX
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_normal(given: &u32) -> bool {
    *given == weight()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_unlimited(given: &u32) -> bool {
    *given == capacity()
}

/// The request of a case.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[expect(missing_docs, reason = "each is the key of that name in README.md")]
pub struct Request {
    pub username: String,
    #[serde(skip_serializing_if = "is_default")]
    pub groups: Vec<String>,
    pub kind: String,
    #[serde(skip_serializing_if = "is_default")]
    pub cpus: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub memory: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub previous_node: Option<String>,
    #[serde(with = "number")]
    pub now: u64,
    #[serde(with = "number")]
    pub seed: u64,
    #[serde(with = "number")]
    pub sequence: u64,
}

/// What must be answered.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is the key of that name in README.md")]
pub struct Expect {
    #[serde(skip_serializing_if = "is_default")]
    pub order: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub scores: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "is_default")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub refused: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub declined: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub failed: Option<String>,
}
