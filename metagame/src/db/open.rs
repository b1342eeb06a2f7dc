//! Opening a database: checks, migrations, and errors that say what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{Mutex, RwLock};
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::domain::Domain;
use super::group::Writer;
use super::location::{DatabaseLocation, FILE_LOCK_TIMEOUT, Opener, PostgresUrl, file_options};
use super::migrate::migrate;
use super::pool::Pool;
use super::sql::Engine;
use super::{Database, Inner};

/// How long a server may stay away at the start: it often starts at the same time.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Between two tries at the start.
const ARRIVAL_PAUSE: Duration = Duration::from_millis(200);

/// A database that cannot be used.
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
        "the database {database} does not fit this version of Muster ({reason}): start the version that wrote it, or restore a backup from before"
    )]
    Version {
        /// The database.
        database: String,
        /// Which migration does not fit.
        reason: String,
    },
    /// The server does not answer, or does not let us in.
    #[error(
        "cannot use the database {url}: {reason}; check the address, the user and its password, that the database exists, and for a server on another machine its certificate (sslmode)"
    )]
    Unreachable {
        /// The server, without the password.
        url: PostgresUrl,
        /// What it said.
        reason: String,
    },
}

/// Bounds of an open database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseLimits {
    /// Connections that read from a SQLite file at once, for each part of metagame.
    pub readers_max: usize,
    /// Connections to a PostgreSQL server, all parts of metagame together; the server must have room for those of every
    /// instance.
    pub connections_max: usize,
    /// How long a player's use case may take in all, its turn and its repetitions included. A request is answered
    /// within a second whatever the database does.
    pub patience: Duration,
}

impl Default for DatabaseLimits {
    fn default() -> Self {
        Self { readers_max: 4, connections_max: 32, patience: Duration::from_millis(800) }
    }
}

impl Database {
    /// Opens a database, makes it if there is none, checks it and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], which names the database and what to do.
    pub async fn open(location: &DatabaseLocation, limits: DatabaseLimits) -> Result<Self, OpenError> {
        match location {
            DatabaseLocation::File(path) => open_file(path, limits).await,
            DatabaseLocation::Postgres(url) => open_server(url, limits).await,
        }
    }
}

async fn open_file(path: &Path, limits: DatabaseLimits) -> Result<Database, OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| OpenError::Folder { path: path.into(), error })?;
    }
    let options = file_options(path);
    let mut writer = options.connect().await.map_err(|error| judge(path, &error))?;
    check(path, &mut writer).await?;
    let mut writer = Connection::Sqlite(writer);
    migrate(&mut writer).await.map_err(|error| judge_migration(path, &error))?;
    let listeners = Arc::new(AtomicBool::new(true));
    let pools = |domain: Domain| {
        let (opener, patience) = (Opener::File(Box::new(options.clone())), domain.patience(limits.patience));
        (domain, Pool::new(domain, opener, limits.readers_max.max(1), patience, &listeners))
    };
    Ok(Database(Arc::new(Inner {
        engine: Engine::Sqlite,
        pools: Domain::ALL.into_iter().map(pools).collect(),
        writer: Some(RwLock::new(Writer::start(writer, limits.patience, &listeners))),
        closing: Mutex::default(),
        listeners,
    })))
}

async fn open_server(url: &PostgresUrl, limits: DatabaseLimits) -> Result<Database, OpenError> {
    let mut connection = Connection::Postgres(arrive(url).await?);
    migrate(&mut connection).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            OpenError::Unreachable { url: url.clone(), reason: error.to_string() }
        }
        other => OpenError::Version { database: url.to_string(), reason: other.to_string() },
    })?;
    connection.close().await;
    let listeners = Arc::new(AtomicBool::new(true));
    let pools = |domain: Domain| {
        let patience = domain.patience(limits.patience);
        let opener = Opener::Postgres(url.clone(), patience);
        (domain, Pool::new(domain, opener, domain.share(limits.connections_max), patience, &listeners))
    };
    Ok(Database(Arc::new(Inner {
        engine: Engine::Postgres,
        pools: Domain::ALL.into_iter().map(pools).collect(),
        writer: None,
        closing: Mutex::default(),
        listeners,
    })))
}

/// The first connection: a server that is only starting is waited for, one that refuses us is not.
async fn arrive(url: &PostgresUrl) -> Result<sqlx::PgConnection, OpenError> {
    let until = Instant::now() + ARRIVAL;
    loop {
        let reason = match timeout(ARRIVAL, url.options().connect()).await {
            Ok(Ok(connection)) => return Ok(connection),
            // 57P03: cannot_connect_now, while it starts.
            Ok(Err(sqlx::Error::Database(fault))) if fault.code().as_deref() != Some("57P03") => {
                return Err(OpenError::Unreachable { url: url.clone(), reason: fault.message().to_owned() });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        if Instant::now() >= until {
            return Err(OpenError::Unreachable { url: url.clone(), reason });
        }
        tracing::info!(database = %url, reason, "waiting for the database");
        tokio::time::sleep(ARRIVAL_PAUSE).await;
    }
}

/// Checks a database file that is there, without changing it; metagame may be using it.
///
/// # Errors
/// [`OpenError`], which names the file and what to do.
pub async fn check_database(path: &Path) -> Result<(), OpenError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(FILE_LOCK_TIMEOUT);
    let mut connection = options.connect().await.map_err(|error| judge(path, &error))?;
    let checked = check(path, &mut connection).await;
    // It has only read.
    let _ = connection.close().await;
    checked
}

/// `quick_check` reads every page: a damaged file is found now, not in the middle of a match.
pub(super) async fn check(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let verdict: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await.map_err(|error| judge(path, &error))?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.into(), reason: verdict }) }
}

pub(super) fn judge(path: &Path, error: &sqlx::Error) -> OpenError {
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
        other => OpenError::Version { database: path.display().to_string(), reason: other.to_string() },
    }
}
