//! `GET /api/v1/nodes`.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::NodeView;
use crate::{
    domain::NodeId,
    store::{Snapshot, Store},
    web::{Problem, api::Page, body::Paging, identity::SignedIn},
};

/// The nodes of the cluster, by id.
#[utoipa::path(
    get, path = "/api/v1/nodes", tag = "nodes",
    params(
        ("limit" = Option<u32>, Query, description = "At most this many, up to 1000; 100 where absent"),
        ("after" = Option<String>, Query, description = "The next of the page before"),
    ),
    responses((status = 200, body = Page<NodeView>), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn list_nodes(
    SignedIn(_by): SignedIn,
    State(store): State<Arc<dyn Store>>,
    paging: Paging,
) -> Result<Json<Page<NodeView>>, Problem> {
    let after: Option<NodeId> = paging.after()?;
    let limit = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    let Snapshot { mut nodes, live, .. } = store.snapshot().await?;
    nodes.retain(|node| after.is_none_or(|after| node.id > after));
    let has_more = nodes.len() > limit;
    nodes.truncate(limit);
    let next = nodes.last().filter(|_| has_more).map(|node| node.id.to_string());
    Ok(Json(Page { items: nodes.into_iter().map(|node| NodeView::new(node, &live)).collect(), next }))
}
