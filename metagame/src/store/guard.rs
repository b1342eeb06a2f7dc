//! What logins by password are judged by: failures, and where an account was seen before. In the database, so that all
//! instances count together; logins by device do not come here.

use protocol::id::PlayerId;

use super::{Store, StoreError};
use crate::args;
use crate::core::guard::{Signs, WINDOW_MS};
use crate::db::{Domain, FromRow, Row, Tx};
use crate::vault::BlindIndex;

/// How long a network or device is remembered, in milliseconds: half a year.
const SIGHTING_LIFE_MS: u64 = 180 * 24 * 60 * 60 * 1_000;
/// How long counts are kept, in milliseconds.
const TALLY_LIFE_MS: u64 = 60 * 60 * 1_000;

/// What a login counts against, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct GuardKeys {
    /// The account, whether there is one or not.
    pub account: BlindIndex,
    /// The network.
    pub network: BlindIndex,
    /// All failures.
    pub failures: BlindIndex,
    /// All successes.
    pub successes: BlindIndex,
    /// The network, as a mark of the account.
    pub place: BlindIndex,
    /// The device, as a mark of the account.
    pub device: Option<BlindIndex>,
}

struct Read(Signs);

impl FromRow for Read {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self(Signs {
            account_failures: row.get(0)?,
            network_failures: row.get(1)?,
            all_failures: row.get(2)?,
            all_successes: row.get(3)?,
            place_is_known: row.get(4)?,
            device_is_known: row.get(5)?,
        }))
    }
}

impl Store {
    /// What is known of a login, before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn signs(&self, keys: GuardKeys, player: Option<PlayerId>, now_ms: u64) -> Result<Signs, StoreError> {
        let sql = "SELECT CAST(coalesce(sum(CASE WHEN tally = $1 THEN count END), 0) AS BIGINT),
                          CAST(coalesce(sum(CASE WHEN tally = $2 THEN count END), 0) AS BIGINT),
                          CAST(coalesce(sum(CASE WHEN tally = $3 THEN count END), 0) AS BIGINT),
                          CAST(coalesce(sum(CASE WHEN tally = $4 THEN count END), 0) AS BIGINT),
                          EXISTS (SELECT 1 FROM sightings WHERE player_id = $5 AND mark = $6),
                          EXISTS (SELECT 1 FROM sightings WHERE player_id = $5 AND mark = $7)
                   FROM tallies WHERE tally IN ($1, $2, $3, $4) AND window_ms >= $8";
        let since = window(now_ms).saturating_sub(2 * WINDOW_MS);
        let GuardKeys { account, network, failures, successes, place, device } = keys;
        let args = args![account, network, failures, successes, player, place, device, since];
        self.db.one(Domain::Identity, sql, args).await.map(|Read(signs)| signs)
    }

    /// Counts a login that failed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tally_failure(&self, keys: GuardKeys, now_ms: u64) -> Result<(), StoreError> {
        // In the same order by all, so that none waits for another in a circle.
        let sql = "INSERT INTO tallies (tally, window_ms, count) VALUES ($1, $4, 1), ($2, $4, 1), ($3, $4, 1)
                   ON CONFLICT (tally, window_ms) DO UPDATE SET count = tallies.count + 1";
        let args = args![keys.account, keys.network, keys.failures, window(now_ms)];
        self.db.statement(Domain::Identity, sql, args).await.map(drop)
    }

    /// Counts a login that did not fail.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tally_success(&self, keys: GuardKeys, now_ms: u64) -> Result<(), StoreError> {
        let sql = "INSERT INTO tallies (tally, window_ms, count) VALUES ($1, $2, 1)
                   ON CONFLICT (tally, window_ms) DO UPDATE SET count = tallies.count + 1";
        self.db.statement(Domain::Identity, sql, args![keys.successes, window(now_ms)]).await.map(drop)
    }

    /// How many were counted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tallied(&self, tally: BlindIndex, now_ms: u64) -> Result<u64, StoreError> {
        let sql = "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) FROM tallies WHERE tally = $1 AND window_ms >= $2";
        let since = window(now_ms).saturating_sub(2 * WINDOW_MS);
        self.db.one(Domain::Identity, sql, args![tally, since]).await
    }

    /// Counts one more, unless there are `at_most` already; whether it did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tally_within(&self, tally: BlindIndex, at_most: u64, now_ms: u64) -> Result<bool, StoreError> {
        self.db
            .write(Domain::Identity, (tally, at_most, now_ms), |tx, (tally, at_most, now_ms)| {
                Box::pin(async move {
                    let sql = "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) FROM tallies
                               WHERE tally = $1 AND window_ms >= $2";
                    let since = window(*now_ms).saturating_sub(2 * WINDOW_MS);
                    let counted: u64 = tx.one(sql, args![tally, since]).await?;
                    if counted >= *at_most {
                        return Ok(false);
                    }
                    let sql = "INSERT INTO tallies (tally, window_ms, count) VALUES ($1, $2, 1)
                               ON CONFLICT (tally, window_ms) DO UPDATE SET count = tallies.count + 1";
                    tx.execute(sql, args![tally, window(*now_ms)]).await.map(|_| true)
                })
            })
            .await
    }
}

/// Remembers from where an account was played.
pub(super) async fn see(tx: &mut Tx, player: PlayerId, marks: &[BlindIndex], now_ms: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO sightings (player_id, mark, seen_at_ms) VALUES ($1, $2, $3)
               ON CONFLICT (player_id, mark) DO UPDATE SET seen_at_ms = excluded.seen_at_ms";
    for mark in marks {
        tx.execute(sql, args![player, mark, now_ms]).await?;
    }
    Ok(())
}

/// Forgets what is old.
pub(super) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM tallies WHERE window_ms < $1", args![now_ms.saturating_sub(TALLY_LIFE_MS)]).await?;
    let sql = "DELETE FROM sightings WHERE seen_at_ms < $1";
    tx.execute(sql, args![now_ms.saturating_sub(SIGHTING_LIFE_MS)]).await.map(drop)
}

fn window(now_ms: u64) -> u64 {
    now_ms - now_ms % WINDOW_MS
}
