//! `POST /api/v1/sessions/{id}/resume`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{Desk, SessionView};
use crate::web::{Problem, identity::SignedIn};

/// Start a suspended or lost session again, on the node that the balancer chooses.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/resume", tag = "sessions", params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, body = SessionView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn resume_session(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, Problem> {
    let session = desk.own(&identity, &id).await?;
    let session = desk.sessions.resume(session.id).await?;
    desk.view(session).await.map(Json)
}
