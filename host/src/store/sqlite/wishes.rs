//! What people ask of sessions, and what is known of their use.

use jiff::Timestamp;

use super::{SqliteStore, StoreError, life};
use crate::{
    domain::{Epoch, Session, SessionId, Wanted},
    store::{
        life as rules,
        rows::sessions::{session, session_columns},
    },
};

pub(super) async fn want(
    store: &SqliteStore,
    id: SessionId,
    wanted: Wanted,
    note: Option<&str>,
) -> Result<Option<Session>, StoreError> {
    let mut write = store.write("wish").await?;
    let Some(before) = life::present(&mut write, id).await? else { return Ok(None) };
    if rules::is_deaf_to(&before, wanted) {
        return Ok(Some(before));
    }
    let after = life::update(&mut write, &before, rules::wished(&before, wanted, note.map(str::to_owned))).await?;
    write.commit().await?;
    Ok(Some(after))
}

pub(super) async fn want_all(store: &SqliteStore, user: &str, wanted: Wanted) -> Result<Vec<Session>, StoreError> {
    let mut write = store.write("wish for all").await?;
    let failed = write.failed();
    let rows = sqlx::query(concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions
         WHERE user = ?1 AND state <> 'ended' AND (?2 OR (state IN ('starting', 'active') AND is_job = 0))
         ORDER BY created DESC, id DESC"
    ))
    .bind(user)
    .bind(wanted == Wanted::Ended)
    .fetch_all(write.on())
    .await
    .map_err(failed)?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let before = session(row)?;
        all.push(life::update(&mut write, &before, rules::wished(&before, wanted, None)).await?);
    }
    write.commit().await?;
    Ok(all)
}

pub(super) async fn want_unused(
    store: &SqliteStore,
    id: SessionId,
    epoch: Epoch,
    wanted: Wanted,
    note: &str,
    still: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Session>, StoreError> {
    let mut write = store.write("wish for what is unused").await?;
    let Some(before) = life::present(&mut write, id).await? else { return Ok(None) };
    if !rules::is_unused(&before, epoch, wanted) || !still() {
        return Ok(None);
    }
    let after = rules::wished(&before, wanted, Some(note.to_owned()));
    let after = life::update(&mut write, &before, after).await?;
    write.commit().await?;
    Ok(Some(after))
}

pub(super) async fn note_activity(
    store: &SqliteStore,
    notes: &[(SessionId, Epoch, Timestamp)],
) -> Result<(), StoreError> {
    let mut write = store.write("notes of activity").await?;
    for (id, epoch, last) in notes {
        let failed = write.failed();
        sqlx::query(
            "UPDATE sessions SET last_activity = max(coalesce(last_activity, ?3), ?3) WHERE id = ?1 AND epoch = ?2",
        )
        .bind(id.as_str())
        .bind(epoch.0)
        .bind(last.as_millisecond())
        .execute(write.on())
        .await
        .map_err(failed)?;
    }
    write.commit().await
}

pub(super) async fn rename(store: &SqliteStore, id: SessionId, name: &str) -> Result<Option<Session>, StoreError> {
    let mut write = store.write("renaming").await?;
    let failed = write.failed();
    let row = sqlx::query(concat!("UPDATE sessions SET name = ?2 WHERE id = ?1 RETURNING ", session_columns!()))
        .bind(id.as_str())
        .bind(name)
        .fetch_optional(write.on())
        .await
        .map_err(failed)?;
    let renamed = row.as_ref().map(session).transpose()?;
    write.commit().await?;
    Ok(renamed)
}
