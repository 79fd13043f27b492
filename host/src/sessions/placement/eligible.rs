//! Which nodes may take a session, and by which rule the others may not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use crate::domain::{Node, NodeId, NodeStatus, Usage, limit::thousandths};

/// What a session needs of its node.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// The node must offer this kind.
    pub kind: &'a str,
    /// The node must have these labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The node must have these as well, since the kind requires them.
    pub kind_labels: &'a BTreeMap<String, String>,
    /// What the node must be able to promise.
    pub usage: Usage,
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
    /// It lacks a label that the kind requires.
    Required,
    /// It lacks a label.
    Labels,
    /// It has as many sessions as it takes.
    Full,
    /// It has promised its processors.
    Cpus,
    /// It has promised its memory.
    Memory,
    /// A start of this session failed on it.
    Failed,
}

impl Rule {
    /// The rule as a sentence about a node, for a session of this kind that asks for these labels and whose kind requires
    /// those.
    pub fn sentence(
        self,
        kind: &str,
        labels: &BTreeMap<String, String>,
        kind_labels: &BTreeMap<String, String>,
    ) -> String {
        match self {
            Self::Offline => "it is offline".to_owned(),
            Self::Cordoned => "it is cordoned".to_owned(),
            Self::Kind => format!("it does not offer {kind}"),
            Self::Required => format!("it does not have {}, which {kind} requires", list(kind_labels)),
            Self::Labels => format!("it does not have {}", list(labels)),
            Self::Full => "it has as many sessions as it takes".to_owned(),
            Self::Cpus => "it has too few processors left that it may promise".to_owned(),
            Self::Memory => "it has too little memory left that it may promise".to_owned(),
            Self::Failed => "a start of this session failed on it".to_owned(),
        }
    }
}

fn list(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

/// The rule that keeps a session with these needs from a node whose live sessions have `present`; none where it may go
/// there.
pub fn rule_against(node: &Node, present: Usage, needs: &Needs<'_>) -> Option<Rule> {
    let has = |(key, value): (&String, &String)| node.labels.get(key) == Some(value);
    let after = present.and(needs.usage);
    let cannot = |asked: u64, after: u64, most: Option<u64>| asked > 0 && most.is_some_and(|most| after > most);
    if node.status != NodeStatus::Online {
        // What stays out of the cluster is not there either.
        Some(Rule::Offline)
    } else if node.cordoned {
        Some(Rule::Cordoned)
    } else if !node.kinds.contains(needs.kind) {
        Some(Rule::Kind)
    } else if !needs.kind_labels.iter().all(has) {
        Some(Rule::Required)
    } else if !needs.labels.iter().all(has) {
        Some(Rule::Labels)
    } else if node.capacity.is_some_and(|capacity| after.sessions > capacity.into()) {
        Some(Rule::Full)
    } else if cannot(needs.usage.cpus, after.cpus, node.promise_cpus.map(thousandths)) {
        Some(Rule::Cpus)
    } else if cannot(needs.usage.memory, after.memory, node.promise_memory) {
        Some(Rule::Memory)
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

/// Sorts the nodes, of which each has beside it what its live sessions have, by whether they may take a session.
pub fn select<'n>(nodes: impl IntoIterator<Item = (&'n Node, Usage)>, needs: &Needs<'_>) -> Selection {
    let (mut eligible, mut excluded) = (Vec::new(), Vec::new());
    for (index, (node, present)) in nodes.into_iter().enumerate() {
        match rule_against(node, present, needs) {
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
                Rule::Required => {
                    let Needs { kind, kind_labels, .. } = self.needs;
                    write!(f, "{comma} {count} {does} not have {}, which {kind} requires", list(kind_labels))
                }
                Rule::Labels => write!(f, "{comma} {count} {does} not have {}", list(self.needs.labels)),
                Rule::Full => write!(f, "{comma} {count} {is} full"),
                Rule::Cpus => write!(f, "{comma} {count} {has} too few processors left to promise"),
                Rule::Memory => write!(f, "{comma} {count} {has} too little memory left to promise"),
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

    const NO_LABELS: &BTreeMap<String, String> = &BTreeMap::new();

    fn needs<'a>(labels: &'a BTreeMap<String, String>, avoid: &'a [NodeId]) -> Needs<'a> {
        Needs { kind: KIND, labels, kind_labels: NO_LABELS, usage: Usage::of(0.0, 0), avoid }
    }

    fn has(sessions: u64) -> Usage {
        Usage { sessions, ..Usage::default() }
    }

    #[test]
    fn each_rule_excludes_and_the_first_that_applies_is_named() {
        let gpu = BTreeMap::from([("gpu".to_owned(), "a100".to_owned())]);
        let none = BTreeMap::new();
        let plain = node(1);
        assert_eq!(rule_against(&plain, has(1_000_000), &needs(&none, &[])), None);
        assert_eq!(rule_against(&plain, has(0), &needs(&gpu, &[])), Some(Rule::Labels));
        let required = Needs { kind_labels: &gpu, ..needs(&gpu, &[]) };
        assert_eq!(rule_against(&plain, has(0), &required), Some(Rule::Required));
        assert_eq!(rule_against(&plain, has(0), &needs(&none, &[NodeId(1)])), Some(Rule::Failed));
        assert_eq!(rule_against(&plain, has(0), &Needs { kind: "vscode", ..needs(&none, &[]) }), Some(Rule::Kind));
        let small = Node { capacity: Some(2), labels: gpu.clone(), ..node(1) };
        assert_eq!(rule_against(&small, has(1), &needs(&gpu, &[])), None);
        assert_eq!(rule_against(&small, has(2), &needs(&gpu, &[])), Some(Rule::Full));
        let cordoned = Node { cordoned: true, ..small };
        assert_eq!(rule_against(&cordoned, has(2), &needs(&gpu, &[])), Some(Rule::Cordoned));
        let offline = Node { status: NodeStatus::Offline, ..cordoned };
        assert_eq!(rule_against(&offline, has(2), &needs(&gpu, &[])), Some(Rule::Offline));
    }

    #[test]
    fn a_node_promises_no_more_than_it_may_and_what_asks_for_nothing_always_fits() {
        let none = BTreeMap::new();
        let node = Node { promise_cpus: Some(4.0), promise_memory: Some(8 << 30), ..node(1) };
        let against = |present, cpus, memory| {
            rule_against(&node, present, &Needs { usage: Usage::of(cpus, memory), ..needs(&none, &[]) })
        };
        let promised = Usage { sessions: 3, cpus: 3_500, memory: 7 << 30 };
        assert_eq!(against(promised, 0.5, 1 << 30), None);
        assert_eq!(against(promised, 0.6, 1 << 30), Some(Rule::Cpus));
        assert_eq!(against(promised, 0.5, (1 << 30) + 1), Some(Rule::Memory));
        assert_eq!(against(Usage { sessions: 9, cpus: 9_000, memory: 9 << 30 }, 0.0, 0), None);
    }

    #[test]
    fn the_explanation_counts_the_nodes_of_each_rule() {
        let none = BTreeMap::new();
        let nodes = [Node { status: NodeStatus::Offline, ..node(1) }, node(2), node(3)];
        let needs = Needs { kind: "vscode", ..needs(&none, &[]) };
        let selection = select(nodes.iter().map(|node| (node, has(0))), &needs);
        assert!(selection.eligible.is_empty());
        assert_eq!(
            Explanation { excluded: &selection.excluded, needs }.to_string(),
            "3 nodes: 1 offline, 2 do not offer vscode"
        );
        assert_eq!(Explanation { excluded: &[], needs }.to_string(), "the cluster has no node");
        let gpu = BTreeMap::from([("gpu".to_owned(), "a100".to_owned())]);
        let needs = Needs { kind: KIND, kind_labels: &gpu, ..needs };
        let small = [Node { promise_memory: Some(0), labels: gpu.clone(), ..node(1) }, node(2)];
        let needs = Needs { usage: Usage::of(0.0, 1), ..needs };
        let selection = select(small.iter().map(|node| (node, has(0))), &needs);
        assert_eq!(
            Explanation { excluded: &selection.excluded, needs }.to_string(),
            "2 nodes: 1 does not have gpu=a100, which jupyterlab requires, 1 has too little memory left to promise"
        );
    }
}
