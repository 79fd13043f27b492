//! Records of placements.

use jiff::Timestamp;

use super::{SqliteStore, StoreError, Write, failed};
use crate::{
    domain::{Attempt, Decision, Epoch, Placement, PlacementId, SessionId, Shadow},
    store::rows::{
        placements::{decision_json, placement, placement_columns},
        to_json,
    },
};

/// Placements, each with what the shadow said of it.
macro_rules! all {
    () => {
        concat!(
            "SELECT ",
            placement_columns!(),
            ", shadows.answer AS shadow FROM placements LEFT JOIN shadows ON shadows.placement = placements.id"
        )
    };
}

pub(super) async fn one(store: &SqliteStore, id: PlacementId) -> Result<Option<Placement>, StoreError> {
    let row = sqlx::query(concat!(all!(), " WHERE placements.id = ?1"))
        .bind(id.0)
        .fetch_optional(&store.readers)
        .await
        .map_err(failed("placement"))?;
    row.as_ref().map(placement).transpose()
}

pub(super) async fn list(
    store: &SqliteStore,
    session: Option<SessionId>,
    before: Option<PlacementId>,
    limit: u32,
) -> Result<Vec<Placement>, StoreError> {
    let before = before.map_or(i64::MAX, |id| id.0);
    let query = match session {
        Some(session) => sqlx::query(concat!(
            all!(),
            " WHERE placements.session = ?3 AND placements.id < ?1 ORDER BY placements.id DESC LIMIT ?2"
        ))
        .bind(before)
        .bind(limit)
        .bind(session.as_str().to_owned()),
        None => sqlx::query(concat!(all!(), " WHERE placements.id < ?1 ORDER BY placements.id DESC LIMIT ?2"))
            .bind(before)
            .bind(limit),
    };
    let rows = query.fetch_all(&store.readers).await.map_err(failed("placements"))?;
    rows.iter().map(placement).collect()
}

/// Those that the shadow was asked about, newest first.
pub(super) async fn shadowed(store: &SqliteStore, since: Option<Timestamp>) -> Result<Vec<Placement>, StoreError> {
    // From the few that there are, whatever the planner thinks: all placements are many.
    let rows = sqlx::query(concat!(
        "SELECT ",
        placement_columns!(),
        ", shadows.answer AS shadow FROM shadows CROSS JOIN placements
         WHERE placements.id = shadows.placement AND placements.decided >= ?1 ORDER BY shadows.placement DESC"
    ))
    .bind(since.map_or(i64::MIN, Timestamp::as_millisecond))
    .fetch_all(&store.readers)
    .await
    .map_err(failed("shadows"))?;
    rows.iter().map(placement).collect()
}

/// Writes what the shadow said of a placement, and forgets what it said of those that are not among the newest `keep`.
pub(super) async fn note_shadow(
    store: &SqliteStore,
    session: SessionId,
    epoch: Epoch,
    shadow: &Shadow,
    keep: u32,
) -> Result<bool, StoreError> {
    let mut write = store.write("shadow").await?;
    let failed = write.failed();
    let written = sqlx::query(
        "INSERT OR REPLACE INTO shadows (placement, answer)
         SELECT id, ?3 FROM placements WHERE session = ?1 AND epoch = ?2 ORDER BY id DESC LIMIT 1",
    )
    .bind(session.as_str())
    .bind(epoch.0)
    .bind(to_json(write.operation, shadow)?)
    .execute(write.on())
    .await
    .map_err(&failed)?;
    sqlx::query("DELETE FROM shadows WHERE placement <= (SELECT max(id) FROM placements) - ?1")
        .bind(i64::from(keep))
        .execute(write.on())
        .await
        .map_err(&failed)?;
    write.commit().await?;
    Ok(written.rows_affected() > 0)
}

/// Writes the record of a reservation.
pub(super) async fn insert(
    write: &mut Write,
    session: SessionId,
    user: &str,
    epoch: Epoch,
    decision: &Decision,
) -> Result<(), StoreError> {
    let (now, failed) = (write.now, write.failed());
    sqlx::query(
        "INSERT INTO placements (session, user, epoch, decision, attempts, decided) VALUES (?1, ?2, ?3, ?4, '[]', ?5)",
    )
    .bind(session.as_str())
    .bind(user)
    .bind(epoch.0)
    .bind(decision_json(write.operation, decision)?)
    .bind(now)
    .execute(write.on())
    .await
    .map_err(failed)?;
    Ok(())
}

/// Adds a start that failed to the session's latest record.
pub(super) async fn note(write: &mut Write, session: SessionId, attempt: &Attempt) -> Result<(), StoreError> {
    let failed = write.failed();
    sqlx::query(
        "UPDATE placements SET attempts = json_insert(attempts, '$[#]', json(?2))
         WHERE id = (SELECT max(id) FROM placements WHERE session = ?1)",
    )
    .bind(session.as_str())
    .bind(to_json(write.operation, attempt)?)
    .execute(write.on())
    .await
    .map_err(failed)?;
    Ok(())
}
