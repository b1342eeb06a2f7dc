//! Where the data is kept, and how a connection to it is opened.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use super::connection::Connection;
use super::error::StoreError;

/// How long a statement waits for the lock of another process on the SQLite file.
pub(super) const FILE_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS_MAX: usize = 512;

/// Bounds that the server itself keeps to, so that nothing is left over there of a client that has gone. Locks: a use case that waits
/// longer than this is repeated instead, and two that wait for each other part before the server's own second is over.
const BOUNDS: &str = "SET lock_timeout = '250ms'; SET idle_in_transaction_session_timeout = '5s'; \
                      SET tcp_user_timeout = '5s'; SET statement_timeout = ";

/// Where the data is kept.
#[derive(Debug, Clone)]
pub enum DatabaseLocation {
    /// A SQLite file; made if there is none.
    File(PathBuf),
    /// A database on a PostgreSQL server; its tables are made if there are none.
    Postgres(PostgresUrl),
}

impl DatabaseLocation {
    /// Reads what an operator gives: `postgres://…` is a server, anything else the path of a file.
    ///
    /// # Errors
    /// [`UrlError`], which does not repeat the address: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError("it is empty".into()));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return text.parse().map(Self::Postgres);
        }
        if text.contains("://") {
            return Err(UrlError("it begins neither with postgres:// nor with a folder".into()));
        }
        Ok(Self::File(text.into()))
    }
}

impl fmt::Display for DatabaseLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Postgres(url) => write!(formatter, "{url}"),
        }
    }
}

/// The address of a database on a PostgreSQL server: `postgres://user:password@host:port/database?sslmode=…`.
///
/// Shown, it has no password. A server on another machine must prove who it is (`sslmode=verify-full`), unless the
/// address says otherwise.
#[derive(Clone)]
pub struct PostgresUrl(Box<PgConnectOptions>);

/// An address that is not one. It does not repeat the address, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("the address of the database cannot be read: {0}; write postgres://user:password@host:5432/database")]
pub struct UrlError(String);

impl FromStr for PostgresUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        // The library's message may quote the address.
        let options = PgConnectOptions::from_str(text).map_err(|_| UrlError("it is malformed".into()))?;
        let is_local = options.get_socket().is_some()
            || options.get_host().starts_with('/')
            || matches!(options.get_host(), "localhost" | "127.0.0.1" | "::1" | "[::1]");
        let options = if is_local || text.contains("sslmode=") || text.contains("ssl-mode=") {
            options
        } else {
            options.ssl_mode(PgSslMode::VerifyFull)
        };
        let options = options.application_name("muster-metagame").statement_cache_capacity(STATEMENTS_MAX);
        Ok(Self(Box::new(options.disable_statement_logging())))
    }
}

impl PostgresUrl {
    /// The same server, another database; for tests and tools.
    pub fn with_database(&self, name: &str) -> Self {
        Self(Box::new(self.0.as_ref().clone().database(name)))
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.0
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.0.get_host(), self.0.get_port());
        write!(formatter, "postgres://{host}:{port}/{}", self.0.get_database().unwrap_or(""))
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// How a file is opened for writing.
pub(super) fn file_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(FILE_LOCK_TIMEOUT)
        // What a savepoint needs to take a statement back is kept in memory: a container from scratch has no folder for
        // temporary files.
        .pragma("temp_store", "MEMORY")
        // What is deleted is overwritten where that costs no further write: a shredded key is gone from its page.
        .pragma("secure_delete", "FAST")
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging()
}

/// Opens the connections of a pool.
#[derive(Clone)]
pub(super) enum Opener {
    /// Connections that read.
    File(Box<SqliteConnectOptions>),
    /// Connections whose statements the server ends after this time.
    Postgres(PostgresUrl, Duration),
}

impl Opener {
    pub(super) async fn open(&self) -> Result<Connection, StoreError> {
        match self {
            Self::File(options) => {
                // The pragma and not an open mode: a reader must be able to make the shared-memory file of the log.
                let options = options.as_ref().clone().pragma("query_only", "ON");
                Ok(Connection::Sqlite(options.connect().await?))
            }
            Self::Postgres(url, patience) => {
                let mut connection = url.options().connect().await?;
                let bounds = format!("{BOUNDS}{}", patience.as_millis());
                sqlx::raw_sql(sqlx::AssertSqlSafe(bounds)).execute(&mut connection).await?;
                Ok(Connection::Postgres(connection))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let location = DatabaseLocation::parse("postgres://muster:hush@db.example:5433/game\n").expect("an address");
        for shown in [format!("{location}"), format!("{location:?}")] {
            assert!(shown.contains("db.example:5433/game") && !shown.contains("hush"), "{shown}");
        }
        let error = DatabaseLocation::parse("postgres://muster:hush@db.example:x/game").expect_err("no port");
        assert!(!error.to_string().contains("hush"), "{error}");
    }

    #[test]
    fn a_server_elsewhere_must_prove_who_it_is() {
        let mode = |text: &str| text.parse::<PostgresUrl>().expect("an address").0.get_ssl_mode();
        assert!(matches!(mode("postgres://db.example/game"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://db.example/game?sslmode=disable"), PgSslMode::Disable));
        assert!(matches!(mode("postgres://127.0.0.1/game"), PgSslMode::Prefer));
    }

    #[test]
    fn anything_else_is_a_file_or_a_mistake() {
        assert!(matches!(DatabaseLocation::parse("data/metagame.db"), Ok(DatabaseLocation::File(_))));
        assert!(DatabaseLocation::parse("mysql://localhost/game").is_err());
        assert!(DatabaseLocation::parse(" ").is_err());
    }
}
