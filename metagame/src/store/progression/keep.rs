//! Rules by version, seasons that are over, and what is forgotten.

use std::sync::Arc;

use crate::args;
use crate::core::event::fact;
use crate::core::progression::{CHALLENGE_CLAIM_MS, Progression, Season};
use crate::db::{Domain, FromRow, Row, StoreError, Tx};
use crate::store::Store;
use crate::store::events::tell;

/// A season that is over, as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedSeason {
    /// Its id.
    pub id: String,
    /// What it was.
    pub season: Season,
    /// Version of the rules that it ended with.
    pub rules_version: u32,
    /// How many players had XP in it.
    pub players: u64,
    /// Unix milliseconds.
    pub archived_at_ms: u64,
}

impl FromRow for ArchivedSeason {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let definition: String = row.get(1)?;
        let season = serde_json::from_str(&definition)
            .map_err(|error| StoreError::Unreadable(format!("an archived season: {error}")))?;
        let (id, rules_version, players, archived_at_ms) = (row.get(0)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(Self { id, season, rules_version, players, archived_at_ms })
    }
}

impl Store {
    /// Keeps rules under their version, unless there are some; those that are kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_progression(&self, version: u32, source: String, now_ms: u64) -> Result<String, StoreError> {
        let db = self.database();
        let sql = "INSERT INTO progression_rules (version, source, seen_at_ms) VALUES ($1, $2, $3)
                   ON CONFLICT (version) DO NOTHING";
        db.statement(Domain::Operations, sql, args![version, source, now_ms]).await?;
        db.one(Domain::Operations, "SELECT source FROM progression_rules WHERE version = $1", args![version]).await
    }

    /// Archives seasons that take in no result any more. How many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn archive_seasons(&self, rules: Arc<Progression>, now_ms: u64) -> Result<u64, StoreError> {
        self.database()
            .write(Domain::Operations, (rules, now_ms), |tx, (rules, now_ms)| Box::pin(archive(tx, rules, *now_ms)))
            .await
    }

    /// Seasons that are over, the newest first, at most 100.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn archived_seasons(&self) -> Result<Vec<ArchivedSeason>, StoreError> {
        let sql = "SELECT season, definition, rules_version, players, archived_at_ms FROM season_archive
                   ORDER BY ended_at_ms DESC, season LIMIT 100";
        self.database().all(Domain::Players, sql, args![]).await
    }
}

async fn archive(tx: &mut Tx, rules: &Progression, now_ms: u64) -> Result<u64, StoreError> {
    let mut archived = 0;
    for (id, season) in rules.seasons.iter().filter(|(_, season)| now_ms >= season.archive_ms()) {
        let definition = serde_json::to_string(season).map_err(|error| StoreError::Failed(error.to_string()))?;
        let sql = "INSERT INTO season_archive (season, definition, rules_version, players, ended_at_ms, archived_at_ms)
                   SELECT $1, $2, $3, (SELECT count(*) FROM progress_counts WHERE subject = $4), $5, $6
                   WHERE NOT EXISTS (SELECT 1 FROM season_archive WHERE season = $1)";
        let subject = format!("season:{id}");
        if tx.execute(sql, args![id, definition, rules.version, subject, season.until_ms, now_ms]).await? == 1 {
            archived += 1;
            tell(tx, || vec![fact::season_archived(id, rules.version, season.until_ms, now_ms)]).await?;
        }
    }
    Ok(archived)
}

/// Forgets challenges that cannot be claimed any more, and claims of those that were forgotten long before.
pub(crate) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    let over_ms = now_ms.saturating_sub(CHALLENGE_CLAIM_MS);
    tx.execute("DELETE FROM progress_counts WHERE until_ms <= $1", args![over_ms]).await?;
    tx.execute("DELETE FROM claims WHERE until_ms <= $1", args![now_ms]).await.map(drop)
}
