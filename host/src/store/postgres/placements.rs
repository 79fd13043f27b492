//! Records of placements.

use jiff::Timestamp;

use super::{PostgresStore, Reservation, StoreError, Write, text};
use crate::{
    domain::{Attempt, Epoch, Placement, PlacementId, SessionId, Shadow},
    store::rows::{
        Fields,
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

pub(super) async fn one(store: &PostgresStore, id: PlacementId) -> Result<Option<Placement>, StoreError> {
    let query = sqlx::query(concat!(all!(), " WHERE placements.id = $1")).bind(id.0);
    let row = store.read("placement").await?.optional(query).await?;
    row.as_ref().map(placement).transpose()
}

pub(super) async fn list(
    store: &PostgresStore,
    session: Option<SessionId>,
    before: Option<PlacementId>,
    limit: u32,
) -> Result<Vec<Placement>, StoreError> {
    let before = before.map_or(i64::MAX, |id| id.0);
    let limit = i64::from(limit);
    let query = match &session {
        Some(session) => sqlx::query(concat!(
            all!(),
            " WHERE placements.session = $3 AND placements.id < $1 ORDER BY placements.id DESC LIMIT $2"
        ))
        .bind(before)
        .bind(limit)
        .bind(session.as_str()),
        None => sqlx::query(concat!(all!(), " WHERE placements.id < $1 ORDER BY placements.id DESC LIMIT $2"))
            .bind(before)
            .bind(limit),
    };
    let rows = store.read("placements").await?.all(query).await?;
    rows.iter().map(placement).collect()
}

/// Those that the shadow was asked about, newest first.
pub(super) async fn shadowed(store: &PostgresStore, since: Option<Timestamp>) -> Result<Vec<Placement>, StoreError> {
    let query = sqlx::query(concat!(
        "SELECT ",
        placement_columns!(),
        ", shadows.answer AS shadow FROM shadows JOIN placements ON placements.id = shadows.placement
         WHERE placements.decided >= $1 ORDER BY shadows.placement DESC"
    ))
    .bind(since.map_or(i64::MIN, Timestamp::as_millisecond));
    let rows = store.read("shadows").await?.all(query).await?;
    rows.iter().map(placement).collect()
}

/// Writes what the shadow said of a placement, and forgets what it said of those that are not among the newest `keep`.
pub(super) async fn note_shadow(
    store: &PostgresStore,
    session: SessionId,
    epoch: Epoch,
    shadow: &Shadow,
    keep: u32,
) -> Result<bool, StoreError> {
    let mut write = store.write_beside("shadow").await?;
    let query = sqlx::query(
        "INSERT INTO shadows (placement, answer)
         SELECT id, $3 FROM placements WHERE session = $1 AND epoch = $2 ORDER BY id DESC LIMIT 1
         ON CONFLICT (placement) DO UPDATE SET answer = excluded.answer",
    )
    .bind(session.as_str())
    .bind(epoch.0)
    .bind(to_json(write.operation, shadow)?);
    let written = write.execute(query).await?;
    let query = sqlx::query("DELETE FROM shadows WHERE placement <= (SELECT max(id) FROM placements) - $1")
        .bind(i64::from(keep));
    write.execute(query).await?;
    write.commit().await?;
    Ok(written > 0)
}

/// Writes the records of reservations.
pub(super) async fn insert(write: &mut Write, reservations: &[Reservation]) -> Result<(), StoreError> {
    let operation = write.operation;
    let decisions = reservations.iter().map(|reservation| decision_json(operation, &reservation.decision));
    let sessions = || reservations.iter().map(|reservation| &reservation.session);
    // Numbered in the order of the decisions.
    let query = sqlx::query(
        r#"INSERT INTO placements (session, "user", epoch, decision, attempts, decided)
           SELECT session, owner, epoch, decision, '[]', $1
           FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[]) WITH ORDINALITY
                AS new (session, owner, epoch, decision, place)
           ORDER BY place"#,
    )
    .bind(write.now)
    .bind(sessions().map(|session| session.id.as_str().to_owned()).collect::<Vec<_>>())
    .bind(sessions().map(|session| text(&session.user).into_owned()).collect::<Vec<_>>())
    .bind(sessions().map(|session| session.epoch.0).collect::<Vec<_>>())
    .bind(decisions.collect::<Result<Vec<_>, _>>()?);
    write.execute(query).await?;
    Ok(())
}

/// Adds a start that failed to the session's latest record.
pub(super) async fn note(write: &mut Write, session: SessionId, attempt: Attempt) -> Result<(), StoreError> {
    // Not by the database's own functions: they refuse the zero bytes that a program's last words may have.
    let query =
        sqlx::query("SELECT id, attempts FROM placements WHERE session = $1 ORDER BY id DESC LIMIT 1 FOR UPDATE")
            .bind(session.as_str());
    let Some(row) = write.optional(query).await? else { return Ok(()) };
    let fields = Fields::new("placements", &row);
    let id: i64 = fields.get("id")?;
    let mut attempts: Vec<Attempt> = fields.json("attempts")?;
    drop(row);
    attempts.push(attempt);
    let attempts = to_json(write.operation, &attempts)?;
    write
        .execute(sqlx::query("UPDATE placements SET attempts = $2 WHERE placements.id = $1").bind(id).bind(attempts))
        .await?;
    Ok(())
}
