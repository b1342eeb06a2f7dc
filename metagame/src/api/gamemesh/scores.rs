//! Scores and the leaderboard.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Player, id};
use crate::api::score_number;
use crate::app::App;
use crate::core::gamemesh::whole;
use crate::core::leaderboard::{Board, Keep};
use crate::core::ranking::{Page, Ranked, Start};
use crate::extract::{Body, Query};
use crate::problem::Problem;
use crate::store::{Changed, ScoreSet, ScoreWrite};

/// Most entries of a page.
const ENTRIES_MAX: u64 = 1_000;
/// Entries of a page where nothing is said.
const ENTRIES: u64 = 50;

#[derive(Deserialize)]
pub(super) struct ScoreBody {
    score: f64,
    #[serde(default)]
    increment: bool,
}

#[derive(Serialize)]
pub(super) struct EntryBody {
    player_id: PlayerId,
    pub(super) score: serde_json::Number,
    rank: u64,
}

#[derive(Deserialize)]
pub(super) struct PageQuery {
    offset: Option<u64>,
    limit: Option<u64>,
}

fn board(app: &App) -> Result<(Arc<Board>, u64), Problem> {
    let absent = || Problem::not_found("unknown-route", "there is nothing at this address");
    let compat = app.gamemesh.as_ref().ok_or_else(absent)?;
    let board = app.ranks.boards().find(&compat.settings.board);
    let season = board.calendar.at(service::clock::unix_ms()).number;
    Ok((board, season))
}

fn entry_body(board: &Board, ranked: &Ranked) -> EntryBody {
    let Ranked { rank, place, .. } = *ranked;
    EntryBody { player_id: place.player, score: score_number(board, place.sort), rank }
}

/// A player's place on the board.
pub(super) async fn entry(app: &App, player: PlayerId) -> Result<Option<EntryBody>, Problem> {
    let (board, season) = board(app)?;
    let ranked = app.ranks.rank_of(&board, season, player, 0).await?;
    Ok(ranked.map(|ranked| entry_body(&board, &ranked)))
}

fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-request", "Invalid request", detail)
}

pub(super) async fn submit(
    State(app): State<App>,
    player: Player,
    Body(body): Body<ScoreBody>,
) -> Result<impl IntoResponse, Problem> {
    let (board, season) = board(&app)?;
    if !board.client_writable {
        return Err(Problem::forbidden("server-only", "players cannot write scores of this board: their servers do"));
    }
    let score = whole(body.score).ok_or_else(|| bad_request("invalid request: a score is a whole number"))?;
    let (smallest, largest) = board.bounds;
    if !(smallest..=largest).contains(&score) {
        return Err(bad_request(format!("invalid request: a score of this board is {smallest} to {largest}")));
    }
    let write_id = Some(Uuid::from_bytes(service::random::bytes()).to_string());
    let write = ScoreWrite { player: player.id, score, region: String::new(), write_id };
    // What the board's own rule does anyway shares a commit with others.
    let is_own_rule = matches!((board.keep, body.increment), (Keep::Sum, true) | (Keep::Last, false));
    let row = if is_own_rule {
        app.ranks.write(&board, season, vec![write]).await?.pop()
    } else {
        let now_ms = service::clock::unix_ms();
        let set = ScoreSet { board: Board::clone(&board), season, write, increment: body.increment, now_ms };
        let row = app.store.set_score(set).await?;
        let changed = row.iter().map(|row| Changed { board: board.id.clone(), season, row: row.clone() });
        app.ranks.apply(&changed.collect::<Vec<_>>()).await;
        row
    };
    let unknown = || Problem::not_found("unknown-player", "player not found");
    let row = row.ok_or_else(unknown)?;
    let ranked = app.ranks.rank_of(&board, season, player.id, 0).await?;
    let rank = ranked.map_or(0, |ranked| ranked.rank);
    Ok(Json(EntryBody { player_id: player.id, score: row.score.into(), rank }))
}

async fn part(app: &App, offset: u64, limit: u64) -> Result<(Vec<EntryBody>, u64), Problem> {
    let (board, season) = board(app)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page: Page = app.ranks.page(&board, season, Start::At(offset), limit, 0).await?.unwrap_or_default();
    Ok((page.entries.iter().map(|ranked| entry_body(&board, ranked)).collect(), page.total))
}

pub(super) async fn page(State(app): State<App>, Query(query): Query<PageQuery>) -> Result<impl IntoResponse, Problem> {
    let (offset, limit) = (query.offset.unwrap_or(0), query.limit.unwrap_or(ENTRIES));
    if !(1..=ENTRIES_MAX).contains(&limit) {
        return Err(bad_request(format!("offset must be >= 0 and 0 < limit <= {ENTRIES_MAX}")));
    }
    let (entries, total) = part(&app, offset, limit).await?;
    Ok(Json(json!({ "entries": entries, "total": total, "offset": offset, "limit": limit })))
}

pub(super) async fn top(State(app): State<App>, Path(n): Path<String>) -> Result<impl IntoResponse, Problem> {
    let n = n.parse().ok().filter(|n| (1..=ENTRIES_MAX).contains(n));
    let n = n.ok_or_else(|| bad_request(format!("n must be between 1 and {ENTRIES_MAX}")))?;
    Ok(Json(json!({ "entries": part(&app, 0, n).await?.0 })))
}

pub(super) async fn rank(State(app): State<App>, Path(player): Path<String>) -> Result<impl IntoResponse, Problem> {
    let entry = entry(&app, id(&player, "player id")?).await?;
    entry.map(Json).ok_or_else(|| Problem::not_found("not-ranked", "player not ranked"))
}
