//! `POST /api/v1/sessions/end`.

use axum::{Json, extract::State};

use super::{Asked, Desk};
use crate::{
    domain::Wanted,
    web::{Problem, identity::SignedIn},
};

/// End all of the asking user's sessions, suspended, failed and lost ones too.
#[utoipa::path(
    post, path = "/api/v1/sessions/end", tag = "sessions",
    responses((status = 200, body = Asked), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn end_all_sessions(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
) -> Result<Json<Asked>, Problem> {
    desk.want_all(&identity, Wanted::Ended).await.map(Json)
}
