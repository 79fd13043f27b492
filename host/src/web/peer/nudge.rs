//! `POST /peer/v1/nudge`: a peer has changed something about a session of this node.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use super::Call;
use crate::{
    domain::SessionId,
    web::{Problem, SessionControl},
};

#[derive(Deserialize)]
struct Nudge {
    session: SessionId,
}

pub(super) async fn nudge(
    State(sessions): State<Arc<dyn SessionControl>>,
    Call(body): Call,
) -> Result<StatusCode, Problem> {
    let nudge: Nudge = serde_json::from_slice(&body).map_err(|error| Problem::unreadable(error.to_string()))?;
    sessions.nudged(nudge.session).await?;
    Ok(StatusCode::NO_CONTENT)
}
