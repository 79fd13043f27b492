//! Users, and the user id that each has throughout the cluster.

use super::{SqliteStore, StoreError, failed};
use crate::store::rows::Fields;

pub(super) async fn keep_uid(store: &SqliteStore, user: &str, uid: u32) -> Result<u32, StoreError> {
    if let Some(kept) = kept(store, user).await? {
        return Ok(kept);
    }
    let mut write = store.write("user id").await?;
    let failed = write.failed();
    sqlx::query("INSERT INTO users (name, uid) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING")
        .bind(user)
        .bind(uid)
        .execute(write.on())
        .await
        .map_err(failed)?;
    write.commit().await?;
    // Another node may have been first.
    Ok(kept(store, user).await?.unwrap_or(uid))
}

pub(super) async fn forget_uid(store: &SqliteStore, user: &str) -> Result<bool, StoreError> {
    let mut write = store.write("user id").await?;
    let failed = write.failed();
    let removed =
        sqlx::query("DELETE FROM users WHERE name = ?1").bind(user).execute(write.on()).await.map_err(failed)?;
    write.commit().await?;
    Ok(removed.rows_affected() > 0)
}

async fn kept(store: &SqliteStore, user: &str) -> Result<Option<u32>, StoreError> {
    let row = sqlx::query("SELECT name AS id, uid FROM users WHERE name = ?1")
        .bind(user)
        .fetch_optional(&store.readers)
        .await
        .map_err(failed("user id"))?;
    row.as_ref().map(|row| Fields::new("users", row).number("uid")).transpose()
}
