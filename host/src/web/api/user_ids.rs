//! `DELETE /api/v1/user-ids/{user}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;

use crate::{
    store::Store,
    web::{Problem, identity::Administrator},
};

/// Forget which user id a user has throughout the cluster: after all nodes were given another. The next start of a session of
/// theirs says it anew.
#[utoipa::path(
    delete, path = "/api/v1/user-ids/{user}", tag = "users", security(("token" = [])),
    params(("user" = String, Path, description = "The user's name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn forget_user_id(
    Administrator(by): Administrator,
    State(store): State<Arc<dyn Store>>,
    Path(user): Path<String>,
) -> Result<StatusCode, Problem> {
    if !store.forget_uid(&user).await? {
        return Err(Problem::missing(format!("no user id is kept with {}", user.escape_debug())));
    }
    tracing::info!(by = by.user, user, "the user id was forgotten");
    Ok(StatusCode::NO_CONTENT)
}
