//! Telling clients of scores that have changed: of each player the newest, a few times a second, however many writes there are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use protocol::id::PlayerId;
use service::Shutdown;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::api::score_number;
use crate::app::App;
use crate::core::gamemesh::leaderboard_updated;
use crate::core::leaderboard::Board;
use crate::store::Changed;

/// For how long changes are gathered before clients are told.
const GATHER: Duration = Duration::from_millis(250);
/// Players of one round; a board on which more happens at once is read by asking.
const PLAYERS_MAX: usize = 64;
/// Players whose newest version is remembered, so that what is heard of twice is told once.
const TOLD_MAX: usize = 8_192;

/// Tells all clients of changes of the board until shutdown.
pub(crate) async fn tell(app: App, board: String, shutdown: Shutdown) {
    let mut changes = app.ranks.changes();
    let mut told = HashMap::new();
    loop {
        let first = tokio::select! {
            () = shutdown.wait() => return,
            first = changes.recv() => first,
        };
        let mut players = BTreeMap::new();
        let until = Instant::now() + GATHER;
        let mut next = Ok(first);
        loop {
            match next {
                Ok(Ok(changed)) => note(&mut players, &told, &changed, &board),
                // What was missed is of the moment.
                Ok(Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return,
                Err(_elapsed) => break,
            }
            next = tokio::time::timeout_at(until, changes.recv()).await;
        }
        if told.len() + players.len() > TOLD_MAX {
            told.clear();
        }
        told.extend(&players);
        if !app.hub.rooms.is_empty() {
            tell_of(&app, &app.ranks.boards().find(&board), players.into_keys()).await;
        }
    }
}

/// Notes whose score has changed, and which version of it that is.
fn note(players: &mut BTreeMap<PlayerId, u64>, told: &HashMap<PlayerId, u64>, changed: &[Changed], board: &str) {
    for Changed { row, .. } in changed.iter().filter(|one| one.board == board && !one.row.removed) {
        let is_news = told.get(&row.player).is_none_or(|version| *version < row.version);
        if is_news && (players.len() < PLAYERS_MAX || players.contains_key(&row.player)) {
            players.insert(row.player, row.version);
        }
    }
}

async fn tell_of(app: &App, board: &Arc<Board>, players: impl Iterator<Item = PlayerId>) {
    let season = board.calendar.at(service::clock::unix_ms()).number;
    for player in players {
        if let Ok(Some(ranked)) = app.ranks.rank_of(board, season, player, 0).await {
            let score = score_number(board, ranked.place.sort);
            app.hub.rooms.say_to_all(&leaderboard_updated(&player.to_string(), &score, ranked.rank));
        }
    }
}
