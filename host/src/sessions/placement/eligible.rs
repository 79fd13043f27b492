//! Which nodes may take a session, and by which rule the others may not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use crate::domain::{Node, NodeId, NodeStatus};

/// What a session needs of its node.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// The node must offer this kind.
    pub kind: &'a str,
    /// The node must have these labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The node must not be one of these, on which a start failed.
    pub avoid: &'a [NodeId],
}

/// Why a node may not take a session: the first of these that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// It is offline.
    Offline,
    /// It is cordoned.
    Cordoned,
    /// It does not offer the kind.
    Kind,
    /// It lacks a label.
    Labels,
    /// It has as many sessions as it takes.
    Full,
    /// A start of this session failed on it.
    Failed,
}

impl Rule {
    /// The rule as a sentence about a node, for a session of this kind that asks for these labels.
    pub fn sentence(self, kind: &str, labels: &BTreeMap<String, String>) -> String {
        match self {
            Self::Offline => "it is offline".to_owned(),
            Self::Cordoned => "it is cordoned".to_owned(),
            Self::Kind => format!("it does not offer {kind}"),
            Self::Labels => {
                let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("it does not have {}", labels.join(" "))
            }
            Self::Full => "it has as many sessions as it takes".to_owned(),
            Self::Failed => "a start of this session failed on it".to_owned(),
        }
    }
}

/// The rule that keeps a session with these needs from a node that has `sessions` live ones; none where it may go there.
pub fn rule_against(node: &Node, sessions: u32, needs: &Needs<'_>) -> Option<Rule> {
    let has = |(key, value): (&String, &String)| node.labels.get(key) == Some(value);
    if node.status == NodeStatus::Offline {
        Some(Rule::Offline)
    } else if node.cordoned {
        Some(Rule::Cordoned)
    } else if !node.kinds.contains(needs.kind) {
        Some(Rule::Kind)
    } else if !needs.labels.iter().all(has) {
        Some(Rule::Labels)
    } else if node.capacity.is_some_and(|capacity| sessions >= capacity) {
        Some(Rule::Full)
    } else if needs.avoid.contains(&node.id) {
        Some(Rule::Failed)
    } else {
        None
    }
}

/// The nodes that may take a session, as indexes in order, and those that may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The indexes of those that may.
    pub eligible: Vec<usize>,
    /// The names of those that may not, each with the rule.
    pub excluded: Arc<[(Rule, String)]>,
}

/// Sorts the nodes, of which each has the number of live sessions beside it, by whether they may take a session.
pub fn select<'n>(nodes: impl IntoIterator<Item = (&'n Node, u32)>, needs: &Needs<'_>) -> Selection {
    let (mut eligible, mut excluded) = (Vec::new(), Vec::new());
    for (index, (node, sessions)) in nodes.into_iter().enumerate() {
        match rule_against(node, sessions, needs) {
            None => eligible.push(index),
            Some(rule) => excluded.push((rule, node.name.clone())),
        }
    }
    Selection { eligible, excluded: excluded.into() }
}

/// The kinds that any node knows, online or not.
pub fn known_kinds(nodes: &[Node]) -> BTreeSet<&str> {
    nodes.iter().flat_map(|node| node.kinds.iter().map(String::as_str)).collect()
}

/// Says why no node is left: `3 nodes: 1 offline, 2 do not offer vscode`.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// The nodes that are excluded, each with the rule.
    pub excluded: &'a [(Rule, String)],
    /// What was needed.
    pub needs: Needs<'a>,
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.excluded.len() {
            0 => return f.write_str("the cluster has no node"),
            1 => f.write_str("1 node:")?,
            nodes => write!(f, "{nodes} nodes:")?,
        }
        let mut counts: BTreeMap<Rule, usize> = BTreeMap::new();
        for (rule, _) in self.excluded {
            *counts.entry(*rule).or_default() += 1;
        }
        for (position, (rule, count)) in counts.into_iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            let (does, has, is) = if count == 1 { ("does", "has", "is") } else { ("do", "have", "are") };
            match rule {
                Rule::Offline => write!(f, "{comma} {count} offline"),
                Rule::Cordoned => write!(f, "{comma} {count} cordoned"),
                Rule::Kind => write!(f, "{comma} {count} {does} not offer {}", self.needs.kind),
                Rule::Labels => {
                    write!(f, "{comma} {count} {does} not have ")?;
                    let labels = self.needs.labels.iter().map(|(key, value)| format!("{key}={value}"));
                    f.write_str(&labels.collect::<Vec<_>>().join(" "))
                }
                Rule::Full => write!(f, "{comma} {count} {is} full"),
                Rule::Failed => write!(f, "{comma} {count} {has} failed to start it"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::fixtures::{KIND, node};

    fn needs<'a>(labels: &'a BTreeMap<String, String>, avoid: &'a [NodeId]) -> Needs<'a> {
        Needs { kind: KIND, labels, avoid }
    }

    #[test]
    fn each_rule_excludes_and_the_first_that_applies_is_named() {
        let gpu = BTreeMap::from([("gpu".to_owned(), "a100".to_owned())]);
        let none = BTreeMap::new();
        let plain = node(1);
        assert_eq!(rule_against(&plain, 1_000_000, &needs(&none, &[])), None);
        assert_eq!(rule_against(&plain, 0, &needs(&gpu, &[])), Some(Rule::Labels));
        assert_eq!(rule_against(&plain, 0, &needs(&none, &[NodeId(1)])), Some(Rule::Failed));
        assert_eq!(rule_against(&plain, 0, &Needs { kind: "vscode", ..needs(&none, &[]) }), Some(Rule::Kind));
        let small = Node { capacity: Some(2), labels: gpu.clone(), ..node(1) };
        assert_eq!(rule_against(&small, 1, &needs(&gpu, &[])), None);
        assert_eq!(rule_against(&small, 2, &needs(&gpu, &[])), Some(Rule::Full));
        let cordoned = Node { cordoned: true, ..small };
        assert_eq!(rule_against(&cordoned, 2, &needs(&gpu, &[])), Some(Rule::Cordoned));
        let offline = Node { status: NodeStatus::Offline, ..cordoned };
        assert_eq!(rule_against(&offline, 2, &needs(&gpu, &[])), Some(Rule::Offline));
    }

    #[test]
    fn the_explanation_counts_the_nodes_of_each_rule() {
        let none = BTreeMap::new();
        let nodes = [Node { status: NodeStatus::Offline, ..node(1) }, node(2), node(3)];
        let needs = Needs { kind: "vscode", ..needs(&none, &[]) };
        let selection = select(nodes.iter().map(|node| (node, 0)), &needs);
        assert!(selection.eligible.is_empty());
        assert_eq!(
            Explanation { excluded: &selection.excluded, needs }.to_string(),
            "3 nodes: 1 offline, 2 do not offer vscode"
        );
        assert_eq!(Explanation { excluded: &[], needs }.to_string(), "the cluster has no node");
    }
}
