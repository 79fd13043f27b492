//! Opening the database: whether it is ours to use, and of which version.

use std::{sync::LazyLock, time::Duration};

use sqlx::{
    Connection as _, Executor as _, PgConnection, PgPool, Row as _,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{Access, PATIENCE, StoreError, access::words};
use crate::store::{
    begun::{IS_BEGUN, MEMBERS, Member},
    schema,
};

/// The most connections that a node takes for each of reading and writing.
const MOST: u32 = 4;

/// How long one may be unused before it is tried, since the server may have closed it.
const UNTRIED: Duration = Duration::from_secs(5);

/// How long the schema may take to be brought up to date, with the wait for another node that is about it.
const MIGRATION: Duration = Duration::from_secs(120);

/// `EvKl`: what the lock of those who bring the schema up to date is known by.
const LOCK: i64 = 0x4576_4B6C;

/// The oldest server that this is tested with by its documentation.
const OLDEST_SERVER: i32 = 110_000;

pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("./migrations/postgres");
    // They run inside a transaction that has our own lock, which needs no session that is ours alone.
    migrations.set_locking(false);
    migrations
});

/// The connections that write and those that read.
pub(super) async fn open(access: &Access) -> Result<(PgPool, PgPool), StoreError> {
    let options = timeout(MIGRATION, prepare(access)).await.map_err(|_| {
        StoreError::Unusable(format!("{access}: the database did not answer within {} s", MIGRATION.as_secs()))
    })??;
    let pool = || {
        PgPoolOptions::new()
            .max_connections(MOST)
            .acquire_timeout(PATIENCE)
            .idle_timeout(Duration::from_secs(600))
            .max_lifetime(Duration::from_secs(3600))
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > UNTRIED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options.clone())
    };
    Ok((pool(), pool()))
}

/// The members of the cluster that the database has, if one has begun; nothing is changed.
pub(super) async fn begun(access: &Access) -> Result<Option<Vec<Member>>, StoreError> {
    let (mut connection, _) = connect(access).await?;
    let read = async {
        let mut members = None;
        if ours(&mut connection).await?.is_some()
            && sqlx::query_scalar::<_, i64>(IS_BEGUN).fetch_one(&mut connection).await? > 0
        {
            let rows: Vec<(String, String)> = sqlx::query_as(MEMBERS).fetch_all(&mut connection).await?;
            members = Some(rows.into_iter().map(Member::from).collect());
        }
        connection.close().await?;
        Ok(members)
    };
    timeout(PATIENCE, read)
        .await
        .map_err(|_| StoreError::Unusable(format!("{access}: the database did not answer within {PATIENCE:?}")))?
        .map_err(|error| access.unusable(&error))
}

async fn connect(access: &Access) -> Result<(PgConnection, PgConnectOptions), StoreError> {
    access.check_files().await?;
    timeout(PATIENCE * 2, access.connect())
        .await
        .map_err(|_| {
            let seconds = (PATIENCE * 2).as_secs();
            StoreError::Unusable(format!(
                "{access}: no answer within {seconds} s; is the server there, and is host and port in database.conf right?"
            ))
        })?
        .map_err(|error| access.unusable(&error))
}

async fn prepare(access: &Access) -> Result<PgConnectOptions, StoreError> {
    let (mut connection, options) = connect(access).await?;
    migrate(&mut connection, access).await?;
    connection.close().await.map_err(|error| access.unusable(&error))?;
    Ok(options)
}

/// Checks that the database is ours and not of a later version, and brings its schema up to date; all in one transaction.
async fn migrate(connection: &mut PgConnection, access: &Access) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| access.unusable(&error);
    let mut transaction = connection.begin().await.map_err(failed)?;
    fit(&mut transaction, access).await?;
    transaction.execute("SET LOCAL lock_timeout = '60s'").await.map_err(failed)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(|error| access.unusable(&error))?;
    let others = foreign(&mut transaction).await.map_err(failed)?;
    let ours = ours(&mut transaction).await.map_err(failed)?;
    match ours {
        None if others.is_empty() => {}
        None => return Err(occupied(access, &others)),
        Some((found, works_from)) => {
            if !schema::is_to_be_migrated(access, schema::known(&MIGRATIONS), found, works_from)? {
                return Ok(());
            }
        }
    }
    MIGRATIONS.run_direct(None, &mut *transaction, false).await.map_err(|error| {
        let error = match error {
            sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
                words(&error)
            }
            other => other.to_string(),
        };
        StoreError::Unusable(format!(
            "{access}: its schema cannot be brought up to date: {error}; give this user all rights on the database and \
             its schema"
        ))
    })?;
    transaction.commit().await.map_err(|error| access.unusable(&error))
}

/// Whether the server is one that this program can use.
async fn fit(connection: &mut PgConnection, access: &Access) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
                current_setting('server_encoding') AS encoding, current_schema() AS schema,
                current_setting('transaction_read_only')::boolean AS read_only",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| access.unusable(&error))?;
    let failed = |error: sqlx::Error| access.unusable(&error);
    let number: i32 = row.try_get("number").map_err(failed)?;
    let version: String = row.try_get("version").map_err(failed)?;
    let encoding: String = row.try_get("encoding").map_err(failed)?;
    let schema: Option<String> = row.try_get("schema").map_err(failed)?;
    let unfit = |problem: String| Err(StoreError::Unusable(format!("{access}: {problem}")));
    if number < OLDEST_SERVER {
        return unfit(format!("the server is PostgreSQL {version}; 11 or later is needed"));
    }
    if encoding != "UTF8" {
        return unfit(format!("its encoding is {encoding}; create it with ENCODING 'UTF8'"));
    }
    if schema.is_none() {
        return unfit(
            "this user has no schema to make tables in; create the schema public, or one of the user's name".into(),
        );
    }
    if row.try_get("read_only").map_err(failed)? {
        return unfit("it is read-only, as a standby is; name the primary in database.conf".into());
    }
    Ok(())
}

/// The version of our schema, where the database has it, and the oldest that a program must know.
async fn ours(connection: &mut PgConnection) -> Result<Option<(i64, i64)>, sqlx::Error> {
    let is_ours: bool = sqlx::query_scalar(
        "SELECT coalesce(obj_description(to_regclass('cluster'), 'pg_class'), '') = 'The registry of Evenkeel.'",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !is_ours {
        return Ok(None);
    }
    let version: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await?;
    // A schema from before there was such a column is brought up to date.
    let works_from = match version > schema::known(&MIGRATIONS) {
        true => sqlx::query_scalar("SELECT works_from FROM cluster").fetch_one(connection).await?,
        false => 0,
    };
    Ok(Some((version, works_from)))
}

/// Tables and views that are nobody's of the system, and of no extension.
async fn foreign(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT relname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
           AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\\_toast%'
           AND nspname NOT LIKE 'pg\\_temp\\_%'
           AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
                                                     AND deptype = 'e')
         ORDER BY relname",
    )
    .fetch_all(connection)
    .await
}

fn occupied(access: &Access, tables: &[String]) -> StoreError {
    const SHOWN: usize = 5;
    let has = |name: &str| tables.iter().any(|table| table == name);
    let whose = if has("schema_version") && (has("revoked_cookie") || has("licensed_users")) {
        "is the database of Posit Workbench"
    } else {
        "holds something else"
    };
    let mut names = tables.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if tables.len() > SHOWN {
        names.push_str(", …");
    }
    StoreError::Unusable(format!(
        "{access}: {whose} (tables {names}), and nothing was changed there; create an empty database of Evenkeel's own, \
         and name that in database.conf"
    ))
}
