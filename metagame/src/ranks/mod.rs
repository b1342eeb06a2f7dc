//! Ranks: who stands where on a leaderboard, computed from the table of entries and kept where counting is cheap.
//!
//! With Redis configured the current season of a board is there in sorted sets, shared by all instances; every other season,
//! and every board while Redis is gone or does not have it yet, is in this process's memory. Both are made from the table at any
//! time, and follow it: what this instance writes is in them before the writer is answered, what others write within a second
//! (`follow`). A row's version decides which state is newer, so it does not matter in which order they are heard of.

pub(crate) mod admin;
mod follow;
mod memory;
mod names;
mod scripts;
mod sets;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use protocol::id::PlayerId;
use service::Shutdown;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::core::leaderboard::{Board, Boards};
use crate::core::ranking::{Page, Ranked, Start, among};
use crate::redis::Redis;
use crate::store::{Changed, EntryRow, ScoreWrite, Store, StoreError};

use memory::Memory;
use names::Names;
use sets::{Found, Sets};
use writer::Writer;

/// Why ranks were not told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RanksError {
    /// The board is being read from the database: soon.
    #[error("the board is being read from the database")]
    Loading,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The ranks of all boards; cheap to clone.
#[derive(Clone)]
pub struct Ranks(Arc<Inner>);

struct Inner {
    store: Store,
    boards: Arc<Boards>,
    memory: Memory,
    sets: Option<Sets>,
    names: Names,
    writer: Writer,
    /// How long a request waits for a board that is being read from the database.
    patience: Duration,
    /// Tells who wants to hear it of what has changed.
    changes: broadcast::Sender<Arc<[Changed]>>,
}

/// Changes that somebody who listens may be behind.
const CHANGES_KEPT: usize = 256;

impl Ranks {
    /// Starts them, with the task that follows the table until `shutdown`. A request waits for at most `patience` for a board that is being read. Boards are read when they are first asked for, those that
    /// have names at once.
    pub fn start(
        store: &Store,
        boards: Arc<Boards>,
        redis: Option<Redis>,
        patience: Duration,
        shutdown: &Shutdown,
    ) -> (Self, Vec<JoinHandle<()>>) {
        let (writer, writing) = Writer::start(store.clone(), shutdown);
        let ranks = Self(Arc::new(Inner {
            memory: Memory::new(store.clone()),
            sets: redis.map(|redis| Sets::new(redis, store.clone())),
            names: Names::default(),
            store: store.clone(),
            boards,
            writer,
            patience,
            changes: broadcast::Sender::new(CHANGES_KEPT),
        }));
        // What use cases of other parts write reaches the ranks before their callers are answered.
        let observer = Arc::downgrade(&ranks.0);
        store.observe_entries(Arc::clone(&ranks.0.boards), move |changed| {
            if let Some(inner) = observer.upgrade() {
                inner.memory.apply(changed);
                inner.tell(changed);
                if let Some(sets) = inner.sets.clone() {
                    let (boards, changed) = (Arc::clone(&inner.boards), changed.to_vec());
                    tokio::spawn(async move { sets.apply(&boards, &changed).await });
                }
            }
        });
        let following = tokio::spawn(follow::follow(ranks.clone(), shutdown.clone()));
        (ranks, vec![writing, following])
    }

    /// All boards.
    pub fn boards(&self) -> &Boards {
        &self.0.boards
    }

    /// Writes scores; the rows of the players as they are then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write(
        &self,
        board: &Arc<Board>,
        season: u64,
        writes: Vec<ScoreWrite>,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let rows = self.0.writer.write(Arc::clone(board), season, writes).await?;
        let changed = |row: &EntryRow| Changed { board: board.id.clone(), season, row: row.clone() };
        self.apply(&rows.iter().map(changed).collect::<Vec<_>>()).await;
        Ok(rows)
    }

    /// Takes in what was written.
    pub async fn apply(&self, changed: &[Changed]) {
        self.0.memory.apply(changed);
        self.0.tell(changed);
        if let Some(sets) = &self.0.sets {
            sets.apply(&self.0.boards, changed).await;
        }
    }

    /// A player's rank, among all or among those of a region.
    ///
    /// # Errors
    /// [`RanksError`].
    pub async fn rank_of(
        &self,
        board: &Arc<Board>,
        season: u64,
        player: PlayerId,
        region: usize,
    ) -> Result<Option<Ranked>, RanksError> {
        let page = self.page(board, season, Start::Around(player, 0), 1, region).await?;
        Ok(page.and_then(|page| page.entries.first().copied()))
    }

    /// Part of a board; `None` if it begins around somebody who is not on it.
    ///
    /// # Errors
    /// [`RanksError`].
    pub async fn page(
        &self,
        board: &Arc<Board>,
        season: u64,
        start: Start,
        limit: usize,
        region: usize,
    ) -> Result<Option<Page>, RanksError> {
        if let Some(sets) = self.sets_for(board, season)
            && let Found::Yes(page) = sets.page(board, season, start, limit, region).await
        {
            return Ok(page);
        }
        let loaded = self.0.memory.get(board, season, self.0.patience).await.ok_or(RanksError::Loading)?;
        Ok(loaded.read(|ranking| ranking.page(start, limit, region)))
    }

    /// These players among themselves.
    ///
    /// # Errors
    /// [`RanksError`].
    pub async fn among(&self, board: &Arc<Board>, season: u64, players: &[PlayerId]) -> Result<Page, RanksError> {
        // A few rows by their keys: the table itself is the shortest way.
        let rows = self.0.store.entries_of(&board.id, season, players).await?;
        let place = |row: &EntryRow| {
            let entry = row.entry(board);
            let sort = board.sort(entry.score);
            (crate::core::ranking::Place { sort, since_ms: entry.since_ms, player: entry.player }, entry.region)
        };
        let held = rows.iter().filter(|row| !row.removed).map(place).collect();
        Ok(among(board.ties, held))
    }

    /// The names of players, which may be some minutes old where another instance changed them. An account that is gone has none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn names(&self, players: &[PlayerId]) -> Result<Vec<Arc<str>>, StoreError> {
        self.0.names.of(&self.0.store, players).await
    }

    /// What changes from now on, by this instance at once, by others within a second. Some of it may come twice.
    pub fn changes(&self) -> broadcast::Receiver<Arc<[Changed]>> {
        self.0.changes.subscribe()
    }

    /// Forgets a name that has changed.
    pub fn forget_name(&self, player: PlayerId) {
        self.0.names.forget(player);
    }

    /// Forgets all ranks and computes them anew from the table, in Redis as well.
    pub async fn rebuild(&self) {
        self.0.memory.clear();
        if let Some(sets) = &self.0.sets {
            sets.forget_all().await;
        }
    }

    /// Redis has the current season alone: others are read seldom.
    fn sets_for(&self, board: &Board, season: u64) -> Option<&Sets> {
        let current = board.calendar.at(service::clock::unix_ms()).number;
        self.0.sets.as_ref().filter(|_| season == current)
    }
}

impl Inner {
    fn tell(&self, changed: &[Changed]) {
        if !changed.is_empty() && self.changes.receiver_count() > 0 {
            // Nobody listens any more: then nobody misses it.
            let _ = self.changes.send(changed.into());
        }
    }
}

impl std::fmt::Debug for Ranks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ranks").field("redis", &self.0.sets.is_some()).finish_non_exhaustive()
    }
}
