//! Moving from a SQLite file to a PostgreSQL server: every table, in one transaction.
//!
//! The file is held under SQLite's exclusive lock from the first look to the end, so metagame is not running on it and cannot
//! begin to, and all that is read is one moment. On the server everything happens in one transaction, in batches, and it commits
//! only after each table was read back with as many rows as the file's and the same checksum. Whatever goes wrong before that
//! leaves the server without a row: to go on is to begin again. The same transaction leaves a mark, so who does not know whether
//! the commit was heard asks again and is told.

mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};

use super::location::{DatabaseLocation, PostgresUrl};
use super::open::{DatabaseLimits, OpenError, check};
use super::{Database, migrate};
use table::Table;

pub use table::CopiedTable;

/// How long a lock on either side is waited for: who holds one uses the database.
const LOCK_WAIT: Duration = Duration::from_millis(500);
/// Tables that belong to the schema and not to what is kept.
const OWN: [&str; 3] = ["_sqlx_migrations", "muster_migrations", "store_moves"];

/// Why nothing was moved. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no such file.
    #[error("there is no database {0}: name the SQLite file of metagame, metagame.db in its data folder")]
    NoFile(PathBuf),
    /// The file is damaged, or the server cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A program has the file open.
    #[error("a program is using {0}: stop metagame (and whatever else has the file open), then move it")]
    InUse(PathBuf),
    /// The file was written by another version.
    #[error(
        "the schema of the file is that of another version of Muster ({0}): start metagame of this version on the file once, \
         stop it, then move it"
    )]
    Schema(String),
    /// Something is in the other database already.
    #[error(
        "{database} is not empty: the table {table} has rows. Nothing was moved: name an empty database, or empty this one \
         (DROP SCHEMA public CASCADE; CREATE SCHEMA public) if nobody needs what is in it"
    )]
    NotEmpty {
        /// Where to.
        database: String,
        /// The first one with rows.
        table: String,
    },
    /// The other database belongs to something else.
    #[error(
        "{database} has a table {table}, which is not metagame's. Nothing was moved: make a database for metagame alone"
    )]
    Foreign {
        /// Where to.
        database: String,
        /// The first one that is not ours.
        table: String,
    },
    /// It was moved before, and one side has gone on since.
    #[error(
        "{database} was filled from a SQLite file before, and one of the two has changed since (table {table}). Nothing was moved: \
         let metagame run on {database}, and keep the file as a backup of then"
    )]
    MovedBefore {
        /// Where to.
        database: String,
        /// The first one that differs.
        table: String,
    },
    /// Somebody uses the other database.
    #[error("a program is using {0}: stop every metagame on it. Nothing was moved")]
    TargetInUse(String),
    /// Tables refer to each other in a circle.
    #[error("the tables {0} refer to each other in a circle: that is a fault of this program. Nothing was moved")]
    Circle(String),
    /// Reading the file, writing, or reading back failed.
    #[error("table {table}: {error}. Nothing was moved: mend that and begin again")]
    Table {
        /// Which one.
        table: String,
        /// The engine's reason.
        error: sqlx::Error,
    },
    /// What was read back is not what was written.
    #[error(
        "table {table} is not the same over there ({here} rows here, {there} there, or other values). Nothing was moved: look \
         for triggers and rules in the database"
    )]
    Differs {
        /// Which one.
        table: String,
        /// Rows of the file.
        here: u64,
        /// Rows on the server.
        there: u64,
    },
    /// The connection to one of the databases broke.
    #[error("the connection to a database broke: {0}. Nothing was moved: begin again")]
    Broke(sqlx::Error),
    /// Nobody knows whether it was committed.
    #[error(
        "the connection to the server broke in the moment of commit: {0}. Begin again with the same words: everything or nothing \
         was moved, and you will be told which"
    )]
    Unknown(sqlx::Error),
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCopy {
    /// Every table, in the order in which they were written.
    pub tables: Vec<CopiedTable>,
    /// It had been moved before, by a run that was not told; both sides were compared now and are the same.
    pub was_before: bool,
}

/// Moves everything that is in `file` into the empty database at `url`. `tell` hears of each table when it is done.
///
/// # Errors
/// [`CopyError`]; nothing was moved then, but for [`CopyError::Unknown`].
pub async fn copy_to_postgres(
    file: &Path,
    url: &PostgresUrl,
    now_ms: u64,
    mut tell: impl FnMut(&CopiedTable),
) -> Result<StoreCopy, CopyError> {
    let mut source = open_source(file).await?;
    let tables = table::in_order(table::tables(&mut source).await.map_err(CopyError::Broke)?)?;
    let database = url.to_string();
    let mut target = connect(url).await?;
    refuse_filled(&mut target, &tables, &database).await?;
    // It may have been made in this moment, so whoever has lost a race is told by the second look below.
    Database::open(&DatabaseLocation::Postgres(url.clone()), DatabaseLimits::default()).await?.close().await;
    begin(&mut target, &tables, &database).await?;
    let outcome = match moved_before(&mut target).await? {
        Some(content) => compare(&mut source, &mut target, &tables, &content, &database).await,
        None => fill(&mut source, &mut target, &tables, (&database, now_ms), &mut tell).await,
    };
    // Everything is decided: what follows is courtesy.
    let _ = target.close().await;
    let _ = source.close().await;
    outcome
}

/// The file, which nobody else can open from now on.
async fn open_source(file: &Path) -> Result<SqliteConnection, CopyError> {
    if !file.is_file() {
        return Err(CopyError::NoFile(file.to_owned()));
    }
    // In this mode the first look takes the file for itself, and a metagame that runs has it open at all times.
    let options = SqliteConnectOptions::new()
        .filename(file)
        .locking_mode(SqliteLockingMode::Exclusive)
        .busy_timeout(LOCK_WAIT)
        .disable_statement_logging();
    let judge = |error: sqlx::Error| match error.as_database_error().and_then(|fault| fault.code()) {
        // SQLITE_BUSY, also as an extended code.
        Some(code) if code.parse::<u32>().is_ok_and(|code| code & 0xFF == 5) => CopyError::InUse(file.to_owned()),
        _ => super::open::judge(file, &error).into(),
    };
    let mut source = options.connect().await.map_err(judge)?;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut source).await.map_err(judge)?;
    check(file, &mut source).await?;
    check_schema(&mut source).await?;
    Ok(source)
}

/// The file must have every migration of this program, and none of a newer one.
async fn check_schema(source: &mut SqliteConnection) -> Result<(), CopyError> {
    let mut there: Vec<i64> = Vec::new();
    for sql in ["SELECT version FROM _sqlx_migrations", "SELECT version FROM muster_migrations"] {
        let versions: Result<Vec<i64>, _> = sqlx::query_scalar(sql).fetch_all(&mut *source).await;
        there.extend(versions.map_err(|error| CopyError::Schema(format!("it has no list of migrations: {error}")))?);
    }
    there.sort_unstable();
    let wanted = migrate::versions();
    let missing: Vec<i64> = wanted.iter().filter(|version| !there.contains(version)).copied().collect();
    let unknown: Vec<i64> = there.iter().filter(|version| !wanted.contains(version)).copied().collect();
    if missing.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    Err(CopyError::Schema(format!(
        "migrations that it lacks: {missing:?}; that this program does not know: {unknown:?}"
    )))
}

async fn connect(url: &PostgresUrl) -> Result<PgConnection, CopyError> {
    let connected = url.options().clone().disable_statement_logging().connect().await;
    connected.map_err(|error| OpenError::Unreachable { url: url.clone(), reason: error.to_string() }.into())
}

/// Looks before anything is made over there: another program's database stays as it is.
async fn refuse_filled(target: &mut PgConnection, tables: &[Table], database: &str) -> Result<(), CopyError> {
    // Partitions belong to their table.
    let sql = "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
               AND relnamespace = to_regnamespace(quote_ident(current_schema())) ORDER BY relname";
    let there: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut *target).await.map_err(CopyError::Broke)?;
    let database = || database.to_owned();
    for name in &there {
        let is_own = OWN.contains(&name.as_str());
        if !is_own && !tables.iter().any(|table| table.name == *name) {
            return Err(CopyError::Foreign { database: database(), table: name.clone() });
        }
    }
    if there.iter().any(|name| name == "store_moves") && moved_before(target).await?.is_some() {
        return Ok(());
    }
    for table in tables.iter().filter(|table| there.contains(&table.name)) {
        let fault = |error| CopyError::Table { table: table.name.clone(), error };
        if table::has_rows(target, table).await.map_err(fault)? {
            return Err(CopyError::NotEmpty { database: database(), table: table.name.clone() });
        }
    }
    Ok(())
}

/// Begins the one transaction, with every table locked against all who write.
async fn begin(target: &mut PgConnection, tables: &[Table], database: &str) -> Result<(), CopyError> {
    let names: Vec<String> = tables.iter().map(|table| format!("\"{}\"", table.name)).collect();
    let sql = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
         SET LOCAL lock_timeout = {}; LOCK TABLE {}, store_moves IN EXCLUSIVE MODE; SET LOCAL lock_timeout = 0",
        LOCK_WAIT.as_millis(),
        names.join(", "),
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(target).await.map(drop).map_err(|error| {
        // lock_not_available
        let is_locked = error.as_database_error().and_then(|fault| fault.code()).is_some_and(|code| code == "55P03");
        if is_locked { CopyError::TargetInUse(database.to_owned()) } else { CopyError::Broke(error) }
    })
}

/// The mark of a run that was committed.
async fn moved_before(target: &mut PgConnection) -> Result<Option<String>, CopyError> {
    let sql = "SELECT content FROM store_moves ORDER BY moved_at_ms DESC LIMIT 1";
    sqlx::query_scalar(sql).fetch_optional(target).await.map_err(CopyError::Broke)
}

/// Whether both sides are what they were when they were moved.
async fn compare(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    tables: &[Table],
    content: &str,
    database: &str,
) -> Result<StoreCopy, CopyError> {
    let mut compared = Vec::new();
    let changed = |table: &str| CopyError::MovedBefore { database: database.to_owned(), table: table.to_owned() };
    for table in tables {
        let fault = |error| CopyError::Table { table: table.name.clone(), error };
        let here = table::sum_of_file(source, table).await.map_err(fault)?;
        let there = table::sum_of_server(target, table).await.map_err(fault)?;
        if here != there {
            return Err(changed(&table.name));
        }
        compared.push(here.of(table));
    }
    if content_of(&compared) != content {
        return Err(changed("of any, on both sides"));
    }
    Ok(StoreCopy { tables: compared, was_before: true })
}

async fn fill(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    tables: &[Table],
    (database, now_ms): (&str, u64),
    tell: &mut impl FnMut(&CopiedTable),
) -> Result<StoreCopy, CopyError> {
    for table in tables {
        let fault = |error| CopyError::Table { table: table.name.clone(), error };
        if table::has_rows(target, table).await.map_err(fault)? {
            return Err(CopyError::NotEmpty { database: database.to_owned(), table: table.name.clone() });
        }
    }
    let mut copied = Vec::new();
    for table in tables {
        let fault = |error| CopyError::Table { table: table.name.clone(), error };
        let here = table::write(source, target, table).await.map_err(fault)?;
        let there = table::sum_of_server(target, table).await.map_err(fault)?;
        if here != there {
            return Err(CopyError::Differs { table: table.name.clone(), here: here.rows, there: there.rows });
        }
        let done = here.of(table);
        tell(&done);
        copied.push(done);
    }
    let rows = copied.iter().map(|table| table.rows).sum::<u64>();
    sqlx::query("INSERT INTO store_moves (content, moved_rows, moved_at_ms) VALUES ($1, $2, $3)")
        .bind(content_of(&copied))
        .bind(i64::try_from(rows).unwrap_or(i64::MAX))
        .bind(i64::try_from(now_ms).unwrap_or(i64::MAX))
        .execute(&mut *target)
        .await
        .map_err(CopyError::Broke)?;
    match sqlx::raw_sql("COMMIT").execute(target).await {
        Ok(_) => Ok(StoreCopy { tables: copied, was_before: false }),
        // A server that answers has not committed.
        Err(error @ sqlx::Error::Database(_)) => Err(CopyError::Broke(error)),
        Err(error) => Err(CopyError::Unknown(error)),
    }
}

/// One hash over all tables.
fn content_of(tables: &[CopiedTable]) -> String {
    let mut tables: Vec<&CopiedTable> = tables.iter().collect();
    tables.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut hash = Sha256::new();
    for table in tables {
        hash.update(format!("{} {} {}\n", table.name, table.rows, table.checksum));
    }
    hex::encode(hash.finalize())
}
