//! Seals over the journal, made in the background.

use crate::args;
use crate::core::seal::{SEAL_LAG_MS, Seal};
use crate::db::{Domain, FromRow, Row, StoreError};
use crate::store::Store;

/// Most entries of one seal: a long stretch is sealed in several.
const ENTRIES_MAX: u64 = 20_000;

/// Its columns are those of `NEWEST`.
impl FromRow for Seal {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            number: row.get(0)?,
            from_ms: row.get(1)?,
            until_ms: row.get(2)?,
            entries: row.get(3)?,
            root: row.get(4)?,
            hash: row.get(5)?,
        })
    }
}

const NEWEST: &str = "\
    SELECT number, from_ms, until_ms, entries, root, seal_hash FROM ledger_seals ORDER BY number DESC LIMIT 1";

impl Store {
    /// Seals what has happened since the last seal and is old enough not to change any more. `None`: there is nothing yet, or
    /// another instance has done it. Where more is waiting than one seal takes, the next call goes on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn seal_ledger(&self, now_ms: u64) -> Result<Option<Seal>, StoreError> {
        let db = self.database();
        let before: Option<Seal> = db.optional(Domain::Operations, NEWEST, args![]).await?;
        let from_ms = before.as_ref().map_or(0, |seal| seal.until_ms);
        let mut until_ms = now_ms.saturating_sub(SEAL_LAG_MS);
        let sql = "SELECT entry_hash, at_ms FROM journal WHERE at_ms >= $1 AND at_ms < $2
                   ORDER BY at_ms, journal_id LIMIT $3";
        let mut entries: Vec<([u8; 32], u64)> =
            db.all(Domain::Operations, sql, args![from_ms, until_ms, ENTRIES_MAX]).await?;
        if entries.len() as u64 == ENTRIES_MAX {
            // The last millisecond may not be whole, unless it is all there is.
            let last_ms = entries.last().map_or(until_ms, |(_, at_ms)| *at_ms);
            if entries.first().is_some_and(|(_, at_ms)| *at_ms < last_ms) {
                entries.retain(|(_, at_ms)| *at_ms < last_ms);
                until_ms = last_ms;
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let hashes: Vec<_> = entries.into_iter().map(|(hash, _)| hash).collect();
        let seal = Seal::over(before.as_ref(), until_ms, &hashes);
        let sql = "INSERT INTO ledger_seals (number, from_ms, until_ms, entries, root, seal_hash, sealed_at_ms)
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (number) DO NOTHING";
        let args = args![seal.number, seal.from_ms, seal.until_ms, seal.entries, seal.root, seal.hash, now_ms];
        let sealed = db.statement(Domain::Operations, sql, args).await?;
        Ok((sealed == 1).then_some(seal))
    }
}
