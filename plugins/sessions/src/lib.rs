//! The builtin balancer `sessions`: the node with the fewest sessions per unit of weight.
//!
//! The count decides first, and exactly: whatever the loads, no two nodes of equal weight come to differ by more than
//! one session. Nodes that are equal in it are ordered by the 1-minute load average per core. It is the average that
//! follows soonest what people are doing now, and it cannot make launches pile up, since each raises the count of the
//! node it went to. Nodes that are equal in both take turns by the number of the decision.

use evenkeel_sdk::{Answer, Columnar, Refusal, Settings, best_in_turn, by_count, nodes, request};

/// What the choice looks at: item i of every column is about node i.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// Sessions starting or active.
    pub sessions: &'a [u32],
    /// Weights, at least 1.
    pub weights: &'a [u32],
    /// Load averages over 1 minute.
    pub load1: &'a [f64],
    /// Logical processors, at least 1.
    pub cores: &'a [u32],
}

/// The best nodes, at most [`CANDIDATES`](evenkeel_sdk::CANDIDATES), with sessions per 100 of weight, negated, as scores.
pub fn choose(columns: Columns<'_>, sequence: u64) -> Answer {
    let Columns { sessions, weights, load1, cores } = columns;
    let count = |node: usize| (sessions[node], weights[node]);
    let order = best_in_turn(sessions.len(), sequence, |a, b| {
        by_count(count(a), count(b)).then_with(|| {
            let load = |node: usize| load1[node] / f64::from(cores[node]);
            load(a).total_cmp(&load(b))
        })
    });
    let score = |(&count, &weight)| 0.0 - f64::from(count) * 100.0 / f64::from(weight);
    let scores = sessions.iter().zip(weights).map(score).collect();
    let reason = order.first().map_or_else(String::new, |&best| reason(columns, best as usize));
    Answer::order(order).scored(scores).because(reason)
}

fn reason(Columns { sessions, weights, .. }: Columns<'_>, best: usize) -> String {
    let (count, weight) = (sessions[best], weights[best]);
    let tied = sessions.iter().zip(weights).filter(|&(&s, &w)| by_count((s, w), (count, weight)).is_eq()).count();
    let mut reason = ["has ", &count.to_string(), if count == 1 { " session" } else { " sessions" }].concat();
    if weight != 100 {
        reason += &[" at weight ", &weight.to_string()].concat();
    }
    reason += &[
        ", the fewest per weight of ",
        &sessions.len().to_string(),
        if sessions.len() == 1 { " node" } else { " nodes" },
    ]
    .concat();
    if tied > 1 {
        reason += &["; first by load and turn among ", &tied.to_string(), " with as few"].concat();
    }
    reason
}

/// The balancer as the host runs it.
#[derive(Debug)]
pub struct Sessions;

impl Columnar for Sessions {
    fn new(_settings: &Settings) -> Result<Self, String> {
        Ok(Self)
    }

    fn rank(&self) -> Result<Answer, Refusal> {
        let columns = Columns {
            sessions: &nodes::sessions(),
            weights: &nodes::weights(),
            load1: &nodes::load1(),
            cores: &nodes::cores(),
        };
        Ok(choose(columns, request::sequence()))
    }
}

evenkeel_sdk::balancer!(Sessions);
