//! `GET /api/v1/sessions/{id}/log`.

use axum::extract::{Path, State};

use super::Desk;
use crate::web::{Problem, body::Paging, identity::SignedIn};

/// The last lines of a session's log, as plain text.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/log", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("limit" = Option<u32>, Query, description = "At most this many lines, up to 1000; 100 where absent"),
    ),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn get_session_log(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    paging: Paging,
) -> Result<String, Problem> {
    let session = desk.own(&identity, &id).await?;
    let lines = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    Ok(desk.sessions.log(session.id, lines).await?)
}
