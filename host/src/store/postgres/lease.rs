//! A connection while a call has it: one statement, or a transaction.
//!
//! A connection goes back to its pool only where everything that was asked on it has been answered. Given up half-way, for
//! an error or because nobody waits any more, it is closed: it might hang, and would then hang whoever has it next.
//!
//! The limits of time are said in the statement that begins a transaction, and end with it: nothing is kept with the
//! server's session, which need not be ours alone behind a pooler.

use sqlx::{
    Executor as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
};

use super::{StoreError, failed};

/// A statement with what belongs to it.
pub(super) type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// A connection, closed when dropped unless it has been freed.
pub(super) struct Lease {
    connection: PoolConnection<Postgres>,
    /// What is being done, for errors.
    pub(super) operation: &'static str,
    free: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.free {
            self.connection.close_on_drop();
        }
    }
}

impl Lease {
    pub(super) async fn take(pool: &PgPool, operation: &'static str) -> Result<Self, StoreError> {
        let connection = pool.acquire().await.map_err(failed(operation))?;
        Ok(Self { connection, operation, free: false })
    }

    fn on(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// One statement, and all of its rows.
    pub(super) async fn all(mut self, query: Query<'_>) -> Result<Vec<PgRow>, StoreError> {
        let rows = query.fetch_all(self.on()).await.map_err(failed(self.operation))?;
        self.free = true;
        Ok(rows)
    }

    /// One statement, and its row, where there is one.
    pub(super) async fn optional(self, query: Query<'_>) -> Result<Option<PgRow>, StoreError> {
        Ok(self.all(query).await?.into_iter().next())
    }

    /// Begins a transaction by `begin`, one or several statements whose rows nobody needs.
    pub(super) async fn begin(mut self, begin: &'static str) -> Result<Transaction, StoreError> {
        let operation = self.operation;
        self.on().execute(begin).await.map_err(failed(operation))?;
        Ok(Transaction { lease: self })
    }
}

/// A transaction; dropped without [`Transaction::commit`], it changes nothing, and costs the connection unless it was
/// given up by [`Transaction::undo`].
pub(super) struct Transaction {
    lease: Lease,
}

impl Transaction {
    pub(super) fn operation(&self) -> &'static str {
        self.lease.operation
    }

    pub(super) async fn all(&mut self, query: Query<'_>) -> Result<Vec<PgRow>, StoreError> {
        let operation = self.operation();
        query.fetch_all(self.lease.on()).await.map_err(failed(operation))
    }

    pub(super) async fn optional(&mut self, query: Query<'_>) -> Result<Option<PgRow>, StoreError> {
        let operation = self.operation();
        query.fetch_optional(self.lease.on()).await.map_err(failed(operation))
    }

    pub(super) async fn one(&mut self, query: Query<'_>) -> Result<PgRow, StoreError> {
        let operation = self.operation();
        query.fetch_one(self.lease.on()).await.map_err(failed(operation))
    }

    /// How many rows it was about.
    pub(super) async fn execute(&mut self, query: Query<'_>) -> Result<u64, StoreError> {
        self.attempt(query).await.map_err(failed(self.operation()))
    }

    /// As [`Transaction::execute`], for who reads the error.
    pub(super) async fn attempt(&mut self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        Ok(query.execute(self.lease.on()).await?.rows_affected())
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// Changes nothing, and keeps the connection.
    pub(super) async fn undo(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), StoreError> {
        let operation = self.operation();
        self.lease.on().execute(statement).await.map_err(failed(operation))?;
        self.lease.free = true;
        Ok(())
    }
}
