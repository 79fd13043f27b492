//! `DELETE /api/v1/sessions/{id}`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{Desk, SessionView};
use crate::{
    domain::Wanted,
    web::{Problem, identity::SignedIn},
};

/// End a session: one's own, or any with the token. It is answered as it is now; its node then stops the program.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, body = SessionView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn end_session(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, Problem> {
    desk.want(&identity, &id, Wanted::Ended).await.map(Json)
}
