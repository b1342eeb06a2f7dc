//! A SQLite file beside the database, for what is neither worth a wait of others nor a commit that reaches the disk: it has a
//! writer of its own, so nothing that it does is felt by a player.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteSynchronous;

use super::connection::{Connection, Tx};
use super::error::StoreError;
use super::location::file_options;
use super::row::FromRow;
use super::sql::Sql;
use super::value::Args;

/// An open file.
#[derive(Debug)]
pub struct SideFile(Tx);

/// Events are of the database; nothing is told from here.
fn nobody() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

impl SideFile {
    /// Opens a file, makes it if there is none, and makes the tables of `schema` that it lacks. After a loss of power its last
    /// moments may be missing; it is whole all the same.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(path: &Path, schema: &'static str) -> Result<Self, StoreError> {
        let options = file_options(path).synchronous(SqliteSynchronous::Normal);
        let mut connection = Connection::Sqlite(options.connect().await?);
        connection.control(schema).await?;
        Ok(Self(Tx::new(connection, &nobody())))
    }

    /// Opens a file that is there, to read; somebody else may be writing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let options = file_options(path).create_if_missing(false).pragma("query_only", "ON");
        Ok(Self(Tx::new(Connection::Sqlite(options.connect().await?), &nobody())))
    }

    /// Runs one statement for each row, all in one transaction. After an error the file is to be opened again.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    pub async fn write(&mut self, sql: impl Into<Sql>, rows: Vec<Args>) -> Result<(), StoreError> {
        let sql = sql.into();
        self.0.connection.control("BEGIN IMMEDIATE").await?;
        for row in rows {
            self.0.execute(sql, row).await?;
        }
        self.0.connection.control("COMMIT").await
    }

    /// All rows that one statement reads.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn all<T: FromRow>(&mut self, sql: impl Into<Sql>, args: Args) -> Result<Vec<T>, StoreError> {
        self.0.all(sql, args).await
    }

    /// Closes it; its log is merged into it.
    pub async fn close(self) {
        self.0.connection.close().await;
    }
}
