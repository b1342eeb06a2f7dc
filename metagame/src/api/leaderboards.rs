//! Leaderboards and queues.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::id::PlayerId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::players::{PageQuery, bad_cursor};
use crate::app::App;
use crate::auth::Caller;
use crate::core::leaderboard::Board;
use crate::core::page::{BoardCursor, limit};
use crate::extract::{Named, Query, QueueName};
use crate::problem::{Problem, UsualProblems};
use crate::store::Ranked;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(leaderboard)).routes(routes!(own_rank)).routes(routes!(queues))
}

/// A page of a leaderboard, best first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BoardBody {
    queue: String,
    entries: Vec<RankBody>,
    next_cursor: Option<String>,
}

/// One place of a leaderboard.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RankBody {
    /// From 1.
    rank: u64,
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    name: String,
    /// rating - 3 × uncertainty: the skill that the player very probably exceeds. The board is sorted by it.
    score: f64,
    rating: f64,
    uncertainty: f64,
    /// Matches that were rated.
    matches: u64,
    wins: u64,
}

/// The queues.
#[derive(Debug, Serialize, ToSchema)]
struct QueuesBody {
    queues: Vec<QueueBody>,
}

/// One queue as it stands.
#[derive(Debug, Serialize, ToSchema)]
struct QueueBody {
    name: String,
    teams: u32,
    players_per_team: u32,
    waiting_players: u32,
    /// Over the last 5 minutes.
    wait_ms_p50: u32,
    /// Over the last 5 minutes.
    wait_ms_p95: u32,
    regions: Vec<String>,
}

fn rank_body(ranked: Ranked) -> RankBody {
    RankBody {
        rank: ranked.rank,
        player_id: ranked.player_id,
        name: ranked.name,
        score: ranked.rating.score(),
        rating: ranked.rating.rating,
        uncertainty: ranked.rating.uncertainty,
        matches: ranked.matches,
        wins: ranked.wins,
    }
}

/// Leaderboard of a queue
#[utoipa::path(get, path = "/v1/leaderboards/{queue}", tag = "leaderboards", security(("access_token" = [])),
    params(("queue" = String, Path), PageQuery),
    responses(UsualProblems, (status = 200, body = BoardBody)))]
async fn leaderboard(
    State(app): State<App>,
    _caller: Caller,
    Named(queue): Named<QueueName>,
    Query(page): Query<PageQuery>,
) -> Result<Json<BoardBody>, Problem> {
    board(&app, queue, &page).await
}

pub(super) async fn board(
    app: &App,
    QueueName(queue): QueueName,
    page: &PageQuery,
) -> Result<Json<BoardBody>, Problem> {
    let after = page.cursor.as_deref().map(BoardCursor::decode).transpose();
    let after = after.map_err(|error| bad_cursor(error.to_string()))?;
    let limit = limit(page.limit);
    let entries = app.store.leaderboard(queue.clone(), after, limit).await?;
    let next_cursor = entries
        .last()
        .filter(|_| entries.len() == limit as usize)
        .map(|last| BoardCursor { rank: last.rank, score: last.rating.score(), player_id: last.player_id }.encode());
    Ok(Json(BoardBody { queue, entries: entries.into_iter().map(rank_body).collect(), next_cursor }))
}

/// Own place on a leaderboard
#[utoipa::path(get, path = "/v1/leaderboards/{queue}/me", tag = "leaderboards", security(("access_token" = [])),
    params(("queue" = String, Path)),
    responses(UsualProblems, (status = 200, body = RankBody)))]
async fn own_rank(
    State(app): State<App>,
    caller: Caller,
    Named(QueueName(queue)): Named<QueueName>,
) -> Result<Json<RankBody>, Problem> {
    let unrated = || Problem::not_found("not-ranked", "you have no rated match in this queue");
    let rated = app.store.rating_of(queue.clone(), caller.player_id).await?.ok_or_else(unrated)?;
    let board = Arc::new(Board::of_queue(&queue));
    let rank = app.ranks.rank_of(&board, 0, caller.player_id, 0).await?.ok_or_else(unrated)?.rank;
    Ok(Json(rank_body(Ranked { rank, ..rated })))
}

/// The queues and how long they take
#[utoipa::path(get, path = "/v1/queues", operation_id = "list_queues", tag = "tickets", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = QueuesBody)))]
async fn queues(State(app): State<App>, _caller: Caller) -> Result<Json<QueuesBody>, Problem> {
    let queue = |queue: protocol::pb::QueueStatus| QueueBody {
        name: queue.name,
        teams: queue.teams,
        players_per_team: queue.players_per_team,
        waiting_players: queue.waiting_players,
        wait_ms_p50: queue.wait_ms_p50,
        wait_ms_p95: queue.wait_ms_p95,
        regions: queue.regions,
    };
    Ok(Json(QueuesBody { queues: app.tickets.queues().await?.into_iter().map(queue).collect() }))
}
