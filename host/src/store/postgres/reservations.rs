//! What a placement is decided on, and the writing of what was decided.

use sqlx::{Row as _, postgres::PgDatabaseError};

use super::{Lease, PostgresStore, Reservation, Snapshot, StoreError, Write, failed, nodes, now, placements, text};
use crate::{
    domain::{Revision, Session},
    store::rows::{self, nodes::node, sessions::live as live_session, size, to_json},
};

pub(super) async fn snapshot(store: &PostgresStore) -> Result<Snapshot, StoreError> {
    const OPERATION: &str = "snapshot";
    const CLUSTER: &str = concat!("SELECT revision, ", now!(), " AS now FROM cluster");
    // The first statement that reads fixes what the transaction sees.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '8s'; \
                 SET LOCAL idle_in_transaction_session_timeout = '8s'";
    let mut transaction = Lease::take(&store.readers, OPERATION).await?.begin(begin).await?;
    let cluster = transaction.one(sqlx::query(CLUSTER)).await?;
    let nodes = transaction.all(sqlx::query(nodes::ALL)).await?;
    let live = transaction
        .all(sqlx::query(
            r#"SELECT id, node, "user", groups, placed, cpus, memory FROM sessions
               WHERE state IN ('starting', 'active')"#,
        ))
        .await?;
    transaction.commit().await?;

    let revision = cluster.try_get("revision").map_err(failed(OPERATION))?;
    let now = rows::time("cluster", cluster.try_get("now").map_err(failed(OPERATION))?)?;
    let nodes = nodes.iter().map(|row| node(row, store.node_timeout)).collect::<Result<_, _>>()?;
    let live = live.iter().map(live_session).collect::<Result<_, _>>()?;
    Ok(Snapshot { revision: Revision(revision), now, nodes, live })
}

pub(super) async fn reserve(
    store: &PostgresStore,
    seen: Revision,
    reservations: &[Reservation],
) -> Result<bool, StoreError> {
    const RAISE: &str =
        concat!("UPDATE cluster SET revision = revision + 1 WHERE revision = $1 RETURNING ", now!(), " AS now");
    // Not locked before: the revision that it is raised from is in the statement, and who waited for it finds another.
    let operation = "reservation";
    let lease = Lease::take(&store.writers, operation).await?;
    let mut transaction = lease.begin(super::begin!("")).await?;
    let Some(raised) = transaction.optional(sqlx::query(RAISE).bind(seen.0)).await? else {
        transaction.undo().await?;
        return Ok(false);
    };
    let now = raised.try_get("now").map_err(failed(operation))?;
    let mut write = Write { transaction, now, operation, told: Some(store.news.told()) };
    let new: Vec<&Reservation> = reservations.iter().filter(|reservation| reservation.new).collect();
    insert(&mut write, &new).await?;
    insert_jobs(&mut write, &new).await?;
    for reservation in reservations.iter().filter(|reservation| !reservation.new) {
        if !place_again(&mut write, &reservation.session).await? {
            write.undo().await?;
            return Ok(false);
        }
    }
    placements::insert(&mut write, reservations).await?;
    write.commit().await?;
    Ok(true)
}

async fn insert(write: &mut Write, new: &[&Reservation]) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let operation = write.operation;
    let sessions = || new.iter().map(|reservation| &reservation.session);
    let json = |value: fn(&Session) -> Result<String, serde_json::Error>| -> Result<Vec<String>, StoreError> {
        let failed = |error: serde_json::Error| StoreError::Database { operation, message: error.to_string() };
        sessions().map(|session| value(session).map_err(failed)).collect()
    };
    let query = sqlx::query(
        r#"INSERT INTO sessions (id, "user", kind, name, state, node, epoch, claimed, cpus, memory, labels, candidates,
                                 failed_nodes, created, changed, placed, groups, is_job)
           SELECT id, owner, kind, name, 'starting', node, epoch, FALSE, cpus, memory, labels, candidates,
                  failed_nodes, created, changed, $1, groups, is_job
           FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::float8[],
                       $9::bigint[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::text[],
                       $16::boolean[])
                AS new (id, owner, kind, name, node, epoch, cpus, memory, labels, candidates, failed_nodes, created,
                        changed, groups, is_job)"#,
    )
    .bind(write.now)
    .bind(sessions().map(|session| session.id.as_str().to_owned()).collect::<Vec<_>>())
    .bind(sessions().map(|session| text(&session.user).into_owned()).collect::<Vec<_>>())
    .bind(sessions().map(|session| text(&session.kind).into_owned()).collect::<Vec<_>>())
    .bind(sessions().map(|session| text(&session.name).into_owned()).collect::<Vec<_>>())
    .bind(sessions().map(|session| session.node.0).collect::<Vec<_>>())
    .bind(sessions().map(|session| session.epoch.0).collect::<Vec<_>>())
    .bind(sessions().map(|session| session.cpus).collect::<Vec<_>>())
    .bind(sessions().map(|session| size(session.memory)).collect::<Vec<_>>())
    .bind(json(|session| serde_json::to_string(&session.labels))?)
    .bind(json(|session| serde_json::to_string(&session.candidates))?)
    .bind(json(|session| serde_json::to_string(&session.failed_nodes))?)
    .bind(sessions().map(|session| session.created.as_millisecond()).collect::<Vec<_>>())
    .bind(sessions().map(|session| session.changed.as_millisecond()).collect::<Vec<_>>())
    .bind(json(|session| serde_json::to_string(&session.groups))?)
    .bind(sessions().map(|session| session.is_job).collect::<Vec<_>>());
    match write.transaction.attempt(query).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            let detail =
                error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail).unwrap_or_default();
            let id = sessions().map(|session| session.id.as_str()).find(|id| detail.contains(id)).unwrap_or("?");
            let message = format!("the session id {id} is taken; draw another");
            Err(StoreError::Database { operation, message })
        }
        Err(error) => Err(failed(operation)(error)),
    }
}

async fn insert_jobs(write: &mut Write, new: &[&Reservation]) -> Result<(), StoreError> {
    let operation = write.operation;
    for reservation in new {
        let Some(job) = &reservation.job else { continue };
        let query = sqlx::query("INSERT INTO jobs (session, job) VALUES ($1, $2)")
            .bind(reservation.session.id.as_str())
            .bind(to_json(operation, job.as_ref())?);
        write.execute(query).await?;
    }
    Ok(())
}

async fn place_again(write: &mut Write, session: &Session) -> Result<bool, StoreError> {
    let operation = write.operation;
    let query = sqlx::query(
        "UPDATE sessions SET
             state = 'starting', node = $3, epoch = $2, claimed = FALSE, pid = NULL, cpus = $4, memory = $5, labels = $6,
             candidates = $7, failed_nodes = $8, failure = NULL, note = NULL, changed = $9, placed = $10,
             groups = $11
         WHERE id = $1 AND epoch = $2 - 1 AND state NOT IN ('active', 'ended') AND wanted IS NULL
           -- Who claims and who places again exclude each other.
           AND (state <> 'starting' OR NOT claimed)",
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
    .bind(write.now)
    .bind(to_json(operation, &session.groups)?);
    Ok(write.execute(query).await? == 1)
}
