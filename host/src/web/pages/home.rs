//! `GET /`: the sessions, the New Session form, the nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use askama::Template;
use axum::{
    extract::State as Piece,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;

use super::{Frame, Overseer, Refusal, balancers::troubles, render};
use crate::{
    domain::{Allowance, Clock, Node, NodeId, NodeStatus, State, Wanted, disagreement, limit::Quantity},
    store::{SessionFilter, Store, StoreError},
    web::{
        Balancers, Problem, RETRY_AFTER, SessionControl, ThisNode,
        api::sessions::{NodeNames, SessionView, Turns},
        identity::Viewer,
        status::two_digits,
    },
};

/// The most sessions on the page, newest first.
const MOST_SESSIONS: u32 = 200;

/// Jobs that have ended well are shown too, the newest: their logs are kept for a while.
const MOST_ENDED_JOBS: u32 = 5;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    this: String,
    /// Whether there is a page of everybody's sessions for them.
    sees_all: bool,
    /// Why nothing but the bare page can be shown.
    away: Option<String>,
    cards: Vec<Card>,
    can_suspend_any: bool,
    kinds: Vec<Choice>,
    /// What of a session's resources can be chosen.
    resources: Vec<ResourceField>,
    profiles: Vec<Choice>,
    rows: Vec<NodeRow>,
    /// What is wrong with how sessions are placed.
    troubles: Vec<String>,
}

/// A kind or a resource profile that can be chosen.
struct Choice {
    name: String,
    title: String,
}

/// How much of something a session is promised.
struct ResourceField {
    name: &'static str,
    label: &'static str,
    /// The steps that it has.
    step: &'static str,
    /// What it is where nothing is entered.
    usual: String,
    /// The most that it may be; empty where there is no limit.
    most: String,
}

impl ResourceField {
    /// What the administrator has said something about.
    fn all(allowance: &Allowance) -> Vec<Self> {
        let mebibytes = |bytes: u64| (bytes >> 20).to_string();
        let [cpus, memory] = [Quantity::Cpus, Quantity::Memory].map(|quantity| allowance.most(quantity));
        let usual_cpus = allowance.default_cpus;
        let mut fields = Vec::new();
        if allowance.only_resources {
            return fields;
        }
        if usual_cpus > 0.0 || cpus.is_some() {
            let most = cpus.map(|most| format!("{}.{:03}", most / 1000, most % 1000)).unwrap_or_default();
            let most = most.trim_end_matches('0').trim_end_matches('.').to_owned();
            let (name, label, step) = ("cpus", "CPUs", "any");
            fields.push(Self { name, label, step, usual: usual_cpus.to_string(), most });
        }
        if allowance.default_memory > 0 || memory.is_some() {
            let (name, label, step) = ("memory", "Memory (MB)", "1");
            let (usual, most) = (mebibytes(allowance.default_memory), memory.map(mebibytes).unwrap_or_default());
            fields.push(Self { name, label, step, usual, most });
        }
        fields
    }
}

/// A session as it is shown.
pub(super) struct Card {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// For the style.
    pub(super) state: &'static str,
    /// For people.
    pub(super) condition: &'static str,
    /// Which of the starts that wait for their turn.
    pub(super) turn: Option<u32>,
    pub(super) node: String,
    pub(super) url: String,
    pub(super) created: String,
    pub(super) age: String,
    pub(super) failure: Option<String>,
    pub(super) exit_status: Option<u8>,
    pub(super) note: Option<String>,
    /// When it was last used, for people.
    pub(super) used: Option<String>,
    /// What becomes of it where its node is being emptied.
    pub(super) outlook: Option<String>,
    pub(super) can_open: bool,
    pub(super) can_wait: bool,
    pub(super) can_suspend: bool,
    pub(super) can_resume: bool,
    pub(super) can_end: bool,
}

impl Card {
    pub(super) fn new(view: SessionView, this: &ThisNode, now: Timestamp) -> Self {
        let is_asked = view.wanted.is_some();
        let condition = match (view.state, view.wanted) {
            (State::Starting | State::Active, Some(Wanted::Suspended)) => "Suspending",
            (State::Starting | State::Active, Some(Wanted::Ended)) => "Ending",
            (State::Starting, None) => "Starting",
            (State::Active, None) => "Active",
            (State::Suspended, _) => "Suspended",
            (State::Ended, _) => "Ended",
            (State::Failed, _) => "Failed",
            (State::Lost, _) => "Lost",
        };
        Self {
            kind: this.title(&view.kind),
            state: view.state.as_str(),
            condition,
            turn: view.turn,
            node: view.node.name.unwrap_or_else(|| format!("node {} (deleted)", view.node.id)),
            created: view.created.to_string(),
            age: age(view.created, now),
            failure: view.failure,
            note: view.note,
            used: view.last_activity.filter(|_| view.state == State::Active).map(|last| age(last, now)),
            exit_status: view.exit_status,
            outlook: None,
            can_open: view.state == State::Active && !is_asked && !view.is_job,
            can_wait: view.state == State::Starting && !is_asked && !view.is_job,
            can_suspend: view.state == State::Active && !is_asked && !view.is_job,
            can_resume: matches!(view.state, State::Suspended | State::Lost) && !view.is_job,
            can_end: view.state != State::Ended && view.wanted != Some(Wanted::Ended),
            id: view.id,
            name: view.name,
            url: view.url,
        }
    }
}

/// What becomes of a live session where its node is being emptied.
fn outlook(view: &SessionView, nodes: &[Node], this: &ThisNode) -> Option<String> {
    let node = nodes.iter().find(|node| node.id == view.node.id)?;
    let keeps = this.kinds.load().get(&view.kind).is_some_and(|kind| kind.keeps);
    let drain = node.drain.as_ref().filter(|_| view.state.is_live() && view.wanted.is_none())?;
    Some(drain.outlook(keeps, view.is_job))
}

/// A node as it is shown.
struct NodeRow {
    name: String,
    address: String,
    /// For the style.
    state: &'static str,
    /// For people.
    condition: &'static str,
    load: String,
    cores: u32,
    sessions: usize,
}

impl NodeRow {
    fn new(node: &Node, sessions: usize) -> Self {
        let (state, condition) = match (node.status, &node.drain, node.cordoned) {
            (NodeStatus::Online, Some(drain), _) if drain.maintenance => ("suspended", "Maintenance"),
            (NodeStatus::Online, Some(_), _) => ("suspended", "Draining"),
            (NodeStatus::Online, None, true) => ("suspended", "Cordoned"),
            (NodeStatus::Online, None, false) => ("active", "Online"),
            (other, ..) => ("lost", other.title()),
        };
        let load = node.reading.load.map(two_digits).join(", ");
        Self {
            name: node.name.clone(),
            address: node.address.clone(),
            state,
            condition,
            load,
            cores: node.cores,
            sessions,
        }
    }
}

pub(super) async fn show(
    Overseer(Viewer { identity, sees_all }): Overseer,
    Piece(store): Piece<Arc<dyn Store>>,
    Piece(this): Piece<Arc<ThisNode>>,
    Piece(clock): Piece<Arc<dyn Clock>>,
    Piece(balancers): Piece<Arc<dyn Balancers>>,
    Piece(sessions): Piece<Arc<dyn SessionControl>>,
) -> Result<Response, Refusal> {
    let frame = Frame { refresh: Some(15), ..Frame::new(Some(&identity)) };
    let mut page = HomePage {
        frame,
        this: this.name.clone(),
        sees_all,
        away: None,
        cards: Vec::new(),
        can_suspend_any: false,
        kinds: Vec::new(),
        resources: Vec::new(),
        profiles: Vec::new(),
        rows: Vec::new(),
        troubles: troubles(&balancers.reports()),
    };
    match read(&*store, &identity.user).await {
        Ok(found) => {
            let names = NodeNames::of(&found.nodes);
            let now = clock.now();
            let card = |session| {
                let view = found.turns.view(session, &names);
                let outlook = outlook(&view, &found.nodes, &this);
                Card { outlook, ..Card::new(view, &this, now) }
            };
            page.troubles.extend(disagreement(found.nodes.iter().filter_map(Node::vote)));
            page.troubles.extend(found.nodes.iter().filter_map(Node::clock_trouble));
            page.kinds = kinds(&found.nodes, &this);
            let allowance = sessions.allowance(&identity.user).await;
            page.resources = ResourceField::all(&allowance);
            page.profiles =
                allowance.resources.into_iter().map(|one| Choice { name: one.name, title: one.title }).collect();
            page.rows = found.nodes.iter().map(|node| NodeRow::new(node, found.count(node.id))).collect();
            page.cards = found.sessions.into_iter().map(card).collect();
            page.can_suspend_any = page.cards.iter().any(|card| card.can_suspend);
            Ok(render(&page))
        }
        Err(error) => {
            let problem = Problem::from(error);
            page.away = Some(problem.detail().to_owned());
            let mut response = (StatusCode::SERVICE_UNAVAILABLE, render(&page)).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
            Ok(response)
        }
    }
}

struct Found {
    nodes: Vec<Node>,
    sessions: Vec<crate::domain::Session>,
    turns: Turns,
    live: BTreeMap<NodeId, usize>,
}

impl Found {
    fn count(&self, node: NodeId) -> usize {
        self.live.get(&node).copied().unwrap_or_default()
    }
}

async fn read(store: &dyn Store, user: &str) -> Result<Found, StoreError> {
    let filter = SessionFilter {
        user: Some(user.to_owned()),
        states: State::ALL.into_iter().filter(|state| *state != State::Ended).collect(),
        limit: Some(MOST_SESSIONS),
        ..SessionFilter::default()
    };
    // The counts are everybody's; of others' sessions nothing else is shown.
    let snapshot = store.snapshot().await?;
    let mut live = BTreeMap::new();
    for session in &snapshot.live {
        *live.entry(session.node).or_default() += 1;
    }
    let over = SessionFilter { states: vec![State::Ended], jobs: true, limit: Some(MOST_ENDED_JOBS), ..filter.clone() };
    let mut sessions = store.sessions(&filter).await?;
    sessions.extend(store.sessions(&over).await?);
    Ok(Found { turns: Turns::read(store, &sessions).await?, sessions, nodes: snapshot.nodes, live })
}

/// The kinds that a node which takes sessions offers, but for jobs.
fn kinds(nodes: &[Node], this: &ThisNode) -> Vec<Choice> {
    let takes_sessions = |node: &&Node| node.status == NodeStatus::Online && !node.cordoned;
    let names: BTreeSet<_> = nodes.iter().filter(takes_sessions).flat_map(|node| &node.kinds).collect();
    let title = |name: &String| {
        let takes = nodes.iter().filter(takes_sessions);
        let versions: BTreeSet<_> = takes.filter_map(|node| node.kind_versions.get(name)).collect();
        let note = if this.kinds.load().get(name).is_some_and(|kind| kind.untested) { " (untested)" } else { "" };
        let title = this.title(name);
        match versions.into_iter().collect::<Vec<_>>()[..] {
            [version] => format!("{title} {}{note}", number(version)),
            _ => format!("{title}{note}"),
        }
    };
    // What a job runs does not fit into a form.
    let is_job = |name: &String| this.kinds.load().get(name).is_some_and(|kind| kind.is_job);
    names
        .into_iter()
        .filter(|name| !is_job(name))
        .map(|name| Choice { name: name.clone(), title: title(name) })
        .collect()
}

/// Of what a program says its version is, the first word with a digit.
fn number(version: &str) -> &str {
    version.split_whitespace().find(|word| word.chars().any(|char| char.is_ascii_digit())).unwrap_or(version)
}

/// How long ago, roughly.
fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - then.as_second()).max(0);
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_roughly() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, text) in
            [(-5, "just now"), (59, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (200_000, "2 days ago")]
        {
            assert_eq!(age(at(1_000_000), at(1_000_000 + seconds)), text);
        }
    }
}
