//! Users, and the user id that each has throughout the cluster.

use super::{PostgresStore, StoreError, text};
use crate::store::rows::Fields;

pub(super) async fn keep_uid(store: &PostgresStore, user: &str, uid: u32) -> Result<u32, StoreError> {
    if let Some(kept) = kept(store, user).await? {
        return Ok(kept);
    }
    let mut write = store.write_beside("user id").await?;
    let query = sqlx::query("INSERT INTO users (name, uid) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING");
    write.execute(query.bind(text(user)).bind(i64::from(uid))).await?;
    write.commit().await?;
    // Another node may have been first.
    Ok(kept(store, user).await?.unwrap_or(uid))
}

pub(super) async fn forget_uid(store: &PostgresStore, user: &str) -> Result<bool, StoreError> {
    let mut write = store.write_beside("user id").await?;
    let removed = write.execute(sqlx::query("DELETE FROM users WHERE name = $1").bind(text(user))).await?;
    write.commit().await?;
    Ok(removed > 0)
}

async fn kept(store: &PostgresStore, user: &str) -> Result<Option<u32>, StoreError> {
    let query = sqlx::query("SELECT name AS id, uid FROM users WHERE name = $1").bind(text(user));
    let row = store.read("user id").await?.optional(query).await?;
    row.as_ref().map(|row| Fields::new("users", row).number("uid")).transpose()
}
