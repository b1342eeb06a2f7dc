//! `muster metagame migrate-store`: from metagame's SQLite file to a PostgreSQL server, checked on both sides.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use metagame::store::Store;
use metagame::store::economy::Verified;
use metagame::{DatabaseLimits, DatabaseLocation, PostgresUrl, StoreCopy, copy_to_postgres};
use serde_json::json;

use crate::database::DatabaseOptions;
use crate::exit::Failure;
use crate::output::{Output, answer, remark};

/// What `muster metagame` does besides serving.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum MetagameTask {
    /// Copy everything from metagame's SQLite file to an empty PostgreSQL database, with metagame stopped; everything or nothing is
    /// copied, and each table is compared; status 3 if the books are not whole.
    MigrateStore(MigrateStoreOptions),
}

#[derive(Clone, Args)]
pub(crate) struct MigrateStoreOptions {
    /// The SQLite file; it is only read.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The database, postgres://user:password@host:5432/database; it must exist and be empty.
    #[arg(long, value_name = "URL", required_unless_present = "to_file", conflicts_with = "to_file")]
    to: Option<String>,
    /// File that holds what --to would say: a password is safe there.
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
    /// What to print on stdout.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// What to log.
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    log: String,
}

/// The address may hold a password.
impl std::fmt::Debug for MigrateStoreOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MigrateStoreOptions").field("from", &self.from).finish_non_exhaustive()
    }
}

/// Does one of metagame's tasks.
pub(crate) fn run(task: &MetagameTask) -> Result<ExitCode, Failure> {
    let MetagameTask::MigrateStore(options) = task;
    service::logs::init(&options.log, service::logs::Format::Auto);
    let url = target(options)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    let (copy, books) = runtime.block_on(migrate(options, &url))?;
    answer(&match options.output {
        Output::Text => text(options, &url, &copy, &books),
        Output::Json => whole(&copy, &books),
    })?;
    if books.faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let file = options.from.display();
    remark(&format!(
        "the books are not whole, and since both sides are the same they were not in the file either: \
         `muster ledger verify --database {file}` says where they diverge"
    ));
    Ok(ExitCode::from(3))
}

fn target(options: &MigrateStoreOptions) -> Result<PostgresUrl, Failure> {
    let given = DatabaseOptions { database: options.to.clone(), database_file: options.to_file.clone() };
    match given.location(std::path::Path::new(""))? {
        DatabaseLocation::Postgres(url) => Ok(url),
        DatabaseLocation::File(_) => Err(Failure::setup("--to is no address of a PostgreSQL server")
            .help("postgres://user:password@host:5432/database is right")),
    }
}

async fn migrate(options: &MigrateStoreOptions, url: &PostgresUrl) -> Result<(StoreCopy, Verified), Failure> {
    let tell = |table: &metagame::CopiedTable| remark(&format!("{}: {} rows", table.name, table.rows));
    let now_ms = service::clock::unix_ms();
    let copy = copy_to_postgres(&options.from, url, now_ms, tell).await.map_err(Failure::setup)?;
    let location = DatabaseLocation::Postgres(url.clone());
    let store = Store::open(&location, DatabaseLimits::default()).await.map_err(Failure::setup)?;
    let books = store.verify_ledger().await.map_err(Failure::run)?;
    store.close().await;
    Ok((copy, books))
}

fn text(options: &MigrateStoreOptions, url: &PostgresUrl, copy: &StoreCopy, books: &Verified) -> String {
    let width = copy.tables.iter().map(|table| table.name.len()).max().unwrap_or(0);
    let mut lines: Vec<String> =
        copy.tables.iter().map(|table| format!("{:width$}  {}  {}", table.name, table.checksum, table.rows)).collect();
    let rows: u64 = copy.tables.iter().map(|table| table.rows).sum();
    let when = if copy.was_before { "had been copied before, and are still" } else { "were copied, and are" };
    lines.push(format!("{} tables with {rows} rows {when} the same on both sides", copy.tables.len()));
    if books.faults.is_empty() {
        lines.push(format!("the books are whole: {} entries, {} wallets", books.entries, books.wallets));
        lines.push(format!(
            "now start metagame with this database ({url}) and the same key files; keep {} as a backup of now, and start no \
             metagame on it",
            options.from.display()
        ));
    }
    lines.join("\n")
}

fn whole(copy: &StoreCopy, books: &Verified) -> String {
    let table =
        |table: &metagame::CopiedTable| json!({ "table": table.name, "rows": table.rows, "checksum": table.checksum });
    json!({
        "was_before": copy.was_before,
        "tables": copy.tables.iter().map(table).collect::<Vec<_>>(),
        "books_whole": books.faults.is_empty(),
        "entries": books.entries,
    })
    .to_string()
}
