//! `GET /api/v1/placements/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ExcludedNode, PlacementView, kept};
use crate::{
    sessions::placement::shown::Shown,
    store::Store,
    web::{
        Problem,
        api::sessions::{NodeNames, NodeRef},
        identity::Viewer,
    },
};

/// How a session came to its node, with every node that was looked at.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlacementDetail {
    #[serde(flatten)]
    placement: PlacementView,
    /// The nodes that it could choose from and those that it could not, under the names that they had then; null where
    /// that is not kept.
    pub nodes: Option<ConsideredNodes>,
    /// Why `nodes` is null.
    pub nodes_unknown: Option<String>,
}

/// The nodes of the cluster when a session was placed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsideredNodes {
    /// Those that it could choose from.
    pub eligible: Vec<EligibleNode>,
    /// Those that it could not.
    pub excluded: Vec<ExcludedNode>,
}

/// A node that a session could have come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EligibleNode {
    /// Which.
    pub node: NodeRef,
    /// Its place in the balancer's order, from 1; null where the balancer did not name it.
    pub rank: Option<u32>,
    /// Its score, where the balancer gave any.
    pub score: Option<f64>,
}

impl From<Shown> for ConsideredNodes {
    fn from(Shown { question, nodes, excluded, order, scores, .. }: Shown) -> Self {
        let mut ranks = vec![None; nodes.len()];
        for (rank, index) in (1..).zip(order) {
            if let Some(place) = usize::try_from(index).ok().and_then(|index| ranks.get_mut(index)) {
                *place = Some(rank);
            }
        }
        let names = question.nodes.names.iter();
        let eligible =
            nodes.iter().zip(names).zip(ranks).enumerate().map(|(index, ((&id, name), rank))| EligibleNode {
                node: NodeRef { id, name: Some(name.clone()) },
                rank,
                score: scores.as_ref().and_then(|all| all.get(index).copied()),
            });
        Self { eligible: eligible.collect(), excluded: ExcludedNode::all(&excluded, &question.request) }
    }
}

/// One placement.
#[utoipa::path(
    get, path = "/api/v1/placements/{id}", tag = "placements",
    params(("id" = i64, Path, description = "The placement's id")),
    responses((status = 200, body = PlacementDetail), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_placement(
    viewer: Viewer,
    State(store): State<Arc<dyn Store>>,
    Path(id): Path<String>,
) -> Result<Json<PlacementDetail>, Problem> {
    let placement = kept::placement(&viewer, &*store, &id).await?;
    let (nodes, nodes_unknown) = match kept::shown(&*store, placement.id).await? {
        Ok(shown) => (Some(ConsideredNodes::from(shown)), None),
        Err(unknown) => (None, Some(unknown.detail().to_owned())),
    };
    let names = NodeNames::read(&*store).await?;
    Ok(Json(PlacementDetail { placement: PlacementView::new(placement, &names, &viewer), nodes, nodes_unknown }))
}
