//! What administrators order of a node: to take no new sessions, to be emptied, to be weighed otherwise.

use super::{PostgresStore, StoreError, Write, milliseconds};
use crate::{
    domain::{DrainOrder, NodeId, Overrides, OverridesChange},
    store::rows::{Fields, to_json},
};

pub(super) async fn set_cordoned(store: &PostgresStore, node: NodeId, cordoned: bool) -> Result<bool, StoreError> {
    let mut write = store.write("cordon").await?;
    let query = sqlx::query(
        "UPDATE nodes SET
             cordoned = $2, drain_since = CASE WHEN $2 THEN drain_since END,
             drain_deadline = CASE WHEN $2 THEN drain_deadline END, drain_end = $2 AND drain_end,
             maintenance = $2 AND maintenance
         WHERE id = $1",
    )
    .bind(node.0)
    .bind(cordoned);
    let changed = write.execute(query).await?;
    finish(write, changed).await
}

pub(super) async fn drain(store: &PostgresStore, node: NodeId, order: &DrainOrder) -> Result<bool, StoreError> {
    let mut write = store.write("drain").await?;
    let query = sqlx::query(
        "UPDATE nodes SET
             cordoned = TRUE, drain_since = coalesce(drain_since, $2), drain_deadline = $3, drain_end = $4,
             maintenance = $5
         WHERE id = $1",
    )
    .bind(node.0)
    .bind(write.now)
    .bind(order.within.map(|within| write.now.saturating_add(milliseconds(within))))
    .bind(order.end)
    .bind(order.maintenance);
    let changed = write.execute(query).await?;
    finish(write, changed).await
}

pub(super) async fn set_overrides(
    store: &PostgresStore,
    node: NodeId,
    change: &OverridesChange,
) -> Result<bool, StoreError> {
    let mut write = store.write("settings of a node").await?;
    let row = write.optional(sqlx::query("SELECT id, overrides FROM nodes WHERE id = $1").bind(node.0)).await?;
    let overrides = row.map(|row| Fields::new("nodes", &row).json::<Overrides>("overrides")).transpose()?;
    let Some(mut overrides) = overrides else { return finish(write, 0).await };
    overrides.change(change);
    let overrides = to_json(write.operation, &overrides)?;
    let query = sqlx::query("UPDATE nodes SET overrides = $2 WHERE id = $1").bind(node.0).bind(overrides);
    let changed = write.execute(query).await?;
    finish(write, changed).await
}

/// What decides placements has changed, if anything has.
async fn finish(mut write: Write, changed: u64) -> Result<bool, StoreError> {
    if changed == 0 {
        write.undo().await?;
        return Ok(false);
    }
    write.raise_revision().await?;
    write.commit().await?;
    Ok(true)
}
