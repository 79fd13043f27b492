//! Nodes as they are read, what is changed about one, and its removal.

use std::collections::BTreeMap;

use super::{NodeDeletion, PostgresStore, StoreError, now, optional_text, text};
use crate::{
    domain::{Node, NodeId},
    store::rows::{
        membership::{Holder, columns},
        nodes::{metrics_json, node as read, node_columns, only_lost, removed},
        to_json,
    },
};

pub(super) const ALL: &str = concat!("SELECT ", node_columns!(), ", ", now!(), " AS now FROM nodes ORDER BY id");

pub(super) async fn all(store: &PostgresStore) -> Result<Vec<Node>, StoreError> {
    let rows = store.read("nodes").await?.all(sqlx::query(ALL)).await?;
    rows.iter().map(|row| read(row, store.node_timeout)).collect()
}

pub(super) async fn set_balancer_digest(
    store: &PostgresStore,
    node: NodeId,
    digest: Option<&str>,
) -> Result<(), StoreError> {
    let mut write = store.write("balancer").await?;
    let query = sqlx::query("UPDATE nodes SET balancer_digest = $2 WHERE id = $1").bind(node.0);
    write.execute(query.bind(optional_text(digest))).await?;
    write.commit().await
}

pub(super) async fn set_certificate(store: &PostgresStore, node: NodeId, certificate: &str) -> Result<(), StoreError> {
    let mut write = store.write("certificate").await?;
    let query = sqlx::query("UPDATE nodes SET certificate = $2 WHERE id = $1").bind(node.0);
    write.execute(query.bind(text(certificate))).await?;
    write.commit().await
}

pub(super) async fn set_kinds(
    store: &PostgresStore,
    node: NodeId,
    kinds: &[String],
    versions: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "kinds";
    let kinds = to_json(OPERATION, kinds)?;
    let versions = to_json(OPERATION, versions)?;
    let mut write = store.write(OPERATION).await?;
    let changed = sqlx::query("UPDATE nodes SET kinds = $2 WHERE id = $1 AND kinds <> $2").bind(node.0).bind(&kinds);
    if write.execute(changed).await? > 0 {
        write.raise_revision().await?;
    }
    let query = sqlx::query("UPDATE nodes SET kind_versions = $2 WHERE id = $1").bind(node.0).bind(versions);
    write.execute(query).await?;
    write.commit().await
}

pub(super) async fn set_metrics(
    store: &PostgresStore,
    node: NodeId,
    metrics: &BTreeMap<String, f64>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "metrics";
    let metrics = metrics_json(OPERATION, metrics)?;
    let mut write = store.write_lightly(OPERATION).await?;
    let query = sqlx::query("UPDATE nodes SET metrics = $2 WHERE id = $1").bind(node.0).bind(metrics);
    write.execute(query).await?;
    write.commit().await
}

pub(super) async fn delete(store: &PostgresStore, node: NodeId) -> Result<NodeDeletion, StoreError> {
    let mut write = store.write("node removal").await?;
    let now = write.now;
    let query = sqlx::query(concat!("SELECT ", columns!(), " FROM nodes WHERE id = $1")).bind(node.0);
    let Some(row) = write.optional(query).await? else {
        write.undo().await?;
        return Ok(NodeDeletion::Missing);
    };
    let holder = Holder::read(&row, now, store.node_timeout)?;
    drop(row);
    if holder.online {
        write.undo().await?;
        return Ok(NodeDeletion::Online);
    }
    let query = sqlx::query(
        "UPDATE sessions SET
             state = CASE WHEN wanted = 'ended' THEN 'ended' ELSE 'lost' END, wanted = NULL, changed = $2,
             pid = CASE WHEN state = 'active' THEN pid END,
             failure = CASE WHEN wanted = 'ended' THEN NULL ELSE $3 END
         WHERE node = $1 AND state IN ('starting', 'active')
           AND NOT (state = 'starting' AND NOT claimed AND wanted IS NULL)
         RETURNING id, state",
    )
    .bind(node.0)
    .bind(now)
    .bind(removed(&holder.name));
    let lost = only_lost(&write.all(query).await?)?;
    write.execute(sqlx::query("DELETE FROM nodes WHERE id = $1").bind(node.0)).await?;
    write.raise_revision().await?;
    write.commit().await?;
    Ok(NodeDeletion::Deleted(lost))
}
