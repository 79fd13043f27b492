//! Where every live session is, in memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Epoch, SessionId, State},
    store::{Route, Store, StoreError},
};

/// How often the routes are read.
const POLL: Duration = Duration::from_secs(1);

/// The shortest time between two reads, whoever asks for them.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a read may take: a request that waits for it must not wait for a database that hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// The routes of all live sessions, as of the last poll. Keeps answering while the store is away.
pub struct Mirror {
    store: Arc<dyn Store>,
    routes: ArcSwap<Routes>,
    /// What this node knows by itself and a read that began earlier does not; also serialises writing.
    notes: Mutex<HashMap<SessionId, Note>>,
    last: tokio::sync::Mutex<Option<Read>>,
    changes: watch::Sender<u64>,
}

/// Routes are shared from one version to the next, since every change makes a new map.
type Routes = HashMap<SessionId, Arc<Route>>;

/// Something that has happened to a session here.
struct Note {
    noted: Instant,
    id: SessionId,
    epoch: Epoch,
    /// Where it is; none where it is no longer live.
    route: Option<Arc<Route>>,
}

/// The last read of the store.
struct Read {
    began: Instant,
    error: Option<StoreError>,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("routes", &self.routes.load().len()).finish_non_exhaustive()
    }
}

impl Mirror {
    /// An empty mirror; `run` fills it.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            routes: ArcSwap::default(),
            notes: Mutex::default(),
            last: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// Where a session is, from memory.
    pub fn route(&self, id: SessionId) -> Option<Route> {
        self.routes.load().get(&id).map(|route| Route::clone(route))
    }

    /// Where a session is, from the store: for a session that memory does not have or that its node disowned. Reads that
    /// are asked for at once are one read, and at most some per second are made.
    pub async fn refresh(&self, id: SessionId) -> Result<Option<Route>, StoreError> {
        self.read(Instant::now()).await?;
        Ok(self.route(id))
    }

    /// A number that grows whenever a session has come, gone or changed its state or place: a live one anywhere, any other
    /// on this node.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes in at once what this node knows before the next read does.
    pub fn note(&self, route: Route) {
        let (id, epoch) = (route.id, route.epoch);
        self.take_in(Note { noted: Instant::now(), id, epoch, route: Some(Arc::new(route)) });
    }

    /// Takes in that a session is no longer live under `epoch`.
    pub fn remove(&self, id: SessionId, epoch: Epoch) {
        self.take_in(Note { noted: Instant::now(), id, epoch, route: None });
    }

    /// Says that something has changed which is not in the routes.
    pub(super) fn announce(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// Reads the routes each second, and earlier where the store tells of a change, until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut tick = time::interval(POLL);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut news = self.store.changes();
        let mut away = false;
        loop {
            let next = async {
                tokio::select! {
                    _ = tick.tick() => {}
                    () = told(&mut news) => tick.reset(),
                }
            };
            if stop.run_until_cancelled(next).await.is_none() {
                return;
            }
            let Some(result) = stop.run_until_cancelled(self.read(Instant::now())).await else { return };
            match &result {
                Ok(()) if away => tracing::info!("the store answers again; routes are up to date"),
                Err(error) if !away => tracing::warn!("routes stay as they were: {error}"),
                _ => {}
            }
            away = result.is_err();
        }
    }

    /// Makes sure that a read which began after `asked` has been taken in.
    async fn read(&self, asked: Instant) -> Result<(), StoreError> {
        let mut last = self.last.lock().await;
        if let Some(read) = last.as_ref() {
            if read.began >= asked {
                return read.error.as_ref().map_or(Ok(()), |error| Err(error.clone()));
            }
            time::sleep(PAUSE.saturating_sub(read.began.elapsed())).await;
        }
        let began = Instant::now();
        let result = time::timeout(PATIENCE, self.store.routes()).await.unwrap_or_else(|_| {
            let message = format!("no answer within {} s", PATIENCE.as_secs());
            Err(StoreError::Database { operation: "reading the routes", message })
        });
        let result = result.map(|routes| self.replace(routes, began));
        *last = Some(Read { began, error: result.as_ref().err().cloned() });
        result
    }

    fn replace(&self, routes: Vec<Route>, began: Instant) {
        let mut routes: Routes = routes.into_iter().map(|route| (route.id, Arc::new(route))).collect();
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.retain(|_, note| note.noted >= began);
        notes.values().for_each(|note| note.apply(&mut routes));
        self.swap(routes);
    }

    fn take_in(&self, note: Note) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes = Routes::clone(&self.routes.load());
        note.apply(&mut routes);
        notes.insert(note.id, note);
        self.swap(routes);
    }

    fn swap(&self, routes: Routes) {
        if **self.routes.load() != routes {
            self.routes.store(Arc::new(routes));
            self.announce();
        }
    }
}

/// Waits until the store tells of a change, if it ever does.
async fn told(news: &mut Option<watch::Receiver<u64>>) {
    let is_told = match news {
        Some(news) => news.changed().await.is_ok(),
        None => false,
    };
    if !is_told {
        std::future::pending::<()>().await;
    }
}

impl Note {
    /// What is known under a later epoch holds, and so does that the session has become active.
    fn apply(&self, routes: &mut Routes) {
        let is_later = |known: &Arc<Route>| {
            let steps_back = self.route.as_ref().is_some_and(|route| route.state == State::Starting);
            known.epoch > self.epoch || (known.epoch == self.epoch && known.state == State::Active && steps_back)
        };
        if routes.get(&self.id).is_some_and(is_later) {
            return;
        }
        match &self.route {
            Some(route) => routes.insert(self.id, Arc::clone(route)),
            None => routes.remove(&self.id),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{NodeId, Peer},
        sessions::fixtures::Cluster,
    };

    fn route(epoch: i64, state: State) -> Route {
        Route {
            id: "00000000".parse().expect("an id"),
            user: "ada".to_owned(),
            kind: "jupyterlab".to_owned(),
            state,
            epoch: Epoch(epoch),
            node: NodeId(1),
            peer: Peer { name: "node1".to_owned(), address: "node1:8787".to_owned(), certificate: None },
        }
    }

    #[tokio::test]
    async fn what_a_node_knows_outlives_a_read_that_began_earlier_and_no_other() {
        let mirror = Mirror::new(Cluster::start(0).await.store);
        let id = route(1, State::Starting).id;
        let earlier = Instant::now();
        mirror.note(route(2, State::Active));
        mirror.replace(vec![route(1, State::Active)], earlier);
        assert_eq!(mirror.route(id), Some(route(2, State::Active)));
        mirror.replace(Vec::new(), Instant::now());
        assert_eq!(mirror.route(id), None);

        mirror.replace(vec![route(3, State::Active)], Instant::now());
        let earlier = Instant::now();
        mirror.remove(id, Epoch(3));
        mirror.replace(vec![route(3, State::Active)], earlier);
        assert_eq!(mirror.route(id), None);
        mirror.replace(vec![route(4, State::Starting)], earlier);
        assert_eq!(mirror.route(id), Some(route(4, State::Starting)), "a later start is another matter");
    }

    #[tokio::test]
    async fn what_is_older_than_what_is_known_changes_nothing() {
        let mirror = Mirror::new(Cluster::start(0).await.store);
        let mut changes = mirror.subscribe();
        mirror.note(route(2, State::Active));
        assert!(changes.has_changed().expect("the mirror is there"));
        changes.mark_unchanged();
        mirror.note(route(1, State::Active));
        mirror.note(route(2, State::Starting));
        mirror.remove(route(1, State::Active).id, Epoch(1));
        mirror.note(route(2, State::Active));
        assert_eq!(mirror.route(route(2, State::Active).id), Some(route(2, State::Active)));
        assert!(!changes.has_changed().expect("the mirror is there"));
    }
}
