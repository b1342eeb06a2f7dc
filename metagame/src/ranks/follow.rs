//! Following the table: what other instances wrote, and what Redis has missed.

use std::time::{Duration, Instant};

use service::Shutdown;

use super::Ranks;
use super::sets::EVERY;
use crate::metrics;
use crate::store::{Changes, StoreError};

/// How often what nobody needs any more is forgotten.
const TIDY: Duration = Duration::from_secs(60);

/// Keeps ranks up to date until shutdown.
pub(super) async fn follow(ranks: Ranks, shutdown: Shutdown) {
    let mut position = None;
    let mut tidied = Instant::now();
    loop {
        if let Err(error) = catch_up(&ranks, &mut position).await {
            tracing::debug!(%error, "ranks cannot be brought up to date now");
        }
        if let Some(sets) = &ranks.0.sets
            && let Err(error) = sets.keep(&ranks.0.boards).await
        {
            tracing::debug!(%error, "ranks in redis cannot be brought up to date now");
        }
        if tidied.elapsed() > TIDY {
            tidied = Instant::now();
            ranks.0.memory.forget_idle();
            if let Err(error) = ranks.0.store.prune_writes(service::clock::unix_ms()).await {
                tracing::debug!(%error, "old ids of writes cannot be removed now");
            }
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Takes in what was written since `position`. Whatever is read into memory before there is a position is forgotten when the first one
/// is there: nobody knows what happened in between.
async fn catch_up(ranks: &Ranks, position: &mut Option<u64>) -> Result<(), StoreError> {
    let inner = &ranks.0;
    let Some(from) = *position else {
        *position = Some(inner.store.board_position().await?);
        inner.memory.clear();
        read_named(ranks);
        return Ok(());
    };
    let mut from = from;
    loop {
        match inner.store.board_changes(from).await? {
            Changes::Rows { rows, next, more } => {
                inner.memory.apply(&rows);
                inner.tell(&rows);
                metrics::ranks_followed(rows.len());
                from = next;
                *position = Some(next);
                if !more {
                    return Ok(());
                }
            }
            Changes::Lost => {
                tracing::warn!("the database was set back, or changed too much: ranks are computed anew");
                *position = None;
                return Ok(());
            }
        }
    }
}

/// Boards that have names are asked for sooner or later: their current season is read now.
fn read_named(ranks: &Ranks) {
    let now_ms = service::clock::unix_ms();
    for board in ranks.0.boards.named() {
        let season = board.calendar.at(now_ms).number;
        match &ranks.0.sets {
            Some(sets) => sets.want(board, season),
            None => drop(ranks.0.memory.enter(board, season)),
        }
    }
}
