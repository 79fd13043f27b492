//! The assignment of users to nodes is a promise: neither `vectors.txt` nor the hash that it rests on may ever change.

use evenkeel_plugin_cases::sha256;
use evenkeel_plugin_user_hash::{Scheme, choose, city_hash};

const VECTORS: &str = include_str!("vectors.txt");
const CITY: &str = include_str!("city.txt");

#[test]
fn the_promised_files_are_the_ones_that_were_promised() {
    let promised = [
        ("vectors.txt", VECTORS, "571f76cd5bacb40f4aacbd144451b2336f5fa836633e2539a162c0303efa7991"),
        ("city.txt", CITY, "fc496540a0d2a2b2e1087bf92030f0b863f0da05a12a29889756a109db79b951"),
    ];
    for (name, text, digest) in promised {
        assert_eq!(sha256(text.as_bytes()), digest, "{name} has changed, and must not: users would be moved");
    }
}

#[test]
fn the_hash_is_what_the_reference_implementation_is_tested_for() {
    let data = reference_data();
    let mut held = 0;
    for line in CITY.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [offset, length, expected @ ..] = &fields[..] else { panic!("{line}") };
        let (offset, length): (usize, usize) = (offset.parse().unwrap(), length.parse().unwrap());
        let hash = city_hash(&data[offset..offset + length]);
        assert_eq!(words(hash), expected.join(" "), "{length} bytes at {offset}");
        held += 1;
    }
    assert_eq!(held, 300);
}

/// The bytes that the reference implementation's tests hash.
fn reference_data() -> Vec<u8> {
    const FACTOR: u64 = 0xc3a5_c85c_97cb_3127;
    let (mut a, mut b) = (9_u64, 777_u64);
    let next = |index: u64| {
        a = a.wrapping_add(b);
        b = b.wrapping_add(a);
        a = (a ^ (a >> 41)).wrapping_mul(FACTOR);
        b = (b ^ (b >> 41)).wrapping_mul(FACTOR).wrapping_add(index);
        (b >> 37) as u8
    };
    (0..1 << 20).map(next).collect()
}

#[test]
fn every_vector_holds() {
    let (mut names, mut weights) = (Vec::new(), Vec::new());
    let mut held = [0; 2];
    for line in VECTORS.lines() {
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
            assert_eq!(words(city_hash(text.as_bytes())), expected, "{line}");
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

/// The low and the high word, hexadecimal.
fn words(hash: u128) -> String {
    format!("{:016x} {:016x}", low(hash), low(hash >> 64))
}

fn low(hash: u128) -> u64 {
    hash as u64
}
