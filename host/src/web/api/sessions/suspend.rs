//! `POST /api/v1/sessions/{id}/suspend`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{Desk, SessionView};
use crate::{
    domain::Wanted,
    web::{Problem, identity::SignedIn},
};

/// Stop a session so that it can be resumed: one's own, or any with the token.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/suspend", tag = "sessions", params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, body = SessionView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn suspend_session(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, Problem> {
    desk.want(&identity, &id, Wanted::Suspended).await.map(Json)
}
