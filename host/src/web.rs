//! Pages, REST, status, sign-in, peer calls: what a node answers on its one port, except for the traffic of sessions.
//!
//! [`server`] accepts connections and hands `/s/…` to the proxy and everything else to [`router()`]. One endpoint a file;
//! handlers ask for the pieces of [`App`] that they use.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{Router, extract::FromRef};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::{Accounts, Admission},
    domain::Clock,
    proxy::throttle::Throttle,
    store::Store,
    wire::peer::PeerVerifier,
};

pub mod api;
pub mod identity;
pub mod server;

mod assets;
mod body;
mod health;
mod pages;
mod peer;
mod problem;
mod protect;
mod rooms;
mod router;
mod standing;
mod status;

#[cfg(test)]
mod fixture;

pub use identity::{Guests, Identity, Oversight, PasswordParts, Passwords, SignInParts, SignIns};
pub use problem::Problem;
pub use rooms::{Balancers, SessionControl, SessionTraffic};
pub use router::router;
pub use server::Tls;

/// Everything that requests are answered with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// The sessions of the cluster: an `Arc<Sessions>`.
    pub sessions: Arc<dyn SessionControl>,
    /// What passes `/s/…` on: an `Arc<Proxy>`.
    pub proxy: Arc<dyn SessionTraffic>,
    /// The balancers of this daemon: those that decide and those that are compared.
    pub balancers: Arc<dyn Balancers>,
    /// The registry, for nodes, placements and the status page.
    pub store: Arc<dyn Store>,
    /// What proves the callers of `/peer/…`.
    pub peers: Arc<PeerVerifier>,
    /// Who is signed in, and the one-time links.
    pub sign_ins: Arc<SignIns>,
    /// The accounts of this machine.
    pub accounts: Arc<dyn Accounts>,
    /// Who may have sessions here.
    pub admission: Admission,
    /// The door for those who have a password.
    pub passwords: Arc<Passwords>,
    /// Who may see everybody's sessions.
    pub oversight: Arc<Oversight>,
    /// Changes when a session or a node has changed: the mirror's subscription.
    pub changes: watch::Receiver<u64>,
    /// The node itself.
    pub this: Arc<ThisNode>,
    /// The TLS of the port; none where it takes none.
    pub tls: Option<Tls>,
    /// Why the cluster does not take this node; none while it is a member.
    pub standing: watch::Receiver<Option<String>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the daemon stops: event streams end, connections drain.
    pub stopping: CancellationToken,
    /// How often the log hears of calls that are no peer's.
    pub peers_refused: Arc<Throttle>,
    /// One permit for each open event stream: [`EventSlots::default`].
    pub event_slots: EventSlots,
}

/// What the node says of itself on its pages.
#[derive(Clone, Debug)]
pub struct ThisNode {
    /// Its name.
    pub name: String,
    /// How its user's browser reaches it, without a slash at the end: `http://127.0.0.1:8787`.
    pub base_url: BaseUrl,
    /// The kinds that are known here, by name; any other goes by its name.
    pub kinds: KindsKnown,
}

/// An address that can be replaced while the daemon runs.
pub type BaseUrl = Arc<ArcSwap<String>>;

/// What people are told of kinds, by name; it can be replaced while the daemon runs.
pub type KindsKnown = Arc<ArcSwap<BTreeMap<String, KindInfo>>>;

/// What people are told of a kind.
#[derive(Clone, Debug)]
pub struct KindInfo {
    /// Its name for people.
    pub title: String,
    /// Whether its sessions are jobs.
    pub is_job: bool,
    /// Whether a session keeps its work where it is suspended.
    pub keeps: bool,
    /// Whether nobody has tried it with the program itself.
    pub untested: bool,
}

impl ThisNode {
    /// A kind's name for people.
    fn title(&self, kind: &str) -> String {
        self.kinds.load().get(kind).map_or(kind, |kind| &kind.title).to_owned()
    }
}

/// Bounds the number of open event streams.
#[derive(Clone, Debug)]
pub struct EventSlots(Arc<Semaphore>);

impl EventSlots {
    /// At most this many at once.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit)))
    }
}

impl Default for EventSlots {
    fn default() -> Self {
        Self::new(256)
    }
}

/// How long a client should wait before it asks again for what the store is needed for.
const RETRY_AFTER: Duration = Duration::from_secs(5);

macro_rules! pieces {
    ($($field:ident: $piece:ty),* $(,)?) => {$(
        impl FromRef<App> for $piece {
            fn from_ref(app: &App) -> Self {
                app.$field.clone()
            }
        }
    )*};
}
pieces! {
    sessions: Arc<dyn SessionControl>,
    balancers: Arc<dyn Balancers>,
    store: Arc<dyn Store>,
    peers: Arc<PeerVerifier>,
    sign_ins: Arc<SignIns>,
    accounts: Arc<dyn Accounts>,
    admission: Admission,
    changes: watch::Receiver<u64>,
    this: Arc<ThisNode>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
    event_slots: EventSlots,
}

/// The address that a connection came from, as the server put it into the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(pub std::net::SocketAddr);

type AppRouter = Router<App>;
