//! `GET /api/v1/nodes/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};

use super::{NodeDetails, details, find};
use crate::{
    store::Store,
    web::{Problem, ThisNode, identity::Administrator},
};

/// A node with the sessions that occupy it.
#[utoipa::path(
    get, path = "/api/v1/nodes/{id}", tag = "nodes",
    params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = NodeDetails), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_node(
    Administrator(_by): Administrator,
    State(store): State<Arc<dyn Store>>,
    State(this): State<Arc<ThisNode>>,
    Path(id): Path<String>,
) -> Result<Json<NodeDetails>, Problem> {
    let node = find(&*store, &id).await?;
    details(&*store, &this, node.id).await.map(Json)
}
