//! What a placement is decided on, and the writing of what was decided.

use super::{Reservation, Snapshot, SqliteStore, StoreError, Write, failed, nodes, now, placements};
use crate::{
    domain::Revision,
    store::rows::{self, nodes::node, sessions::live as live_session, size, to_json},
};

pub(super) async fn snapshot(store: &SqliteStore) -> Result<Snapshot, StoreError> {
    let failed = failed("snapshot");
    // The first statement fixes what the transaction sees.
    let mut transaction = store.readers.begin().await.map_err(&failed)?;
    let (revision, now): (i64, i64) = sqlx::query_as(concat!("SELECT revision, ", now!(), " FROM cluster"))
        .fetch_one(&mut *transaction)
        .await
        .map_err(&failed)?;
    let nodes = sqlx::query(nodes::ALL).fetch_all(&mut *transaction).await.map_err(&failed)?;
    let live = sqlx::query(
        "SELECT id, node, user, groups, placed, cpus, memory FROM sessions WHERE state IN ('starting', 'active')",
    )
    .fetch_all(&mut *transaction)
    .await
    .map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;

    let nodes = nodes.iter().map(|row| node(row, store.node_timeout)).collect::<Result<_, _>>()?;
    let live = live.iter().map(live_session).collect::<Result<_, _>>()?;
    Ok(Snapshot { revision: Revision(revision), now: rows::time("cluster", now)?, nodes, live })
}

pub(super) async fn reserve(
    store: &SqliteStore,
    seen: Revision,
    reservations: &[Reservation],
) -> Result<bool, StoreError> {
    const OPERATION: &str = "reservation";
    // The revision only rises: where it has, there is no need to wait for a turn to write.
    let present: i64 = sqlx::query_scalar("SELECT revision FROM cluster")
        .fetch_one(&store.readers)
        .await
        .map_err(failed(OPERATION))?;
    if present != seen.0 {
        return Ok(false);
    }
    let mut write = store.write(OPERATION).await?;
    let raised = sqlx::query("UPDATE cluster SET revision = revision + 1 WHERE revision = ?1")
        .bind(seen.0)
        .execute(write.on())
        .await
        .map_err(failed(OPERATION))?;
    if raised.rows_affected() == 0 {
        return Ok(false);
    }
    for reservation in reservations {
        let written = if reservation.new {
            insert(&mut write, reservation).await?
        } else {
            place_again(&mut write, reservation).await?
        };
        if !written {
            return Ok(false);
        }
        let session = &reservation.session;
        placements::insert(&mut write, session.id, &session.user, session.epoch, &reservation.decision).await?;
    }
    write.commit().await?;
    Ok(true)
}

async fn insert(write: &mut Write, reservation: &Reservation) -> Result<bool, StoreError> {
    let session = &reservation.session;
    let (now, operation) = (write.now, write.operation);
    let written = sqlx::query(
        "INSERT INTO sessions (id, user, kind, name, state, node, epoch, claimed, cpus, memory, labels, candidates,
                               failed_nodes, created, changed, placed, groups, is_job)
         VALUES (?1, ?2, ?3, ?4, 'starting', ?5, ?6, 0, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )
    .bind(session.id.as_str())
    .bind(&session.user)
    .bind(&session.kind)
    .bind(&session.name)
    .bind(session.node.0)
    .bind(session.epoch.0)
    .bind(session.cpus)
    .bind(size(session.memory))
    .bind(to_json(operation, &session.labels)?)
    .bind(to_json(operation, &session.candidates)?)
    .bind(to_json(operation, &session.failed_nodes)?)
    .bind(session.created.as_millisecond())
    .bind(session.changed.as_millisecond())
    .bind(now)
    .bind(to_json(operation, &session.groups)?)
    .bind(session.is_job)
    .execute(write.on())
    .await;
    match written {
        Ok(_) => insert_job(write, reservation).await,
        Err(error) if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) => {
            Err(StoreError::Database {
                operation,
                message: format!("the session id {} is taken; draw another", session.id),
            })
        }
        Err(error) => Err(failed(operation)(error)),
    }
}

async fn insert_job(write: &mut Write, reservation: &Reservation) -> Result<bool, StoreError> {
    let Some(job) = &reservation.job else { return Ok(true) };
    let operation = write.operation;
    sqlx::query("INSERT INTO jobs (session, job) VALUES (?1, ?2)")
        .bind(reservation.session.id.as_str())
        .bind(to_json(operation, job.as_ref())?)
        .execute(write.on())
        .await
        .map_err(failed(operation))?;
    Ok(true)
}

async fn place_again(write: &mut Write, reservation: &Reservation) -> Result<bool, StoreError> {
    let session = &reservation.session;
    let (now, operation) = (write.now, write.operation);
    let written = sqlx::query(
        "UPDATE sessions SET
             state = 'starting', node = ?3, epoch = ?2, claimed = 0, pid = NULL, cpus = ?4, memory = ?5, labels = ?6,
             candidates = ?7, failed_nodes = ?8, failure = NULL, note = NULL, changed = ?9, placed = ?10,
             groups = ?11
         WHERE id = ?1 AND epoch = ?2 - 1 AND state NOT IN ('active', 'ended') AND wanted IS NULL
           -- Who claims and who places again exclude each other.
           AND (state <> 'starting' OR claimed = 0)",
    )
    .bind(session.id.as_str())
    .bind(session.epoch.0)
    .bind(session.node.0)
    .bind(session.cpus)
    .bind(size(session.memory))
    .bind(to_json(operation, &session.labels)?)
    .bind(to_json(operation, &session.candidates)?)
    .bind(to_json(operation, &session.failed_nodes)?)
    .bind(session.changed.as_millisecond())
    .bind(now)
    .bind(to_json(operation, &session.groups)?)
    .execute(write.on())
    .await
    .map_err(failed(operation))?;
    Ok(written.rows_affected() == 1)
}
