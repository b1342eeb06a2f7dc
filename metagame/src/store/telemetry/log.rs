//! The log of reports, wherever it is.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::files::{self, DayFile};
use super::server;
use crate::core::telemetry::day;
use crate::db::{Database, DatabaseLocation, FromRow, Row, StoreError};

/// A report as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryRow {
    /// When it came; days since 1970, UTC.
    pub day: u64,
    /// Made by whoever reports.
    pub event_id: [u8; 16],
    /// What happened.
    pub name: String,
    /// Which version of that.
    pub version: u32,
    /// When; Unix milliseconds.
    pub at_ms: u64,
    /// Unix milliseconds.
    pub received_at_ms: u64,
    /// Whom it is about; empty: nobody.
    pub pseudonym: Vec<u8>,
    /// `client` or `server`.
    pub source: String,
    /// JSON.
    pub body: String,
    /// JSON under the account's key; empty: none.
    pub sealed: Vec<u8>,
}

/// Its columns are those of the table, in order.
impl FromRow for TelemetryRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            day: row.get(0)?,
            event_id: row.get(1)?,
            name: row.get(2)?,
            version: row.get(3)?,
            at_ms: row.get(4)?,
            received_at_ms: row.get(5)?,
            pseudonym: row.get(6)?,
            source: row.get(7)?,
            body: row.get(8)?,
            sealed: row.get(9)?,
        })
    }
}

/// Where reports are kept; cheap to clone.
#[derive(Debug, Clone)]
pub enum TelemetryLog {
    /// In partitions of a table.
    Server(Database),
    /// In files of this folder.
    Files(PathBuf),
}

impl TelemetryLog {
    /// The log that belongs to a database: that of `metagame.db` is the folder `metagame.telemetry` beside it.
    pub fn of(location: &DatabaseLocation, database: &Database) -> Self {
        match location {
            DatabaseLocation::File(path) => Self::Files(path.with_extension("telemetry")),
            DatabaseLocation::Postgres(_) => Self::Server(database.clone()),
        }
    }

    /// What writes to it.
    pub fn writer(&self) -> TelemetryWriter {
        TelemetryWriter { log: self.clone(), made: BTreeSet::new(), file: None }
    }

    /// Reports about whoever has this pseudonym, in the order of days and ids, at most `limit` after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page(
        &self,
        pseudonym: [u8; 16],
        after: Option<(u64, [u8; 16])>,
        limit: u32,
    ) -> Result<Vec<TelemetryRow>, StoreError> {
        let after = after.unwrap_or_default();
        match self {
            Self::Server(database) => server::page(database, pseudonym, after, limit).await,
            Self::Files(folder) => files::page(folder, pseudonym, after, limit).await,
        }
    }

    /// Drops the days before `oldest`; how many that were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_before(&self, oldest: u64) -> Result<usize, StoreError> {
        match self {
            Self::Server(database) => server::drop_before(database, oldest).await,
            Self::Files(folder) => files::drop_before(folder, oldest).await,
        }
    }

    /// How much room a day takes, in bytes, about.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bytes_of(&self, day: u64) -> Result<u64, StoreError> {
        match self {
            Self::Server(database) => server::bytes_of(database, day).await,
            Self::Files(folder) => Ok(files::bytes_of(folder, day).await),
        }
    }
}

/// Writes reports; one at a time.
#[derive(Debug)]
pub struct TelemetryWriter {
    log: TelemetryLog,
    /// Days whose partition is there.
    made: BTreeSet<u64>,
    /// The day's file.
    file: Option<DayFile>,
}

impl TelemetryWriter {
    /// Keeps reports of one day, all or none; what is there already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`]; after [`StoreError::Unknown`] it may be done once more.
    pub async fn keep(&mut self, day: u64, rows: &[TelemetryRow]) -> Result<(), StoreError> {
        let kept = match self.log.clone() {
            TelemetryLog::Server(database) => self.keep_on_server(&database, day, rows).await,
            TelemetryLog::Files(folder) => {
                let same = self.file.take_if(|file| file.day == day);
                if let Some(before) = self.file.take() {
                    before.close().await;
                }
                let mut file = match same {
                    Some(file) => file,
                    None => DayFile::open(&folder, day).await?,
                };
                // A file that failed is opened anew.
                file.keep(rows).await.map(|()| self.file = Some(file))
            }
        };
        if matches!(kept, Err(StoreError::Failed(_))) {
            // Somebody may have dropped the day's partition.
            self.made.remove(&day);
        }
        kept
    }

    async fn keep_on_server(&mut self, database: &Database, day: u64, rows: &[TelemetryRow]) -> Result<(), StoreError> {
        if !self.made.contains(&day) {
            server::make(database, day).await?;
            self.made.insert(day);
            self.made.retain(|made| made + 2 > day);
        }
        server::keep(database, rows).await
    }

    /// Ends; a file is closed whole.
    pub async fn close(&mut self) {
        if let Some(file) = self.file.take() {
            file.close().await;
        }
    }
}

/// What a day is called in names of tables and files.
pub(super) fn day_name(day: u64, between: &str) -> String {
    day::name(day).replace('-', between)
}
