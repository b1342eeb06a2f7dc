//! Rows of an answer, read into our types: `tx.all::<(PlayerId, String, u64)>(…)`.

use protocol::id::{MatchId, PartyId, PlayerId, TicketId};
use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteColumn, SqliteRow};
use sqlx::{Column as _, Decode, Postgres, Row as _, Sqlite, Type, TypeInfo as _, ValueRef as _};

use super::error::StoreError;
use super::value::Value;
use crate::core::inventory::ItemId;
use crate::core::ledger::Account;
use crate::core::session::{SessionId, TokenHash};

/// One row of an answer.
pub struct Row(pub(super) Either);

pub(super) enum Either {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What can be read from one column.
pub trait FromColumn: Sized {
    /// Reads column `index`, counted from 0.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if something else is there.
    fn from_column(row: &Row, index: usize) -> Result<Self, StoreError>;
}

/// What can be read from a row: a column's type, a tuple of these, or a struct of yours.
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if something else is there.
    fn from_row(row: &Row) -> Result<Self, StoreError>;
}

impl Row {
    /// Reads column `index`, counted from 0.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if something else is there.
    pub fn get<T: FromColumn>(&self, index: usize) -> Result<T, StoreError> {
        T::from_column(self, index)
    }

    fn native<T>(&self, index: usize) -> Result<Option<T>, StoreError>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        let read = match &self.0 {
            Either::Sqlite(row) => row.try_get(index),
            Either::Postgres(row) => row.try_get(index),
        };
        read.map_err(|error| StoreError::Unreadable(error.to_string()))
    }

    /// PostgreSQL has integers of several widths, and truth values.
    fn int(&self, index: usize) -> Result<Option<i64>, StoreError> {
        let Either::Postgres(row) = &self.0 else { return self.native(index) };
        if let Ok(read) = row.try_get::<Option<i64>, _>(index) {
            return Ok(read);
        }
        if let Ok(read) = row.try_get::<Option<bool>, _>(index) {
            return Ok(read.map(i64::from));
        }
        Ok(self.native::<i32>(index)?.map(i64::from))
    }

    fn bytes<const N: usize>(&self, index: usize) -> Result<Option<[u8; N]>, StoreError> {
        let Some(blob) = self.native::<Vec<u8>>(index)? else { return Ok(None) };
        let length = blob.len();
        let fault = |_| StoreError::Unreadable(format!("a blob of {length} bytes instead of {N} in column {index}"));
        blob.try_into().map(Some).map_err(fault)
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Row")
    }
}

/// The types of a column: how each reads its column, if it is not NULL.
macro_rules! column {
    ($($of:ty, $row:ident, $index:ident => $read:expr;)*) => { $(
        impl FromColumn for Option<$of> {
            fn from_column($row: &Row, $index: usize) -> Result<Self, StoreError> {
                $read
            }
        }
        impl FromColumn for $of {
            fn from_column(row: &Row, index: usize) -> Result<Self, StoreError> {
                let missing = || StoreError::Unreadable(format!("NULL in column {index}"));
                Option::<Self>::from_column(row, index)?.ok_or_else(missing)
            }
        }
    )* };
}

column! {
    i64, row, index => row.int(index);
    u64, row, index => Ok(row.int(index)?.map(|value| u64::try_from(value).unwrap_or(0)));
    u32, row, index => Ok(row.int(index)?.map(|value| u32::try_from(value).unwrap_or(0)));
    bool, row, index => Ok(row.int(index)?.map(|value| value != 0));
    f64, row, index => row.native(index);
    String, row, index => row.native(index);
    Vec<u8>, row, index => row.native(index);
    [u8; 32], row, index => row.bytes(index);
    [u8; 16], row, index => row.bytes(index);
    PlayerId, row, index => Ok(row.bytes(index)?.map(PlayerId::from_bytes));
    MatchId, row, index => Ok(row.bytes(index)?.map(MatchId::from_bytes));
    PartyId, row, index => Ok(row.bytes(index)?.map(PartyId::from_bytes));
    TicketId, row, index => Ok(row.bytes(index)?.map(TicketId::from_bytes));
    SessionId, row, index => Ok(row.bytes(index)?.map(|bytes| SessionId(uuid::Uuid::from_bytes(bytes))));
    TokenHash, row, index => Ok(row.bytes(index)?.map(TokenHash));
    Account, row, index => Ok(row.bytes(index)?.map(Account));
    ItemId, row, index => Ok(row.bytes(index)?.map(ItemId::from_bytes));
}

/// A whole row as it is: names of columns and what they hold. For what tells of tables as they are.
#[derive(Debug, Clone)]
pub struct Cells(pub Vec<(String, Value)>);

impl FromRow for Cells {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let columns: Vec<(String, String)> = match &row.0 {
            Either::Sqlite(row) => {
                row.columns().iter().map(|one| (one.name().to_owned(), sqlite_type(row, one))).collect()
            }
            Either::Postgres(row) => {
                row.columns().iter().map(|one| (one.name().to_owned(), one.type_info().name().to_owned())).collect()
            }
        };
        let cell = |(index, (name, kind)): (usize, (String, String))| {
            let value = match kind.as_str() {
                "BLOB" | "BYTEA" => Value::Blob(row.native(index)?),
                "TEXT" => Value::Text(row.native(index)?),
                "REAL" | "FLOAT8" => Value::Real(row.native(index)?),
                _ => Value::Int(row.int(index)?),
            };
            Ok((name, value))
        };
        columns.into_iter().enumerate().map(cell).collect::<Result<_, StoreError>>().map(Self)
    }
}

/// What SQLite has in this row; its columns have types of their own only where a table declares them.
fn sqlite_type(row: &SqliteRow, column: &SqliteColumn) -> String {
    let held = row.try_get_raw(column.ordinal()).map(|value| value.type_info().name().to_owned());
    held.unwrap_or_else(|_| column.type_info().name().to_owned())
}

impl<T: FromColumn> FromRow for T {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        row.get(0)
    }
}

macro_rules! tuple {
    ($($name:ident $index:literal),*) => {
        impl<$($name: FromColumn),*> FromRow for ($($name,)*) {
            fn from_row(row: &Row) -> Result<Self, StoreError> {
                Ok(($(row.get::<$name>($index)?,)*))
            }
        }
    };
}

tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
