//! `GET /api/v1/balancers/shadow`.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{Percentiles, shadow::Comparison},
    store::Store,
    web::{
        Balancers, Problem,
        api::sessions::{NodeNames, NodeRef},
        body::Paging,
        identity::Administrator,
    },
};

/// The most shifts that are told.
const MOST_SHIFTS: usize = 20;

/// What was decided and what the shadow would have decided, summed up over the cluster's newest placements.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShadowComparison)]
pub(crate) struct ComparisonView {
    /// How many decisions were compared.
    pub compared: u64,
    /// How many the shadow prefers the same node for.
    pub same: u64,
    /// How many it prefers another for.
    pub different: u64,
    /// How many it would have refused.
    pub declined: u64,
    /// How many it could not decide.
    pub failed: u64,
    /// How many this node's shadow was not asked about since its daemon started, since it was busy; null without a shadow.
    pub missed: Option<u64>,
    /// The most frequent ways to differ, at most 20.
    pub shifts: Vec<ShiftView>,
    /// Every node that either chose.
    pub nodes: Vec<NodeCountView>,
    /// How long the decisions took.
    pub real: PercentilesView,
    /// How long the shadow's did.
    pub shadow: PercentilesView,
}

/// A way to differ.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShadowShift)]
pub(crate) struct ShiftView {
    /// The node that was chosen.
    pub from: NodeRef,
    /// The node that the shadow prefers.
    pub to: NodeRef,
    /// How often.
    pub count: u64,
}

/// How often a node was chosen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShadowNode)]
pub(crate) struct NodeCountView {
    /// Which.
    pub node: NodeRef,
    /// In fact.
    pub real: u64,
    /// By the shadow.
    pub shadow: u64,
}

/// Durations, microseconds; null where there are none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Percentiles)]
pub(crate) struct PercentilesView {
    /// The median.
    pub p50_us: Option<u64>,
    /// What 99 of 100 did not exceed.
    pub p99_us: Option<u64>,
}

impl From<Percentiles> for PercentilesView {
    fn from(percentiles: Percentiles) -> Self {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self { p50_us: percentiles.p50.map(micros), p99_us: percentiles.p99.map(micros) }
    }
}

/// How what was decided and what the shadow would have decided differ, among the newest 10,000 placements. For
/// administrators.
#[utoipa::path(
    get, path = "/api/v1/balancers/shadow", tag = "balancers",
    params(("since" = Option<String>, Query, description = "Only what was decided at this time or later, RFC 3339")),
    responses((status = 200, body = ComparisonView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_shadow(
    Administrator(_by): Administrator,
    State(store): State<Arc<dyn Store>>,
    State(balancers): State<Arc<dyn Balancers>>,
    parameters: Paging,
) -> Result<Json<ComparisonView>, Problem> {
    let since: Option<Timestamp> = parameters.other("since", "a time, such as 2026-01-02T03:04:05Z")?;
    let sum = Comparison::of(&store.shadowed(since).await?);
    let names = NodeNames::read(&*store).await?;
    let shift = |(from, to, count)| ShiftView { from: names.refer(from), to: names.refer(to), count };
    let node = |(node, (real, shadow))| NodeCountView { node: names.refer(node), real, shadow };
    Ok(Json(ComparisonView {
        compared: sum.same + sum.different + sum.declined + sum.failed,
        same: sum.same,
        different: sum.different,
        declined: sum.declined,
        failed: sum.failed,
        missed: balancers.missed_by_shadow(),
        shifts: sum.shifts.into_iter().take(MOST_SHIFTS).map(shift).collect(),
        nodes: sum.nodes.into_iter().map(node).collect(),
        real: sum.real.into(),
        shadow: sum.shadow.into(),
    }))
}
