//! A balancer for Evenkeel: sessions go to the node with the most free cores.

use evenkeel_sdk::{Answer, Balancer, Node, Refusal, Request, Setting, Settings, best_in_turn, log};

/// The policy, with its settings read.
#[derive(Debug)]
pub struct Policy {
    cores: f64,
    overbook: bool,
}

impl Balancer for Policy {
    const SETTINGS: &'static [Setting] = &[
        Setting { key: "cores", default: Some("1"), help: "How many cores each session takes: a number above 0." },
        Setting {
            key: "overbook",
            default: Some("yes"),
            help: "Whether sessions start where no node has so many cores free: `yes` or `no`.",
        },
    ];

    fn new(settings: &Settings) -> Result<Self, String> {
        let cores = settings.parse("cores", "a number above 0")?.unwrap_or(1.0);
        if !(f64::is_finite(cores) && cores > 0.0) {
            return Err(settings.refusal("cores", "a number above 0"));
        }
        let overbook = match settings.get("overbook").as_deref() {
            Some("yes") => true,
            Some("no") => false,
            _ => return Err(settings.refusal("overbook", "`yes` or `no`")),
        };
        Ok(Self { cores, overbook })
    }

    fn rank(&self, nodes: &[Node], request: &Request) -> Result<Answer, Refusal> {
        let free = |node: &Node| f64::from(node.cores) - self.cores * f64::from(node.sessions);
        let scores: Vec<f64> = nodes.iter().map(free).collect();
        // Equal nodes take turns, or the first in the list would get every tie.
        let order = best_in_turn(nodes.len(), request.sequence, |a, b| scores[b].total_cmp(&scores[a]));
        let best = order[0] as usize;
        if !self.overbook && scores[best] < self.cores {
            return Err(Refusal::Declined("No node has cores free. Please end a session, or try again later.".into()));
        }
        log::debug(&format!("{} has {} cores free", nodes[best].name(), scores[best]));
        Ok(Answer::order(order).scored(scores).because("has the most free cores"))
    }
}

evenkeel_sdk::balancer!(Policy);

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(settings: &[(&str, &str)]) -> Policy {
        let defaults = Settings::defaults(Policy::SETTINGS);
        let settings = settings.iter().fold(defaults, |settings, (key, value)| settings.with(key, value));
        Policy::new(&settings).unwrap()
    }

    fn node(name: &str, cores: u32, sessions: u32) -> Node {
        Node::named(name).with(|node| (node.cores, node.sessions) = (cores, sessions))
    }

    #[test]
    fn the_node_with_the_most_free_cores_comes_first() {
        let nodes = [node("small", 4, 0), node("busy", 16, 14), node("free", 8, 2)];
        assert_eq!(policy(&[]).rank(&nodes, &Request::of("ada")).unwrap().order, [2, 0, 1]);
        let halves = policy(&[("cores", "0.5")]).rank(&nodes, &Request::of("ada")).unwrap();
        assert_eq!((halves.order, halves.scores), (vec![1, 2, 0], Some(vec![4.0, 9.0, 7.0])));
    }

    #[test]
    fn equal_nodes_take_turns() {
        let nodes = [node("a", 4, 0), node("b", 4, 0)];
        let first = |sequence| {
            let request = Request::of("ada").with(|request| request.sequence = sequence);
            policy(&[]).rank(&nodes, &request).unwrap().order[0]
        };
        assert_eq!([first(1), first(2), first(3)], [1, 0, 1]);
    }

    #[test]
    fn without_overbooking_a_full_cluster_declines() {
        let nodes = [node("a", 2, 2), node("b", 2, 1)];
        let strict = policy(&[("overbook", "no")]);
        assert_eq!(strict.rank(&nodes, &Request::of("ada")).unwrap().order[0], 1);
        assert!(matches!(strict.rank(&nodes[..1], &Request::of("ada")), Err(Refusal::Declined(_))));
        assert!(policy(&[]).rank(&nodes[..1], &Request::of("ada")).is_ok());
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_refused_by_name() {
        for (key, value) in [("cores", "many"), ("cores", "0"), ("cores", "inf"), ("overbook", "maybe")] {
            let error = Policy::new(&Settings::defaults(Policy::SETTINGS).with(key, value)).unwrap_err();
            assert!(error.starts_with(&format!("`{key}` takes ")), "{error}");
        }
    }
}
