//! The builtin balancer `user-hash`: a user always gets the same node, and every daemon names the same one.
//!
//! Nothing counts but the user's name, the names of the nodes and, where they differ, their weights: not the order of
//! the nodes, not their addresses, not their load. Two schemes:
//!
//! **rendezvous** (the default): each node scores CityHash128(U ‖ N), where U is CityHash128 of the user's name (16 bytes,
//! little-endian) and N the low 64 bits of CityHash128 of the node's name (8 bytes, little-endian); names in UTF-8. The
//! highest score wins. A node that leaves moves exactly its own users, and one that joins takes only what it wins.
//! Where weights differ, the score is -w / ln(u), u being the hash read as a fraction of 2^128: a node then wins
//! users in proportion to its weight, and changing one weight moves users only from or to that node.
//!
//! **modulo**: the nodes are put in ascending order of N; the user's node is the one at place CityHash128(user) mod the
//! number of nodes, and the next candidates are those that follow it, round the end. Weights do not count. A node that
//! leaves moves nearly everybody: it is here for sites whose other tools work that way.
//!
//! CityHash128 is version 1.1.0 of Google's reference implementation; its first (low) word is the low half of the
//! 128-bit number. The assignment is a promise: `tests/vectors.txt` must never change.

use evenkeel_sdk::{Answer, CANDIDATES, Columnar, Refusal, Setting, Settings, best, nodes, request};

mod logarithm;

/// How a user's node is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// The node with the highest score.
    Rendezvous,
    /// The node at the place of the user's hash modulo the number of nodes.
    Modulo,
}

/// The user's nodes, at most [`CANDIDATES`], best first, under a scheme.
pub fn choose(scheme: Scheme, username: &str, name_hashes: &[u64], weights: &[u32]) -> Answer {
    let user = city_hash(username.as_bytes());
    match scheme {
        Scheme::Modulo => modulo(user, name_hashes),
        Scheme::Rendezvous if weights.windows(2).all(|pair| pair[0] == pair[1]) => rendezvous(user, name_hashes),
        Scheme::Rendezvous => weighted(user, name_hashes, weights),
    }
}

/// CityHash128 of the reference implementation as a number. The crate has its first word in the upper half.
pub fn city_hash(bytes: &[u8]) -> u128 {
    cityhash_rs::cityhash_110_128(bytes).rotate_left(64)
}

fn pair_hashes(user: u128, name_hashes: &[u64]) -> Vec<u128> {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&user.to_le_bytes());
    let hash = |name: &u64| {
        bytes[16..].copy_from_slice(&name.to_le_bytes());
        city_hash(&bytes)
    };
    name_hashes.iter().map(hash).collect()
}

fn rendezvous(user: u128, name_hashes: &[u64]) -> Answer {
    let hashes = pair_hashes(user, name_hashes);
    let order = best(hashes.len(), |a, b| (hashes[b], name_hashes[b]).cmp(&(hashes[a], name_hashes[a])));
    let scores = hashes.iter().map(|&hash| logarithm::fraction(hash)).collect();
    Answer::order(order)
        .scored(scores)
        .because(reason("has the highest hash with the user's name of ", name_hashes.len()))
}

fn weighted(user: u128, name_hashes: &[u64], weights: &[u32]) -> Answer {
    let hashes = pair_hashes(user, name_hashes);
    let score = |(&hash, &weight)| f64::from(weight) / -logarithm::ln(logarithm::fraction(hash));
    let scores: Vec<f64> = hashes.iter().zip(weights).map(score).collect();
    let order = best(hashes.len(), |a, b| {
        let exact = || (hashes[b], name_hashes[b]).cmp(&(hashes[a], name_hashes[a]));
        scores[b].total_cmp(&scores[a]).then_with(exact)
    });
    Answer::order(order)
        .scored(scores)
        .because(reason("has the highest weighted hash with the user's name of ", name_hashes.len()))
}

#[expect(clippy::cast_possible_truncation, reason = "the contract counts nodes in 32 bits, and a remainder is smaller")]
fn modulo(user: u128, name_hashes: &[u64]) -> Answer {
    let count = name_hashes.len();
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.sort_unstable_by_key(|&node| name_hashes[node as usize]);
    if count > 0 {
        order.rotate_left((user % count as u128) as usize);
    }
    order.truncate(CANDIDATES);
    Answer::order(order).because(reason("is the node at the place of the user's hash modulo ", count))
}

fn reason(what: &str, count: usize) -> String {
    [what, &count.to_string(), if count == 1 { " node" } else { " nodes" }].concat()
}

/// The balancer as the host runs it.
#[derive(Debug)]
pub struct UserHash {
    scheme: Scheme,
}

impl Columnar for UserHash {
    const SETTINGS: &'static [Setting] = &[Setting {
        key: "scheme",
        default: Some("rendezvous"),
        help: "`rendezvous`: a node that leaves moves its own users only, and weights count. `modulo`: the user's hash \
               modulo the number of nodes; a node that leaves moves nearly everybody, and weights do not count.",
    }];

    fn new(settings: &Settings) -> Result<Self, String> {
        let scheme = match settings.get("scheme").as_deref().map(str::trim) {
            Some("rendezvous") => Scheme::Rendezvous,
            Some("modulo") => Scheme::Modulo,
            _ => return Err(settings.refusal("scheme", "`rendezvous` or `modulo`")),
        };
        Ok(Self { scheme })
    }

    fn rank(&self) -> Result<Answer, Refusal> {
        let weights = if self.scheme == Scheme::Rendezvous { nodes::weights() } else { Vec::new() };
        Ok(choose(self.scheme, &request::username(), &nodes::name_hashes(), &weights))
    }
}

impl UserHash {
    /// How it finds a user's node.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
}

evenkeel_sdk::balancer!(UserHash);
