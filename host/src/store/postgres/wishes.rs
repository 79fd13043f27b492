//! What people ask of sessions, and what is known of their use.

use jiff::Timestamp;

use super::{PostgresStore, StoreError, life, text};
use crate::{
    domain::{Epoch, Session, SessionId, Wanted},
    store::{
        life as rules,
        rows::sessions::{session, session_columns},
    },
};

pub(super) async fn want(
    store: &PostgresStore,
    id: SessionId,
    wanted: Wanted,
    note: Option<&str>,
) -> Result<Option<Session>, StoreError> {
    let mut write = store.write("wish").await?;
    let before = match life::present(&mut write, id).await? {
        Some(before) if !rules::is_deaf_to(&before, wanted) => before,
        other => {
            write.undo().await?;
            return Ok(other);
        }
    };
    let after = life::update(&mut write, &before, rules::wished(&before, wanted, note.map(str::to_owned))).await?;
    write.commit().await?;
    Ok(Some(after))
}

pub(super) async fn want_all(store: &PostgresStore, user: &str, wanted: Wanted) -> Result<Vec<Session>, StoreError> {
    let mut write = store.write("wish for all").await?;
    let query = sqlx::query(concat!(
        "SELECT ",
        session_columns!(),
        r#" FROM sessions
           WHERE "user" = $1 AND state <> 'ended' AND ($2 OR (state IN ('starting', 'active') AND NOT is_job))
           ORDER BY created DESC, id DESC FOR UPDATE"#
    ))
    .bind(text(user))
    .bind(wanted == Wanted::Ended);
    let rows = write.all(query).await?;
    let present = rows.iter().map(session).collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::with_capacity(present.len());
    for before in present {
        all.push(life::update(&mut write, &before, rules::wished(&before, wanted, None)).await?);
    }
    write.commit().await?;
    Ok(all)
}

pub(super) async fn want_unused(
    store: &PostgresStore,
    id: SessionId,
    epoch: Epoch,
    wanted: Wanted,
    note: &str,
    still: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Session>, StoreError> {
    let mut write = store.write("wish for what is unused").await?;
    let before = life::present(&mut write, id).await?;
    let Some(before) = before.filter(|before| rules::is_unused(before, epoch, wanted) && still()) else {
        write.undo().await?;
        return Ok(None);
    };
    let after = rules::wished(&before, wanted, Some(note.to_owned()));
    let after = life::update(&mut write, &before, after).await?;
    write.commit().await?;
    Ok(Some(after))
}

pub(super) async fn note_activity(
    store: &PostgresStore,
    notes: &[(SessionId, Epoch, Timestamp)],
) -> Result<(), StoreError> {
    // It locks the rows of several sessions, as others do who have locked `cluster` before.
    let mut write = store.write_lightly("notes of activity").await?;
    let query = sqlx::query(
        "UPDATE sessions SET last_activity = greatest(last_activity, note.last)
         FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS note (id, epoch, last)
         WHERE sessions.id = note.id AND sessions.epoch = note.epoch",
    )
    .bind(notes.iter().map(|(id, _, _)| id.as_str().to_owned()).collect::<Vec<_>>())
    .bind(notes.iter().map(|(_, epoch, _)| epoch.0).collect::<Vec<_>>())
    .bind(notes.iter().map(|(_, _, last)| last.as_millisecond()).collect::<Vec<_>>());
    write.execute(query).await?;
    write.commit().await
}

pub(super) async fn rename(store: &PostgresStore, id: SessionId, name: &str) -> Result<Option<Session>, StoreError> {
    let mut write = store.write_beside("renaming").await?;
    let query = sqlx::query(concat!("UPDATE sessions SET name = $2 WHERE id = $1 RETURNING ", session_columns!()))
        .bind(id.as_str())
        .bind(text(name));
    let renamed = write.optional(query).await?.as_ref().map(session).transpose()?;
    write.commit().await?;
    Ok(renamed)
}
