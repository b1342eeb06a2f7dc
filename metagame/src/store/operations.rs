//! What runs in the background and what operators ask: pruning, counts, books.

use protocol::id::PlayerId;

use super::economy::payments;
use super::inventory::stock;
use super::progression::keep as progression;
use super::{EVENT_LIFE_MS, Stats, Store, StoreError, codes, guard, outbox, proofs, sessions, social};
use crate::args;
use crate::db::{Domain, FromRow, Row, Tx};
use crate::idempotency;

impl Store {
    /// Removes what has expired: sessions, and events older than [`EVENT_LIFE_MS`]. Says how many sessions that were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, now_ms: u64) -> Result<u64, StoreError> {
        self.db.write(Domain::Operations, now_ms, |tx, now_ms| Box::pin(prune(tx, *now_ms))).await
    }

    /// Counts for operators.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM sessions),
                   (SELECT count(*) FROM matches), (SELECT count(*) FROM matches WHERE state IN ('placed', 'playing')),
                   (SELECT count(*) FROM matches WHERE state = 'lost'), (SELECT count(*) FROM results),
                   (SELECT CAST(coalesce(sum(xp), 0) AS BIGINT) FROM xp_journal), (SELECT count(*) FROM audit),
                   (SELECT count(*) FROM outbox)";
        self.db.one(Domain::Operations, sql, args![]).await
    }

    /// Whether the XP journal adds up to the profiles; the players where it does not, at most 100.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn xp_mismatches(&self) -> Result<Vec<PlayerId>, StoreError> {
        let sql = "SELECT player_id FROM accounts WHERE xp <>
                   (SELECT coalesce(sum(xp), 0) FROM xp_journal WHERE xp_journal.player_id = accounts.player_id)
                   LIMIT 100";
        self.db.all(Domain::Operations, sql, args![]).await
    }
}

impl FromRow for Stats {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            accounts: row.get(0)?,
            sessions: row.get(1)?,
            matches: row.get(2)?,
            matches_live: row.get(3)?,
            matches_lost: row.get(4)?,
            results_recorded: row.get(5)?,
            xp_granted: row.get(6)?,
            audit_entries: row.get(7)?,
            outbox_events: row.get(8)?,
        })
    }
}

async fn prune(tx: &mut Tx, now_ms: u64) -> Result<u64, StoreError> {
    let sessions = tx.execute("DELETE FROM sessions WHERE expires_at_ms <= $1", args![now_ms]).await?;
    codes::prune(tx, now_ms).await?;
    sessions::prune(tx, now_ms).await?;
    idempotency::prune(tx, now_ms).await?;
    stock::prune(tx, now_ms).await?;
    payments::prune(tx, now_ms).await?;
    progression::prune(tx, now_ms).await?;
    guard::prune(tx, now_ms).await?;
    proofs::prune(tx, now_ms).await?;
    outbox::prune(tx, now_ms.saturating_sub(EVENT_LIFE_MS)).await?;
    social::prune(tx, now_ms).await?;
    Ok(sessions)
}
