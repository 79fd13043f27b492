//! Rows as domain types, whichever database they are from. What cannot be read is named by table, row and column.
//!
//! Both databases name their columns alike, and keep whole numbers, decimals, flags, texts and bytes: so what a row says
//! is read here, once. JSON is text.

use std::{fmt::Display, str::FromStr};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use super::StoreError;

pub(super) mod membership;
pub(super) mod nodes;
pub(super) mod placements;
pub(super) mod sessions;
pub(super) mod sign_outs;

/// What a row of either database has in a column; none where that is null.
pub(super) trait Columns: Sync {
    fn integer(&self, column: &str) -> Result<Option<i64>, sqlx::Error>;
    fn decimal(&self, column: &str) -> Result<Option<f64>, sqlx::Error>;
    fn flag(&self, column: &str) -> Result<Option<bool>, sqlx::Error>;
    fn text(&self, column: &str) -> Result<Option<&str>, sqlx::Error>;
    fn bytes(&self, column: &str) -> Result<Option<&[u8]>, sqlx::Error>;
}

macro_rules! columns {
    ($($row:ty),*) => {
        $(impl Columns for $row {
            fn integer(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
                self.try_get(column)
            }

            fn decimal(&self, column: &str) -> Result<Option<f64>, sqlx::Error> {
                self.try_get(column)
            }

            fn flag(&self, column: &str) -> Result<Option<bool>, sqlx::Error> {
                self.try_get(column)
            }

            fn text(&self, column: &str) -> Result<Option<&str>, sqlx::Error> {
                self.try_get(column)
            }

            fn bytes(&self, column: &str) -> Result<Option<&[u8]>, sqlx::Error> {
                self.try_get(column)
            }
        })*
    };
}

columns!(SqliteRow, PgRow);

/// What a column may be read as.
pub(super) trait Value<'r>: Sized {
    fn of(row: &'r dyn Columns, column: &str) -> Result<Option<Self>, sqlx::Error>;
}

macro_rules! values {
    ($($value:ty: $method:ident),*) => {
        $(impl<'r> Value<'r> for $value {
            fn of(row: &'r dyn Columns, column: &str) -> Result<Option<Self>, sqlx::Error> {
                Ok(row.$method(column)?.map(Into::into))
            }
        })*
    };
}

values!(i64: integer, f64: decimal, bool: flag, &'r str: text, String: text, &'r [u8]: bytes, Vec<u8>: bytes);

/// One row of a table.
pub(super) struct Fields<'r> {
    table: &'static str,
    row: &'r dyn Columns,
}

impl<'r> Fields<'r> {
    pub(super) fn new(table: &'static str, row: &'r dyn Columns) -> Self {
        Self { table, row }
    }

    pub(super) fn get<T: Value<'r>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.optional(column)?.ok_or_else(|| self.corrupt(column, "is null"))
    }

    pub(super) fn optional<T: Value<'r>>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        T::of(self.row, column).map_err(|error| match error {
            sqlx::Error::ColumnDecode { source, .. } => self.corrupt(column, source),
            other => self.corrupt(column, other),
        })
    }

    /// A number that the program keeps in a narrower type.
    pub(super) fn number<T: TryFrom<i64, Error: Display>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.get::<i64>(column)?.try_into().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn optional_number<T: TryFrom<i64, Error: Display>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let value = self.optional::<i64>(column)?;
        value.map(T::try_from).transpose().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.get::<&str>(column)?.parse().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn optional_parsed<T: FromStr<Err: Display>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let value = self.optional::<&str>(column)?;
        value.map(str::parse).transpose().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.get(column)?).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn optional_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let text = self.optional::<&str>(column)?;
        text.map(serde_json::from_str).transpose().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        Timestamp::from_millisecond(self.get(column)?).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let value = self.optional::<i64>(column)?;
        value.map(Timestamp::from_millisecond).transpose().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn corrupt(&self, column: &'static str, problem: impl Display) -> StoreError {
        let number = self.row.integer("id").ok().flatten().map(|id| id.to_string());
        let row =
            number.or_else(|| self.row.text("id").ok().flatten().map(str::to_owned)).unwrap_or_else(|| "?".to_owned());
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
pub(super) fn to_json(operation: &'static str, value: &(impl Serialize + ?Sized)) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database { operation, message: error.to_string() })
}

/// A size in bytes as a database can hold it: its integers are signed.
pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A time of the store's, as it is written.
pub(super) fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
