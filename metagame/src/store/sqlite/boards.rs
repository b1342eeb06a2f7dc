//! What is read in lists: match history, leaderboards, counts.

use protocol::certificate::Participation;
use protocol::id::PlayerId;

use super::{SqliteStore, game, int, player, small, unsigned};
use crate::core::page::{BoardCursor, HistoryCursor};
use crate::core::rating::Rating;
use crate::store::{HistoryEntry, Ranked, Stats, StoreError};

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

#[derive(sqlx::FromRow)]
struct HistoryRow {
    match_id: Vec<u8>,
    queue: String,
    ended_at_ms: i64,
    reason: String,
    team: i64,
    place: i64,
    score: i64,
    participation: String,
    xp_gained: i64,
    rating_before: f64,
    rating_after: f64,
    stats: String,
}

impl HistoryRow {
    fn entry(self) -> Result<HistoryEntry, StoreError> {
        Ok(HistoryEntry {
            match_id: game(&self.match_id)?,
            queue: self.queue,
            ended_at_ms: unsigned(self.ended_at_ms),
            reason: self.reason,
            team: small(self.team),
            place: small(self.place),
            score: self.score,
            participation: participation(&self.participation)?,
            xp_gained: unsigned(self.xp_gained),
            rating_before: self.rating_before,
            rating_after: self.rating_after,
            stats: serde_json::from_str(&self.stats).map_err(|error| StoreError::Unreadable(error.to_string()))?,
        })
    }
}

pub(super) async fn history(
    store: &SqliteStore,
    player_id: PlayerId,
    after: Option<HistoryCursor>,
    limit: u32,
) -> Result<Vec<HistoryEntry>, StoreError> {
    let (ended_at, match_id) =
        after.map_or((i64::MAX, [0xFF; 16]), |cursor| (int(cursor.ended_at_ms), cursor.match_id.to_bytes()));
    let rows: Vec<HistoryRow> = sqlx::query_as(
        "SELECT match_id, queue, ended_at_ms, reason, team, place, score, participation, xp_gained, rating_before,
                rating_after, stats
         FROM history WHERE player_id = ? AND (ended_at_ms, match_id) < (?, ?)
         ORDER BY ended_at_ms DESC, match_id DESC LIMIT ?",
    )
    .bind(&player_id.to_bytes()[..])
    .bind(ended_at)
    .bind(&match_id[..])
    .bind(i64::from(limit))
    .fetch_all(&store.readers)
    .await?;
    rows.into_iter().map(HistoryRow::entry).collect()
}

/// Player, name, rating, uncertainty, matches, wins.
type BoardRow = (Vec<u8>, String, f64, f64, i64, i64);

fn ranked((player_id, name, rating, uncertainty, matches, wins): BoardRow, rank: u64) -> Result<Ranked, StoreError> {
    Ok(Ranked {
        rank,
        player_id: player(&player_id)?,
        name,
        rating: Rating { rating, uncertainty },
        matches: unsigned(matches),
        wins: unsigned(wins),
    })
}

pub(super) async fn leaderboard(
    store: &SqliteStore,
    queue: String,
    after: Option<BoardCursor>,
    limit: u32,
) -> Result<Vec<Ranked>, StoreError> {
    let (score, player_id, rank) =
        after.map_or((f64::INFINITY, [0; 16], 0), |cursor| (cursor.score, cursor.player_id.to_bytes(), cursor.rank));
    let rows: Vec<BoardRow> = sqlx::query_as(
        "SELECT ratings.player_id, name, rating, uncertainty, ratings.matches, ratings.wins
         FROM ratings JOIN accounts ON accounts.player_id = ratings.player_id
         WHERE queue = ?1 AND score <= ?2 AND (score < ?2 OR ratings.player_id > ?3)
         ORDER BY score DESC, ratings.player_id LIMIT ?4",
    )
    .bind(queue)
    .bind(score)
    .bind(&player_id[..])
    .bind(i64::from(limit))
    .fetch_all(&store.readers)
    .await?;
    rows.into_iter().zip(rank.saturating_add(1)..).map(|(row, rank)| ranked(row, rank)).collect()
}

pub(super) async fn rank_of(
    store: &SqliteStore,
    queue: String,
    player_id: PlayerId,
) -> Result<Option<Ranked>, StoreError> {
    let mut tx = store.readers.begin().await?;
    let row: Option<BoardRow> = sqlx::query_as(
        "SELECT ratings.player_id, name, rating, uncertainty, ratings.matches, ratings.wins
         FROM ratings JOIN accounts ON accounts.player_id = ratings.player_id
         WHERE queue = ? AND ratings.player_id = ?",
    )
    .bind(&queue)
    .bind(&player_id.to_bytes()[..])
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let better: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM ratings AS other JOIN ratings AS own ON own.queue = other.queue AND own.player_id = ?2
         WHERE other.queue = ?1 AND other.score >= own.score
           AND (other.score > own.score OR other.player_id < own.player_id)",
    )
    .bind(&queue)
    .bind(&player_id.to_bytes()[..])
    .fetch_one(&mut *tx)
    .await?;
    ranked(row, unsigned(better) + 1).map(Some)
}

pub(super) async fn stats(store: &SqliteStore) -> Result<Stats, StoreError> {
    let counts: Vec<i64> = sqlx::query_scalar(
        "SELECT count(*) FROM accounts
         UNION ALL SELECT count(*) FROM sessions
         UNION ALL SELECT count(*) FROM matches
         UNION ALL SELECT count(*) FROM matches WHERE state IN ('placed', 'playing')
         UNION ALL SELECT count(*) FROM matches WHERE state = 'lost'
         UNION ALL SELECT count(*) FROM results
         UNION ALL SELECT coalesce(sum(xp), 0) FROM xp_journal
         UNION ALL SELECT count(*) FROM audit
         UNION ALL SELECT count(*) FROM outbox",
    )
    .fetch_all(&store.readers)
    .await?;
    let counts: [i64; 9] =
        counts.try_into().map_err(|_| StoreError::Unreadable("counts are not complete".to_owned()))?;
    let [accounts, sessions, matches, matches_live, matches_lost, results, xp, audit_entries, outbox_events] =
        counts.map(unsigned);
    Ok(Stats {
        accounts,
        sessions,
        matches,
        matches_live,
        matches_lost,
        results_recorded: results,
        xp_granted: xp,
        audit_entries,
        outbox_events,
    })
}

pub(super) async fn xp_mismatches(store: &SqliteStore) -> Result<Vec<PlayerId>, StoreError> {
    let players: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT player_id FROM accounts WHERE xp <>
         (SELECT coalesce(sum(xp), 0) FROM xp_journal WHERE xp_journal.player_id = accounts.player_id) LIMIT 100",
    )
    .fetch_all(&store.readers)
    .await?;
    players.iter().map(|blob| player(blob)).collect()
}
