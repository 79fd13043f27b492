//! The story told on Postgres, and what is Postgres' own: whose the database is, its version, and how it is entered.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use evenkeel_test_postgres::{Database, Server, USER};

use super::{Access, Host, PostgresStore, Store, StoreError, Tls};
use crate::{
    domain::{State, Wanted},
    store::{
        Report,
        begun::Member,
        story::{self, Bed, TIMEOUT, registration},
    },
};

mod certificate;
mod entry;

struct PostgresBed {
    database: Database,
    access: Access,
}

fn access(database: &Database) -> Access {
    Access {
        host: Host::Socket(database.server().directory().to_owned()),
        port: database.server().port(),
        database: database.name().to_owned(),
        user: USER.to_owned(),
        password: Some(database.server().password()),
        tls: Tls::default(),
        root_certificate: None,
        client_certificate: None,
    }
}

impl PostgresBed {
    async fn new() -> Self {
        let database = tokio::task::spawn_blocking(|| Server::shared().database()).await.unwrap();
        let access = access(&database);
        Self { database, access }
    }

    async fn execute(&self, statements: &'static str) -> String {
        tokio::task::block_in_place(|| self.database.sql(statements))
    }

    async fn try_open(&self) -> Result<PostgresStore, StoreError> {
        PostgresStore::open(&self.access, TIMEOUT).await
    }
}

#[async_trait]
impl Bed for PostgresBed {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.try_open().await.unwrap())
    }

    async fn begun(&self) -> Option<Vec<Member>> {
        PostgresStore::begun(&self.access).await.unwrap()
    }

    async fn pass(&self, time: Duration) {
        let by = super::milliseconds(time);
        let statements = format!(
            "UPDATE nodes SET last_seen = last_seen - {by}, tried = tried - {by},
                 drain_since = drain_since - {by}, drain_deadline = drain_deadline - {by};
             UPDATE cluster SET last_heartbeat = last_heartbeat - {by}, in_use_since = in_use_since - {by};
             UPDATE sessions SET created = created - {by}, changed = changed - {by}, placed = placed - {by};
             UPDATE placements SET decided = decided - {by};
             UPDATE sign_outs SET until = until - {by}"
        );
        tokio::task::block_in_place(|| self.database.sql(&statements));
    }

    async fn add_to_schema(&self) {
        self.execute(concat!(
            "ALTER TABLE nodes ADD COLUMN later BIGINT DEFAULT 7;",
            "ALTER TABLE sessions ADD COLUMN later BIGINT DEFAULT 7;",
            "ALTER TABLE placements ADD COLUMN later BIGINT DEFAULT 7;",
            "ALTER TABLE shadows ADD COLUMN later BIGINT DEFAULT 7;",
            "ALTER TABLE users ADD COLUMN later BIGINT DEFAULT 7;",
            "ALTER TABLE sign_outs ADD COLUMN later BIGINT DEFAULT 7;",
            "ALTER TABLE jobs ADD COLUMN later BIGINT DEFAULT 7;",
            "ALTER TABLE cluster ADD COLUMN later BIGINT DEFAULT 7;",
            "ALTER TABLE shown ADD COLUMN later BIGINT DEFAULT 7;",
            "ALTER TABLE shown_total ADD COLUMN later BIGINT DEFAULT 7;",
            // Also by names that other tables have.
            "ALTER TABLE nodes ADD COLUMN state BIGINT DEFAULT 7;",
            "ALTER TABLE nodes ADD COLUMN epoch BIGINT DEFAULT 7;",
            "ALTER TABLE nodes ADD COLUMN kind BIGINT DEFAULT 7;",
            "ALTER TABLE cluster ADD COLUMN place BIGINT DEFAULT 7;",
            "ALTER TABLE cluster ADD COLUMN stopped BIGINT DEFAULT 7;",
            "ALTER TABLE shadows ADD COLUMN decided BIGINT DEFAULT 7;",
            "ALTER TABLE shadows ADD COLUMN session BIGINT DEFAULT 7;",
            "ALTER TABLE shown ADD COLUMN shown_position BIGINT DEFAULT 7;",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', TRUE, '\\x00', 0);",
        ))
        .await;
    }
}

story::tell!(PostgresBed::new);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_daemons_that_open_a_new_store_at_once_all_succeed() {
    let bed = Arc::new(PostgresBed::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..12 {
        let bed = Arc::clone(&bed);
        tasks.spawn(async move {
            let store = bed.try_open().await.expect("opens");
            store.register(&registration(&format!("node{n}"))).await.expect("registers");
            store
        });
    }
    for store in tasks.join_all().await {
        assert_eq!(store.nodes().await.unwrap().len(), 12);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_there_after_reopening() {
    let bed = PostgresBed::new().await;
    let store = bed.try_open().await.unwrap();
    let id = store.register(&registration("a")).await.unwrap();
    store.close().await;
    assert_eq!(story::node(&bed.try_open().await.unwrap(), id).await.name, "a");
}

#[test]
fn a_migration_only_adds_or_says_who_can_live_with_it() {
    crate::store::schema::tests::check(&super::open::MIGRATIONS, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_newer_program_is_refused_by_its_number() {
    let bed = PostgresBed::new().await;
    bed.try_open().await.unwrap().close().await;
    bed.execute(
        r"INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
          VALUES (9999, 'later', TRUE, '\x00', 0);
          UPDATE cluster SET works_from = 9998;",
    )
    .await;
    let newest = super::open::MIGRATIONS.iter().map(|migration| migration.version).max().unwrap();
    let known = format!("up to {newest}, where 9998 is the oldest");
    let error = bed.try_open().await.unwrap_err().to_string();
    assert!(error.contains("version 9999") && error.contains(&known), "{error}");
    assert!(error.contains(bed.database.name()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_holds_something_else_is_refused_and_left_alone() {
    const TABLES: &str =
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace <> 11 AND relname !~ '^sql_'";
    let bed = PostgresBed::new().await;
    bed.execute("CREATE SCHEMA music CREATE TABLE albums (title TEXT)").await;
    let error = bed.try_open().await.unwrap_err().to_string();
    assert!(error.contains("holds something else (tables albums)"), "{error}");
    assert_eq!(bed.execute(TABLES).await, "1");

    let workbench = PostgresBed::new().await;
    // Tables of its own by the names of ours do not make it ours.
    let tables =
        "CREATE TABLE cluster (id INT); CREATE TABLE schema_version (a INT); CREATE TABLE revoked_cookie (a INT)";
    workbench.execute(tables).await;
    let error = workbench.try_open().await.unwrap_err().to_string();
    assert!(error.contains("is the database of Posit Workbench"), "{error}");
    assert!(error.contains("create an empty database"), "{error}");
    assert_eq!(workbench.execute(TABLES).await, "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let bed = PostgresBed::new().await;
    let name = format!("{}_latin", bed.database.name());
    let make = format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0");
    tokio::task::block_in_place(|| bed.database.sql(&make));
    let latin = Access { database: name.clone(), ..access(&bed.database) };
    let error = PostgresStore::open(&latin, TIMEOUT).await.unwrap_err().to_string();
    tokio::task::block_in_place(|| bed.database.sql(&format!("DROP DATABASE {name}")));
    assert!(error.contains("encoding is LATIN1") && error.contains("UTF8"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_rights_is_told_what_is_missing() {
    let bed = PostgresBed::new().await;
    let role = format!("{}_guest", bed.database.name());
    let make = format!("REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE ROLE {role} LOGIN PASSWORD 'guest'");
    tokio::task::block_in_place(|| bed.database.sql(&make));
    let guest = Access { user: role.clone(), password: Some("guest".to_owned()), ..access(&bed.database) };
    let error = PostgresStore::open(&guest, TIMEOUT).await.unwrap_err().to_string();
    tokio::task::block_in_place(|| bed.database.sql(&format!("DROP ROLE {role}")));
    assert!(error.contains("has no schema to make tables in"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_cannot_be_read_is_located() {
    let bed = PostgresBed::new().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_half_way_leaves_the_store_usable() {
    let bed = PostgresBed::new().await;
    let store = bed.try_open().await.unwrap();
    for n in 0..200_u64 {
        let registration = registration(&format!("node{n}"));
        let _ = tokio::time::timeout(Duration::from_micros(n * 20), store.register(&registration)).await;
    }
    let id = store.register(&registration("last")).await.unwrap();
    assert_eq!(story::node(&store, id).await.name, "last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_whose_last_words_are_no_text_fails_like_any_other() {
    let bed = PostgresBed::new().await;
    let store = bed.try_open().await.unwrap();
    let id = store.register(&registration("a")).await.unwrap();
    let words = "it said \0\u{1} and died".to_owned();
    let session = story::starting(&store, id).await;
    let failed = store.start_failed(session.id, session.epoch, &words, None).await.unwrap().unwrap();
    assert_eq!(failed.state, State::Failed);
    let placement = store.placements(Some(session.id), None, 1).await.unwrap().remove(0);
    assert_eq!(placement.attempts[0].failure, words);
    let read = story::read(&store, session.id).await;
    assert_eq!(read.failure.as_deref(), Some("it said \u{FFFD}\u{1} and died"));
    let session = story::active(&store, id).await;
    let report = Report::Failed { failure: words };
    assert!(store.report(session.id, session.epoch, &report).await.unwrap().is_some());
    assert_eq!(store.want_all("a\0da", Wanted::Ended).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_the_lock_of_one_that_vanished_waits_a_bounded_time() {
    let bed = PostgresBed::new().await;
    let (store, other) = (bed.try_open().await.unwrap(), bed.try_open().await.unwrap());
    let id = store.register(&registration("a")).await.unwrap();
    // A daemon that holds the lock and says nothing more: the server cuts it off.
    let held = other.write("hold").await.unwrap();
    let begin = std::time::Instant::now();
    let mut calls = 0;
    while store.set_cordoned(id, true).await.is_err() {
        calls += 1;
        assert!(calls < 3, "it goes on after {} s", begin.elapsed().as_secs());
    }
    assert!(begin.elapsed() < Duration::from_secs(20));
    drop(held);
    assert!(store.nodes().await.unwrap()[0].cordoned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_daemon_changes_is_told_to_the_others_also_after_the_connection_was_lost() {
    const LISTENERS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    let bed = PostgresBed::new().await;
    let (store, other) = (bed.try_open().await.unwrap(), bed.try_open().await.unwrap());
    let mut news = other.changes().expect("it tells");
    let limit = Duration::from_secs(20);
    let listening = |count: &'static str| {
        let counted = format!("SELECT count(*) {LISTENERS}");
        let database = &bed.database;
        async move {
            let counting = async {
                while tokio::task::block_in_place(|| database.sql(&counted)) != count {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(limit, counting).await.expect("they listen");
        }
    };
    listening("2").await;
    let id = store.register(&registration("a")).await.unwrap();
    for _ in 0..2 {
        news.mark_unchanged();
        store.set_cordoned(id, true).await.unwrap();
        tokio::time::timeout(limit, news.changed()).await.expect("it is told").unwrap();
        let end = format!("SELECT pg_terminate_backend(pid) {LISTENERS}");
        tokio::task::block_in_place(|| bed.database.sql(&end));
        listening("2").await;
    }
}

#[test]
fn every_migration_in_the_folder_is_in_the_program() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(
        super::open::MIGRATIONS.iter().count(),
        files,
        "touch store/postgres/open.rs: the build did not see them"
    );
}
