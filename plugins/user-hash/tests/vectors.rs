//! The assignment of users to nodes is a promise: `vectors.txt` must never change.

use evenkeel_plugin_user_hash::{Scheme, choose, city_hash};

#[test]
fn every_vector_holds() {
    let (mut names, mut weights) = (Vec::new(), Vec::new());
    let mut held = [0; 2];
    for line in include_str!("vectors.txt").lines() {
        if let Some(nodes) = line.strip_prefix("# nodes ") {
            for (name, weight) in nodes.split(' ').filter_map(|node| node.split_once('=')) {
                names.push(name);
                weights.push(weight.parse::<u32>().unwrap());
            }
        }
        if line.starts_with('#') {
            continue;
        }
        let (kind, rest) = line.split_once(" \"").unwrap();
        let (text, expected) = rest.split_once("\" ").unwrap();
        if kind == "city" {
            let hash = city_hash(text.as_bytes());
            assert_eq!(format!("{:016x} {:016x}", low(hash), low(hash >> 64)), expected, "{line}");
            held[0] += 1;
            continue;
        }
        let (scheme, weights) = match kind {
            "rendezvous" => (Scheme::Rendezvous, vec![100; names.len()]),
            "weighted" => (Scheme::Rendezvous, weights.clone()),
            "modulo" => (Scheme::Modulo, Vec::new()),
            other => panic!("unknown kind {other}"),
        };
        let hashes: Vec<u64> = names.iter().map(|name| low(city_hash(name.as_bytes()))).collect();
        let order = choose(scheme, text, &hashes, &weights).order;
        let named: Vec<&str> = order.iter().map(|&node| names[node as usize]).collect();
        assert_eq!(named.join(" "), expected, "{line}");
        held[1] += 1;
    }
    assert_eq!(held, [58, 153]);
}

fn low(hash: u128) -> u64 {
    hash as u64
}
