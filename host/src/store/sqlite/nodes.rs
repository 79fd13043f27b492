//! Nodes as they are read, what is changed about one, and its removal.

use std::collections::BTreeMap;

use super::{NodeDeletion, SqliteStore, StoreError, failed, now};
use crate::{
    domain::{Node, NodeId},
    store::rows::{
        membership::{Holder, columns},
        nodes::{metrics_json, node as read, node_columns, only_lost, removed},
        to_json,
    },
};

pub(super) const ALL: &str = concat!("SELECT ", node_columns!(), ", ", now!(), " AS now FROM nodes ORDER BY id");

pub(super) async fn all(store: &SqliteStore) -> Result<Vec<Node>, StoreError> {
    let rows = sqlx::query(ALL).fetch_all(&store.readers).await.map_err(failed("nodes"))?;
    rows.iter().map(|row| read(row, store.node_timeout)).collect()
}

pub(super) async fn set_balancer_digest(
    store: &SqliteStore,
    node: NodeId,
    digest: Option<&str>,
) -> Result<(), StoreError> {
    let mut write = store.write("balancer").await?;
    let failed = write.failed();
    sqlx::query("UPDATE nodes SET balancer_digest = ?2 WHERE id = ?1")
        .bind(node.0)
        .bind(digest)
        .execute(write.on())
        .await
        .map_err(failed)?;
    write.commit().await
}

pub(super) async fn set_certificate(store: &SqliteStore, node: NodeId, certificate: &str) -> Result<(), StoreError> {
    let mut write = store.write("certificate").await?;
    let failed = write.failed();
    sqlx::query("UPDATE nodes SET certificate = ?2 WHERE id = ?1")
        .bind(node.0)
        .bind(certificate)
        .execute(write.on())
        .await
        .map_err(failed)?;
    write.commit().await
}

pub(super) async fn set_kinds(
    store: &SqliteStore,
    node: NodeId,
    kinds: &[String],
    versions: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "kinds";
    let kinds = to_json(OPERATION, &kinds)?;
    let mut write = store.write(OPERATION).await?;
    let before: Option<String> = sqlx::query_scalar("SELECT kinds FROM nodes WHERE id = ?1")
        .bind(node.0)
        .fetch_optional(write.on())
        .await
        .map_err(failed(OPERATION))?;
    sqlx::query("UPDATE nodes SET kinds = ?2, kind_versions = ?3 WHERE id = ?1")
        .bind(node.0)
        .bind(&kinds)
        .bind(to_json(OPERATION, versions)?)
        .execute(write.on())
        .await
        .map_err(failed(OPERATION))?;
    if before.is_some_and(|before| before != kinds) {
        write.raise_revision().await?;
    }
    write.commit().await
}

pub(super) async fn set_metrics(
    store: &SqliteStore,
    node: NodeId,
    metrics: &BTreeMap<String, f64>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "metrics";
    let metrics = metrics_json(OPERATION, metrics)?;
    let mut write = store.write(OPERATION).await?;
    let failed = write.failed();
    sqlx::query("UPDATE nodes SET metrics = ?2 WHERE id = ?1")
        .bind(node.0)
        .bind(metrics)
        .execute(write.on())
        .await
        .map_err(failed)?;
    write.commit().await
}

pub(super) async fn delete(store: &SqliteStore, node: NodeId) -> Result<NodeDeletion, StoreError> {
    let mut write = store.write("node removal").await?;
    let (now, failed) = (write.now, write.failed());
    let row = sqlx::query(concat!("SELECT ", columns!(), " FROM nodes WHERE id = ?1"))
        .bind(node.0)
        .fetch_optional(write.on())
        .await
        .map_err(&failed)?;
    let Some(row) = row else { return Ok(NodeDeletion::Missing) };
    let holder = Holder::read(&row, now, store.node_timeout)?;
    if holder.online {
        return Ok(NodeDeletion::Online);
    }
    let lost = sqlx::query(
        "UPDATE sessions SET
             state = CASE WHEN wanted = 'ended' THEN 'ended' ELSE 'lost' END, wanted = NULL, changed = ?2,
             pid = CASE WHEN state = 'active' THEN pid END,
             failure = CASE WHEN wanted = 'ended' THEN NULL ELSE ?3 END
         WHERE node = ?1 AND state IN ('starting', 'active')
           AND NOT (state = 'starting' AND claimed = 0 AND wanted IS NULL)
         RETURNING id, state",
    )
    .bind(node.0)
    .bind(now)
    .bind(removed(&holder.name))
    .fetch_all(write.on())
    .await
    .map_err(&failed)?;
    let lost = only_lost(&lost)?;
    sqlx::query("DELETE FROM nodes WHERE id = ?1").bind(node.0).execute(write.on()).await.map_err(&failed)?;
    write.raise_revision().await?;
    write.commit().await?;
    Ok(NodeDeletion::Deleted(lost))
}
