//! `GET /api/v1/nodes/{id}`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{Desk, NodeDetails};
use crate::web::{Problem, identity::Administrator};

/// A node with the sessions that occupy it.
#[utoipa::path(
    get, path = "/api/v1/nodes/{id}", tag = "nodes",
    params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = NodeDetails), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_node(
    Administrator(_by): Administrator,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<NodeDetails>, Problem> {
    let node = desk.find(&id).await?;
    desk.details(node.id).await
}
