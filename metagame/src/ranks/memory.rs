//! Ranks in this process's memory, read from the table when a board is first asked for.
//!
//! A board is entered here before its rows are read, and takes in changes from then on: whatever is committed before a page of
//! rows is read is in that page, whatever is committed later comes as a change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use protocol::id::PlayerId;
use tokio::sync::watch;

use crate::core::leaderboard::Board;
use crate::core::ranking::Ranking;
use crate::metrics;
use crate::store::{Changed, Store};

/// A season that nobody asked for so long is forgotten.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// Most seasons in memory; the one that was not asked for longest goes first.
const SEASONS_MAX: usize = 512;
/// Pause after a board could not be read.
const PAUSE: Duration = Duration::from_millis(250);

/// One season of one board.
pub(super) struct Loaded {
    board: Arc<Board>,
    ranking: RwLock<Ranking>,
    /// True once all rows were read.
    ready: watch::Sender<bool>,
    used_ms: AtomicU64,
}

impl Loaded {
    /// Looks at the ranks.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Ranking) -> T) -> T {
        look(&self.ranking.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A board's id and the number of a season.
type Season = (String, u64);

/// The seasons in memory.
pub(super) struct Memory {
    store: Store,
    began: Instant,
    seasons: Mutex<HashMap<Season, Arc<Loaded>>>,
}

impl Memory {
    pub(super) fn new(store: Store) -> Self {
        Self { store, began: Instant::now(), seasons: Mutex::default() }
    }

    fn seasons(&self) -> std::sync::MutexGuard<'_, HashMap<Season, Arc<Loaded>>> {
        self.seasons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A season, once it was read whole; `None` if that takes longer than `patience`.
    pub(super) async fn get(&self, board: &Arc<Board>, season: u64, patience: Duration) -> Option<Arc<Loaded>> {
        let loaded = self.enter(board, season);
        loaded.used_ms.store(self.now_ms(), Ordering::Relaxed);
        if !*loaded.ready.borrow() {
            let mut ready = loaded.ready.subscribe();
            tokio::time::timeout(patience, ready.wait_for(|ready| *ready)).await.ok()?.ok()?;
        }
        Some(loaded)
    }

    /// Enters a season and begins to read it, unless it is there.
    pub(super) fn enter(&self, board: &Arc<Board>, season: u64) -> Arc<Loaded> {
        let mut seasons = self.seasons();
        let key = (board.id.clone(), season);
        if let Some(loaded) = seasons.get(&key) {
            return Arc::clone(loaded);
        }
        if seasons.len() >= SEASONS_MAX {
            let oldest = seasons.iter().min_by_key(|(_, loaded)| loaded.used_ms.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                seasons.remove(&oldest);
            }
        }
        let loaded = Arc::new(Loaded {
            board: Arc::clone(board),
            ranking: RwLock::new(Ranking::new(board.ties, board.regions.len())),
            ready: watch::Sender::new(false),
            used_ms: AtomicU64::new(self.now_ms()),
        });
        seasons.insert(key, Arc::clone(&loaded));
        drop(seasons);
        tokio::spawn(load(self.store.clone(), Arc::downgrade(&loaded), season));
        loaded
    }

    /// Takes in what changed, where it is in memory.
    pub(super) fn apply(&self, changed: &[Changed]) {
        for one in changed {
            let loaded = self.seasons().get(&(one.board.clone(), one.season)).cloned();
            if let Some(loaded) = loaded {
                let entry = one.row.entry(&loaded.board);
                let mut ranking = loaded.ranking.write().unwrap_or_else(PoisonError::into_inner);
                ranking.apply(&entry, loaded.board.sort(entry.score));
            }
        }
    }

    /// Forgets everything: it is read anew when it is asked for.
    pub(super) fn clear(&self) {
        self.seasons().clear();
    }

    /// Forgets what nobody asks for.
    pub(super) fn forget_idle(&self) {
        let idle_ms = u64::try_from(IDLE.as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.now_ms();
        let mut seasons = self.seasons();
        seasons.retain(|_, loaded| now_ms.saturating_sub(loaded.used_ms.load(Ordering::Relaxed)) < idle_ms);
        metrics::ranks_seasons(seasons.len());
    }
}

/// Reads a season whole, however often the database fails meanwhile, until nobody holds it any more.
async fn load(store: Store, loaded: std::sync::Weak<Loaded>, season: u64) {
    let begun = Instant::now();
    let mut after = PlayerId::from_bytes([0; 16]);
    loop {
        let Some(board) = loaded.upgrade().map(|loaded| Arc::clone(&loaded.board)) else { return };
        let page = match store.entries_after(&board.id, season, after).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(board = board.id, season, %error, "a leaderboard cannot be read; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(loaded) = loaded.upgrade() else { return };
        if let Some(last) = page.last() {
            after = last.player;
            for rows in page.chunks(512) {
                // Readers of other pages of a board that is read anew are let in between.
                let mut ranking = loaded.ranking.write().unwrap_or_else(PoisonError::into_inner);
                for row in rows {
                    let entry = row.entry(&board);
                    ranking.apply(&entry, board.sort(entry.score));
                }
            }
        } else {
            metrics::ranks_loaded("memory", begun.elapsed());
            loaded.ready.send_replace(true);
            return;
        }
    }
}
