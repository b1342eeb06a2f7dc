//! Opening the database file: checks, settings, migrations, and errors that say what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::watch;

use super::SqliteStore;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a use case waits for its turn before the caller is told to come back.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// A database file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made.
    #[error("cannot make the folder of the database {path}: {error}; choose another place for the database")]
    Folder {
        /// The database.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The file cannot be opened or written.
    #[error(
        "cannot open the database {path}: {reason}; check that it is a file in a folder that this user may write and that the disk is not full, or choose another place for the database"
    )]
    Unusable {
        /// The database.
        path: PathBuf,
        /// SQLite's reason.
        reason: String,
    },
    /// The file is damaged, or not a database.
    #[error(
        "the database {path} is damaged ({reason}): restore it from a backup, or move it and its -wal file away to start with an empty one"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another version of Muster wrote it.
    #[error(
        "the database {path} does not fit this version of Muster ({reason}): start the version that wrote it, or restore a backup from before"
    )]
    Version {
        /// The database.
        path: PathBuf,
        /// Which migration does not fit.
        reason: String,
    },
}

impl SqliteStore {
    /// Opens the database, makes it if there is none, checks it and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], which names the file and what to do.
    pub async fn open(path: &Path, readers_max: u32) -> Result<Self, OpenError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| OpenError::Folder { path: path.into(), error })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(TURN_TIMEOUT);
        let pool = || SqlitePoolOptions::new().acquire_timeout(TURN_TIMEOUT).test_before_acquire(false);
        let fault = |error: sqlx::Error| judge(path, &error);
        let writer = pool().max_connections(1).connect_with(options.clone()).await.map_err(fault)?;
        check(path, &writer).await?;
        MIGRATIONS.run(&writer).await.map_err(|error| judge_migration(path, &error))?;
        let readers = pool().max_connections(readers_max.max(1)).connect_with(options).await.map_err(fault)?;
        Ok(Self { writer, readers, news: watch::Sender::new(()) })
    }
}

/// Checks a database that is there, without changing it; metagame may be using it.
///
/// # Errors
/// [`OpenError`], which names the file and what to do.
pub async fn check_database(path: &Path) -> Result<(), OpenError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(TURN_TIMEOUT);
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(TURN_TIMEOUT).connect_with(options).await;
    let pool = pool.map_err(|error| judge(path, &error))?;
    let checked = check(path, &pool).await;
    pool.close().await;
    checked
}

/// `quick_check` reads every page: a damaged file is found now, not in the middle of a match.
async fn check(path: &Path, writer: &sqlx::SqlitePool) -> Result<(), OpenError> {
    let verdict: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(writer).await.map_err(|error| judge(path, &error))?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.into(), reason: verdict }) }
}

fn judge(path: &Path, error: &sqlx::Error) -> OpenError {
    let code = error.as_database_error().and_then(|fault| fault.code()).and_then(|code| code.parse::<u32>().ok());
    // SQLITE_CORRUPT is 11, SQLITE_NOTADB is 26; the low byte of an extended code is the code.
    let damaged = code.is_some_and(|code| matches!(code & 0xFF, 11 | 26));
    let reason = error.as_database_error().map_or_else(|| error.to_string(), |fault| fault.message().to_owned());
    if damaged {
        OpenError::Damaged { path: path.into(), reason }
    } else {
        OpenError::Unusable { path: path.into(), reason }
    }
}

fn judge_migration(path: &Path, error: &MigrateError) -> OpenError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => judge(path, error),
        other => OpenError::Version { path: path.into(), reason: other.to_string() },
    }
}
