//! `POST` and `DELETE /api/v1/nodes/{id}/drain`.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Desk, NodeDetails};
use crate::{
    domain::DrainOrder,
    web::{
        Problem,
        body::{Fields, MaybeFields},
        identity::Administrator,
    },
};

/// The longest time until a deadline: a year.
const LONGEST: u64 = 366 * 24 * 3600;

/// How a node is to be emptied.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct DrainOrderBody {
    /// After how many seconds from now sessions that keep their work are suspended; never where absent. 0 is now.
    deadline_seconds: Option<u64>,
    /// Whether all others, and jobs, are ended then.
    #[schema(default = false)]
    end: Option<bool>,
}

/// Empty a node: it takes no new sessions, and those that run go on until the deadline, if one is given. Once more changes the
/// order. Ask `GET /api/v1/nodes/{id}` to see what is left.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/drain", tag = "nodes", request_body = Option<DrainOrderBody>,
    params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = NodeDetails), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn drain_node(
    Administrator(_by): Administrator,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    MaybeFields(fields): MaybeFields,
) -> Result<Json<NodeDetails>, Problem> {
    let order = fields.map_or_else(|| Ok(DrainOrder::default()), read)?;
    desk.drain(&id, &order).await
}

fn read(mut fields: Fields) -> Result<DrainOrder, Problem> {
    let seconds = fields.take("deadline_seconds", |value| {
        value
            .as_u64()
            .filter(|seconds| *seconds <= LONGEST)
            .ok_or_else(|| format!("must be a number from 0 to {LONGEST}"))
    });
    let end = fields.take("end", |value| match value {
        Value::Bool(end) => Ok(end),
        _ => Err("must be true or false".to_owned()),
    });
    if end == Some(true) && seconds.is_none() {
        fields.wrong("end", "needs deadline_seconds, since nothing is ended before".to_owned());
    }
    fields.finish()?;
    Ok(DrainOrder { within: seconds.map(Duration::from_secs), end: end.unwrap_or(false), maintenance: false })
}

/// Empty a node no more: it takes new sessions again.
#[utoipa::path(
    delete, path = "/api/v1/nodes/{id}/drain", tag = "nodes",
    params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = NodeDetails), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn cancel_drain(
    Administrator(_by): Administrator,
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<NodeDetails>, Problem> {
    let node = desk.find(&id).await?;
    if node.drain.is_none() {
        return Err(Problem::conflict(format!("node {} is not being drained; uncordon lifts a cordon", node.name)));
    }
    desk.set_cordoned(&node.id.to_string(), false).await
}
