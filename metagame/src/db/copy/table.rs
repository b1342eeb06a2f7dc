//! One table: what it is made of, its rows from one engine to the other, and a checksum that is the same on both.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, PgConnection, Postgres, Row, SqliteConnection, Type};

use super::{CopyError, OWN};

/// Most rows of one insert.
const BATCH_ROWS_MAX: u64 = 1_000;
/// Most bytes of one insert, roughly.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A table that was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub name: String,
    /// How many rows.
    pub rows: u64,
    /// Sum of the rows' SHA-256 (their first 128 bits), in hexadecimal digits: the same on both sides, in whatever order rows come.
    pub checksum: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Real,
    Text,
    Blob,
}

/// What a table is made of.
pub(super) struct Table {
    pub(super) name: String,
    columns: Vec<(String, Kind)>,
    /// Tables that must be there before.
    after: BTreeSet<String>,
    /// The column whose numbers the engine gives.
    counts_up: Option<String>,
}

/// Counts rows and adds their hashes, so that their order does not matter.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    sum: u128,
}

impl Sum {
    fn add(&mut self, row: &[u8]) {
        let hash: [u8; 32] = Sha256::digest(row).into();
        let half = hash[..16].try_into().expect("half of 32 bytes");
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(half));
        self.rows += 1;
    }

    pub(super) fn of(self, table: &Table) -> CopiedTable {
        CopiedTable { name: table.name.clone(), rows: self.rows, checksum: format!("{:032x}", self.sum) }
    }
}

/// The tables of the file, but for those of the schema itself.
pub(super) async fn tables(source: &mut SqliteConnection) -> Result<Vec<Table>, sqlx::Error> {
    let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let mut names: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&mut *source).await?;
    names.retain(|(name, _)| !OWN.contains(&name.as_str()));
    let mut tables = Vec::new();
    for (name, made_by) in names {
        let sql = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";
        let columns: Vec<(String, String)> = sqlx::query_as(sql).bind(&name).fetch_all(&mut *source).await?;
        let sql = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)";
        let after: Vec<String> = sqlx::query_scalar(sql).bind(&name).fetch_all(&mut *source).await?;
        let kind = |kind: &str| match kind {
            "INTEGER" => Kind::Int,
            "REAL" => Kind::Real,
            "BLOB" => Kind::Blob,
            _ => Kind::Text,
        };
        // SQLite allows it for the primary key alone, which our tables begin with.
        let counts_up = made_by.contains("AUTOINCREMENT").then(|| columns[0].0.clone());
        tables.push(Table {
            columns: columns.into_iter().map(|(column, of)| (column, kind(&of))).collect(),
            after: after.into_iter().filter(|other| *other != name).collect(),
            counts_up,
            name,
        });
    }
    Ok(tables)
}

/// Each table after those that it refers to.
pub(super) fn in_order(tables: Vec<Table>) -> Result<Vec<Table>, CopyError> {
    let mut waiting: BTreeMap<String, Table> = tables.into_iter().map(|table| (table.name.clone(), table)).collect();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let free = waiting.values().find(|table| table.after.iter().all(|other| !waiting.contains_key(other)));
        let Some(name) = free.map(|table| table.name.clone()) else {
            return Err(CopyError::Circle(waiting.into_keys().collect::<Vec<_>>().join(", ")));
        };
        ordered.extend(waiting.remove(&name));
    }
    Ok(ordered)
}

/// Whether something is in it over there.
pub(super) async fn has_rows(target: &mut PgConnection, table: &Table) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM \"{}\")", table.name);
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(target).await
}

/// The file's rows and their checksum.
pub(super) async fn sum_of_file(source: &mut SqliteConnection, table: &Table) -> Result<Sum, sqlx::Error> {
    let mut sum = Sum::default();
    let mut rows = sqlx::query(AssertSqlSafe(select(table))).fetch(source);
    while let Some(row) = rows.try_next().await? {
        sum.add(&encode::<SqliteRow>(&row, table)?);
    }
    Ok(sum)
}

/// The server's rows and their checksum.
pub(super) async fn sum_of_server(target: &mut PgConnection, table: &Table) -> Result<Sum, sqlx::Error> {
    let mut sum = Sum::default();
    let mut rows = sqlx::query(AssertSqlSafe(select(table))).fetch(target);
    while let Some(row) = rows.try_next().await? {
        sum.add(&encode::<PgRow>(&row, table)?);
    }
    Ok(sum)
}

/// Writes the file's rows; what they add up to.
pub(super) async fn write(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    table: &Table,
) -> Result<Sum, sqlx::Error> {
    let (mut sum, mut batch) = (Sum::default(), Batch::new(table));
    let mut rows = sqlx::query(AssertSqlSafe(select(table))).fetch(&mut *source);
    while let Some(row) = rows.try_next().await? {
        let encoded = encode::<SqliteRow>(&row, table)?;
        sum.add(&encoded);
        batch.add(&row, encoded.len())?;
        if batch.is_full() {
            std::mem::replace(&mut batch, Batch::new(table)).insert(target, table).await?;
        }
    }
    drop(rows);
    batch.insert(target, table).await?;
    count_on(source, target, table).await?;
    Ok(sum)
}

/// Numbers go on where the file's were, also where the newest rows are gone again: whoever has read up to one must not meet it
/// once more.
async fn count_on(source: &mut SqliteConnection, target: &mut PgConnection, table: &Table) -> Result<(), sqlx::Error> {
    let Some(column) = &table.counts_up else { return Ok(()) };
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = $1";
    let last: Option<i64> = sqlx::query_scalar(sql).bind(&table.name).fetch_optional(source).await?;
    let Some(last) = last.filter(|last| *last > 0) else { return Ok(()) };
    let sql = "SELECT setval(pg_get_serial_sequence($1, $2), $3)";
    let name = format!("\"{}\"", table.name);
    sqlx::query(sql).bind(name).bind(column).bind(last).execute(target).await.map(drop)
}

enum Column {
    Ints(Vec<Option<i64>>),
    Reals(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
    Blobs(Vec<Option<Vec<u8>>>),
}

/// Rows on their way.
struct Batch {
    columns: Vec<Column>,
    rows: u64,
    bytes: usize,
}

impl Batch {
    fn new(table: &Table) -> Self {
        let column = |(_, kind): &(String, Kind)| match kind {
            Kind::Int => Column::Ints(Vec::new()),
            Kind::Real => Column::Reals(Vec::new()),
            Kind::Text => Column::Texts(Vec::new()),
            Kind::Blob => Column::Blobs(Vec::new()),
        };
        Self { columns: table.columns.iter().map(column).collect(), rows: 0, bytes: 0 }
    }

    fn add(&mut self, row: &SqliteRow, bytes: usize) -> Result<(), sqlx::Error> {
        for (index, column) in self.columns.iter_mut().enumerate() {
            match column {
                Column::Ints(values) => values.push(row.try_get(index)?),
                Column::Reals(values) => values.push(row.try_get(index)?),
                Column::Texts(values) => values.push(row.try_get(index)?),
                Column::Blobs(values) => values.push(row.try_get(index)?),
            }
        }
        (self.rows, self.bytes) = (self.rows + 1, self.bytes + bytes);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    async fn insert(self, target: &mut PgConnection, table: &Table) -> Result<(), sqlx::Error> {
        if self.rows == 0 {
            return Ok(());
        }
        let arrays = table.columns.iter().enumerate().map(|(index, (_, kind))| {
            let of = match kind {
                Kind::Int => "bigint",
                Kind::Real => "double precision",
                Kind::Text => "text",
                Kind::Blob => "bytea",
            };
            format!("${}::{of}[]", index + 1)
        });
        let arrays = arrays.collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO \"{}\" ({}) SELECT * FROM unnest({arrays})", table.name, columns(table));
        let mut query = sqlx::query::<Postgres>(AssertSqlSafe(sql));
        for column in self.columns {
            query = match column {
                Column::Ints(values) => query.bind(values),
                Column::Reals(values) => query.bind(values),
                Column::Texts(values) => query.bind(values),
                Column::Blobs(values) => query.bind(values),
            };
        }
        query.execute(target).await.map(drop)
    }
}

fn columns(table: &Table) -> String {
    table.columns.iter().map(|(column, _)| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

fn select(table: &Table) -> String {
    format!("SELECT {} FROM \"{}\"", columns(table), table.name)
}

/// A row as bytes that are the same on both engines.
fn encode<R: Row>(row: &R, table: &Table) -> Result<Vec<u8>, sqlx::Error>
where
    usize: ColumnIndex<R>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> f64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    let mut bytes = Vec::new();
    for (index, (_, kind)) in table.columns.iter().enumerate() {
        let value: Option<Vec<u8>> = match kind {
            Kind::Int => row.try_get::<Option<i64>, _>(index)?.map(|value| value.to_be_bytes().to_vec()),
            Kind::Real => row.try_get::<Option<f64>, _>(index)?.map(|value| value.to_bits().to_be_bytes().to_vec()),
            Kind::Text => row.try_get::<Option<String>, _>(index)?.map(String::into_bytes),
            Kind::Blob => row.try_get::<Option<Vec<u8>>, _>(index)?,
        };
        bytes.push(u8::from(value.is_some()));
        let value = value.unwrap_or_default();
        bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
        bytes.extend_from_slice(&value);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, after: &[&str]) -> Table {
        let after = after.iter().map(|other| (*other).to_owned()).collect();
        Table { name: name.into(), columns: Vec::new(), after, counts_up: None }
    }

    #[test]
    fn a_table_comes_after_those_that_it_refers_to_and_a_circle_is_named() {
        let names = |tables: Vec<Table>| -> Vec<String> { tables.into_iter().map(|table| table.name).collect() };
        let ordered = in_order(vec![table("a", &["c"]), table("b", &["a"]), table("c", &[])]).ok().map(names);
        assert_eq!(ordered, Some(["c", "a", "b"].map(String::from).to_vec()));
        let circle = in_order(vec![table("a", &["b"]), table("b", &["a"]), table("c", &[])]);
        assert!(matches!(circle.err(), Some(CopyError::Circle(names)) if names == "a, b"));
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_every_row_does() {
        let sum = |rows: &[&[u8]]| {
            let mut sum = Sum::default();
            rows.iter().for_each(|row| sum.add(row));
            sum
        };
        assert_eq!(sum(&[b"1", b"2", b"2"]), sum(&[b"2", b"1", b"2"]));
        assert_ne!(sum(&[b"1", b"2", b"2"]), sum(&[b"1", b"1", b"2"]));
        assert_ne!(sum(&[b"1", b"2"]), sum(&[b"1"]));
    }
}
