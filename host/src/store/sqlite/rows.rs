//! Rows as domain types. What cannot be read is named by table, row and column.

use std::{fmt::Display, str::FromStr};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Decode, Row as _, Sqlite, Type, sqlite::SqliteRow};

use super::StoreError;

/// One row of a table.
pub(super) struct Fields<'r> {
    table: &'static str,
    row: &'r SqliteRow,
}

impl<'r> Fields<'r> {
    pub(super) fn new(table: &'static str, row: &'r SqliteRow) -> Self {
        Self { table, row }
    }

    pub(super) fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
    {
        self.row.try_get(column).map_err(|error| match error {
            sqlx::Error::ColumnDecode { source, .. } => self.corrupt(column, source),
            other => self.corrupt(column, other),
        })
    }

    pub(super) fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.get::<i64>(column)? != 0)
    }

    /// A number that the program keeps in a narrower type.
    pub(super) fn number<T: TryFrom<i64, Error: Display>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.get::<i64>(column)?.try_into().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn optional_number<T: TryFrom<i64, Error: Display>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let value = self.get::<Option<i64>>(column)?;
        value.map(T::try_from).transpose().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.get::<&str>(column)?.parse().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn optional_parsed<T: FromStr<Err: Display>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let value = self.get::<Option<&str>>(column)?;
        value.map(str::parse).transpose().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.get(column)?).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn optional_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let text = self.get::<Option<&str>>(column)?;
        text.map(serde_json::from_str).transpose().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        Timestamp::from_millisecond(self.get(column)?).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let value = self.get::<Option<i64>>(column)?;
        value.map(Timestamp::from_millisecond).transpose().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn corrupt(&self, column: &'static str, problem: impl Display) -> StoreError {
        let row = self
            .row
            .try_get::<i64, _>("id")
            .map(|id| id.to_string())
            .or_else(|_| self.row.try_get::<String, _>("id"))
            .unwrap_or_else(|_| "?".to_owned());
        StoreError::Corrupt { table: self.table, row, column, problem: problem.to_string() }
    }
}

/// The store's clock, as read from it.
pub(super) fn time(table: &'static str, now: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(now).map_err(|error| StoreError::Corrupt {
        table,
        row: "1".to_owned(),
        column: "now",
        problem: error.to_string(),
    })
}

/// A value as the JSON of a column.
pub(super) fn to_json(operation: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database { operation, message: error.to_string() })
}

/// A size in bytes as SQLite can hold it: its integers are signed.
pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
