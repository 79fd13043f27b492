//! What a policy is shown of the cluster: a snapshot and the reservations made since, as columns.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    balancer::{Columns, columns::name_hash},
    domain::{Node, NodeId, Revision, Session, Usage},
    store::{LiveSession, Snapshot},
};

use super::{
    counted::Counted,
    eligible::{self, Needs, Selection, rule_against},
};

/// The seconds after which the 5-minute load average has absorbed all but 1/e of a session's load.
const ABSORPTION_SECONDS: f64 = 300.0;

/// The cluster as the next decision of a batch sees it.
///
/// The nodes that are eligible for one set of needs make a group. A group's columns are built once; a reservation
/// changes the few numbers that it touches, in place while no policy holds them.
#[derive(Debug)]
pub struct View {
    revision: Revision,
    now: Timestamp,
    nodes: Vec<Node>,
    indexes: HashMap<NodeId, usize>,
    /// Whether any node promises no more than it has.
    bounded: bool,
    tallies: Vec<Tally>,
    users: HashMap<String, HashMap<usize, u32>>,
    counted: Counted,
    groups: HashMap<GroupKey, Arc<Group>>,
}

/// What a node's live sessions add up to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    usage: Usage,
    unseen5: f64,
}

impl Tally {
    fn sessions(&self) -> u32 {
        u32::try_from(self.usage.sessions).unwrap_or(u32::MAX)
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum of a node's processors")]
    fn cpus(&self) -> f64 {
        self.usage.cpus as f64 / 1000.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    kind: String,
    labels: BTreeMap<String, String>,
    kind_labels: BTreeMap<String, String>,
    usage: Usage,
    avoid: Vec<NodeId>,
}

impl GroupKey {
    fn needs(&self) -> Needs<'_> {
        let Self { kind, labels, kind_labels, usage, avoid } = self;
        Needs { kind, labels, kind_labels, usage: *usage, avoid }
    }
}

/// Nodes that are eligible for the same needs.
#[derive(Clone, Debug)]
pub struct Group {
    /// Who is eligible and who is not.
    pub selection: Selection,
    /// The ids of those that are.
    pub ids: Arc<[NodeId]>,
    /// The columns of those that are.
    pub columns: Arc<Columns>,
}

impl View {
    /// A snapshot, with nothing reserved since.
    pub fn new(snapshot: Snapshot) -> Self {
        let indexes: HashMap<_, _> = snapshot.nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
        let bounded = |node: &Node| node.promise_cpus.is_some() || node.promise_memory.is_some();
        let mut view = Self {
            revision: snapshot.revision,
            now: snapshot.now,
            bounded: snapshot.nodes.iter().any(bounded),
            tallies: vec![Tally::default(); snapshot.nodes.len()],
            nodes: snapshot.nodes,
            indexes,
            users: HashMap::new(),
            counted: Counted::default(),
            groups: HashMap::new(),
        };
        for live in &snapshot.live {
            view.counted.add(&live.user, &live.groups, Usage::of(amount(live.cpus), live.memory));
            // A session of a node that has just been deleted is on none.
            if let Some(&index) = view.indexes.get(&live.node) {
                view.count(index, live);
            }
        }
        view
    }

    /// The revision that the snapshot holds at.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The snapshot's time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Every node.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(self.position(id)?)
    }

    /// Where that node is among [`nodes`](Self::nodes).
    pub fn position(&self, id: NodeId) -> Option<usize> {
        self.indexes.get(&id).copied()
    }

    /// What counts to limits.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// The nodes for these needs and their columns.
    pub fn group(&mut self, needs: &Needs<'_>) -> Arc<Group> {
        let key = GroupKey {
            kind: needs.kind.to_owned(),
            labels: needs.labels.clone(),
            kind_labels: needs.kind_labels.clone(),
            // Where that makes no difference, sessions of any size have one group.
            usage: if self.bounded { needs.usage } else { Usage::of(0.0, 0) },
            avoid: needs.avoid.to_vec(),
        };
        if let Some(group) = self.groups.get(&key) {
            return Arc::clone(group);
        }
        let group = Arc::new(self.build(needs));
        self.groups.insert(key, Arc::clone(&group));
        group
    }

    /// How many sessions of `user` each node of a group has.
    pub fn user_sessions(&self, user: &str, group: &Group) -> Arc<[u32]> {
        let mut counts = vec![0; group.selection.eligible.len()];
        for (index, count) in self.users.get(user).into_iter().flatten() {
            if let Ok(position) = group.selection.eligible.binary_search(index) {
                counts[position] = *count;
            }
        }
        counts.into()
    }

    /// Counts a reservation, so that the next decision sees it; to the limits, where the session was not live before.
    pub fn reserve(&mut self, session: &Session, was_live: bool) {
        if !was_live {
            self.counted.add(&session.user, &session.groups, Usage::of(amount(session.cpus), session.memory));
        }
        let Some(&index) = self.indexes.get(&session.node) else { return };
        let live = LiveSession {
            node: session.node,
            user: session.user.clone(),
            groups: Vec::new(),
            placed: self.now,
            cpus: session.cpus,
            memory: session.memory,
        };
        self.count(index, &live);
        let (node, tally) = (&self.nodes[index], self.tallies[index]);
        // What the node cannot take any more is to be decided without it.
        self.groups.retain(|key, group| !group.has(index) || rule_against(node, tally.usage, &key.needs()).is_none());
        for group in self.groups.values_mut() {
            Arc::make_mut(group).set(index, tally);
        }
    }

    fn count(&mut self, index: usize, live: &LiveSession) {
        let tally = &mut self.tallies[index];
        tally.usage = tally.usage.and(Usage::of(amount(live.cpus), live.memory));
        let age = self.now.duration_since(live.placed).as_secs_f64().max(0.0);
        tally.unseen5 += (-age / ABSORPTION_SECONDS).exp();
        match self.users.get_mut(&live.user) {
            Some(counts) => *counts.entry(index).or_default() += 1,
            None => {
                self.users.insert(live.user.clone(), HashMap::from([(index, 1)]));
            }
        }
    }

    fn build(&self, needs: &Needs<'_>) -> Group {
        let present = self.tallies.iter().map(|tally| tally.usage);
        let selection = eligible::select(self.nodes.iter().zip(present), needs);
        let ids = selection.eligible.iter().map(|&index| self.nodes[index].id).collect();
        let columns = Arc::new(self.columns(&selection.eligible));
        Group { selection, ids, columns }
    }

    fn columns(&self, eligible: &[usize]) -> Columns {
        let nodes = || eligible.iter().map(|&index| &self.nodes[index]);
        let tallies = || eligible.iter().map(|&index| &self.tallies[index]);
        let names: Arc<[String]> = nodes().map(|node| node.name.clone()).collect();
        Columns {
            addresses: nodes().map(|node| node.address.clone()).collect(),
            ips: nodes().map(|node| node.ip).collect(),
            name_hashes: names.iter().map(|name| name_hash(name)).collect(),
            names,
            cores: nodes().map(|node| node.cores.max(1)).collect(),
            weights: nodes().map(|node| node.weight.max(1)).collect(),
            capacities: nodes().map(|node| node.capacity.unwrap_or(u32::MAX)).collect(),
            sessions: tallies().map(Tally::sessions).collect(),
            load1: nodes().map(|node| amount(node.reading.load[0])).collect(),
            load5: nodes().map(|node| amount(node.reading.load[1])).collect(),
            load15: nodes().map(|node| amount(node.reading.load[2])).collect(),
            unseen5: tallies().map(|tally| tally.unseen5).collect(),
            memory_total: nodes().map(|node| node.memory_total).collect(),
            memory_available: nodes().map(|node| node.reading.memory_available).collect(),
            cpus_promised: tallies().map(Tally::cpus).collect(),
            memory_promised: tallies().map(|tally| tally.usage.memory).collect(),
            labels: nodes().map(|node| node.labels.clone()).collect(),
            metrics: nodes().map(|node| node.metrics.clone()).collect(),
        }
    }
}

impl Group {
    fn has(&self, index: usize) -> bool {
        self.selection.eligible.binary_search(&index).is_ok()
    }

    fn set(&mut self, index: usize, tally: Tally) {
        let Ok(position) = self.selection.eligible.binary_search(&index) else { return };
        let columns = Arc::make_mut(&mut self.columns);
        Arc::make_mut(&mut columns.sessions)[position] = tally.sessions();
        Arc::make_mut(&mut columns.unseen5)[position] = tally.unseen5;
        Arc::make_mut(&mut columns.cpus_promised)[position] = tally.cpus();
        Arc::make_mut(&mut columns.memory_promised)[position] = tally.usage.memory;
    }
}

/// A quantity as the contract promises it: finite and not negative.
pub fn amount(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Reading, fakes::Numbers},
        sessions::{
            fixtures::{KIND, new_session, node},
            placement::batch::Wish,
        },
    };

    fn live(node: i64, user: &str, age: i64) -> LiveSession {
        let placed = now() - jiff::SignedDuration::from_secs(age);
        let groups = vec!["staff".to_owned()];
        LiveSession { node: NodeId(node), user: user.to_owned(), groups, placed, cpus: 1.5, memory: 100 }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).expect("a time")
    }

    fn view(nodes: Vec<Node>, live: Vec<LiveSession>) -> View {
        View::new(Snapshot { revision: Revision(7), now: now(), nodes, live })
    }

    fn reserve(view: &mut View, node: i64) {
        let wish = Wish::new(&new_session("ada"), view, &Numbers::default());
        view.reserve(&Session { node: NodeId(node), ..wish.session }, false);
    }

    fn group(view: &mut View, avoid: &[NodeId]) -> Arc<Group> {
        sized(view, avoid, Usage::of(0.0, 0))
    }

    fn sized(view: &mut View, avoid: &[NodeId], usage: Usage) -> Arc<Group> {
        let none = BTreeMap::new();
        view.group(&Needs { kind: KIND, labels: &none, kind_labels: &none, usage, avoid })
    }

    #[test]
    fn live_sessions_count_and_fade_from_the_unseen_load() {
        let gone = live(9, "ada", 0);
        let mut view = view(vec![node(1), node(2)], vec![live(2, "ada", 0), live(2, "bob", 300), gone]);
        let group = group(&mut view, &[]);
        assert_eq!(*group.columns.sessions, [0, 2]);
        assert_eq!(group.columns.unseen5[0], 0.0);
        assert!((group.columns.unseen5[1] - (1.0 + (-1.0_f64).exp())).abs() < 1e-12);
        assert_eq!((*group.columns.cpus_promised).to_vec(), [0.0, 3.0]);
        assert_eq!(*group.columns.memory_promised, [0, 200]);
        assert_eq!(*view.user_sessions("bob", &group), [0, 1]);
        assert_eq!(*view.user_sessions("eve", &group), [0, 0]);
    }

    #[test]
    fn a_session_of_the_future_and_odd_readings_do_no_harm() {
        let reading = Reading { load: [f64::NAN, -1.0, f64::INFINITY], ..Reading::default() };
        let odd = Node { reading, cores: 0, ..node(1) };
        let mut view = view(vec![odd], vec![live(1, "ada", -50)]);
        let columns = group(&mut view, &[]).columns.clone();
        assert_eq!((columns.load1[0], columns.load5[0], columns.load15[0]), (0.0, 0.0, 0.0));
        assert_eq!((columns.unseen5[0], columns.cores[0]), (1.0, 1));
    }

    #[test]
    fn a_reservation_changes_every_group_that_has_its_node_and_copies_nothing() {
        let mut view = view(vec![node(1), node(2), node(3)], Vec::new());
        let avoiding = group(&mut view, &[NodeId(1)]);
        assert_eq!(avoiding.selection.eligible, [1, 2]);
        let names = avoiding.columns.names.clone();
        let sessions = avoiding.columns.sessions.as_ptr();
        drop(avoiding);
        group(&mut view, &[]);
        reserve(&mut view, 3);
        let avoiding = group(&mut view, &[NodeId(1)]);
        assert_eq!(*avoiding.columns.sessions, [0, 1]);
        assert!(Arc::ptr_eq(&avoiding.columns.names, &names) && sessions == avoiding.columns.sessions.as_ptr());
        let all = group(&mut view, &[]);
        assert_eq!(*all.columns.sessions, [0, 0, 1]);
        assert_eq!(*view.user_sessions("ada", &all), [0, 0, 1]);
    }

    #[test]
    fn a_node_that_a_reservation_fills_is_eligible_no_longer() {
        let mut view = view(vec![Node { capacity: Some(1), ..node(1) }, node(2)], Vec::new());
        assert_eq!(group(&mut view, &[]).selection.eligible, [0, 1]);
        reserve(&mut view, 1);
        assert_eq!(group(&mut view, &[]).selection.eligible, [1]);
    }

    #[test]
    fn a_node_that_has_promised_what_it_may_is_eligible_for_what_asks_for_less() {
        let mut view = view(vec![Node { promise_cpus: Some(3.0), ..node(1) }, node(2)], vec![live(1, "ada", 0)]);
        let [small, large] = [1.0, 1.5].map(|cpus| Usage::of(cpus, 0));
        assert_eq!(sized(&mut view, &[], small).selection.eligible, [0, 1]);
        assert_eq!(sized(&mut view, &[], large).selection.eligible, [0, 1]);
        let wish = Wish::new(&new_session("ada"), &view, &Numbers::default());
        view.reserve(&Session { node: NodeId(1), cpus: 0.5, ..wish.session }, false);
        assert_eq!(sized(&mut view, &[], small).selection.eligible, [0, 1]);
        assert_eq!(sized(&mut view, &[], large).selection.eligible, [1]);
    }

    #[test]
    fn sessions_of_any_size_have_one_group_where_no_node_is_bounded() {
        let mut view = view(vec![node(1)], Vec::new());
        sized(&mut view, &[], Usage::of(1.0, 2));
        sized(&mut view, &[], Usage::of(3.0, 4));
        assert_eq!(view.groups.len(), 1);
    }
}
