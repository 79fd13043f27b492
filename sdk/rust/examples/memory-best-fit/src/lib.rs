//! The balancer `memory-best-fit`: the node where the session's memory fits with the least left over, so that large
//! nodes stay free for large sessions.
//!
//! A node's room is what it has not promised to its sessions, or what it has available where that is less, without what
//! is reserved for the system. Sessions that ask for no memory count as `session-mb`.
//!
//! ```ini
//! balancer = memory-best-fit
//!
//! [balancer memory-best-fit]
//! session-mb = 4096
//! reserve-mb = 1024
//! ```
//!
//! - Nodes where the session fits come first, the one with the least left over before the others. Nodes that do not tell
//!   their memory follow: it may fit there.
//! - Where it fits nowhere, a session that asked for its memory is declined: it would starve itself and others. One that
//!   asked for none goes to the node with the most room.
//! - Where no node tells its memory, this policy has nothing to say: it fails, and the host asks another.
//!
//! Of equal nodes the one with the fewest sessions per weight comes first, then the one first by name.

use std::cmp::{Ordering, Reverse};

use evenkeel_sdk::{Answer, Balancer, Node, Refusal, Request, Setting, Settings, best, by_count};

const MIB: u64 = 1 << 20;

/// The policy with its settings.
#[derive(Debug)]
pub struct MemoryBestFit {
    /// What a session counts for that asks for no memory, bytes.
    session: u64,
    /// What is kept for the system on each node, bytes.
    reserve: u64,
}

impl Balancer for MemoryBestFit {
    const SETTINGS: &'static [Setting] = &[
        Setting {
            key: "session-mb",
            default: Some("2048"),
            help: "The memory of a session that asks for none, in MiB: a whole number of at least 1.",
        },
        Setting {
            key: "reserve-mb",
            default: Some("512"),
            help: "The memory of each node that is kept for the system, in MiB: a whole number.",
        },
    ];

    fn new(settings: &Settings) -> Result<Self, String> {
        let megabytes = |key, least: u32, takes: &str| {
            let value: Option<u32> = settings.parse(key, takes)?;
            match value.filter(|&value| value >= least) {
                Some(value) => Ok(u64::from(value) * MIB),
                None => Err(settings.refusal(key, takes)),
            }
        };
        let session = megabytes("session-mb", 1, "a whole number of MiB, at least 1")?;
        let reserve = megabytes("reserve-mb", 0, "a whole number of MiB")?;
        Ok(Self { session, reserve })
    }

    fn rank(&self, nodes: &[Node], request: &Request) -> Result<Answer, Refusal> {
        let asked = request.memory > 0;
        let need = if asked { request.memory } else { self.session };
        let rooms: Vec<Option<u64>> = nodes.iter().map(|node| self.room(node)).collect();
        let Some(most) = rooms.iter().flatten().copied().max() else {
            return Err(Refusal::Failed("no node tells how much memory it has".to_owned()));
        };
        let fits: Vec<Fit> = rooms.iter().map(|&room| Fit::of(room, need)).collect();
        let count = |node: &Node| (node.sessions, node.weight);
        let mut order = best(nodes.len(), |a, b| {
            let equal =
                || by_count(count(&nodes[a]), count(&nodes[b])).then_with(|| nodes[a].name().cmp(nodes[b].name()));
            fits[a].cmp(&fits[b]).then_with(equal)
        });
        if asked {
            order.retain(|&node| fits[node as usize].is_possible());
        }
        let Some(&first) = order.first() else {
            let why = format!(
                "The session asks for {}, and no node has that much left: the most is {}.",
                amount(need),
                amount(most)
            );
            return Err(Refusal::Declined(why));
        };
        let reason = match fits[first as usize] {
            Fit::Leaves(over) => format!("has room for {} with {} left over, the least", amount(need), amount(over)),
            Fit::Unknown => "does not tell its memory; on the others the session does not fit".to_owned(),
            Fit::Lacks(_) => {
                format!("has the most room, {}, though the session may need {}", amount(most), amount(need))
            }
        };
        Ok(Answer::order(order).because(reason))
    }
}

impl MemoryBestFit {
    /// How much memory a session could have on a node, bytes; none where the node does not tell.
    fn room(&self, node: &Node) -> Option<u64> {
        if node.memory_total == 0 {
            return None;
        }
        let unpromised = node.memory_total.saturating_sub(node.memory_promised);
        let available = if node.memory_available == 0 { unpromised } else { node.memory_available };
        Some(unpromised.min(available).saturating_sub(self.reserve))
    }
}

/// How a session fits on a node; the lesser is the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// It fits and leaves so many bytes.
    Leaves(u64),
    /// The node does not tell.
    Unknown,
    /// The node has so many bytes, which are too few.
    Lacks(u64),
}

impl Fit {
    fn of(room: Option<u64>, need: u64) -> Self {
        match room {
            None => Self::Unknown,
            Some(room) => room.checked_sub(need).map_or(Self::Lacks(room), Self::Leaves),
        }
    }

    fn is_possible(self) -> bool {
        !matches!(self, Self::Lacks(_))
    }

    fn key(self) -> (u8, u64, Reverse<u64>) {
        match self {
            Self::Leaves(over) => (0, over, Reverse(0)),
            Self::Unknown => (1, 0, Reverse(0)),
            Self::Lacks(room) => (2, 0, Reverse(room)),
        }
    }
}

impl Ord for Fit {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Fit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Bytes for people.
fn amount(bytes: u64) -> String {
    let mebibytes = bytes / MIB;
    if mebibytes < 1024 { format!("{mebibytes} MiB") } else { format!("{:.1} GiB", mebibytes as f64 / 1024.0) }
}

evenkeel_sdk::balancer!(MemoryBestFit);

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn policy() -> MemoryBestFit {
        MemoryBestFit::new(&Settings::defaults(MemoryBestFit::SETTINGS).with("reserve-mb", "0")).unwrap()
    }

    fn node(name: &str, total: u64, available: u64, promised: u64) -> Node {
        Node::named(name).with(|node| {
            (node.memory_total, node.memory_available) = (total * GIB, available * GIB);
            node.memory_promised = promised * GIB;
        })
    }

    fn asking(gibibytes: u64) -> Request {
        Request::of("ada").with(|request| request.memory = gibibytes * GIB)
    }

    #[test]
    fn the_node_with_the_least_left_over_comes_first_and_those_too_small_are_left_out() {
        let nodes =
            [node("large", 64, 60, 0), node("small", 8, 3, 0), node("fitting", 16, 6, 0), node("dark", 0, 0, 0)];
        assert_eq!(policy().rank(&nodes, &asking(4)).unwrap().order, [2, 0, 3]);
    }

    #[test]
    fn what_is_promised_counts_though_it_is_still_available() {
        let nodes = [node("promised", 16, 15, 14), node("free", 64, 60, 0)];
        assert_eq!(policy().rank(&nodes, &asking(4)).unwrap().order, [1]);
        let nodes = [node("overcommitted", 16, 15, 99), node("free", 64, 60, 0)];
        assert_eq!(policy().rank(&nodes, &asking(4)).unwrap().order, [1]);
    }

    #[test]
    fn who_asks_for_more_than_there_is_is_told_how_much_there_is() {
        let why = "The session asks for 32.0 GiB, and no node has that much left: the most is 6.0 GiB.";
        let refused = policy().rank(&[node("a", 16, 6, 0), node("b", 8, 4, 0)], &asking(32));
        assert_eq!(refused, Err(Refusal::Declined(why.to_owned())));
    }

    #[test]
    fn who_asks_for_nothing_is_never_declined() {
        let nodes = [node("full", 16, 1, 0), node("fuller", 16, 1, 16)];
        assert_eq!(policy().rank(&nodes, &Request::of("ada")).unwrap().order, [0, 1]);
    }

    #[test]
    fn where_no_node_tells_its_memory_another_balancer_is_asked() {
        let answer = policy().rank(&[node("dark", 0, 0, 0)], &asking(1));
        assert!(matches!(answer, Err(Refusal::Failed(_))), "{answer:?}");
    }

    #[test]
    fn ties_are_broken_by_sessions_and_then_by_name_whatever_the_order() {
        let busy = node("a", 16, 8, 0).with(|node| node.sessions = 2);
        let nodes = [busy, node("c", 16, 8, 0), node("b", 16, 8, 0)];
        assert_eq!(policy().rank(&nodes, &asking(1)).unwrap().order, [2, 1, 0]);
    }

    #[test]
    fn huge_numbers_overflow_nothing() {
        let vast = Node::named("vast").with(|node| (node.memory_total, node.memory_promised) = (u64::MAX, u64::MAX));
        assert!(policy().rank(&[vast], &asking(1)).is_err());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_by_name() {
        for (key, value) in [("session-mb", "0"), ("session-mb", "much"), ("reserve-mb", "-1")] {
            let settings = Settings::defaults(MemoryBestFit::SETTINGS).with(key, value);
            let error = MemoryBestFit::new(&settings).unwrap_err();
            assert!(error.starts_with(&format!("`{key}` takes ")), "{error}");
        }
    }
}
