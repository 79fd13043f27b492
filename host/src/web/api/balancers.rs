//! `GET /api/v1/balancers`.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Page;
use crate::{
    balancer::plugins::{Report, Source},
    web::{Balancers, Problem, identity::SignedIn},
};

pub(in crate::web) mod log;
pub(in crate::web) mod shadow;

/// A balancer of this node, or a file that did not become one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Balancer)]
pub(crate) struct BalancerView {
    /// The name it is selected by.
    pub name: String,
    /// The version of the contract that its module was made for; null where it is none, or has not been read.
    #[schema(example = "1.0.0")]
    pub contract: Option<String>,
    /// The SHA-256 of its module.
    pub digest: Option<String>,
    /// `builtin`, `file` (in the plugins directory) or `kept` (the last good one of that name); null where there is none.
    #[schema(example = "file")]
    pub source: Option<&'static str>,
    /// Its file.
    pub path: Option<String>,
    /// `active`, `standing in` (decides in the place of another), `ready` (would), `refused` (a file that is not taken),
    /// `set aside` (it failed too often in a row), `missing`, `shadow` (asked beside the one that decides), or `available`
    /// (neither selected nor asked: a builtin one, or a file that has not been read).
    #[schema(example = "active")]
    pub state: &'static str,
    /// Since when it is so; null for what is `available`.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What an administrator should know of it, though it decides: that it takes the place of a builtin balancer, or would
    /// fail over a larger cluster.
    pub warnings: Vec<String>,
    /// How often it was asked since.
    pub decisions: u64,
    /// How often it failed.
    pub failures: u64,
    /// The median of its last decisions, microseconds.
    pub p50_us: Option<u64>,
    /// What 99 of 100 of its last decisions did not exceed, microseconds.
    pub p99_us: Option<u64>,
}

impl From<Report> for BalancerView {
    fn from(report: Report) -> Self {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            name: report.name,
            contract: report.contract,
            digest: report.digest,
            source: report.source.map(Source::as_str),
            path: report.path.map(|path| path.display().to_string()),
            state: report.state.as_str(),
            since: report.since,
            last_error: report.last_error,
            warnings: report.warnings,
            decisions: report.count.decisions,
            failures: report.count.failures,
            p50_us: report.count.p50.map(micros),
            p99_us: report.count.p99.map(micros),
        }
    }
}

/// The balancers of this node: the selected one first, then what stands in for it, then a file that is refused;
/// then the same of the shadow, and what else could be selected.
#[utoipa::path(
    get, path = "/api/v1/balancers", tag = "balancers",
    responses((status = 200, body = Page<BalancerView>), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn list_balancers(
    SignedIn(_by): SignedIn,
    State(balancers): State<Arc<dyn Balancers>>,
) -> Json<Page<BalancerView>> {
    Json(Page { items: balancers.reports().into_iter().map(BalancerView::from).collect(), next: None })
}
