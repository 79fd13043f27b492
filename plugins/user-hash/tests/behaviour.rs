//! What administrators are told of the balancer `user-hash`.

use evenkeel_plugin_user_hash::{Scheme, choose, city_hash};

const USERS: usize = 10_000;
const SIZES: [usize; 4] = [3, 8, 20, 100];

/// Nodes as the policy sees them.
#[derive(Clone)]
struct Cluster {
    hashes: Vec<u64>,
    weights: Vec<u32>,
}

impl Cluster {
    fn named<'a>(nodes: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let (hashes, weights) =
            nodes.into_iter().map(|(name, weight)| (city_hash(name.as_bytes()) as u64, weight)).unzip();
        Self { hashes, weights }
    }

    /// The nodes `node1`, `node2` … of equal weight.
    fn equal(count: usize) -> Self {
        Self::weighted(count, &[100])
    }

    /// The same with these weights in turn.
    fn weighted(count: usize, weights: &[u32]) -> Self {
        let names: Vec<String> = (1..=count).map(|number| format!("node{number}")).collect();
        Self::named(names.iter().map(String::as_str).zip(weights.iter().copied().cycle()))
    }

    fn without(&self, node: usize) -> Self {
        let mut others = self.clone();
        others.hashes.remove(node);
        others.weights.remove(node);
        others
    }

    /// The node of each of many users, by the hash of its name.
    fn assignment(&self, scheme: Scheme) -> Vec<u64> {
        let node = |user: usize| choose(scheme, &format!("user{user}"), &self.hashes, &self.weights).order[0];
        (0..USERS).map(|user| self.hashes[node(user) as usize]).collect()
    }

    /// Removes each node in turn and finds that its users alone have moved.
    fn assert_that_each_node_moves_its_own_users_alone(&self) {
        let before = self.assignment(Scheme::Rendezvous);
        for (node, leaving) in self.hashes.iter().enumerate() {
            let after = self.without(node).assignment(Scheme::Rendezvous);
            for (user, (before, after)) in before.iter().zip(&after).enumerate() {
                assert_eq!(
                    before != after,
                    before == leaving,
                    "user{user}, as node {node} of {} leaves",
                    self.hashes.len()
                );
            }
        }
    }

    /// Each node has the number of users that its share of the whole gives it, but for 4 standard deviations.
    fn assert_that_each_node_has_its_due(&self, scheme: Scheme, share: impl Fn(usize) -> f64) {
        let assignment = self.assignment(scheme);
        for (node, hash) in self.hashes.iter().enumerate() {
            let has = assignment.iter().filter(|assigned| *assigned == hash).count() as f64;
            let due = USERS as f64 * share(node);
            let deviation = (due * (1.0 - share(node))).sqrt();
            let nodes = self.hashes.len();
            assert!(
                (has - due).abs() <= 4.0 * deviation,
                "node {node} of {nodes} has {has}, and is due {due:.0} ± {deviation:.1}"
            );
        }
    }

    /// The share that each node's weight is of all.
    fn assert_that_shares_follow_weights(&self) {
        let all: f64 = self.weights.iter().copied().map(f64::from).sum();
        self.assert_that_each_node_has_its_due(Scheme::Rendezvous, |node| f64::from(self.weights[node]) / all);
    }
}

/// Weights that differ by more than most administrators' will.
const WEIGHTS: [u32; 5] = [100, 200, 50, 400, 100];

#[test]
fn whichever_node_leaves_moves_exactly_its_own_users() {
    SIZES.into_iter().for_each(|count| Cluster::equal(count).assert_that_each_node_moves_its_own_users_alone());
}

#[test]
fn whichever_weighted_node_leaves_moves_exactly_its_own_users() {
    SIZES
        .into_iter()
        .for_each(|count| Cluster::weighted(count, &WEIGHTS).assert_that_each_node_moves_its_own_users_alone());
}

#[test]
fn equal_nodes_take_equal_shares() {
    SIZES.into_iter().for_each(|count| Cluster::equal(count).assert_that_shares_follow_weights());
}

#[test]
fn weighted_nodes_take_shares_in_proportion() {
    SIZES.into_iter().for_each(|count| Cluster::weighted(count, &WEIGHTS).assert_that_shares_follow_weights());
}

#[test]
fn modulo_shares_evenly_and_heeds_no_weight() {
    for count in SIZES {
        let equal = Cluster::equal(count);
        equal.assert_that_each_node_has_its_due(Scheme::Modulo, |_| 1.0 / count as f64);
        let weighted = Cluster::weighted(count, &WEIGHTS);
        assert_eq!(equal.assignment(Scheme::Modulo), weighted.assignment(Scheme::Modulo));
    }
}

#[test]
fn a_heavier_node_only_takes_users_and_the_others_exchange_none() {
    let before = Cluster::named([("a", 100), ("b", 100), ("c", 150)]);
    let after = Cluster::named([("a", 100), ("b", 300), ("c", 150)]);
    let heavier = after.hashes[1];
    let (before, after) = (before.assignment(Scheme::Rendezvous), after.assignment(Scheme::Rendezvous));
    for (user, (before, after)) in before.iter().zip(&after).enumerate() {
        assert!(before == after || *after == heavier, "user{user} moved from {before} to {after}");
    }
    assert_ne!(before, after);
}

#[test]
fn weights_that_are_equal_change_nothing_whatever_they_are() {
    let of = |weight| Cluster::weighted(5, &[weight]).assignment(Scheme::Rendezvous);
    for weight in [1, 7, u32::MAX] {
        assert_eq!(of(100), of(weight), "{weight}");
    }
}

#[test]
fn the_largest_and_the_smallest_weight_give_scores_that_are_numbers() {
    let cluster = Cluster::named([("a", u32::MAX), ("b", 1), ("c", 1)]);
    for user in 0..1_000 {
        let answer = choose(Scheme::Rendezvous, &format!("user{user}"), &cluster.hashes, &cluster.weights);
        assert!(answer.scores.unwrap().iter().all(|score| score.is_finite() && *score > 0.0), "user{user}");
        assert_eq!(answer.order[0], 0, "user{user}: the others have a share of one in two thousand million");
    }
}

#[test]
fn among_ten_thousand_nodes_a_user_has_the_ones_that_score_highest() {
    let cluster = Cluster::equal(10_000);
    let answer = choose(Scheme::Rendezvous, "ada", &cluster.hashes, &cluster.weights);
    let scores = answer.scores.unwrap();
    let mut sorted: Vec<u32> = (0..10_000).collect();
    sorted.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
    assert_eq!(answer.order, sorted[..16]);

    let order = choose(Scheme::Modulo, "ada", &cluster.hashes, &[]).order;
    let mut by_hash: Vec<u32> = (0..10_000).collect();
    by_hash.sort_by_key(|&node| cluster.hashes[node as usize]);
    by_hash.rotate_left((city_hash(b"ada") % 10_000) as usize);
    assert_eq!(order, by_hash[..16]);
}
