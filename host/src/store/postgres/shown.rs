//! What balancers were shown, bounded in all. Who writes here locks the row of `shown_total`, and nobody else waits for it.

use std::collections::BTreeSet;

use sqlx::Row as _;

use super::{PostgresStore, StoreError, Write, call, failed};
use crate::{
    domain::PlacementId,
    store::{
        Shown, ShownBatch,
        rows::{Fields, size, to_json},
    },
};

/// Rows that are let go in one transaction where many are.
const AT_ONCE: i64 = 256;

const OPERATION: &str = "shown";

async fn write(store: &PostgresStore) -> Result<(Write, i64), StoreError> {
    let begin = super::begin!("SET LOCAL synchronous_commit = off; SELECT FROM shown_total FOR UPDATE");
    let mut write = store.write_by(OPERATION, begin).await?;
    let row = write.transaction.one(sqlx::query("SELECT size FROM shown_total")).await?;
    let sum = row.try_get("size").map_err(failed(OPERATION))?;
    Ok((write, sum))
}

pub(super) async fn keep(store: &PostgresStore, batch: &ShownBatch, limit: u64) -> Result<bool, StoreError> {
    let added = i64::try_from(batch.content.len()).unwrap_or(i64::MAX);
    if added > size(limit) {
        return Ok(false);
    }
    let (mut write, sum) = write(store).await?;
    // Some at a time, where another node has kept many more: nobody else writes here meanwhile.
    let left = let_go(&mut write, sum, size(limit) - added).await?;
    let query = sqlx::query("INSERT INTO shown (digests, size, content) VALUES ($1, $2, $3) RETURNING id")
        .bind(to_json(OPERATION, &batch.digests)?)
        .bind(added)
        .bind(batch.content.as_slice());
    let row: i64 = write.transaction.one(query).await?.try_get("id").map_err(failed(OPERATION))?;
    set_total(&mut write, left + added).await?;
    let query = sqlx::query(
        "UPDATE placements SET shown = $1, shown_position = one.position - 1
         FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS one (session, epoch, position)
         WHERE placements.session = one.session AND placements.epoch = one.epoch",
    )
    .bind(row)
    .bind(batch.placements.iter().map(|(session, _)| session.as_str().to_owned()).collect::<Vec<_>>())
    .bind(batch.placements.iter().map(|(_, epoch)| epoch.0).collect::<Vec<_>>());
    write.execute(query).await?;
    write.commit().await?;
    Ok(true)
}

pub(super) async fn trim(store: &PostgresStore, limit: u64) -> Result<(), StoreError> {
    let limit = size(limit);
    loop {
        let trim = async {
            let (mut write, sum) = write(store).await?;
            let left = let_go(&mut write, sum, limit).await?;
            if left != sum {
                set_total(&mut write, left).await?;
            }
            write.commit().await?;
            Ok::<_, StoreError>(left)
        };
        if call(OPERATION, trim).await? <= limit {
            return Ok(());
        }
    }
}

async fn set_total(write: &mut Write, total: i64) -> Result<(), StoreError> {
    write.execute(sqlx::query("UPDATE shown_total SET size = $1").bind(total)).await?;
    Ok(())
}

/// Lets the oldest of what has `sum` bytes go until there are at most `limit`; how many there are then. There may still be
/// more.
async fn let_go(write: &mut Write, sum: i64, limit: i64) -> Result<i64, StoreError> {
    if sum <= limit {
        return Ok(sum);
    }
    let oldest = write.all(sqlx::query("SELECT id, size FROM shown ORDER BY id LIMIT $1").bind(AT_ONCE)).await?;
    let (mut freed, mut last) = (0, None);
    for row in &oldest {
        if sum - freed <= limit {
            break;
        }
        let fields = Fields::new("shown", row);
        freed += fields.get::<i64>("size")?;
        last = Some(fields.get::<i64>("id")?);
    }
    // Where no row is left, nor is any size.
    let Some(last) = last else { return Ok(0) };
    write.execute(sqlx::query("DELETE FROM shown WHERE id <= $1").bind(last)).await?;
    Ok((sum - freed).max(0))
}

pub(super) async fn one(store: &PostgresStore, placement: PlacementId) -> Result<Option<Shown>, StoreError> {
    let query = sqlx::query(
        "SELECT shown.id, shown.content, placements.shown_position
         FROM placements JOIN shown ON shown.id = placements.shown WHERE placements.id = $1",
    )
    .bind(placement.0);
    let row = store.read(OPERATION).await?.optional(query).await?;
    row.map(|row| {
        let fields = Fields::new("shown", &row);
        Ok(Shown { content: fields.get("content")?, position: fields.number("shown_position")? })
    })
    .transpose()
}

pub(super) async fn digests(store: &PostgresStore) -> Result<BTreeSet<String>, StoreError> {
    let rows = store.read(OPERATION).await?.all(sqlx::query("SELECT DISTINCT digests FROM shown")).await?;
    let mut all = BTreeSet::new();
    for row in &rows {
        all.extend(Fields::new("shown", row).json::<Vec<String>>("digests")?);
    }
    Ok(all)
}
