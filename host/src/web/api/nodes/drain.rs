//! `POST /api/v1/nodes/{id}/drain`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State as Piece},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{NodeView, set_cordoned};
use crate::{
    domain::{Session, State},
    store::{SessionFilter, Store},
    web::{Problem, identity::Administrator},
};

/// A node that takes no new sessions, and those it still has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Drain {
    node: NodeView,
    /// The sessions that still occupy it; it is drained when there are none.
    sessions: Vec<RemainingSession>,
}

/// A session as an administrator sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RemainingSession {
    id: String,
    user: String,
    kind: String,
    #[schema(value_type = String)]
    state: State,
}

impl From<Session> for RemainingSession {
    fn from(session: Session) -> Self {
        Self { id: session.id.to_string(), user: session.user, kind: session.kind, state: session.state }
    }
}

/// Cordon a node and see which sessions it still has. They go on; ask again to see how many are left.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/drain", tag = "nodes", params(("id" = i64, Path, description = "The node's id")),
    responses((status = 200, body = Drain), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn drain_node(
    Administrator(_by): Administrator,
    Piece(store): Piece<Arc<dyn Store>>,
    Path(id): Path<String>,
) -> Result<Json<Drain>, Problem> {
    let node = set_cordoned(&*store, &id, true).await?;
    let states = vec![State::Starting, State::Active];
    let filter = SessionFilter { node: Some(node.id), states, ..SessionFilter::default() };
    let sessions = store.sessions(&filter).await?.into_iter().map(RemainingSession::from).collect();
    Ok(Json(Drain { node, sessions }))
}
