//! `DELETE /api/v1/nodes/{id}`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, missing};
use crate::{
    store::NodeDeletion,
    web::{Problem, identity::Administrator},
};

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedNode {
    /// The ids of the sessions that were on it and are `lost` now.
    lost: Vec<String>,
}

/// Remove a node that is offline and will not return.
#[utoipa::path(
    delete, path = "/api/v1/nodes/{id}", tag = "nodes", params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = DeletedNode), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn delete_node(
    Administrator(_by): Administrator,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<DeletedNode>, Problem> {
    let node = desk.find(&id).await?;
    match desk.store.delete_node(node.id).await? {
        NodeDeletion::Deleted(lost) => Ok(Json(DeletedNode { lost: lost.iter().map(ToString::to_string).collect() })),
        NodeDeletion::Online => Err(Problem::conflict(format!("node {} is online: stop its daemon first", node.name))),
        NodeDeletion::Missing => Err(missing(&id)),
    }
}
