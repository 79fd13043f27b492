//! `GET /api/v1/placements/{id}/shown`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ExcludedNode, kept};
use crate::{
    balancer::{Question, Request},
    sessions::placement::shown::Shown,
    store::Store,
    web::{Problem, identity::Viewer},
};

/// What a balancer was shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shown)]
pub(crate) struct ShownView {
    /// The nodes that it could choose from.
    pub nodes: Vec<ShownNode>,
    /// The nodes that it could not.
    pub excluded: Vec<ExcludedNode>,
    /// The settings that it ran with, defaults included.
    pub settings: BTreeMap<String, String>,
    /// The session to be placed, as the contract describes it.
    #[schema(value_type = Object)]
    pub request: Request,
}

/// A node as a balancer was shown it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShownNode {
    /// Its name.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// Logical processors.
    pub cores: u32,
    /// Its weight; 100 is normal.
    pub weight: u32,
    /// The most sessions it takes; null where there is no limit.
    pub capacity: Option<u32>,
    /// Sessions active or starting, the reservations before this one included.
    pub sessions: u32,
    /// Of these, the user's.
    pub user_sessions: u32,
    /// Load averages over 1, 5 and 15 minutes, not divided by cores.
    pub load: [f64; 3],
    /// Sum over live sessions of e^(-age / 300 s).
    pub unseen5: f64,
    /// Physical memory, bytes.
    pub memory_total: u64,
    /// Memory to be had without swapping, bytes.
    pub memory_available: u64,
    /// Processors promised to sessions.
    pub cpus_promised: f64,
    /// Memory promised to sessions, bytes.
    pub memory_promised: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Numbers that its administrator publishes.
    pub metrics: BTreeMap<String, f64>,
}

impl ShownView {
    fn new(shown: Shown) -> Self {
        let Shown { question: Question { nodes, user_sessions, request, .. }, excluded, settings, .. } = shown;
        let node = |index: usize| ShownNode {
            name: nodes.names[index].clone(),
            address: nodes.addresses[index].clone(),
            cores: nodes.cores[index],
            weight: nodes.weights[index],
            capacity: Some(nodes.capacities[index]).filter(|most| *most < u32::MAX),
            sessions: nodes.sessions[index],
            user_sessions: user_sessions[index],
            load: [nodes.load1[index], nodes.load5[index], nodes.load15[index]],
            unseen5: nodes.unseen5[index],
            memory_total: nodes.memory_total[index],
            memory_available: nodes.memory_available[index],
            cpus_promised: nodes.cpus_promised[index],
            memory_promised: nodes.memory_promised[index],
            labels: nodes.labels[index].clone(),
            metrics: nodes.metrics[index].clone(),
        };
        let excluded = ExcludedNode::all(&excluded, &request);
        Self { nodes: (0..nodes.count()).map(node).collect(), excluded, settings: BTreeMap::clone(&settings), request }
    }
}

/// What the balancer was shown, for administrators; it is kept for as long as there is room.
#[utoipa::path(
    get, path = "/api/v1/placements/{id}/shown", tag = "placements",
    params(("id" = i64, Path, description = "The placement's id")),
    responses((status = 200, body = ShownView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_shown(
    viewer: Viewer,
    State(store): State<Arc<dyn Store>>,
    Path(id): Path<String>,
) -> Result<Json<ShownView>, Problem> {
    let (_, shown) = kept::for_administrator(&viewer, &*store, &id).await?;
    Ok(Json(ShownView::new(shown)))
}
