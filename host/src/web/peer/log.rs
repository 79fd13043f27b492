//! `GET /peer/v1/sessions/{id}/log?lines=N` and `…/log/part?from=N`: the log of a session of this node, for another node to
//! show to its user.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::Call;
use crate::{
    domain::SessionId,
    web::{Problem, SessionControl},
};

const MOST_LINES: usize = 1000;

#[derive(Deserialize)]
pub(super) struct Lines {
    lines: usize,
}

pub(super) async fn log(
    State(sessions): State<Arc<dyn SessionControl>>,
    Path(id): Path<SessionId>,
    Query(Lines { lines }): Query<Lines>,
    Call(_): Call,
) -> Result<String, Problem> {
    Ok(sessions.local_log(id, lines.min(MOST_LINES)).await?)
}

#[derive(Deserialize)]
pub(super) struct Position {
    from: u64,
}

/// Eight bytes, big end first, say where it begins; the rest is what it says.
pub(super) async fn part(
    State(sessions): State<Arc<dyn SessionControl>>,
    Path(id): Path<SessionId>,
    Query(Position { from }): Query<Position>,
    Call(_): Call,
) -> Result<Vec<u8>, Problem> {
    let part = sessions.local_log_part(id, from).await?;
    Ok([&part.from.to_be_bytes(), part.bytes.as_slice()].concat())
}
