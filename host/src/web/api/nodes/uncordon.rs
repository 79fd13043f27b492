//! `POST /api/v1/nodes/{id}/uncordon`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{Desk, NodeView};
use crate::web::{Problem, identity::Administrator};

/// Take new sessions on a node again, also on one that is drained or in maintenance.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/uncordon", tag = "nodes", params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = NodeView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn uncordon_node(
    Administrator(_by): Administrator,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<NodeView>, Problem> {
    let Json(details) = desk.set_cordoned(&id, false).await?;
    Ok(Json(details.node))
}
