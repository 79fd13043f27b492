//! What administrators are told of the balancer `user-hash`.

use evenkeel_plugin_user_hash::{Scheme, choose, city_hash};

const USERS: usize = 4000;

/// The node of each of many users.
fn assignment<'a>(scheme: Scheme, nodes: &[(&'a str, u32)]) -> Vec<&'a str> {
    let hashes: Vec<u64> = nodes.iter().map(|(name, _)| city_hash(name.as_bytes()) as u64).collect();
    let weights: Vec<u32> = nodes.iter().map(|&(_, weight)| weight).collect();
    let node = |user: usize| nodes[choose(scheme, &format!("user{user}"), &hashes, &weights).order[0] as usize].0;
    (0..USERS).map(node).collect()
}

fn share(assignment: &[&str], name: &str) -> f64 {
    assignment.iter().filter(|&&node| node == name).count() as f64 / USERS as f64
}

#[test]
fn a_node_that_leaves_moves_exactly_its_own_users() {
    let nodes = [("a", 100), ("b", 100), ("c", 100), ("d", 100)];
    let (before, after) = (assignment(Scheme::Rendezvous, &nodes), assignment(Scheme::Rendezvous, &nodes[..3]));
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before == "d", "a user moved from {before} to {after}");
    }
}

#[test]
fn equal_nodes_take_equal_shares() {
    let nodes = [("a", 100), ("b", 100), ("c", 100), ("d", 100)];
    let assignment = assignment(Scheme::Rendezvous, &nodes);
    for (name, _) in nodes {
        let share = share(&assignment, name);
        assert!((share - 0.25).abs() < 0.03, "{name} has {share}");
    }
}

#[test]
fn weighted_nodes_take_shares_in_proportion() {
    let nodes = [("a", 100), ("b", 200), ("c", 100), ("d", 400)];
    let assignment = assignment(Scheme::Rendezvous, &nodes);
    for (name, weight) in nodes {
        let (share, expected) = (share(&assignment, name), f64::from(weight) / 800.0);
        assert!((share - expected).abs() < 0.03, "{name} has {share}, not {expected}");
    }
}

#[test]
fn a_heavier_node_only_takes_users_and_the_others_exchange_none() {
    let before = assignment(Scheme::Rendezvous, &[("a", 100), ("b", 100), ("c", 150)]);
    let after = assignment(Scheme::Rendezvous, &[("a", 100), ("b", 300), ("c", 150)]);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *after == "b", "a user moved from {before} to {after}");
    }
}

#[test]
fn weights_that_are_equal_change_nothing_whatever_they_are() {
    let of = |weight| assignment(Scheme::Rendezvous, &[("a", weight), ("b", weight), ("c", weight)]);
    assert_eq!(of(100), of(7));
}

#[test]
fn modulo_shares_evenly_and_heeds_no_weight() {
    let equal = assignment(Scheme::Modulo, &[("a", 100), ("b", 100), ("c", 100)]);
    assert_eq!(equal, assignment(Scheme::Modulo, &[("a", 1), ("b", 900), ("c", 100)]));
    for name in ["a", "b", "c"] {
        assert!((share(&equal, name) - 1.0 / 3.0).abs() < 0.03);
    }
}
