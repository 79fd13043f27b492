//! `PATCH /api/v1/nodes/{id}`: what goes before the node's own settings.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Desk, NodeDetails};
use crate::{
    domain::OverridesChange,
    web::{
        Problem,
        body::{Fields, check_text},
        identity::Administrator,
    },
};

/// What is asked for where a setting is to be the node's own again.
const UNSET: &str = "unset";
const UNLIMITED: &str = "unlimited";

const MOST_WEIGHT: u64 = 1_000_000;
const MOST_LABELS: usize = 64;
const LONGEST_KEY: usize = 63;
const LONGEST_VALUE: usize = 256;

/// What is to be set. It goes before what the node's own files say, also after its restart, until it is unset.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct NodeChange {
    /// Its weight, 1 to 1000000; or `unset`.
    #[schema(value_type = Option<Value>, example = 50)]
    weight: Option<Value>,
    /// The most sessions that it takes; or `unlimited`, or `unset`.
    #[schema(value_type = Option<Value>, example = 10)]
    capacity: Option<Value>,
    /// Labels by key; null unsets one.
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    labels: Option<Value>,
}

/// Set a node's weight, capacity and labels.
#[utoipa::path(
    patch, path = "/api/v1/nodes/{id}", tag = "nodes", request_body = NodeChange,
    params(("id" = String, Path, description = "The node's id or its name")),
    responses((status = 200, body = NodeDetails), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn set_node(
    Administrator(_by): Administrator,
    State(desk): State<Desk>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Json<NodeDetails>, Problem> {
    let node = desk.find(&id).await?;
    let change = read(fields)?;
    let mut after = node.overrides.clone();
    after.change(&change);
    if after.labels.len() > MOST_LABELS {
        return Err(Problem::conflict(format!("a node has at most {MOST_LABELS} labels that are set by command")));
    }
    if !desk.store.set_overrides(node.id, &change).await? {
        return Err(super::missing(&id));
    }
    desk.details(node.id).await
}

fn read(mut fields: Fields) -> Result<OverridesChange, Problem> {
    let number = |value: &Value, low: u64, high: u64| {
        value.as_u64().filter(|number| (low..=high).contains(number)).and_then(|number| u32::try_from(number).ok())
    };
    let weight = fields.take("weight", |value| match &value {
        Value::String(text) if text == UNSET => Ok(None),
        value => number(value, 1, MOST_WEIGHT)
            .map(Some)
            .ok_or_else(|| format!("must be a number from 1 to {MOST_WEIGHT}, or \"{UNSET}\"")),
    });
    let most = u64::from(u32::MAX) - 1;
    let capacity = fields.take("capacity", |value| match &value {
        Value::String(text) if text == UNSET => Ok(None),
        Value::String(text) if text == UNLIMITED => Ok(Some(u32::MAX)),
        value => number(value, 0, most)
            .map(Some)
            .ok_or_else(|| format!("must be a number from 0 to {most}, \"{UNLIMITED}\" or \"{UNSET}\"")),
    });
    let labels = fields.take("labels", labels).unwrap_or_default();
    fields.finish()?;
    Ok(OverridesChange { weight, capacity, labels })
}

fn labels(value: Value) -> Result<BTreeMap<String, Option<String>>, String> {
    let Value::Object(object) = value else { return Err("must be an object".to_owned()) };
    if object.len() > MOST_LABELS {
        return Err(format!("must be at most {MOST_LABELS}"));
    }
    let one = |(key, value): (String, Value)| {
        let is_key = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte));
        if key.is_empty() || key.len() > LONGEST_KEY || !is_key(&key) {
            return Err(format!(
                "a key must be 1 to {LONGEST_KEY} letters, digits, dots, hyphens, underscores and slashes"
            ));
        }
        let value = match value {
            Value::Null => None,
            Value::String(text) => {
                Some(check_text(&text, LONGEST_VALUE).map_err(|problem| format!("{key}: {problem}"))?)
            }
            _ => return Err(format!("{key}: must be a string or null")),
        };
        Ok((key, value))
    };
    object.into_iter().map(one).collect()
}
