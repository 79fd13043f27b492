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
    domain::{Clock, Node, NodeId, NodeStatus, State, Wanted, disagreement},
    store::{SessionFilter, Store, StoreError},
    web::{
        Balancers, Problem, RETRY_AFTER, ThisNode,
        api::sessions::{NodeNames, SessionView},
        identity::Viewer,
        status::two_digits,
    },
};

/// The most sessions on the page, newest first.
const MOST_SESSIONS: u32 = 200;

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
    kinds: Vec<KindChoice>,
    rows: Vec<NodeRow>,
    /// What is wrong with how sessions are placed.
    troubles: Vec<String>,
}

/// A kind that can be chosen.
struct KindChoice {
    name: String,
    title: String,
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
    pub(super) node: String,
    pub(super) url: String,
    pub(super) created: String,
    pub(super) age: String,
    pub(super) failure: Option<String>,
    pub(super) note: Option<String>,
    /// When it was last used, for people.
    pub(super) used: Option<String>,
    pub(super) can_open: bool,
    pub(super) can_wait: bool,
    pub(super) can_suspend: bool,
    pub(super) can_resume: bool,
    pub(super) can_end: bool,
}

impl Card {
    pub(super) fn new(view: SessionView, titles: &BTreeMap<String, String>, now: Timestamp) -> Self {
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
            kind: titles.get(&view.kind).cloned().unwrap_or(view.kind),
            state: view.state.as_str(),
            condition,
            node: view.node.name.unwrap_or_else(|| format!("node {} (deleted)", view.node.id)),
            created: view.created.to_string(),
            age: age(view.created, now),
            failure: view.failure,
            note: view.note,
            used: view.last_activity.filter(|_| view.state == State::Active).map(|last| age(last, now)),
            can_open: view.state == State::Active && !is_asked,
            can_wait: view.state == State::Starting && !is_asked,
            can_suspend: view.state == State::Active && !is_asked,
            can_resume: matches!(view.state, State::Suspended | State::Lost),
            can_end: view.state != State::Ended && view.wanted != Some(Wanted::Ended),
            id: view.id,
            name: view.name,
            url: view.url,
        }
    }
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
        let (state, condition) = match (node.status, node.cordoned) {
            (NodeStatus::Offline, _) => ("lost", "Offline"),
            (NodeStatus::Online, true) => ("suspended", "Cordoned"),
            (NodeStatus::Online, false) => ("active", "Online"),
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
        rows: Vec::new(),
        troubles: troubles(&balancers.reports()),
    };
    match read(&*store, &identity.user).await {
        Ok(found) => {
            let names = NodeNames::of(&found.nodes);
            let now = clock.now();
            let card = |session| Card::new(SessionView::new(session, &names), &this.kind_titles, now);
            page.troubles.extend(disagreement(found.nodes.iter().filter_map(Node::vote)));
            page.kinds = kinds(&found.nodes, &this.kind_titles);
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
    Ok(Found { sessions: store.sessions(&filter).await?, nodes: snapshot.nodes, live })
}

/// The kinds that a node which takes sessions offers.
fn kinds(nodes: &[Node], titles: &BTreeMap<String, String>) -> Vec<KindChoice> {
    let takes_sessions = |node: &&Node| node.status == NodeStatus::Online && !node.cordoned;
    let names: BTreeSet<_> = nodes.iter().filter(takes_sessions).flat_map(|node| &node.kinds).collect();
    let title = |name: &String| titles.get(name).unwrap_or(name).clone();
    names.into_iter().map(|name| KindChoice { name: name.clone(), title: title(name) }).collect()
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
