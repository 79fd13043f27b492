//! `POST /api/v1/nodes/{id}/cordon`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{Desk, NodeView};
use crate::web::{Problem, identity::Administrator};

/// Take no new sessions on a node; those that run go on.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/cordon", tag = "nodes", params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = NodeView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn cordon_node(
    Administrator(_by): Administrator,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<NodeView>, Problem> {
    let Json(details) = desk.set_cordoned(&id, true).await?;
    Ok(Json(details.node))
}
