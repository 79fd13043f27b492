//! The balancer `gpu-label`: nodes with GPUs are for the groups that may use them.
//!
//! A node's GPU is a label, such as `gpu=a100` (`node-label-gpu=a100` in its `rserver.conf`). An administrator writes
//! down who may use which:
//!
//! ```ini
//! balancer = gpu-label
//!
//! [balancer gpu-label]
//! rules = ml=h100+a100, vision=t4
//! spill = no
//! ```
//!
//! - A member of `ml` goes to a node with an H100, where none is free to one with an A100, then to nodes without a GPU.
//! - Everybody else goes to nodes without a GPU. Where none is free, `spill = yes` takes a GPU's node all the same, and
//!   `spill = no` declines.
//! - A request that asks for a GPU by its label is declined where no group of the user may use it, and is told who may.
//!
//! Where the host does not know a user's groups, the user is in none.
//!
//! Among nodes that are as good, the one with the most free GPUs comes first, where the nodes publish that number
//! (`gpus_free 3` in a file of their `metrics.d`); then the one with the fewest sessions per weight, and equal ones take
//! turns.

use evenkeel_sdk::{Answer, Balancer, Node, Refusal, Request, Setting, Settings, best_in_turn, by_count};

mod rules;

use rules::Rules;

/// The policy with its settings.
#[derive(Debug)]
pub struct GpuLabel {
    label: String,
    free: String,
    rules: Rules,
    spill: bool,
}

impl Balancer for GpuLabel {
    const SETTINGS: &'static [Setting] = &[
        Setting { key: "label", default: Some("gpu"), help: "The label that nodes with a GPU have: its key." },
        Setting {
            key: "free",
            default: Some("gpus_free"),
            help: "The number of free GPUs that nodes publish: its key.",
        },
        Setting {
            key: "rules",
            default: Some(""),
            help: "Which groups may use which values of the label, best first: `GROUP=VALUE+VALUE, GROUP=VALUE`.",
        },
        Setting {
            key: "spill",
            default: Some("yes"),
            help: "Whether sessions of others may go to nodes with a GPU where no other node is free: `yes` or `no`.",
        },
    ];

    fn new(settings: &Settings) -> Result<Self, String> {
        let text = |key| settings.get(key).unwrap_or_default().trim().to_owned();
        let label = text("label");
        if label.is_empty() {
            return Err(settings.refusal("label", "the key of a label"));
        }
        let free = text("free");
        let rules = Rules::read(&text("rules"))
            .ok_or_else(|| settings.refusal("rules", "`GROUP=VALUE+VALUE, GROUP=VALUE`, each group once"))?;
        let spill = match text("spill").as_str() {
            "yes" => true,
            "no" => false,
            _ => return Err(settings.refusal("spill", "`yes` or `no`")),
        };
        Ok(Self { label, free, rules, spill })
    }

    fn rank(&self, nodes: &[Node], request: &Request) -> Result<Answer, Refusal> {
        let allowed = self.rules.allowed(&request.groups);
        if let Some(asked) = request.label(&self.label)
            && !allowed.contains(&asked.as_str())
        {
            return Err(Refusal::Declined(self.not_allowed(&asked, request)));
        }
        // Places in a user's preference: the GPUs allowed, then no GPU, then the GPUs of others.
        let (plain, foreign) = (allowed.len(), allowed.len() + 1);
        let place = |node: &Node| match node.label(&self.label) {
            None => plain,
            Some(gpu) => allowed.iter().position(|&allowed| allowed == gpu).unwrap_or(foreign),
        };
        let places: Vec<usize> = nodes.iter().map(place).collect();
        // Who publishes no number has none that is known to be free.
        let free: Vec<f64> = nodes.iter().map(|node| node.metric(&self.free).unwrap_or(0.0)).collect();
        let count = |node: &Node| (node.sessions, node.weight);
        let mut order = best_in_turn(nodes.len(), request.sequence, |a, b| {
            let by_place = places[a].cmp(&places[b]).then_with(|| free[b].total_cmp(&free[a]));
            by_place.then_with(|| by_count(count(&nodes[a]), count(&nodes[b])))
        });
        if !self.spill {
            order.retain(|&node| places[node as usize] != foreign);
        }
        let Some(&best) = order.first() else {
            let why = format!("Only nodes with a GPU are free, and no group of {} may use theirs.", request.username);
            return Err(Refusal::Declined(why));
        };
        let best = best as usize;
        let reason = match nodes[best].label(&self.label) {
            None if allowed.is_empty() => "has no GPU, and the user's groups use none".to_owned(),
            None => "has no GPU; none that the user's groups may use is free".to_owned(),
            Some(gpu) if places[best] == foreign => format!("has {}={gpu}; no node without a GPU is free", self.label),
            Some(gpu) => format!("has {}={gpu}, which the user's groups may use", self.label),
        };
        let scores = places.iter().map(|&place| 0.0 - place as f64).collect();
        Ok(Answer::order(order).scored(scores).because(reason))
    }
}

impl GpuLabel {
    fn not_allowed(&self, asked: &str, request: &Request) -> String {
        let who = match self.rules.groups(asked).as_slice() {
            [] => "no group".to_owned(),
            [group] => format!("the group {group}"),
            groups => format!("the groups {}", groups.join(", ")),
        };
        format!("Nodes with {}={asked} are for {who}; {} is in none that may use them.", self.label, request.username)
    }
}

evenkeel_sdk::balancer!(GpuLabel);

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &str, spill: &str) -> GpuLabel {
        let settings = Settings::defaults(GpuLabel::SETTINGS).with("rules", rules).with("spill", spill);
        GpuLabel::new(&settings).unwrap()
    }

    fn nodes() -> [Node; 4] {
        let of = |name: &str, sessions| Node::named(name).with(|node| node.sessions = sessions);
        let [plain, busy] = [of("plain", 1), of("busy", 9)];
        [of("h", 5).labelled("gpu", "h100"), of("a", 0).labelled("gpu", "a100"), plain, busy]
    }

    fn member(group: &str) -> Request {
        Request::of("ada").with(|request| request.groups = vec![group.to_owned()])
    }

    #[test]
    fn a_group_gets_its_gpus_best_first_then_nodes_without_then_the_gpus_of_others() {
        let policy = policy("ml=h100+a100, vision=a100", "yes");
        assert_eq!(policy.rank(&nodes(), &member("ml")).unwrap().order, [0, 1, 2, 3]);
        assert_eq!(policy.rank(&nodes(), &member("vision")).unwrap().order, [1, 2, 3, 0]);
        assert_eq!(policy.rank(&nodes(), &member("staff")).unwrap().order, [2, 3, 1, 0]);
    }

    #[test]
    fn among_nodes_that_are_as_good_the_one_with_the_most_free_gpus_comes_first() {
        let policy = policy("ml=h100", "yes");
        let of = |name: &str, free: Option<f64>| {
            let mut node = Node::named(name).labelled("gpu", "h100");
            if let Some(free) = free {
                node = node.measured("gpus_free", free);
            }
            node
        };
        let nodes = [of("silent", None), of("one", Some(1.0)), of("four", Some(4.0)), of("none", Some(0.0))];
        let order = policy.rank(&nodes, &member("ml")).unwrap().order;
        assert_eq!(order[..2], [2, 1]);
    }

    #[test]
    fn without_spilling_others_are_declined_where_only_gpus_are_free() {
        let policy = policy("ml=a100", "no");
        assert_eq!(policy.rank(&nodes(), &member("staff")).unwrap().order, [2, 3]);
        let refused = policy.rank(&nodes()[..2], &member("staff"));
        let why = "Only nodes with a GPU are free, and no group of ada may use theirs.";
        assert_eq!(refused, Err(Refusal::Declined(why.to_owned())));
    }

    #[test]
    fn who_asks_for_a_gpu_of_others_is_told_whose_it_is() {
        let policy = policy("ml=a100, vision=a100", "yes");
        let Err(Refusal::Declined(why)) = policy.rank(&nodes()[1..2], &member("staff").asking("gpu", "a100")) else {
            panic!("it was not declined")
        };
        assert_eq!(why, "Nodes with gpu=a100 are for the groups ml, vision; ada is in none that may use them.");
        assert!(policy.rank(&nodes()[1..2], &member("ml").asking("gpu", "a100")).is_ok());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_by_name() {
        for (key, value) in [("rules", "ml"), ("spill", "maybe"), ("label", " ")] {
            let error = GpuLabel::new(&Settings::defaults(GpuLabel::SETTINGS).with(key, value)).unwrap_err();
            assert!(error.starts_with(&format!("`{key}` takes ")), "{error}");
        }
    }
}
