//! Days as partitions: `telemetry_2026_11_22`.

use super::log::{TelemetryRow, day_name};
use crate::args;
use crate::core::telemetry::day;
use crate::db::{Database, Domain, List, StoreError};

const KEEP: &str = "\
    INSERT INTO telemetry (day, event_id, name, version, at_ms, received_at_ms, pseudonym, source, body, sealed)
    SELECT given.day, given.event_id, given.name, given.version, given.at_ms, given.received_at_ms, given.pseudonym, given.source,
           given.body, given.sealed
    FROM ROWS(day int $1, event_id blob $2, name text $3, version int $4, at_ms int $5, received_at_ms int $6,
              pseudonym blob $7, source text $8, body text $9, sealed blob $10)
    ON CONFLICT DO NOTHING";
const PAGE: &str = "\
    SELECT day, event_id, name, version, at_ms, received_at_ms, pseudonym, source, body, sealed FROM telemetry
    WHERE pseudonym = $1 AND (day, event_id) > ($2, $3) ORDER BY day, event_id LIMIT $4";
const PARTITIONS: &str = "\
    SELECT CAST(child.relname AS TEXT) FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
    WHERE inhparent = to_regclass('telemetry') ORDER BY 1";
/// What partitions are called.
const PREFIX: &str = "telemetry_";
/// Two instances that make the same day do it one after another: our advisory lock of that, out of the way of others'.
const LOCK: i64 = 0x006D_7573_7465_7201;

fn partition(day: u64) -> String {
    format!("{PREFIX}{}", day_name(day, "_"))
}

/// Makes a day's partition, if there is none. It is made beside the table and then attached, so that nobody who reads or
/// writes other days has to end first.
pub(super) async fn make(database: &Database, day: u64) -> Result<(), StoreError> {
    let (name, next) = (partition(day), day + 1);
    let text = format!(
        "DO $$ BEGIN
            PERFORM pg_advisory_xact_lock({LOCK});
            IF NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass('{name}')) THEN
                CREATE TABLE {name} (LIKE telemetry INCLUDING ALL);
                ALTER TABLE telemetry ATTACH PARTITION {name} FOR VALUES FROM ({day}) TO ({next});
            END IF;
        END $$"
    );
    database.define(Domain::Telemetry, text).await
}

pub(super) async fn keep(database: &Database, rows: &[TelemetryRow]) -> Result<(), StoreError> {
    fn column<'r, T>(rows: &'r [TelemetryRow], of: impl Fn(&'r TelemetryRow) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    let args = args![
        List(&column(rows, |row| row.day)),
        List(&column(rows, |row| row.event_id)),
        List(&column(rows, |row| &row.name)),
        List(&column(rows, |row| row.version)),
        List(&column(rows, |row| row.at_ms)),
        List(&column(rows, |row| row.received_at_ms)),
        List(&column(rows, |row| &row.pseudonym)),
        List(&column(rows, |row| &row.source)),
        List(&column(rows, |row| &row.body)),
        List(&column(rows, |row| &row.sealed)),
    ];
    database.statement(Domain::Telemetry, KEEP, args).await.map(drop)
}

pub(super) async fn page(
    database: &Database,
    pseudonym: [u8; 16],
    after: (u64, [u8; 16]),
    limit: u32,
) -> Result<Vec<TelemetryRow>, StoreError> {
    database.all(Domain::Operations, PAGE, args![pseudonym, after.0, after.1, limit]).await
}

pub(super) async fn drop_before(database: &Database, oldest: u64) -> Result<usize, StoreError> {
    let names: Vec<String> = database.all(Domain::Operations, PARTITIONS, args![]).await?;
    let is_over = |name: &&String| {
        let named = name.strip_prefix(PREFIX).map(|name| name.replace('_', "-"));
        named.and_then(|name| day::read(&name)).is_some_and(|day| day < oldest)
    };
    let over: Vec<&String> = names.iter().filter(is_over).collect();
    for name in &over {
        database.define(Domain::Operations, format!("DROP TABLE IF EXISTS {name}")).await?;
    }
    Ok(over.len())
}

pub(super) async fn bytes_of(database: &Database, day: u64) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0)";
    database.one(Domain::Telemetry, sql, args![partition(day)]).await
}
