//! `GET /api/v1/sessions/{id}`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{Desk, SessionView};
use crate::web::{Problem, identity::Viewer};

/// One of the asking user's sessions; members of `admin-group` see everybody's.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, body = SessionView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_session(
    viewer: Viewer,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, Problem> {
    let session = desk.seen_by(&viewer, &id).await?;
    let is_own = session.user == viewer.identity.user;
    let view = desk.view(session).await?;
    Ok(Json(if is_own { view } else { view.without_log() }))
}
