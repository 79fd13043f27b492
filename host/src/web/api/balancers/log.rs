//! `GET /api/v1/balancers/{name}/log`.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    extract::{Path, State as Piece},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    balancer::{journal::Entry, plugins::State},
    web::{Balancers, Problem, api::Page, body::Paging, identity::Administrator},
};

/// A line that a balancer wrote in a decision.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BalancerLogLine)]
pub(crate) struct LogLineView {
    /// One more than that of the line before; where one is missing, its line is no longer kept.
    pub number: u64,
    /// When the decision was asked for, by the registry's clock.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// The session that was placed.
    pub session: Option<String>,
    /// `debug`, `info`, `warn` or `error`.
    #[schema(example = "info")]
    pub level: &'static str,
    /// What it says: one line.
    pub text: String,
}

impl From<Entry> for LogLineView {
    fn from(Entry { number, time, session, line }: Entry) -> Self {
        let session = session.map(|id| id.to_string());
        Self { number, time, session, level: line.level.as_str(), text: line.message }
    }
}

/// What a balancer of this node wrote in its decisions, also in those that failed: its newest lines, the oldest first. Of
/// each balancer 1,000 lines are kept, and 256 KiB of them. To follow, ask again and again with the number of the last
/// line as `after`. For administrators.
#[utoipa::path(
    get, path = "/api/v1/balancers/{name}/log", tag = "balancers",
    params(
        ("name" = String, Path, description = "The balancer's name"),
        ("limit" = Option<u32>, Query, description = "At most this many lines, up to 1000; 100 where absent"),
        ("after" = Option<u64>, Query, description = "The lines that follow the one with this number, in place of the newest"),
    ),
    responses((status = 200, body = Page<LogLineView>), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_balancer_log(
    Administrator(_by): Administrator,
    Piece(balancers): Piece<Arc<dyn Balancers>>,
    Path(name): Path<String>,
    paging: Paging,
) -> Result<Json<Page<LogLineView>>, Problem> {
    // What is only there to be selected has written nothing.
    let in_use = balancers.reports().into_iter().filter(|report| report.state != State::Available);
    let known: BTreeSet<String> = in_use.map(|report| report.name).collect();
    if !known.contains(&name) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Problem::missing(format!("this node asks no balancer of that name; it has: {known}")));
    }
    let after = paging.after::<u64>()?;
    let limit = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    // One more tells whether there are more.
    let mut entries = balancers.journal().read(&name, after, limit.saturating_add(usize::from(after.is_some())));
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|last| last.number.to_string());
    Ok(Json(Page { items: entries.into_iter().map(LogLineView::from).collect(), next }))
}
