//! `PATCH /api/v1/sessions/{id}`.

use axum::{
    Json,
    extract::{Path, State},
};
use utoipa::ToSchema;

use super::{Desk, SessionView, create::LONGEST_NAME};
use crate::web::{
    Problem,
    body::{Fields, text},
    identity::SignedIn,
};

/// What is to be changed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct SessionChange {
    /// What to call it: at most 100 characters, none of them a control character.
    name: String,
}

/// Call a session otherwise.
#[utoipa::path(
    patch, path = "/api/v1/sessions/{id}", tag = "sessions", request_body = SessionChange,
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, body = SessionView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn rename_session(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    mut fields: Fields,
) -> Result<Json<SessionView>, Problem> {
    let session = desk.own(&identity, &id).await?;
    let name = fields.require("name", |value| text(value, LONGEST_NAME));
    fields.finish()?;
    let session = desk.sessions.rename(session.id, &name).await?;
    desk.view(session).await.map(Json)
}
