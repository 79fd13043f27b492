//! The Postgres store: one database that all daemons of a cluster share.
//!
//! A transaction that may raise the revision locks the row of `cluster` before it reads anything, so that such
//! transactions come one after the other, as SQLite's do; what they read is then what they change. What concerns one
//! session alone, a claim or the report that it runs, locks the row of that session and waits for nobody else. Who holds
//! the lock of `cluster` may wait for a session's, never the other way round.
//!
//! Every wait ends: for a connection, for a lock, for an answer (`call`), and on the server for a transaction whose
//! daemon is gone. Times are whole milliseconds by the database's clock, read once in each transaction.
//!
//! Postgres 11 and later.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{PgPool, Row as _};
use tokio::sync::{Notify, watch};

use self::{
    lease::{Lease, Query, Transaction},
    news::News,
};
use super::{
    Beat, Heartbeat, Move, NodeDeletion, RegisterError, Registration, Report, Reservation, Reset, Route, SessionFilter,
    Shown, ShownBatch, SignOuts, Snapshot, Store, StoreError,
    begun::Member,
    rows::{self, milliseconds},
};
use crate::domain::{
    Charter, DrainOrder, Epoch, Job, Node, NodeId, OverridesChange, Placement, PlacementId, Revision, Session,
    SessionId, Shadow, SignOut, State, Wanted,
};

mod access;
mod lease;
mod life;
mod membership;
mod news;
mod nodes;
mod open;
mod orders;
mod placements;
mod reservations;
mod sessions;
mod shown;
mod sign_outs;
#[cfg(test)]
mod tests;
mod users;
mod wishes;

pub use access::{Access, Host, Tls};

/// The database's clock as an SQL expression.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}
use now;

/// Begins a transaction. Whoever holds a lock and says nothing is cut off, so that a daemon which vanished holds up nobody.
macro_rules! begin {
    ($then:literal) => {
        concat!(
            "BEGIN; SET LOCAL statement_timeout = '8s'; SET LOCAL idle_in_transaction_session_timeout = '8s'; ",
            $then
        )
    };
}
use begin;

/// How long a call waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a whole call may take; a statement has 8 s.
const LIMIT: Duration = Duration::from_secs(15);

/// The registry in a Postgres database.
#[derive(Debug)]
pub struct PostgresStore {
    /// Apart from those that write, so that many who read hold up no heartbeat.
    readers: PgPool,
    writers: PgPool,
    /// In milliseconds: a node not seen for this long is offline.
    node_timeout: i64,
    news: News,
}

impl PostgresStore {
    /// Opens the store in a database that is empty or has one of ours, and brings its schema up to date. A node is offline
    /// `node_timeout` after its last heartbeat.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] says why the database cannot serve, and what to do; nothing has been written then.
    pub async fn open(access: &Access, node_timeout: Duration) -> Result<Self, StoreError> {
        let (writers, readers) = open::open(access).await?;
        let news = News::new(access, &writers, &readers);
        Ok(Self { readers, writers, node_timeout: milliseconds(node_timeout), news })
    }

    /// The members of the cluster that a database has, if one has begun; nothing is changed.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] says why it cannot be asked, and what to do.
    pub async fn begun(access: &Access) -> Result<Option<Vec<Member>>, StoreError> {
        open::begun(access).await
    }

    /// Closes all connections, after what is under way.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }

    /// A connection for one statement that reads.
    async fn read(&self, operation: &'static str) -> Result<Lease, StoreError> {
        Lease::take(&self.readers, operation).await
    }

    /// A transaction that nobody else can change the basis of placements beside.
    async fn write(&self, operation: &'static str) -> Result<Write, StoreError> {
        let write = self.write_by(operation, begin!("SELECT FROM cluster FOR UPDATE")).await?;
        Ok(Write { told: Some(self.news.told()), ..write })
    }

    /// The same where nothing is lost with the last of it, should the database's machine fail: what a node says each second.
    async fn write_lightly(&self, operation: &'static str) -> Result<Write, StoreError> {
        self.write_by(operation, begin!("SET LOCAL synchronous_commit = off; SELECT FROM cluster FOR UPDATE")).await
    }

    /// A transaction about one session, or about what no placement is decided on.
    async fn write_beside(&self, operation: &'static str) -> Result<Write, StoreError> {
        self.write_by(operation, begin!("")).await
    }

    async fn write_by(&self, operation: &'static str, begin: &'static str) -> Result<Write, StoreError> {
        let lease = Lease::take(&self.writers, operation).await?;
        let mut transaction = lease.begin(begin).await?;
        // After the lock: who comes later has the later time.
        let row = transaction.one(sqlx::query(concat!("SELECT ", now!(), " AS now FROM cluster"))).await?;
        let now = row.try_get("now").map_err(failed(operation))?;
        Ok(Write { transaction, now, operation, told: None })
    }
}

/// A transaction that writes.
struct Write {
    transaction: Transaction,
    /// The store's time.
    now: i64,
    /// What is being done, for errors.
    operation: &'static str,
    /// Where others are told of it.
    told: Option<Arc<Notify>>,
}

impl Write {
    async fn all(&mut self, query: Query<'_>) -> Result<Vec<sqlx::postgres::PgRow>, StoreError> {
        self.transaction.all(query).await
    }

    async fn optional(&mut self, query: Query<'_>) -> Result<Option<sqlx::postgres::PgRow>, StoreError> {
        self.transaction.optional(query).await
    }

    async fn execute(&mut self, query: Query<'_>) -> Result<u64, StoreError> {
        self.transaction.execute(query).await
    }

    async fn raise_revision(&mut self) -> Result<(), StoreError> {
        self.execute(sqlx::query("UPDATE cluster SET revision = revision + 1")).await?;
        Ok(())
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await?;
        if let Some(told) = self.told {
            told.notify_one();
        }
        Ok(())
    }

    /// Changes nothing.
    async fn undo(self) -> Result<(), StoreError> {
        self.transaction.undo().await
    }
}

/// Makes an error of what the database says.
fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| StoreError::Database { operation, message: message(&error) }
}

fn message(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => {
            format!("the database did not answer, or no connection to it became free within {} s", PATIENCE.as_secs())
        }
        sqlx::Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    }
}

/// A call that takes no longer than it may: a database that hangs holds up nobody.
async fn call<T, E: From<StoreError>>(
    operation: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(LIMIT, call).await.unwrap_or_else(|_| {
        let message = format!("the database did not answer within {} s", LIMIT.as_secs());
        Err(StoreError::Database { operation, message }.into())
    })
}

/// A text as Postgres can hold it: without zero bytes.
fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

fn optional_text(value: Option<&str>) -> Option<Cow<'_, str>> {
    value.map(text)
}

#[async_trait]
impl Store for PostgresStore {
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.news.heard())
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        call("clock", async {
            let row = self.read("clock").await?.optional(sqlx::query(concat!("SELECT ", now!(), " AS now"))).await?;
            let now = row.map_or(Ok(0), |row| row.try_get("now")).map_err(failed("clock"))?;
            rows::time("cluster", now)
        })
        .await
    }

    async fn register(&self, registration: &Registration) -> Result<NodeId, RegisterError> {
        call("registration", membership::register(self, registration)).await
    }

    async fn heartbeat(&self, node: NodeId, beat: &Beat) -> Result<Option<Heartbeat>, StoreError> {
        call("heartbeat", membership::heartbeat(self, node, beat)).await
    }

    async fn charter(&self) -> Result<Option<Charter>, StoreError> {
        call("charter", membership::charter(self)).await
    }

    async fn reset_cluster(&self, force: bool) -> Result<Reset, StoreError> {
        call("reset", membership::reset(self, force)).await
    }

    async fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        call("leave", membership::leave(self, node, false)).await
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        call("nodes", nodes::all(self)).await
    }

    async fn set_balancer_digest(&self, node: NodeId, digest: Option<&str>) -> Result<(), StoreError> {
        call("balancer", nodes::set_balancer_digest(self, node, digest)).await
    }

    async fn set_certificate(&self, node: NodeId, certificate: &str) -> Result<(), StoreError> {
        call("certificate", nodes::set_certificate(self, node, certificate)).await
    }

    async fn set_kinds(
        &self,
        node: NodeId,
        kinds: &[String],
        versions: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        call("kinds", nodes::set_kinds(self, node, kinds, versions)).await
    }

    async fn set_metrics(&self, node: NodeId, metrics: &BTreeMap<String, f64>) -> Result<(), StoreError> {
        call("metrics", nodes::set_metrics(self, node, metrics)).await
    }

    async fn leave_for_good(&self, node: NodeId) -> Result<(), StoreError> {
        call("leave", membership::leave(self, node, true)).await
    }

    async fn drain(&self, node: NodeId, order: &DrainOrder) -> Result<bool, StoreError> {
        call("drain", orders::drain(self, node, order)).await
    }

    async fn set_overrides(&self, node: NodeId, change: &OverridesChange) -> Result<bool, StoreError> {
        call("settings of a node", orders::set_overrides(self, node, change)).await
    }

    async fn set_cordoned(&self, node: NodeId, cordoned: bool) -> Result<bool, StoreError> {
        call("cordon", orders::set_cordoned(self, node, cordoned)).await
    }

    async fn delete_node(&self, node: NodeId) -> Result<NodeDeletion, StoreError> {
        call("node removal", nodes::delete(self, node)).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        call("snapshot", reservations::snapshot(self)).await
    }

    async fn reserve(&self, seen: Revision, reservations: &[Reservation]) -> Result<bool, StoreError> {
        call("reservation", reservations::reserve(self, seen, reservations)).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        call("session", sessions::one(self, id)).await
    }

    async fn job(&self, id: SessionId) -> Result<Option<Job>, StoreError> {
        call("job", sessions::job(self, id)).await
    }

    async fn sessions(&self, filter: &SessionFilter) -> Result<Vec<Session>, StoreError> {
        call("sessions", sessions::list(self, filter)).await
    }

    async fn waiting(&self) -> Result<Vec<(NodeId, SessionId)>, StoreError> {
        call("waiting starts", sessions::waiting(self)).await
    }

    async fn routes(&self) -> Result<Vec<Route>, StoreError> {
        call("routes", sessions::routes(self)).await
    }

    async fn claim(&self, id: SessionId, epoch: Epoch, node: NodeId) -> Result<bool, StoreError> {
        call("claim", life::claim(self, id, epoch, node)).await
    }

    async fn report(&self, id: SessionId, epoch: Epoch, report: &Report) -> Result<Option<State>, StoreError> {
        call("report", life::report(self, id, epoch, report)).await
    }

    async fn start_failed(
        &self,
        id: SessionId,
        epoch: Epoch,
        failure: &str,
        next: Option<Move>,
    ) -> Result<Option<Session>, StoreError> {
        call("failed start", life::start_failed(self, id, epoch, failure, next)).await
    }

    async fn want(&self, id: SessionId, wanted: Wanted, note: Option<&str>) -> Result<Option<Session>, StoreError> {
        call("wish", wishes::want(self, id, wanted, note)).await
    }

    async fn want_all(&self, user: &str, wanted: Wanted) -> Result<Vec<Session>, StoreError> {
        call("wish for all", wishes::want_all(self, user, wanted)).await
    }

    async fn want_unused(
        &self,
        id: SessionId,
        epoch: Epoch,
        wanted: Wanted,
        note: &str,
        still: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Session>, StoreError> {
        call("wish for what is unused", wishes::want_unused(self, id, epoch, wanted, note, still)).await
    }

    async fn note_activity(&self, notes: &[(SessionId, Epoch, Timestamp)]) -> Result<(), StoreError> {
        call("notes of activity", wishes::note_activity(self, notes)).await
    }

    async fn rename(&self, id: SessionId, name: &str) -> Result<Option<Session>, StoreError> {
        call("renaming", wishes::rename(self, id, name)).await
    }

    async fn expire(&self, after: Duration) -> Result<Vec<SessionId>, StoreError> {
        call("expiry", life::expire(self, after)).await
    }

    async fn stranded(&self, after: Duration) -> Result<Vec<Session>, StoreError> {
        call("stranded starts", life::stranded(self, after)).await
    }

    async fn placement(&self, id: PlacementId) -> Result<Option<Placement>, StoreError> {
        call("placement", placements::one(self, id)).await
    }

    async fn placements(
        &self,
        session: Option<SessionId>,
        before: Option<PlacementId>,
        limit: u32,
    ) -> Result<Vec<Placement>, StoreError> {
        call("placements", placements::list(self, session, before, limit)).await
    }

    async fn keep_uid(&self, user: &str, uid: u32) -> Result<u32, StoreError> {
        call("user id", users::keep_uid(self, user, uid)).await
    }

    async fn forget_uid(&self, user: &str) -> Result<bool, StoreError> {
        call("user id", users::forget_uid(self, user)).await
    }

    async fn note_shadow(
        &self,
        session: SessionId,
        epoch: Epoch,
        shadow: &Shadow,
        keep: u32,
    ) -> Result<bool, StoreError> {
        call("shadow", placements::note_shadow(self, session, epoch, shadow, keep)).await
    }

    async fn shadowed(&self, since: Option<Timestamp>) -> Result<Vec<Placement>, StoreError> {
        call("shadows", placements::shadowed(self, since)).await
    }

    async fn keep_shown(&self, batch: &ShownBatch, limit: u64) -> Result<bool, StoreError> {
        call("shown", shown::keep(self, batch, limit)).await
    }

    async fn trim_shown(&self, limit: u64) -> Result<(), StoreError> {
        shown::trim(self, limit).await
    }

    async fn shown(&self, placement: PlacementId) -> Result<Option<Shown>, StoreError> {
        call("shown", shown::one(self, placement)).await
    }

    async fn shown_digests(&self) -> Result<BTreeSet<String>, StoreError> {
        call("shown", shown::digests(self)).await
    }

    async fn sign_out(&self, sign_outs: &[SignOut]) -> Result<(), StoreError> {
        call("sign-out", sign_outs::write(self, sign_outs)).await
    }

    async fn sign_outs(&self, seen: i64) -> Result<SignOuts, StoreError> {
        call("sign-outs", sign_outs::after(self, seen)).await
    }
}
