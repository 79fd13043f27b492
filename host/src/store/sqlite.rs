//! The SQLite store: one file that all daemons of one machine share.
//!
//! Each daemon has one connection that writes, and a few that read. A write transaction begins as `IMMEDIATE`, so that
//! it waits for its turn at the start and never fails half-way for having read what another has changed since; the
//! write-ahead log lets readers go on meanwhile.
//!
//! `synchronous` is `NORMAL`: a commit survives the crash of any process, and a power failure leaves the file consistent
//! but may take the last commits. That is safe here because the file is on the machine whose daemons share it: what the
//! lost rows spoke of, programs and daemons, is gone with them, so no program can be left under an epoch that the file
//! has forgotten.
//!
//! Times are whole milliseconds by SQLite's clock, read once in each transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

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

mod filesystem;
mod life;
mod membership;
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

/// SQLite's clock as an SQL expression.
macro_rules! now {
    () => {
        "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)"
    };
}
use now;

/// The registry in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    readers: SqlitePool,
    writer: SqlitePool,
    /// In milliseconds: a node not seen for this long is offline.
    node_timeout: i64,
}

impl SqliteStore {
    /// Opens the store in a directory, making directory and file where they are missing, and brings its schema up to
    /// date. A node is offline `node_timeout` after its last heartbeat.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] says why the directory or the file cannot serve, and what to do.
    pub async fn open(directory: &Path, node_timeout: Duration) -> Result<Self, StoreError> {
        let (writer, readers) = open::open(directory).await?;
        Ok(Self { readers, writer, node_timeout: milliseconds(node_timeout) })
    }

    /// The members of the cluster that the store in a directory has, if one has begun; nothing is made or changed.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] says why the file cannot be read.
    pub async fn begun(directory: &Path) -> Result<Option<Vec<Member>>, StoreError> {
        open::begun(directory).await
    }

    /// Closes the file, after what is under way.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Keeps every other daemon from writing, until dropped.
    #[cfg(test)]
    pub(crate) async fn hold(&self) -> Result<impl Drop + use<>, StoreError> {
        Ok(self.write("hold").await?.transaction)
    }

    async fn write(&self, operation: &'static str) -> Result<Write, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(operation))?;
        let now = sqlx::query_scalar(concat!("SELECT ", now!()))
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed(operation))?;
        Ok(Write { transaction, now, operation })
    }
}

/// A write transaction; dropped without [`Write::commit`], it changes nothing.
struct Write {
    transaction: Transaction<'static, Sqlite>,
    /// The store's time.
    now: i64,
    /// What is being done, for errors.
    operation: &'static str,
}

impl Write {
    fn on(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    fn failed(&self) -> impl Fn(sqlx::Error) -> StoreError + use<> {
        failed(self.operation)
    }

    async fn raise_revision(&mut self) -> Result<(), StoreError> {
        let failed = self.failed();
        sqlx::query("UPDATE cluster SET revision = revision + 1").execute(self.on()).await.map_err(failed)?;
        Ok(())
    }

    async fn commit(self) -> Result<(), StoreError> {
        let failed = self.failed();
        self.transaction.commit().await.map_err(failed)
    }
}

/// Makes an error of what the database says.
fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| StoreError::Database { operation, message: message(&error) }
}

fn message(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => {
            format!("the store is busy: no connection to it became free within {} s", open::PATIENCE.as_secs())
        }
        other => other.to_string(),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        let now =
            sqlx::query_scalar(concat!("SELECT ", now!())).fetch_one(&self.readers).await.map_err(failed("clock"))?;
        rows::time("cluster", now)
    }

    async fn register(&self, registration: &Registration) -> Result<NodeId, RegisterError> {
        membership::register(self, registration).await
    }

    async fn heartbeat(&self, node: NodeId, beat: &Beat) -> Result<Option<Heartbeat>, StoreError> {
        membership::heartbeat(self, node, beat).await
    }

    async fn charter(&self) -> Result<Option<Charter>, StoreError> {
        membership::charter(self).await
    }

    async fn reset_cluster(&self, force: bool) -> Result<Reset, StoreError> {
        membership::reset(self, force).await
    }

    async fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        membership::leave(self, node, false).await
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        nodes::all(self).await
    }

    async fn set_balancer_digest(&self, node: NodeId, digest: Option<&str>) -> Result<(), StoreError> {
        nodes::set_balancer_digest(self, node, digest).await
    }

    async fn set_certificate(&self, node: NodeId, certificate: &str) -> Result<(), StoreError> {
        nodes::set_certificate(self, node, certificate).await
    }

    async fn set_kinds(
        &self,
        node: NodeId,
        kinds: &[String],
        versions: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        nodes::set_kinds(self, node, kinds, versions).await
    }

    async fn set_metrics(&self, node: NodeId, metrics: &BTreeMap<String, f64>) -> Result<(), StoreError> {
        nodes::set_metrics(self, node, metrics).await
    }

    async fn leave_for_good(&self, node: NodeId) -> Result<(), StoreError> {
        membership::leave(self, node, true).await
    }

    async fn drain(&self, node: NodeId, order: &DrainOrder) -> Result<bool, StoreError> {
        orders::drain(self, node, order).await
    }

    async fn set_overrides(&self, node: NodeId, change: &OverridesChange) -> Result<bool, StoreError> {
        orders::set_overrides(self, node, change).await
    }

    async fn set_cordoned(&self, node: NodeId, cordoned: bool) -> Result<bool, StoreError> {
        orders::set_cordoned(self, node, cordoned).await
    }

    async fn delete_node(&self, node: NodeId) -> Result<NodeDeletion, StoreError> {
        nodes::delete(self, node).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        reservations::snapshot(self).await
    }

    async fn reserve(&self, seen: Revision, reservations: &[Reservation]) -> Result<bool, StoreError> {
        reservations::reserve(self, seen, reservations).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        sessions::one(self, id).await
    }

    async fn job(&self, id: SessionId) -> Result<Option<Job>, StoreError> {
        sessions::job(self, id).await
    }

    async fn sessions(&self, filter: &SessionFilter) -> Result<Vec<Session>, StoreError> {
        sessions::list(self, filter).await
    }

    async fn waiting(&self) -> Result<Vec<(NodeId, SessionId)>, StoreError> {
        sessions::waiting(self).await
    }

    async fn routes(&self) -> Result<Vec<Route>, StoreError> {
        sessions::routes(self).await
    }

    async fn claim(&self, id: SessionId, epoch: Epoch, node: NodeId) -> Result<bool, StoreError> {
        life::claim(self, id, epoch, node).await
    }

    async fn report(&self, id: SessionId, epoch: Epoch, report: &Report) -> Result<Option<State>, StoreError> {
        life::report(self, id, epoch, report).await
    }

    async fn start_failed(
        &self,
        id: SessionId,
        epoch: Epoch,
        failure: &str,
        next: Option<Move>,
    ) -> Result<Option<Session>, StoreError> {
        life::start_failed(self, id, epoch, failure, next).await
    }

    async fn want(&self, id: SessionId, wanted: Wanted, note: Option<&str>) -> Result<Option<Session>, StoreError> {
        wishes::want(self, id, wanted, note).await
    }

    async fn want_all(&self, user: &str, wanted: Wanted) -> Result<Vec<Session>, StoreError> {
        wishes::want_all(self, user, wanted).await
    }

    async fn want_unused(
        &self,
        id: SessionId,
        epoch: Epoch,
        wanted: Wanted,
        note: &str,
        still: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Session>, StoreError> {
        wishes::want_unused(self, id, epoch, wanted, note, still).await
    }

    async fn note_activity(&self, notes: &[(SessionId, Epoch, Timestamp)]) -> Result<(), StoreError> {
        wishes::note_activity(self, notes).await
    }

    async fn rename(&self, id: SessionId, name: &str) -> Result<Option<Session>, StoreError> {
        wishes::rename(self, id, name).await
    }

    async fn expire(&self, after: Duration) -> Result<Vec<SessionId>, StoreError> {
        life::expire(self, after).await
    }

    async fn stranded(&self, after: Duration) -> Result<Vec<Session>, StoreError> {
        life::stranded(self, after).await
    }

    async fn placement(&self, id: PlacementId) -> Result<Option<Placement>, StoreError> {
        placements::one(self, id).await
    }

    async fn placements(
        &self,
        session: Option<SessionId>,
        before: Option<PlacementId>,
        limit: u32,
    ) -> Result<Vec<Placement>, StoreError> {
        placements::list(self, session, before, limit).await
    }

    async fn keep_uid(&self, user: &str, uid: u32) -> Result<u32, StoreError> {
        users::keep_uid(self, user, uid).await
    }

    async fn forget_uid(&self, user: &str) -> Result<bool, StoreError> {
        users::forget_uid(self, user).await
    }

    async fn note_shadow(
        &self,
        session: SessionId,
        epoch: Epoch,
        shadow: &Shadow,
        keep: u32,
    ) -> Result<bool, StoreError> {
        placements::note_shadow(self, session, epoch, shadow, keep).await
    }

    async fn shadowed(&self, since: Option<Timestamp>) -> Result<Vec<Placement>, StoreError> {
        placements::shadowed(self, since).await
    }

    async fn keep_shown(&self, batch: &ShownBatch, limit: u64) -> Result<bool, StoreError> {
        shown::keep(self, batch, limit).await
    }

    async fn trim_shown(&self, limit: u64) -> Result<(), StoreError> {
        shown::trim(self, limit).await
    }

    async fn shown(&self, placement: PlacementId) -> Result<Option<Shown>, StoreError> {
        shown::one(self, placement).await
    }

    async fn shown_digests(&self) -> Result<BTreeSet<String>, StoreError> {
        shown::digests(self).await
    }

    async fn sign_out(&self, sign_outs: &[SignOut]) -> Result<(), StoreError> {
        sign_outs::write(self, sign_outs).await
    }

    async fn sign_outs(&self, seen: i64) -> Result<SignOuts, StoreError> {
        sign_outs::after(self, seen).await
    }
}
