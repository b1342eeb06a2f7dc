//! One connection to either engine, and the transaction that a use case writes in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, PgConnection, Sqlite, SqliteConnection};

use super::error::StoreError;
use super::row::{Either, FromRow, Row};
use super::sql::{Engine, Sql};
use super::value::{Args, Value};

/// A connection. Statements are prepared once and cached by it.
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Connection {
    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// A statement without arguments or answer, such as `BEGIN`.
    pub(super) async fn control(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => sqlx::query::<Sqlite>(sql).execute(connection).await.map(drop)?,
            // The simple protocol: one message there and one back, with no statement to prepare.
            Self::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop)?,
        }
        Ok(())
    }

    /// Statements whose text is made at run time, without arguments or answer.
    async fn define(&mut self, text: String) -> Result<(), StoreError> {
        let text = sqlx::raw_sql(AssertSqlSafe(text));
        match self {
            Self::Sqlite(connection) => text.execute(connection).await.map(drop)?,
            Self::Postgres(connection) => text.execute(connection).await.map(drop)?,
        }
        Ok(())
    }

    async fn execute(&mut self, sql: Sql, args: Args) -> Result<u64, StoreError> {
        let text = sql.text(self.engine());
        let text = AssertSqlSafe(text);
        Ok(match self {
            Self::Sqlite(connection) => {
                sqlx::query_with(text, sqlite_arguments(args)?).execute(connection).await?.rows_affected()
            }
            Self::Postgres(connection) => {
                sqlx::query_with(text, postgres_arguments(args)?).execute(connection).await?.rows_affected()
            }
        })
    }

    async fn fetch(&mut self, sql: Sql, args: Args) -> Result<Vec<Row>, StoreError> {
        let text = sql.text(self.engine());
        let text = AssertSqlSafe(text);
        Ok(match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query_with(text, sqlite_arguments(args)?).fetch_all(connection).await?;
                rows.into_iter().map(|row| Row(Either::Sqlite(row))).collect()
            }
            Self::Postgres(connection) => {
                let rows = sqlx::query_with(text, postgres_arguments(args)?).fetch_all(connection).await?;
                rows.into_iter().map(|row| Row(Either::Postgres(row))).collect()
            }
        })
    }

    pub(super) async fn close(self) {
        let closed = match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "a connection to the database did not close cleanly");
        }
    }
}

fn encode(error: &sqlx::error::BoxDynError) -> StoreError {
    StoreError::Failed(format!("an argument cannot be encoded: {error}"))
}

fn sqlite_arguments(args: Args) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for value in args {
        let added = match value {
            Value::Int(value) => arguments.add(value),
            Value::Real(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Blob(value) => arguments.add(value),
            // Lists travel as JSON; bytes in it as hexadecimal digits.
            Value::Ints(list) => arguments.add(json(&list)),
            Value::Texts(list) => arguments.add(json(&list)),
            Value::Blobs(list) => arguments.add(json(&list.iter().map(hex::encode).collect::<Vec<_>>())),
        };
        added.map_err(|error| encode(&error))?;
    }
    Ok(arguments)
}

fn json<T: serde::Serialize>(list: &[T]) -> String {
    serde_json::to_string(list).expect("a list is plain data")
}

fn postgres_arguments(args: Args) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for value in args {
        let added = match value {
            Value::Int(value) => arguments.add(value),
            Value::Real(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Blob(value) => arguments.add(value),
            Value::Ints(list) => arguments.add(list),
            Value::Texts(list) => arguments.add(list),
            Value::Blobs(list) => arguments.add(list),
        };
        added.map_err(|error| encode(&error))?;
    }
    Ok(arguments)
}

/// A transaction under way: what a use case does its statements with. Whether they are kept is decided by what the use
/// case returns: `Ok` commits, `Err` takes everything back.
pub struct Tx {
    pub(super) connection: Connection,
    /// The first error. PostgreSQL ends the transaction with it, so a use case that swallows one must not commit.
    pub(super) fault: Option<StoreError>,
    listeners: Arc<AtomicBool>,
}

impl Tx {
    pub(super) fn new(connection: Connection, listeners: &Arc<AtomicBool>) -> Self {
        Self { connection, fault: None, listeners: Arc::clone(listeners) }
    }

    /// Which database it is, for the few use cases that take another way in each.
    pub fn engine(&self) -> Engine {
        self.connection.engine()
    }

    /// Whether anybody may want to be told of what happens here; otherwise nothing need be written down for it.
    pub fn has_listeners(&self) -> bool {
        self.listeners.load(Ordering::Relaxed)
    }

    /// Writes; how many rows that changed.
    ///
    /// # Errors
    /// [`StoreError`]. Pass it on: the transaction is over.
    pub async fn execute(&mut self, sql: impl Into<Sql>, args: Args) -> Result<u64, StoreError> {
        let done = self.connection.execute(sql.into(), args).await;
        self.note(done)
    }

    /// All rows of an answer.
    ///
    /// # Errors
    /// [`StoreError`]. Pass it on: the transaction is over.
    pub async fn all<T: FromRow>(&mut self, sql: impl Into<Sql>, args: Args) -> Result<Vec<T>, StoreError> {
        let rows = self.connection.fetch(sql.into(), args).await;
        self.note(rows)?.iter().map(T::from_row).collect()
    }

    /// The first row of an answer, if there is one.
    ///
    /// # Errors
    /// [`StoreError`]. Pass it on: the transaction is over.
    pub async fn optional<T: FromRow>(&mut self, sql: impl Into<Sql>, args: Args) -> Result<Option<T>, StoreError> {
        let rows = self.connection.fetch(sql.into(), args).await;
        self.note(rows)?.first().map(T::from_row).transpose()
    }

    /// The first row of an answer that always has one, such as that of `count(*)`.
    ///
    /// # Errors
    /// [`StoreError`]. Pass it on: the transaction is over.
    pub async fn one<T: FromRow>(&mut self, sql: impl Into<Sql>, args: Args) -> Result<T, StoreError> {
        let row = self.optional(sql, args).await?;
        row.ok_or_else(|| StoreError::Unreadable("a row that must be there is missing".into()))
    }

    /// Changes what tables there are.
    pub(super) async fn define(&mut self, text: String) -> Result<(), StoreError> {
        let done = self.connection.define(text).await;
        self.note(done)
    }

    fn note<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &done {
            self.fault.get_or_insert_with(|| error.clone());
        }
        done
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tx").field("engine", &self.engine()).finish_non_exhaustive()
    }
}
