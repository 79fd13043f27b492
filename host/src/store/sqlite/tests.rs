//! The story told on SQLite, and what is SQLite's own: the file, its directory, its version.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::{SqliteStore, Store, StoreError, open::FILE};
use crate::store::{
    begun::Member,
    story::{self, Bed, TIMEOUT, registration},
};

struct SqliteBed {
    directory: TempDir,
}

impl SqliteBed {
    async fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    /// A connection past the store.
    async fn raw(&self) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(self.file())
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(30))
            .connect()
            .await
            .unwrap()
    }

    async fn execute(&self, statements: &'static str) {
        let mut raw = self.raw().await;
        sqlx::raw_sql(statements).execute(&mut raw).await.unwrap();
        raw.close().await.unwrap();
    }

    async fn try_open(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(self.directory.path(), TIMEOUT).await
    }
}

#[async_trait]
impl Bed for SqliteBed {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.try_open().await.unwrap())
    }

    async fn begun(&self) -> Option<Vec<Member>> {
        SqliteStore::begun(self.directory.path()).await.unwrap()
    }

    async fn pass(&self, time: Duration) {
        let mut raw = self.raw().await;
        for statement in [
            "UPDATE nodes SET last_seen = last_seen - ?1, tried = tried - ?1, drain_since = drain_since - ?1,
                 drain_deadline = drain_deadline - ?1",
            "UPDATE cluster SET last_heartbeat = last_heartbeat - ?1, in_use_since = in_use_since - ?1",
            "UPDATE sessions SET created = created - ?1, changed = changed - ?1, placed = placed - ?1",
            "UPDATE placements SET decided = decided - ?1",
            "UPDATE sign_outs SET until = until - ?1",
        ] {
            sqlx::query(statement).bind(super::milliseconds(time)).execute(&mut raw).await.unwrap();
        }
        raw.close().await.unwrap();
    }

    async fn add_to_schema(&self) {
        self.execute(concat!(
            "ALTER TABLE nodes ADD COLUMN later INTEGER DEFAULT 7;",
            "ALTER TABLE sessions ADD COLUMN later INTEGER DEFAULT 7;",
            "ALTER TABLE placements ADD COLUMN later INTEGER DEFAULT 7;",
            "ALTER TABLE shadows ADD COLUMN later INTEGER DEFAULT 7;",
            "ALTER TABLE users ADD COLUMN later INTEGER DEFAULT 7;",
            "ALTER TABLE sign_outs ADD COLUMN later INTEGER DEFAULT 7;",
            "ALTER TABLE jobs ADD COLUMN later INTEGER DEFAULT 7;",
            "ALTER TABLE cluster ADD COLUMN later INTEGER DEFAULT 7;",
            "ALTER TABLE shown ADD COLUMN later INTEGER DEFAULT 7;",
            // Also by names that other tables have.
            "ALTER TABLE nodes ADD COLUMN state INTEGER DEFAULT 7;",
            "ALTER TABLE nodes ADD COLUMN epoch INTEGER DEFAULT 7;",
            "ALTER TABLE nodes ADD COLUMN kind INTEGER DEFAULT 7;",
            "ALTER TABLE cluster ADD COLUMN place INTEGER DEFAULT 7;",
            "ALTER TABLE cluster ADD COLUMN stopped INTEGER DEFAULT 7;",
            "ALTER TABLE shadows ADD COLUMN decided INTEGER DEFAULT 7;",
            "ALTER TABLE shadows ADD COLUMN session INTEGER DEFAULT 7;",
            "ALTER TABLE shown ADD COLUMN shown_position INTEGER DEFAULT 7;",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', TRUE, x'00', 0);",
        ))
        .await;
    }
}

story::tell!(SqliteBed::new);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_daemons_that_open_a_new_store_at_once_all_succeed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("new/store");
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..12 {
        let path = path.clone();
        tasks.spawn(async move {
            let store = SqliteStore::open(&path, TIMEOUT).await.expect("opens");
            store.register(&registration(&format!("node{n}"))).await.expect("registers");
            store
        });
    }
    let stores = tasks.join_all().await;
    for store in &stores {
        assert_eq!(store.nodes().await.unwrap().len(), 12);
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&path).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_store_that_others_could_read_is_closed_to_them() {
    let bed = SqliteBed::new().await;
    bed.try_open().await.unwrap().close().await;
    std::fs::set_permissions(bed.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let _store = bed.try_open().await.unwrap();
    assert_eq!(std::fs::metadata(bed.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let bed = SqliteBed::new().await;
    let store = bed.try_open().await.unwrap();
    let id = store.register(&registration("a")).await.unwrap();
    store.close().await;
    assert_eq!(story::node(&bed.try_open().await.unwrap(), id).await.name, "a");
}

#[test]
fn a_migration_only_adds_or_says_who_can_live_with_it() {
    crate::store::schema::tests::check(&super::open::MIGRATIONS, 13);
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused_by_its_number() {
    let bed = SqliteBed::new().await;
    bed.try_open().await.unwrap().close().await;
    bed.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', TRUE, x'00', 0);
         UPDATE cluster SET works_from = 9998;",
    )
    .await;
    let newest = super::open::MIGRATIONS.iter().map(|migration| migration.version).max().unwrap();
    let known = format!("up to {newest}, where 9998 is the oldest");
    let error = bed.try_open().await.unwrap_err().to_string();
    assert!(error.contains("version 9999") && error.contains(&known), "{error}");
    assert!(error.contains(bed.file().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn the_database_of_another_program_is_refused_and_left_alone() {
    let bed = SqliteBed::new().await;
    bed.execute("CREATE TABLE albums (title TEXT)").await;
    let before = std::fs::read(bed.file()).unwrap();
    let error = bed.try_open().await.unwrap_err().to_string();
    assert!(error.contains("another program") && error.contains(bed.file().to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read(bed.file()).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let bed = SqliteBed::new().await;
    let text = "these are notes, and long enough to be taken for a header\n".repeat(40);
    std::fs::write(bed.file(), &text).unwrap();
    let error = bed.try_open().await.unwrap_err().to_string();
    assert!(error.contains("not an SQLite database") && error.contains(bed.file().to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read_to_string(bed.file()).unwrap(), text);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let bed = SqliteBed::new().await;
    let occupied = bed.directory.path().join("occupied");
    std::fs::write(&occupied, "").unwrap();
    for path in [occupied.join("store"), occupied, PathBuf::from("/proc/evenkeel")] {
        let error = SqliteStore::open(&path, TIMEOUT).await.unwrap_err();
        assert!(matches!(error, StoreError::Unusable(_)), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_column_that_cannot_be_read_is_located() {
    let bed = SqliteBed::new().await;
    let store = bed.try_open().await.unwrap();
    let id = store.register(&registration("a")).await.unwrap();
    bed.execute("UPDATE nodes SET labels = '[1]'").await;
    let error = store.nodes().await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { table: "nodes", column: "labels", .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("nodes {id}: column labels: ")), "{error}");

    bed.execute("UPDATE nodes SET labels = '{}', ip = 'localhost'").await;
    let error = store.snapshot().await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { column: "ip", .. }), "{error}");
}

#[tokio::test]
async fn the_schema_refuses_states_that_there_are_not_by_the_name_of_the_rule() {
    let bed = SqliteBed::new().await;
    let store = bed.try_open().await.unwrap();
    let id = store.register(&registration("a")).await.unwrap();
    story::starting(&store, id).await;
    let mut raw = bed.raw().await;
    let error = sqlx::query("UPDATE sessions SET state = 'resting'").execute(&mut raw).await.unwrap_err();
    assert!(error.to_string().contains("sessions_state_is_known"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_half_way_leaves_the_store_usable() {
    let bed = SqliteBed::new().await;
    let store = bed.try_open().await.unwrap();
    for n in 0..200_u64 {
        let registration = registration(&format!("node{n}"));
        let _ = tokio::time::timeout(Duration::from_micros(n * 20), store.register(&registration)).await;
    }
    let id = store.register(&registration("last")).await.unwrap();
    assert_eq!(story::node(&store, id).await.name, "last");
}

#[test]
fn every_migration_in_the_folder_is_in_the_program() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(super::open::MIGRATIONS.iter().count(), files, "touch store/sqlite/open.rs: the build did not see them");
}

/// The environment variable that tells a process of the test below which store to work on.
const PROCESS_STORE: &str = "EVENKEEL_TEST_PROCESS_STORE";
const PROCESSES: usize = 3;
const RESERVATIONS_EACH: usize = 20;

/// Not a test by itself: what each process of the next test does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test of several processes"]
async fn one_of_several_processes() {
    let Some(directory) = std::env::var_os(PROCESS_STORE) else { return };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.as_ref(), TIMEOUT).await.unwrap());
    let node = store.register(&registration(&format!("node{}", std::process::id()))).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..RESERVATIONS_EACH {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            loop {
                let seen = store.snapshot().await.expect("snapshot");
                let mut wish = story::reservation(seen.now, node, "ada");
                // The ids of the story are unique within one process only.
                let number = u64::from(std::process::id()) % 1_000_000 * 100 + seen.live.len() as u64 % 100;
                wish.session.id = format!("{number:08}").parse().expect("eight digits");
                if store.reserve(seen.revision, std::slice::from_ref(&wish)).await.expect("reserve") {
                    return;
                }
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_open_a_new_store_at_once_and_reserve_exactly() {
    let bed = SqliteBed::new().await;
    let mut children = Vec::new();
    for _ in 0..PROCESSES {
        let child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "store::sqlite::tests::one_of_several_processes"])
            .env(PROCESS_STORE, bed.directory.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        children.push(child);
    }
    for child in children {
        let output = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let seen = bed.try_open().await.unwrap().snapshot().await.unwrap();
    assert_eq!(seen.live.len(), PROCESSES * RESERVATIONS_EACH);
    let raised = i64::try_from(PROCESSES * (RESERVATIONS_EACH + 1)).unwrap();
    assert_eq!(seen.revision.0, raised);
}

#[tokio::test]
async fn a_directory_that_everybody_can_write_to_is_refused() {
    let bed = SqliteBed::new().await;
    let everybodys = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(bed.directory.path(), everybodys).unwrap();
    let error = SqliteStore::open(bed.directory.path(), TIMEOUT).await.unwrap_err().to_string();
    assert!(error.contains("everybody can write to it"), "{error}");
    assert!(!bed.file().exists());
}
