//! Picking the best of many nodes.

use std::cmp::Ordering;

/// How many candidates the host keeps of an answer. Naming more does no harm and does no good.
pub const CANDIDATES: usize = 16;

/// The best [`CANDIDATES`] of `count` nodes, best first. `compare(a, b)` is `Less` where node `a` is better than node `b`;
/// of nodes that are equal the one with the smaller index comes first.
///
/// One pass over the nodes: at 10,000 nodes several times cheaper than sorting them.
pub fn best(count: usize, compare: impl Fn(usize, usize) -> Ordering) -> Vec<u32> {
    pick(0..count, compare)
}

/// As [`best`], but nodes that are equal take turns: of the `t` best the one at place `turn` modulo `t` comes first, and
/// whatever else is equal follows in the order that starts there. The turn is best the request's
/// [`sequence`](crate::Request::sequence), which counts decisions.
pub fn best_in_turn(count: usize, turn: u64, compare: impl Fn(usize, usize) -> Ordering) -> Vec<u32> {
    let start = start(count, turn, &compare);
    pick((start..count).chain(0..start), compare)
}

/// Compares two nodes by their sessions per unit of weight, each given as (sessions, weight): exactly, where a quotient would
/// be rounded.
pub fn by_count((sessions_a, weight_a): (u32, u32), (sessions_b, weight_b): (u32, u32)) -> Ordering {
    let a = u64::from(sessions_a) * u64::from(weight_b);
    let b = u64::from(sessions_b) * u64::from(weight_a);
    a.cmp(&b)
}

/// The node that has its turn among those which are equally the best.
fn start(count: usize, turn: u64, compare: impl Fn(usize, usize) -> Ordering) -> usize {
    let mut best = 0;
    let mut ties = 1;
    for node in 1..count {
        match compare(node, best) {
            Ordering::Less => (best, ties) = (node, 1),
            Ordering::Equal => ties += 1,
            Ordering::Greater => {}
        }
    }
    let mut skip = turn % ties;
    for node in best..count {
        if compare(node, best) == Ordering::Equal {
            if skip == 0 {
                return node;
            }
            skip -= 1;
        }
    }
    best
}

fn pick(nodes: impl Iterator<Item = usize>, compare: impl Fn(usize, usize) -> Ordering) -> Vec<u32> {
    let mut picked: Vec<u32> = Vec::with_capacity(CANDIDATES);
    for node in nodes {
        let behind = |other: &u32| compare(node, *other as usize) == Ordering::Less;
        if picked.len() == CANDIDATES {
            if !picked.last().is_some_and(behind) {
                continue;
            }
            picked.pop();
        }
        let place = picked.iter().rposition(|other| !behind(other)).map_or(0, |place| place + 1);
        picked.insert(place, node as u32);
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_sixteen_are_those_a_sort_would_give() {
        // A linear congruential generator: many ties, no order.
        let mut state = 1_u32;
        for count in [1_usize, 2, 15, 16, 17, 40, 1000] {
            let values: Vec<u32> = (0..count)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state >> 26
                })
                .collect();
            let mut sorted: Vec<u32> = (0..u32::try_from(count).unwrap()).collect();
            sorted.sort_by_key(|&node| values[node as usize]);
            sorted.truncate(CANDIDATES);
            assert_eq!(best(count, |a, b| values[a].cmp(&values[b])), sorted, "{count} nodes");
        }
    }

    #[test]
    fn equal_nodes_each_come_first_once_in_a_round() {
        let values = [5, 1, 5, 1, 1, 9];
        let firsts: Vec<u32> =
            (0..6).map(|turn| best_in_turn(values.len(), turn, |a, b| values[a].cmp(&values[b]))[0]).collect();
        assert_eq!(firsts, [1, 3, 4, 1, 3, 4]);
    }

    #[test]
    fn every_group_of_equals_follows_from_the_turn() {
        let values = [5, 1, 5, 1, 1, 9];
        assert_eq!(best_in_turn(values.len(), 1, |a, b| values[a].cmp(&values[b])), [3, 4, 1, 0, 2, 5]);
    }

    #[test]
    fn sessions_per_weight_are_compared_exactly_up_to_the_largest_numbers() {
        assert_eq!(by_count((3, 100), (6, 200)), Ordering::Equal);
        assert_eq!(by_count((u32::MAX - 3, u32::MAX - 1), (u32::MAX - 2, u32::MAX)), Ordering::Less);
        assert_eq!(by_count((u32::MAX, 1), (u32::MAX, u32::MAX)), Ordering::Greater);
    }
}
