//! What is read in lists: match history, leaderboards.

use protocol::certificate::Participation;
use protocol::id::PlayerId;

use super::{HistoryEntry, Ranked, Store, StoreError};
use crate::args;
use crate::core::page::{BoardCursor, HistoryCursor};
use crate::core::rating::Rating;
use crate::db::{Domain, FromRow, Row};

/// The name of a participation in the database, as in JSON.
pub(super) fn participation_name(participation: Participation) -> &'static str {
    match participation {
        Participation::Played => "played",
        Participation::Abandoned => "abandoned",
        Participation::Absent => "absent",
    }
}

fn participation(name: &str) -> Result<Participation, StoreError> {
    [Participation::Played, Participation::Abandoned, Participation::Absent]
        .into_iter()
        .find(|one| participation_name(*one) == name)
        .ok_or_else(|| StoreError::Unreadable(format!("participation {name:?}")))
}

/// Its columns are those of `HISTORY`.
impl FromRow for HistoryEntry {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let stats: String = row.get(11)?;
        Ok(Self {
            match_id: row.get(0)?,
            queue: row.get(1)?,
            ended_at_ms: row.get(2)?,
            reason: row.get(3)?,
            team: row.get(4)?,
            place: row.get(5)?,
            score: row.get(6)?,
            participation: participation(&row.get::<String>(7)?)?,
            xp_gained: row.get(8)?,
            rating_before: row.get(9)?,
            rating_after: row.get(10)?,
            stats: serde_json::from_str(&stats).map_err(|error| StoreError::Unreadable(error.to_string()))?,
        })
    }
}

const HISTORY: &str = "\
    SELECT match_id, queue, ended_at_ms, reason, team, place, score, participation, xp_gained, rating_before,
           rating_after, stats
    FROM history WHERE player_id = $1 AND (ended_at_ms, match_id) < ($2, $3)
    ORDER BY ended_at_ms DESC, match_id DESC LIMIT $4";

/// Its columns are those of `BOARD` and `OWN_RATING`.
impl FromRow for Ranked {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            player_id: row.get(0)?,
            name: row.get(1)?,
            rating: Rating { rating: row.get(2)?, uncertainty: row.get(3)? },
            matches: row.get(4)?,
            wins: row.get(5)?,
            rank: row.get(6)?,
        })
    }
}

/// The ranks of a page are counted from its cursor.
const BOARD: &str = "\
    SELECT ratings.player_id, name, rating, uncertainty, ratings.matches, ratings.wins, 0
    FROM ratings JOIN accounts ON accounts.player_id = ratings.player_id
    WHERE queue = $1 AND score <= $2 AND (score < $2 OR ratings.player_id > $3)
    ORDER BY score DESC, ratings.player_id LIMIT $4";

const OWN_RATING: &str = "\
    SELECT own.player_id, name, rating, uncertainty, own.matches, own.wins, 0
    FROM ratings AS own JOIN accounts ON accounts.player_id = own.player_id
    WHERE own.queue = $1 AND own.player_id = $2";

impl Store {
    /// A player's matches, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(
        &self,
        player: PlayerId,
        after: Option<HistoryCursor>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let (ended_at_ms, match_id) =
            after.map_or((u64::MAX, [0xFF; 16]), |cursor| (cursor.ended_at_ms, cursor.match_id.to_bytes()));
        self.db.all(Domain::Players, HISTORY, args![player, ended_at_ms, match_id, limit]).await
    }

    /// The players of a queue, best first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leaderboard(
        &self,
        queue: String,
        after: Option<BoardCursor>,
        limit: u32,
    ) -> Result<Vec<Ranked>, StoreError> {
        let (score, player, rank) = after
            .map_or((f64::INFINITY, [0; 16], 0), |cursor| (cursor.score, cursor.player_id.to_bytes(), cursor.rank));
        let mut page: Vec<Ranked> = self.db.all(Domain::Matches, BOARD, args![queue, score, player, limit]).await?;
        for (ranked, rank) in page.iter_mut().zip(rank.saturating_add(1)..) {
            ranked.rank = rank;
        }
        Ok(page)
    }

    /// A player's rating in a queue, without its rank: [`Ranks`](crate::ranks::Ranks) knows that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rating_of(&self, queue: String, player: PlayerId) -> Result<Option<Ranked>, StoreError> {
        self.db.optional(Domain::Matches, OWN_RATING, args![queue, player]).await
    }
}
