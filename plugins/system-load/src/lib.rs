//! The builtin balancer `system-load`: the node with the least 5-minute load average per core, counting what the average
//! has not seen yet.
//!
//! A 5-minute average hardly moves in the seconds after a launch, so on its own it sends every launch of those minutes
//! to the machine that was idle before them. Each live session therefore adds `expected-load` × e^(-age / 300 s), which
//! is the share of its load that the average has not absorbed at its age. With `expected-load = 0` the average decides
//! alone. Nodes that are equal in it are ordered by their sessions per unit of weight; nodes that are equal in both take
//! turns by the number of the decision.

use evenkeel_sdk::{Answer, Columnar, Refusal, Setting, Settings, best_in_turn, by_count, nodes, request};

mod decimal;

/// What the choice looks at: item i of every column is about node i.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// Load averages over 5 minutes.
    pub load5: &'a [f64],
    /// Sessions that they have not absorbed yet: the sum of e^(-age / 300 s).
    pub unseen5: &'a [f64],
    /// Logical processors, at least 1.
    pub cores: &'a [u32],
    /// Sessions starting or active.
    pub sessions: &'a [u32],
    /// Weights, at least 1.
    pub weights: &'a [u32],
}

/// The best nodes, at most [`CANDIDATES`](evenkeel_sdk::CANDIDATES), with the expected load per core, negated, as scores.
pub fn choose(columns: Columns<'_>, expected_load: f64, sequence: u64) -> Answer {
    let Columns { load5, unseen5, cores, sessions, weights } = columns;
    let expected = |node: usize| (load5[node] + expected_load * unseen5[node]) / f64::from(cores[node]);
    let scores: Vec<f64> = (0..load5.len()).map(|node| 0.0 - expected(node)).collect();
    let count = |node: usize| (sessions[node], weights[node]);
    let order = best_in_turn(scores.len(), sequence, |a, b| {
        scores[b].total_cmp(&scores[a]).then_with(|| by_count(count(a), count(b)))
    });
    let reason = order.first().map_or_else(String::new, |&best| reason(-scores[best as usize], scores.len()));
    Answer::order(order).scored(scores).because(reason)
}

fn reason(load: f64, count: usize) -> String {
    let nodes = if count == 1 { " node" } else { " nodes" };
    ["expected load per core ", &decimal::show(load), ", the least of ", &count.to_string(), nodes].concat()
}

/// The balancer as the host runs it.
#[derive(Debug)]
pub struct SystemLoad {
    /// What a session is expected to add to the load average of its node.
    pub expected_load: f64,
}

impl Columnar for SystemLoad {
    const SETTINGS: &'static [Setting] = &[Setting {
        key: "expected-load",
        default: Some("1"),
        help: "The processors that a new session is expected to keep busy, until the 5-minute load average shows what it \
               really does: a decimal number of at least 0. 0 leaves the decision to the average alone.",
    }];

    fn new(settings: &Settings) -> Result<Self, String> {
        let value = settings.get("expected-load").unwrap_or_default();
        let expected_load = decimal::read(value.trim())
            .ok_or_else(|| settings.refusal("expected-load", "a decimal number of at least 0, such as 0.5"))?;
        Ok(Self { expected_load })
    }

    fn rank(&self) -> Result<Answer, Refusal> {
        let columns = Columns {
            load5: &nodes::load5(),
            unseen5: &nodes::unseen5(),
            cores: &nodes::cores(),
            sessions: &nodes::sessions(),
            weights: &nodes::weights(),
        };
        Ok(choose(columns, self.expected_load, request::sequence()))
    }
}

evenkeel_sdk::balancer!(SystemLoad);
