//! `GET /api/v1/events`: server-sent events.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::State as Piece,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::{
    nodes::NodeView,
    sessions::{NodeNames, SessionView},
};
use crate::{
    domain::State,
    store::{SessionFilter, Snapshot, Store},
    web::{EventSlots, Identity, Problem, SignIns, identity::SignedIn},
};

/// How long after a change at least the next one is looked for, so that a burst costs one look.
const PAUSE: Duration = Duration::from_millis(250);
/// How long at most without a look: loads change without anybody's doing.
const LONGEST: Duration = Duration::from_secs(10);
/// The most sessions that one stream follows, newest first.
const MOST_SESSIONS: u32 = 500;

/// Follow the asking user's sessions and the nodes. First everything as it is, then what changes: `session` and `node`
/// carry the same object as the lists; `session-gone` and `node-gone` carry the `id` of what is ended or deleted; `away`
/// says that the registry does not answer.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn stream_events(
    SignedIn(identity): SignedIn,
    Piece(store): Piece<Arc<dyn Store>>,
    Piece(sign_ins): Piece<Arc<SignIns>>,
    Piece(changes): Piece<watch::Receiver<u64>>,
    Piece(stopping): Piece<CancellationToken>,
    Piece(EventSlots(slots)): Piece<EventSlots>,
) -> Result<Response, Problem> {
    let slot = slots.try_acquire_owned().map_err(|_| Problem::busy("too many event streams are open"))?;
    let following = Following {
        identity,
        store,
        sign_ins,
        changes,
        stopping,
        told: Told::default(),
        waiting: VecDeque::new(),
        is_first: true,
        _slot: slot,
    };
    Ok(Sse::new(following.events()).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}

/// One open stream.
struct Following {
    identity: Identity,
    store: Arc<dyn Store>,
    sign_ins: Arc<SignIns>,
    changes: watch::Receiver<u64>,
    stopping: CancellationToken,
    told: Told,
    waiting: VecDeque<Event>,
    is_first: bool,
    _slot: OwnedSemaphorePermit,
}

impl Following {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut following| {
            let event = following.next().await?;
            Some((Ok(event), following))
        })
    }

    /// The next event; `None` ends the stream: the daemon stops, or the sign-in is over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let stopping = self.stopping.clone();
            stopping.run_until_cancelled(self.wait()).await?;
            if !self.sign_ins.holds(&self.identity) {
                return None;
            }
            let now = stopping.run_until_cancelled(self.look()).await?;
            self.waiting = self.told.tell(now).into();
        }
    }

    async fn wait(&mut self) {
        if std::mem::take(&mut self.is_first) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
        // A mirror that has stopped changes nothing any more: the time-out still looks.
        let changed = async {
            if self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(LONGEST, changed).await;
    }

    /// Everything as it is now; `None` where the store does not say.
    async fn look(&mut self) -> Option<Objects> {
        self.changes.borrow_and_update();
        let filter = SessionFilter {
            user: Some(self.identity.user.clone()),
            states: State::ALL.into_iter().filter(|state| *state != State::Ended).collect(),
            limit: Some(MOST_SESSIONS),
            ..SessionFilter::default()
        };
        let Snapshot { nodes, live, .. } = self.store.snapshot().await.ok()?;
        let sessions = self.store.sessions(&filter).await.ok()?;
        let names = NodeNames::of(&nodes);
        let mut objects = Objects::new();
        for node in nodes.into_iter().map(|node| NodeView::new(node, &live)) {
            // The heartbeat itself is no news.
            let mut value = serde_json::to_value(&node).ok()?;
            if let Some(object) = value.as_object_mut() {
                object.remove("last_seen");
                object.remove("clock_ahead_ms");
            }
            objects.insert(("node", node.id.to_string()), value);
        }
        for session in sessions {
            let view = SessionView::new(session, &names);
            let mut value = serde_json::to_value(&view).ok()?;
            // That somebody uses it is no news either.
            if let Some(object) = value.as_object_mut() {
                object.remove("last_activity");
            }
            objects.insert(("session", view.id), value);
        }
        Some(objects)
    }
}

type Objects = BTreeMap<(&'static str, String), Value>;

/// What a stream's listener knows.
#[derive(Default)]
struct Told {
    objects: Objects,
    is_away: bool,
}

impl Told {
    /// The events that bring the listener up to date.
    fn tell(&mut self, now: Option<Objects>) -> Vec<Event> {
        self.news(now).into_iter().map(|(name, value)| Event::default().event(name).data(value.to_string())).collect()
    }

    fn news(&mut self, now: Option<Objects>) -> Vec<(String, Value)> {
        let Some(now) = now else {
            let was_away = std::mem::replace(&mut self.is_away, true);
            return if was_away { Vec::new() } else { vec![("away".to_owned(), json!({}))] };
        };
        self.is_away = false;
        let changed = now.iter().filter(|(key, value)| self.objects.get(*key) != Some(*value));
        let mut news: Vec<_> = changed.map(|((what, _), value)| ((*what).to_owned(), value.clone())).collect();
        let gone = self.objects.iter().filter(|(key, _)| !now.contains_key(*key));
        news.extend(gone.map(|((what, _), value)| (format!("{what}-gone"), json!({"id": value["id"]}))));
        self.objects = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(list: &[(&'static str, &str, u64)]) -> Option<Objects> {
        Some(list.iter().map(|(what, id, load)| ((*what, (*id).to_owned()), json!({"id": id, "load": load}))).collect())
    }

    #[test]
    fn a_listener_hears_everything_once_and_then_what_changes() {
        let mut told = Told::default();
        let first = told.news(objects(&[("node", "1", 0), ("session", "a", 0)]));
        assert_eq!(first.len(), 2);
        assert_eq!(told.news(objects(&[("node", "1", 0), ("session", "a", 0)])), []);
        let changed = told.news(objects(&[("node", "1", 3)]));
        assert_eq!(
            changed,
            [("node".to_owned(), json!({"id": "1", "load": 3})), ("session-gone".to_owned(), json!({"id": "a"}))]
        );
    }

    #[test]
    fn an_outage_is_told_once_and_loses_nothing() {
        let mut told = Told::default();
        told.news(objects(&[("node", "1", 0)]));
        assert_eq!(told.news(None), [("away".to_owned(), json!({}))]);
        assert_eq!(told.news(None), []);
        assert_eq!(told.news(objects(&[("node", "1", 0)])), []);
    }
}
