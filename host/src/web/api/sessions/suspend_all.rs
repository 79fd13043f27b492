//! `POST /api/v1/sessions/suspend`.

use axum::{Json, extract::State};

use super::{Asked, Desk};
use crate::{
    domain::Wanted,
    web::{Problem, identity::SignedIn},
};

/// Suspend all of the asking user's sessions that are starting or active.
#[utoipa::path(
    post, path = "/api/v1/sessions/suspend", tag = "sessions",
    responses((status = 200, body = Asked), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn suspend_all_sessions(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
) -> Result<Json<Asked>, Problem> {
    desk.want_all(&identity, Wanted::Suspended).await.map(Json)
}
