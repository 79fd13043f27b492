//! Opening the file: who may, whether it is ours, and of which version.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};

use super::{StoreError, filesystem};
use crate::store::{
    begun::{IS_BEGUN, MEMBERS, Member},
    schema,
};

/// The file's name in the database directory.
pub(super) const FILE: &str = "evenkeel.db";

/// How long a call waits for others before it fails. A transaction takes milliseconds; this is for a machine that hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// `EvKl`, in the header of every file of ours.
const APPLICATION_ID: i64 = 0x4576_4B6C;

const READERS: u32 = 4;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");

/// The connection that writes and those that read.
pub(super) async fn open(directory: &Path) -> Result<(SqlitePool, SqlitePool), StoreError> {
    let file = directory.join(FILE);
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .busy_timeout(PATIENCE)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("journal_size_limit", "67108864");

    // Held until the schema is up to date: whoever starts next finds it finished. It goes with the process.
    let lock = lock(directory).await?;
    create(&file)?;
    let mut connection = options.connect().await.map_err(|error| unusable(&file, &error))?;
    prepare(&mut connection, &file).await?;
    connection.close().await.map_err(|error| unusable(&file, &error))?;
    drop(lock);

    let pool = |most| {
        SqlitePoolOptions::new()
            .max_connections(most)
            .min_connections(1)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
    };
    let writer = pool(1).connect_with(options.clone()).await.map_err(|error| unusable(&file, &error))?;
    let readers =
        pool(READERS).connect_with(options.pragma("query_only", "1")).await.map_err(|error| unusable(&file, &error))?;
    Ok((writer, readers))
}

/// The members of the cluster that the file in a directory has, if it has begun; nothing is made or changed.
pub(super) async fn begun(directory: &Path) -> Result<Option<Vec<Member>>, StoreError> {
    let file = directory.join(FILE);
    if !file.try_exists().map_err(|error| StoreError::Unusable(format!("database {}: {error}", file.display())))? {
        return Ok(None);
    }
    let failed = |error: sqlx::Error| unusable(&file, &error);
    let options = SqliteConnectOptions::new().filename(&file).busy_timeout(PATIENCE).pragma("query_only", "1");
    let mut connection = options.connect().await.map_err(failed)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name IN ('cluster', 'nodes')")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let mut members = None;
    if tables == 2 && sqlx::query_scalar::<_, i64>(IS_BEGUN).fetch_one(&mut connection).await.map_err(failed)? > 0 {
        let rows: Vec<(String, String)> = sqlx::query_as(MEMBERS).fetch_all(&mut connection).await.map_err(failed)?;
        members = Some(rows.into_iter().map(Member::from).collect());
    }
    connection.close().await.map_err(failed)?;
    Ok(members)
}

/// Makes the directory where it is missing, and waits for its lock.
async fn lock(directory: &Path) -> Result<File, StoreError> {
    let problem = |what: &str, error: &dyn std::fmt::Display| {
        StoreError::Unusable(format!("database directory {}: {what}: {error}", directory.display()))
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| problem("cannot be created", &error))?;
    if let Some(name) = filesystem::unfit(directory).map_err(|error| problem("cannot be examined", &error))? {
        return Err(StoreError::Unusable(format!(
            "database directory {}: is on {name}, where SQLite's locks and shared memory do not hold; set directory in \
             database.conf to one on a local disk",
            directory.display()
        )));
    }
    let mode = directory.metadata().map_err(|error| problem("cannot be examined", &error))?.permissions().mode();
    if mode & 0o002 != 0 {
        return Err(StoreError::Unusable(format!(
            "database directory {}: everybody can write to it, and so put a store or a key of theirs there; set \
             directory in database.conf to one of the daemon's own",
            directory.display()
        )));
    }
    let handle = File::open(directory).map_err(|error| problem("cannot be opened", &error))?;
    let start = Instant::now();
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(handle),
            Err(TryLockError::Error(error)) => return Err(problem("cannot be locked", &error)),
            Err(TryLockError::WouldBlock) if start.elapsed() > PATIENCE => {
                return Err(problem("another program has kept it locked", &format!("{} s", PATIENCE.as_secs())));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Makes the file where it is missing, for its owner only: SQLite gives the files beside it the same mode.
fn create(file: &Path) -> Result<(), StoreError> {
    let problem = |error| StoreError::Unusable(format!("database {}: {error}", file.display()));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(_) => Ok(()),
        // Not opened here: closing a file gives up the locks that SQLite holds on it in this process.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let mode = file.metadata().map_err(problem)?.permissions().mode();
            if mode & 0o077 != 0 {
                std::fs::set_permissions(file, Permissions::from_mode(mode & 0o700)).map_err(problem)?;
            }
            Ok(())
        }
        Err(error) => Err(problem(error)),
    }
}

/// Checks that the file is ours and not of a later version, and brings its schema up to date.
async fn prepare(connection: &mut SqliteConnection, file: &Path) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| unusable(file, &error);
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view')")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    match (application, tables) {
        (APPLICATION_ID, _) => {}
        (0, 0) => {
            sqlx::query("PRAGMA application_id = 1165380460").execute(&mut *connection).await.map_err(failed)?;
        }
        _ => {
            return Err(StoreError::Unusable(format!(
                "database {}: is the SQLite database of another program; move it away, or set another directory in \
                 database.conf",
                file.display()
            )));
        }
    }
    let is_to_be_migrated = is_to_be_migrated(connection, file).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await.map_err(failed)?;
    if !is_to_be_migrated {
        return Ok(());
    }
    MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| {
        StoreError::Unusable(format!("database {}: its schema cannot be brought up to date: {error}", file.display()))
    })
}

async fn is_to_be_migrated(connection: &mut SqliteConnection, file: &Path) -> Result<bool, StoreError> {
    let failed = |error: sqlx::Error| unusable(file, &error);
    let known = schema::known(&MIGRATIONS);
    let migrated: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if migrated == 0 {
        return Ok(true);
    }
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    // A schema from before there was such a column is brought up to date.
    let works_from: i64 = match found > known {
        true => sqlx::query_scalar("SELECT works_from FROM cluster").fetch_one(connection).await.map_err(failed)?,
        false => 0,
    };
    schema::is_to_be_migrated(&format_args!("database {}", file.display()), known, found, works_from)
}

/// Says what keeps the file from being used, and where SQLite is terse, what that means.
fn unusable(file: &Path, error: &sqlx::Error) -> StoreError {
    const NOT_A_DATABASE: &str = "26";
    let file: PathBuf = file.into();
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    StoreError::Unusable(match code.as_deref() {
        Some(NOT_A_DATABASE) => format!(
            "database {}: is not an SQLite database; move it away, or set another directory in database.conf",
            file.display()
        ),
        _ => format!("database {}: {}", file.display(), super::message(error)),
    })
}
