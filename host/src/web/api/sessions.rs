//! Sessions: every user's own.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{Clock, NodeId, Session, SessionId, State, Wanted},
    sessions::SessionError,
    store::{Store, StoreError},
    web::{Identity, Problem, SessionControl, ThisNode, identity::Viewer},
};

pub(in crate::web) mod create;
pub(in crate::web) mod end;
pub(in crate::web) mod end_all;
pub(in crate::web) mod get;
pub(in crate::web) mod list;
pub(in crate::web) mod log;
pub(in crate::web) mod rename;
pub(in crate::web) mod resume;
pub(in crate::web) mod suspend;
pub(in crate::web) mod suspend_all;

/// A session.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    /// 8 characters.
    #[schema(example = "7k3n9v2q")]
    pub id: String,
    /// The Unix user it belongs to.
    pub user: String,
    /// What it runs.
    #[schema(example = "jupyterlab")]
    pub kind: String,
    /// What its user calls it.
    pub name: String,
    /// `starting`, `active`, `suspended`, `ended`, `failed` or `lost`.
    #[schema(value_type = String, example = "active")]
    pub state: State,
    /// What it has been asked to become and is not yet: `suspended` or `ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub wanted: Option<Wanted>,
    /// The node it runs or last ran on.
    pub node: NodeRef,
    /// Which it is of the starts that its node has not begun yet, from 1; absent once it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<u32>,
    /// Processors promised to it; absent where none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Memory promised to it, bytes; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The path where the browser reaches it, on any node; of a job, the page of its log.
    #[schema(example = "/s/7k3n9v2q/")]
    pub url: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When its state last changed.
    #[schema(value_type = String, format = DateTime)]
    pub changed: Timestamp,
    /// When it was last used, or seen to do something by itself, up to half a minute ago; absent before it was active.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_activity: Option<Timestamp>,
    /// Why it was suspended or ended, where its user did not ask for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "suspended after 2 hours without use")]
    pub note: Option<String>,
    /// The program's own process id, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Why it failed or was lost, with the log's last lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How a job's program ended by itself, as a shell tells it: its status, or 128 and the number of the signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
    /// Whether it is a job.
    #[serde(skip)]
    pub is_job: bool,
}

/// A node, by its id and its name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct NodeRef {
    /// The store's number for it.
    #[schema(value_type = i64)]
    pub id: NodeId,
    /// Its name; null where it has been deleted.
    pub name: Option<String>,
}

/// The names of the nodes.
#[derive(Clone, Debug, Default)]
pub(in crate::web) struct NodeNames(BTreeMap<NodeId, String>);

impl NodeNames {
    pub(in crate::web) async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self::of(&store.nodes().await?))
    }

    pub(in crate::web) fn of(nodes: &[crate::domain::Node]) -> Self {
        Self(nodes.iter().map(|node| (node.id, node.name.clone())).collect())
    }

    pub(in crate::web) fn refer(&self, id: NodeId) -> NodeRef {
        NodeRef { id, name: self.0.get(&id).cloned() }
    }
}

/// A failure without the lines of the log that follow its sentence: these are for the session's owner alone.
pub(in crate::web) fn without_log(failure: &str) -> String {
    let sentence = failure.lines().next().unwrap_or_default();
    sentence.trim_end_matches("; the last lines of its log:").to_owned()
}

impl SessionView {
    /// As those see it who may see everybody's.
    pub(in crate::web) fn without_log(self) -> Self {
        Self { failure: self.failure.as_deref().map(without_log), ..self }
    }

    pub(in crate::web) fn new(session: Session, nodes: &NodeNames) -> Self {
        Self {
            id: session.id.to_string(),
            url: url(&session),
            user: session.user,
            kind: session.kind,
            name: session.name,
            state: session.state,
            wanted: session.wanted,
            node: nodes.refer(session.node),
            turn: None,
            cpus: Some(session.cpus).filter(|cpus| *cpus > 0.0),
            memory: Some(session.memory).filter(|memory| *memory > 0),
            created: session.created,
            changed: session.changed,
            pid: session.pid,
            failure: session.failure,
            exit_status: session.exit_status,
            is_job: session.is_job,
            note: session.note,
            last_activity: session.last_activity,
        }
    }
}

/// Where a person looks at a session.
pub(in crate::web) fn url(session: &Session) -> String {
    if session.is_job { format!("/sessions/{}/log", session.id) } else { session.id.base_path() }
}

/// Which starts have to wait for others.
#[derive(Debug, Default)]
pub(in crate::web) struct Turns(BTreeMap<SessionId, u32>);

impl Turns {
    /// Of these sessions; the store is asked where one of them waits.
    pub(in crate::web) async fn read(store: &dyn Store, sessions: &[Session]) -> Result<Self, StoreError> {
        let waits = |session: &Session| session.state == State::Starting && !session.claimed;
        if !sessions.iter().any(waits) {
            return Ok(Self::default());
        }
        let mut at: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut turn = |(node, id)| {
            let turn = at.entry(node).or_default();
            *turn += 1;
            (id, *turn)
        };
        Ok(Self(store.waiting().await?.into_iter().map(&mut turn).collect()))
    }

    /// A session as it is shown, with its turn.
    pub(in crate::web) fn view(&self, session: Session, nodes: &NodeNames) -> SessionView {
        let turn = self.0.get(&session.id).copied();
        SessionView { turn, ..SessionView::new(session, nodes) }
    }
}

/// The sessions that were asked, as they now are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Asked {
    /// Newest first; each is done by its own node, and `wanted` until then.
    pub items: Vec<SessionView>,
}

/// What endpoints about one session ask for.
#[derive(Clone, Debug)]
pub(in crate::web) struct Desk {
    pub(in crate::web) sessions: Arc<dyn SessionControl>,
    store: Arc<dyn Store>,
    pub(in crate::web) this: Arc<ThisNode>,
    pub(in crate::web) clock: Arc<dyn Clock>,
}

impl axum::extract::FromRef<crate::web::App> for Desk {
    fn from_ref(app: &crate::web::App) -> Self {
        Self {
            sessions: app.sessions.clone(),
            store: app.store.clone(),
            this: app.this.clone(),
            clock: app.clock.clone(),
        }
    }
}

impl Desk {
    /// The session of this id, if it belongs to who asks. What belongs to others is as absent as what is not there.
    pub(in crate::web) async fn own(&self, identity: &Identity, id: &str) -> Result<Session, Problem> {
        let id: SessionId = id.parse().map_err(|_| Problem::missing("there is no such session"))?;
        let session = self.sessions.get(id).await?;
        if session.user == identity.user { Ok(session) } else { Err(SessionError::Missing(id).into()) }
    }

    /// The session of this id, if whoever asks may see it.
    pub(in crate::web) async fn seen_by(&self, viewer: &Viewer, id: &str) -> Result<Session, Problem> {
        let id: SessionId = id.parse().map_err(|_| Problem::missing("there is no such session"))?;
        let session = self.sessions.get(id).await?;
        if viewer.sees(&session.user) { Ok(session) } else { Err(SessionError::Missing(id).into()) }
    }

    /// Has a session suspended or ended: by its owner, or by an administrator, who may also end all that a node has.
    pub(in crate::web) async fn want(
        &self,
        identity: &Identity,
        id: &str,
        wanted: Wanted,
    ) -> Result<SessionView, Problem> {
        let session = match self.own(identity, id).await {
            Err(_) if identity.is_administrator() => {
                let id: SessionId = id.parse().map_err(|_| Problem::missing("there is no such session"))?;
                // Who acts on what is another's is on record.
                tracing::info!(session = %id, by = identity.user, "to be {} by an administrator", wanted.as_str());
                self.sessions.order(id, wanted).await?
            }
            own => match wanted {
                Wanted::Suspended => self.sessions.suspend(own?.id).await?,
                Wanted::Ended => self.sessions.end(own?.id).await?,
            },
        };
        self.view(session).await
    }

    /// Has all of somebody's sessions suspended or ended.
    pub(in crate::web) async fn want_all(&self, identity: &Identity, wanted: Wanted) -> Result<Asked, Problem> {
        let asked = self.sessions.want_all(&identity.user, wanted).await?;
        let names = NodeNames::read(&*self.store).await?;
        Ok(Asked { items: asked.into_iter().map(|session| SessionView::new(session, &names)).collect() })
    }

    /// How a session is shown.
    pub(in crate::web) async fn view(&self, session: Session) -> Result<SessionView, Problem> {
        let turns = Turns::read(&*self.store, std::slice::from_ref(&session)).await?;
        Ok(turns.view(session, &NodeNames::read(&*self.store).await?))
    }
}
