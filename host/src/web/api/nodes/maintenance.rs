//! `POST /api/v1/nodes/{id}/offline` and `…/online`: maintenance, as administrators of Workbench know it.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{Desk, NodeDetails};
use crate::{
    domain::DrainOrder,
    web::{Problem, identity::Administrator},
};

/// Put a node into maintenance: it takes no new sessions, and those that keep their work are suspended now. All others go on.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/offline", tag = "nodes",
    params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = NodeDetails), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn offline_node(
    Administrator(_by): Administrator,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<NodeDetails>, Problem> {
    desk.drain(&id, &DrainOrder::MAINTENANCE).await
}

/// End a node's maintenance, its drain and its cordon: it takes new sessions. What was suspended is for its users to resume.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/online", tag = "nodes",
    params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = NodeDetails), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn online_node(
    Administrator(_by): Administrator,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<NodeDetails>, Problem> {
    desk.set_cordoned(&id, false).await
}
