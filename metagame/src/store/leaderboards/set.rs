//! Setting one player's score, whatever rule its board keeps scores by.

use std::collections::BTreeSet;

use super::sql::NOTE_WRITES;
use super::{ENTRIES_OF, EntryRow, ScoreWrite, put_scores};
use crate::args;
use crate::core::gamemesh::to_write;
use crate::core::leaderboard::Board;
use crate::db::{Domain, List, Tx};
use crate::store::{Store, StoreError};

/// A score to set, or to add.
#[derive(Debug, Clone)]
pub struct ScoreSet {
    /// The board.
    pub board: Board,
    /// Number of its season.
    pub season: u64,
    /// The score, whose player, and the id under which it counts once.
    pub write: ScoreWrite,
    /// Whether it is added to what there is.
    pub increment: bool,
    /// Unix milliseconds.
    pub now_ms: u64,
}

impl Store {
    /// Sets a player's score, or adds to it, also where the board's rule is another; the row as it is then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_score(&self, set: ScoreSet) -> Result<Option<EntryRow>, StoreError> {
        self.db.write(Domain::Matches, set, |tx, set| Box::pin(set_score(tx, set))).await
    }
}

async fn set_score(tx: &mut Tx, set: &ScoreSet) -> Result<Option<EntryRow>, StoreError> {
    let ScoreSet { board, season, write, increment, now_ms } = set;
    let ids: BTreeSet<&str> = write.write_id.as_deref().into_iter().collect();
    let ids = serde_json::to_string(&ids).map_err(|error| StoreError::Failed(error.to_string()))?;
    let fresh: Vec<String> = tx.all(NOTE_WRITES, args![board.id, ids, *now_ms]).await?;
    let players = [write.player];
    let own = args![board.id, *season, List(&players)];
    if fresh.len() == usize::from(write.write_id.is_some()) {
        let row: Option<EntryRow> = tx.optional(ENTRIES_OF, own.clone()).await?;
        let current = row.filter(|row| !row.removed).map_or(0, |row| row.score);
        let (smallest, largest) = board.bounds;
        // Adding up must not leave the board's bounds, in which the score itself lies.
        let score = if *increment { current.saturating_add(write.score).clamp(smallest, largest) } else { write.score };
        let score = to_write(board.keep, current, score, false);
        put_scores(tx, board, *season, &[ScoreWrite { score, ..write.clone() }], *now_ms).await?;
    }
    tx.optional(ENTRIES_OF, own).await
}
