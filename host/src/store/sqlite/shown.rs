//! What balancers were shown, bounded in all.

use std::collections::BTreeSet;

use super::{SqliteStore, StoreError, Write, failed};
use crate::{
    domain::PlacementId,
    store::{
        Shown, ShownBatch,
        rows::{Fields, size, to_json},
    },
};

/// Rows that are let go in one transaction where many are.
const AT_ONCE: i64 = 256;

pub(super) async fn keep(store: &SqliteStore, batch: &ShownBatch, limit: u64) -> Result<bool, StoreError> {
    let added = i64::try_from(batch.content.len()).unwrap_or(i64::MAX);
    if added > size(limit) {
        return Ok(false);
    }
    let mut write = store.write("shown").await?;
    let failed = write.failed();
    // Some at a time, where another node has kept many more: nobody else writes meanwhile.
    let_go(&mut write, size(limit) - added).await?;
    let digests = to_json(write.operation, &batch.digests)?;
    let row = sqlx::query("INSERT INTO shown (digests, size, content) VALUES (?1, ?2, ?3)")
        .bind(digests)
        .bind(added)
        .bind(batch.content.as_slice())
        .execute(write.on())
        .await
        .map_err(&failed)?
        .last_insert_rowid();
    sqlx::query("UPDATE cluster SET shown_size = shown_size + ?1")
        .bind(added)
        .execute(write.on())
        .await
        .map_err(&failed)?;
    for (position, (session, epoch)) in (0_i64..).zip(&batch.placements) {
        sqlx::query("UPDATE placements SET shown = ?3, shown_position = ?4 WHERE session = ?1 AND epoch = ?2")
            .bind(session.as_str())
            .bind(epoch.0)
            .bind(row)
            .bind(position)
            .execute(write.on())
            .await
            .map_err(&failed)?;
    }
    write.commit().await?;
    Ok(true)
}

pub(super) async fn trim(store: &SqliteStore, limit: u64) -> Result<(), StoreError> {
    loop {
        let mut write = store.write("shown").await?;
        let done = let_go(&mut write, size(limit)).await?;
        write.commit().await?;
        if done {
            return Ok(());
        }
    }
}

/// Lets the oldest go until there are at most `limit` bytes. False where there may be more to let go.
async fn let_go(write: &mut Write, limit: i64) -> Result<bool, StoreError> {
    let failed = write.failed();
    let sum: i64 = sqlx::query_scalar("SELECT shown_size FROM cluster").fetch_one(write.on()).await.map_err(&failed)?;
    if sum <= limit {
        return Ok(true);
    }
    let oldest: Vec<(i64, i64)> = sqlx::query_as("SELECT id, size FROM shown ORDER BY id LIMIT ?1")
        .bind(AT_ONCE)
        .fetch_all(write.on())
        .await
        .map_err(&failed)?;
    let (mut freed, mut last) = (0, None);
    for (id, size) in &oldest {
        if sum - freed <= limit {
            break;
        }
        freed += size;
        last = Some(*id);
    }
    sqlx::query("DELETE FROM shown WHERE id <= ?1").bind(last).execute(write.on()).await.map_err(&failed)?;
    // Where no row is left, nor is any size.
    let left = if last.is_none() { 0 } else { (sum - freed).max(0) };
    sqlx::query("UPDATE cluster SET shown_size = ?1").bind(left).execute(write.on()).await.map_err(&failed)?;
    Ok(left <= limit)
}

pub(super) async fn one(store: &SqliteStore, placement: PlacementId) -> Result<Option<Shown>, StoreError> {
    let row = sqlx::query(
        "SELECT shown.id, shown.content, placements.shown_position
         FROM placements JOIN shown ON shown.id = placements.shown WHERE placements.id = ?1",
    )
    .bind(placement.0)
    .fetch_optional(&store.readers)
    .await
    .map_err(failed("shown"))?;
    row.map(|row| {
        let fields = Fields::new("shown", &row);
        Ok(Shown { content: fields.get("content")?, position: fields.number("shown_position")? })
    })
    .transpose()
}

pub(super) async fn digests(store: &SqliteStore) -> Result<BTreeSet<String>, StoreError> {
    let rows =
        sqlx::query("SELECT DISTINCT digests FROM shown").fetch_all(&store.readers).await.map_err(failed("shown"))?;
    let mut all = BTreeSet::new();
    for row in &rows {
        all.extend(Fields::new("shown", row).json::<Vec<String>>("digests")?);
    }
    Ok(all)
}
