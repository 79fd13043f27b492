//! What administrators order of a node: to take no new sessions, to be emptied, to be weighed otherwise.

use super::{SqliteStore, StoreError, Write, failed, milliseconds};
use crate::{
    domain::{DrainOrder, NodeId, Overrides, OverridesChange},
    store::rows::{Fields, to_json},
};

pub(super) async fn set_cordoned(store: &SqliteStore, node: NodeId, cordoned: bool) -> Result<bool, StoreError> {
    let mut write = store.write("cordon").await?;
    let failed = write.failed();
    let changed = sqlx::query(
        "UPDATE nodes SET
             cordoned = ?2, drain_since = CASE WHEN ?2 THEN drain_since END,
             drain_deadline = CASE WHEN ?2 THEN drain_deadline END, drain_end = ?2 AND drain_end,
             maintenance = ?2 AND maintenance
         WHERE id = ?1",
    )
    .bind(node.0)
    .bind(cordoned)
    .execute(write.on())
    .await
    .map_err(failed)?;
    finish(write, changed.rows_affected()).await
}

pub(super) async fn drain(store: &SqliteStore, node: NodeId, order: &DrainOrder) -> Result<bool, StoreError> {
    let mut write = store.write("drain").await?;
    let (now, failed) = (write.now, write.failed());
    let changed = sqlx::query(
        "UPDATE nodes SET
             cordoned = 1, drain_since = coalesce(drain_since, ?2), drain_deadline = ?3, drain_end = ?4, maintenance = ?5
         WHERE id = ?1",
    )
    .bind(node.0)
    .bind(now)
    .bind(order.within.map(|within| now.saturating_add(milliseconds(within))))
    .bind(order.end)
    .bind(order.maintenance)
    .execute(write.on())
    .await
    .map_err(failed)?;
    finish(write, changed.rows_affected()).await
}

pub(super) async fn set_overrides(
    store: &SqliteStore,
    node: NodeId,
    change: &OverridesChange,
) -> Result<bool, StoreError> {
    const OPERATION: &str = "settings of a node";
    let mut write = store.write(OPERATION).await?;
    let row = sqlx::query("SELECT id, overrides FROM nodes WHERE id = ?1")
        .bind(node.0)
        .fetch_optional(write.on())
        .await
        .map_err(failed(OPERATION))?;
    let Some(row) = row else { return Ok(false) };
    let mut overrides: Overrides = Fields::new("nodes", &row).json("overrides")?;
    overrides.change(change);
    let changed = sqlx::query("UPDATE nodes SET overrides = ?2 WHERE id = ?1")
        .bind(node.0)
        .bind(to_json(OPERATION, &overrides)?)
        .execute(write.on())
        .await
        .map_err(failed(OPERATION))?;
    finish(write, changed.rows_affected()).await
}

/// What decides placements has changed, if anything has.
async fn finish(mut write: Write, changed: u64) -> Result<bool, StoreError> {
    if changed == 0 {
        return Ok(false);
    }
    write.raise_revision().await?;
    write.commit().await?;
    Ok(true)
}
