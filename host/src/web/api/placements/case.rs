//! `GET /api/v1/placements/{id}/case`.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use evenkeel_plugin_cases as cases;
use http::header;

use super::kept;
use crate::{
    balancer::case,
    domain::Placement,
    sessions::placement::shown::Shown,
    store::Store,
    web::{Problem, identity::Viewer},
};

/// The decision as a case file, for `evenkeel plugin run` and `plugin test`; for administrators.
#[utoipa::path(
    get, path = "/api/v1/placements/{id}/case", tag = "placements",
    params(("id" = i64, Path, description = "The placement's id")),
    responses(
        (status = 200, body = String, content_type = "application/toml"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::web) async fn get_case(
    viewer: Viewer,
    State(store): State<Arc<dyn Store>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (placement, shown) = kept::for_administrator(&viewer, &*store, &id).await?;
    let text = file(&placement, &shown).to_text().map_err(Problem::conflict)?;
    Ok(([(header::CONTENT_TYPE, "application/toml")], text).into_response())
}

fn file(placement: &Placement, shown: &Shown) -> cases::File {
    let names = &shown.question.nodes.names;
    let order = shown.order.iter().filter_map(|&index| names.get(usize::try_from(index).ok()?).cloned());
    let expect = cases::Expect {
        order: Some(order.collect()),
        scores: shown.scores.clone(),
        reason: placement.decision.reason.clone(),
        ..cases::Expect::default()
    };
    let name = format!("session {}, start {}, {}", placement.session, placement.epoch.0, placement.decided);
    let case = case::case(&name, &shown.question, &shown.settings, Some(expect));
    cases::File { balancer: placement.decision.balancer.clone(), case: vec![case] }
}
