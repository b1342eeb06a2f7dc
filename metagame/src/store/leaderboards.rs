//! Entries of leaderboards: the table that every rank is computed from.
//!
//! A write is one statement for many players. Each row counts its changes, and each change has a number by which instances
//! find what others wrote: on PostgreSQL the transaction's, so that nothing that commits late is missed (all numbers below
//! `pg_snapshot_xmin` are settled), on SQLite a counter.

mod set;
mod sql;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, OnceLock};

use protocol::id::PlayerId;

use super::acts::note;
use super::{Order, Store, StoreError, subject};
use crate::args;
use crate::core::leaderboard::{Board, Boards, Keep};
use crate::core::ranking::Entry;
use crate::db::{Domain, FromRow, List, Row, Tx};
pub use set::ScoreSet;
use sql::{CHANGES, NOTE_WRITES, POSITION, REMOVE_ENTRY, REMOVE_PLAYER, upsert};

/// Rows of one page while a board is read whole.
const PAGE_ROWS: u32 = 20_000;
/// Most changes that are caught up with at once.
const CHANGES_MAX: u32 = 20_000;
/// How long the id of a write is remembered.
const WRITES_KEPT_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// Most seasons of a list.
const SEASONS_MAX: u32 = 200;

/// A score for a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreWrite {
    /// Whose.
    pub player: PlayerId,
    /// The score, or what is added.
    pub score: i64,
    /// Where it was reached; empty if that is not known.
    pub region: String,
    /// On a board that adds up: the same id never counts twice.
    pub write_id: Option<String>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Whose.
    pub player: PlayerId,
    /// The score.
    pub score: i64,
    /// Unix milliseconds.
    pub since_ms: u64,
    /// Name of the region, or empty.
    pub region: String,
    /// Counts its changes.
    pub version: u64,
    /// Taken off the board.
    pub removed: bool,
}

impl EntryRow {
    /// As the ranks of `board` take it.
    pub fn entry(&self, board: &Board) -> Entry {
        let region = board.region(&self.region);
        let Self { player, score, since_ms, version, removed, .. } = *self;
        Entry { player, score, since_ms, region, version, removed }
    }
}

/// player_id, score, since_ms, region, version, removed.
impl FromRow for EntryRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            player: row.get(0)?,
            score: row.get(1)?,
            since_ms: row.get(2)?,
            region: row.get(3)?,
            version: row.get(4)?,
            removed: row.get(5)?,
        })
    }
}

/// A row that changed, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The board's id.
    pub board: String,
    /// Number of the season.
    pub season: u64,
    /// Its state.
    pub row: EntryRow,
}

struct NumberedChange(Changed, u64);

impl FromRow for NumberedChange {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let changed = Changed { row: EntryRow::from_row(row)?, board: row.get(6)?, season: row.get(7)? };
        Ok(Self(changed, row.get(8)?))
    }
}

/// What changed since a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// These rows; ask from `next` on. Some may come again.
    Rows {
        /// In the order of their numbers.
        rows: Vec<Changed>,
        /// The position after them.
        next: u64,
        /// Whether there is more already.
        more: bool,
    },
    /// The position is not one of this database, or too much happened: read everything anew.
    Lost,
}

/// Whoever keeps ranks in memory: hears of rows that use cases of other parts have changed, after their commit.
#[derive(Clone, Default)]
pub(super) struct EntryObserver(Arc<OnceLock<(Arc<Boards>, Box<Observe>)>>);

type Observe = dyn Fn(&[Changed]) + Send + Sync;

impl EntryObserver {
    pub(super) fn tell(&self, changed: &[Changed]) {
        if let Some((_, observe)) = self.0.get().filter(|_| !changed.is_empty()) {
            observe(changed);
        }
    }

    /// The boards that results are written on; before there are any, those of the queues.
    pub(super) fn boards(&self) -> Arc<Boards> {
        self.0.get().map(|(boards, _)| Arc::clone(boards)).unwrap_or_default()
    }
}

impl std::fmt::Debug for EntryObserver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EntryObserver")
    }
}

impl Store {
    /// Has results written on these boards, and `observe` told of rows that use cases of other parts change. It must not wait.
    /// The first one stays.
    pub(crate) fn observe_entries(&self, boards: Arc<Boards>, observe: impl Fn(&[Changed]) + Send + Sync + 'static) {
        if self.entries.0.set((boards, Box::new(observe))).is_err() {
            tracing::debug!("ranks of another instance in this process follow the table alone");
        }
    }

    /// Writes scores of one season of a board, several of one player merged by the board's rule; the rows of all of these
    /// players as they are then. A player without an account has none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write_scores(
        &self,
        board: &Board,
        season: u64,
        writes: Vec<ScoreWrite>,
        now_ms: u64,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let input = (board.clone(), season, writes, now_ms);
        if board.keep == Keep::Sum {
            return self.db.write(Domain::Matches, input, |tx, input| Box::pin(add_scores(tx, input))).await;
        }
        let (board, season, writes, now_ms) = input;
        let (players, json) = merged(&board, &writes);
        let args = args![board.id, season, json, since(&board, now_ms)];
        let mut rows: Vec<EntryRow> = self.db.statement_returning(Domain::Matches, upsert(&board), args).await?;
        let known: HashSet<PlayerId> = rows.iter().map(|row| row.player).collect();
        let others: Vec<PlayerId> = players.into_iter().filter(|player| !known.contains(player)).collect();
        if !others.is_empty() {
            rows.extend(self.entries_of(&board.id, season, &others).await?);
        }
        Ok(rows)
    }

    /// The rows of these players.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_of(
        &self,
        board: &str,
        season: u64,
        players: &[PlayerId],
    ) -> Result<Vec<EntryRow>, StoreError> {
        self.db.all(Domain::Matches, ENTRIES_OF, args![board, season, List(players)]).await
    }

    /// Some rows of a season in the order of players, those after `after`; empty after the last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_after(&self, board: &str, season: u64, after: PlayerId) -> Result<Vec<EntryRow>, StoreError> {
        let sql = "SELECT player_id, score, since_ms, region, version, removed FROM lb_entries
                   WHERE board = $1 AND season = $2 AND player_id > $3 ORDER BY player_id LIMIT $4";
        self.db.all(Domain::Operations, sql, args![board, season, after, PAGE_ROWS]).await
    }

    /// The position from which on changes have to be asked for by who reads everything now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn board_position(&self) -> Result<u64, StoreError> {
        let (next, _end): (u64, u64) = self.db.one(Domain::Operations, POSITION, args![]).await?;
        Ok(next)
    }

    /// What changed since `position`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn board_changes(&self, position: u64) -> Result<Changes, StoreError> {
        self.db.read(Domain::Operations, position, |tx, position| Box::pin(changes(tx, *position))).await
    }

    /// Takes an entry off the board; its row as it is then, if there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_entry(
        &self,
        board: &str,
        season: u64,
        player: PlayerId,
        order: Order,
    ) -> Result<Option<EntryRow>, StoreError> {
        let input = (board.to_owned(), season, player, order);
        self.db
            .write(Domain::Operations, input, |tx, (board, season, player, order)| {
                Box::pin(remove_entry(tx, (board, *season, *player), order))
            })
            .await
    }

    /// Takes a player off every board, of every season; the rows as they are then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_player_entries(&self, player: PlayerId) -> Result<Vec<Changed>, StoreError> {
        let rows: Vec<NumberedChange> =
            self.db.statement_returning(Domain::Operations, REMOVE_PLAYER, args![player]).await?;
        Ok(rows.into_iter().map(|NumberedChange(changed, _)| changed).collect())
    }

    /// The seasons of a board that have entries, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn board_seasons(&self, board: &str) -> Result<Vec<u64>, StoreError> {
        self.db.all(Domain::Matches, SEASONS, args![board, SEASONS_MAX]).await
    }

    /// Whether anybody was ever on it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_entries(&self, board: &str) -> Result<bool, StoreError> {
        let sql = "SELECT season FROM lb_entries WHERE board = $1 LIMIT 1";
        Ok(self.db.optional::<u64>(Domain::Matches, sql, args![board]).await?.is_some())
    }

    /// The names of these players.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn names_of(&self, players: &[PlayerId]) -> Result<Vec<(PlayerId, String)>, StoreError> {
        let sql = "SELECT player_id, name FROM accounts WHERE player_id IN blobs($1)";
        self.db.all(Domain::Matches, sql, args![List(players)]).await
    }

    /// Forgets the ids of writes that nobody sends again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune_writes(&self, now_ms: u64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM lb_writes WHERE at_ms < $1";
        self.db.statement(Domain::Operations, sql, args![now_ms.saturating_sub(WRITES_KEPT_MS)]).await
    }
}

const ENTRIES_OF: &str = "\
    SELECT player_id, score, since_ms, region, version, removed FROM lb_entries
    WHERE board = $1 AND season = $2 AND player_id IN blobs($3)";

/// One look at the end of each season: there is an index for that, and none for counting them.
const SEASONS: &str = "\
    WITH RECURSIVE seasons(season) AS (
        SELECT max(season) FROM lb_entries WHERE board = $1
        UNION ALL
        SELECT (SELECT max(lb_entries.season) FROM lb_entries WHERE board = $1 AND lb_entries.season < seasons.season)
        FROM seasons WHERE seasons.season IS NOT NULL
    )
    SELECT season FROM seasons WHERE season IS NOT NULL ORDER BY season DESC LIMIT $2";

/// Writes scores within a transaction of somebody else; the rows that changed.
pub(super) async fn put_scores(
    tx: &mut Tx,
    board: &Board,
    season: u64,
    writes: &[ScoreWrite],
    now_ms: u64,
) -> Result<Vec<EntryRow>, StoreError> {
    let (_, json) = merged(board, writes);
    tx.all(upsert(board), args![board.id, season, json, since(board, now_ms)]).await
}

async fn remove_entry(
    tx: &mut Tx,
    (board, season, player): (&str, u64, PlayerId),
    order: &Order,
) -> Result<Option<EntryRow>, StoreError> {
    let row: Option<EntryRow> = tx.optional(REMOVE_ENTRY, args![board, season, player]).await?;
    if let Some(row) = &row {
        let detail = serde_json::json!({ "board": board, "season": season, "score": row.score }).to_string();
        note(tx, order, "remove-entry", &subject(player), &detail).await?;
    }
    Ok(row)
}

type Adding = (Board, u64, Vec<ScoreWrite>, u64);

/// Adds scores whose ids have not counted yet.
async fn add_scores(tx: &mut Tx, (board, season, writes, now_ms): &Adding) -> Result<Vec<EntryRow>, StoreError> {
    let ids: BTreeSet<&str> = writes.iter().filter_map(|write| write.write_id.as_deref()).collect();
    let ids = serde_json::to_string(&ids).map_err(|error| StoreError::Failed(error.to_string()))?;
    let args = args![board.id, ids, *now_ms];
    let fresh: Vec<String> = tx.all(NOTE_WRITES, args).await?;
    let mut fresh: HashSet<String> = fresh.into_iter().collect();
    let mut counted = Vec::new();
    for write in writes {
        if write.write_id.as_ref().is_none_or(|id| fresh.remove(id)) {
            counted.push(write.clone());
        }
    }
    if !counted.is_empty() {
        put_scores(tx, board, *season, &counted, *now_ms).await?;
    }
    let players: BTreeSet<PlayerId> = writes.iter().map(|write| write.player).collect();
    let players: Vec<PlayerId> = players.into_iter().collect();
    tx.all(ENTRIES_OF, args![board.id, *season, List(&players)]).await
}

/// One write per player, in order of players so that two statements never wait for each other, as the statement takes them.
fn merged(board: &Board, writes: &[ScoreWrite]) -> (BTreeSet<PlayerId>, String) {
    let mut by_player = BTreeMap::<PlayerId, (i64, &str)>::new();
    for write in writes {
        let region = if board.region(&write.region) == 0 { "" } else { write.region.as_str() };
        let new = match by_player.get(&write.player) {
            Some((before, there)) => {
                let score = board.merge(*before, write.score);
                let stays = board.keep == Keep::Best && score == *before;
                (score, if stays { *there } else { region })
            }
            None => (write.score, region),
        };
        by_player.insert(write.player, new);
    }
    let row = |(player, (score, region)): (&PlayerId, &(i64, &str))| {
        serde_json::json!([hex::encode(player.to_bytes()), score, region])
    };
    let json = serde_json::Value::Array(by_player.iter().map(row).collect()).to_string();
    (by_player.into_keys().collect(), json)
}

/// Ratings are not ranked by time: a rating that falls back to what it was is not later than before.
fn since(board: &Board, now_ms: u64) -> u64 {
    if board.is_rating() { 0 } else { now_ms }
}

async fn changes(tx: &mut Tx, position: u64) -> Result<Changes, StoreError> {
    let (next, end): (u64, u64) = tx.one(POSITION, args![]).await?;
    if position > end {
        return Ok(Changes::Lost);
    }
    let rows: Vec<NumberedChange> = tx.all(CHANGES, args![position, end, CHANGES_MAX]).await?;
    let last = rows.last().map(|NumberedChange(_, number)| *number).filter(|_| rows.len() == CHANGES_MAX as usize);
    if last == Some(position) {
        return Ok(Changes::Lost);
    }
    let rows = rows.into_iter().map(|NumberedChange(changed, _)| changed).collect();
    // What is settled is not asked for again.
    let next = last.map_or(next, |last| last.min(next)).max(position);
    Ok(Changes::Rows { rows, next, more: last.is_some() })
}
