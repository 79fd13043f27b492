//! `POST /api/v1/sessions/{id}/resume`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Desk, SessionView};
use crate::web::{
    Problem,
    body::{Fields, MaybeFields},
    identity::SignedIn,
};

/// The word by which the owner of a lost session takes the risk.
pub(in crate::web) const MAY_RUN_TWICE: &str = "may-run-twice";

/// What is confirmed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct Confirmation {
    /// `may-run-twice`, for a lost session: where its node is only cut off, the first program still runs there.
    confirm: Option<String>,
}

/// Start a suspended session again, on the node that the balancer chooses; a lost one only with a confirmation.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/resume", tag = "sessions", request_body = Option<Confirmation>,
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, body = SessionView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn resume_session(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    MaybeFields(fields): MaybeFields,
) -> Result<Json<SessionView>, Problem> {
    let session = desk.own(&identity, &id).await?;
    let may_run_twice = fields.map(confirmed).transpose()?.unwrap_or_default();
    let session = desk.sessions.resume(session.id, may_run_twice).await?;
    desk.view(session).await.map(Json)
}

fn confirmed(mut fields: Fields) -> Result<bool, Problem> {
    let confirmed = fields.take("confirm", |value| match value {
        Value::String(word) if word == MAY_RUN_TWICE => Ok(()),
        _ => Err(format!("must be {MAY_RUN_TWICE}, or absent")),
    });
    fields.finish().map(|()| confirmed.is_some())
}
