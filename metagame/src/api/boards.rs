//! Leaderboards as data: pages, places around a player, seasons, and scores that are written.

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::players::bad_cursor;
use crate::app::App;
use crate::auth::{Caller, ServerCaller};
use crate::core::leaderboard::{Board, Keep, RATING_SCALE};
use crate::core::page::limit;
use crate::core::ranking::{Place, Ranked, Start};
use crate::extract::{Body, Named, Query, QueueName};
use crate::problem::{Problem, UsualProblems};
use crate::ranks::RanksError;
use crate::store::ScoreWrite;

/// Most scores of a batch.
const BATCH_MAX: usize = 1_000;
/// Largest body of a batch in bytes.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Longest id of a write.
const WRITE_ID_MAX: usize = 64;

pub(super) fn routes() -> OpenApiRouter<App> {
    let batch = OpenApiRouter::new().routes(routes!(batch)).layer(DefaultBodyLimit::max(BATCH_BYTES_MAX));
    OpenApiRouter::new().routes(routes!(entries, submit)).routes(routes!(seasons)).merge(batch)
}

/// Which part of a board.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EntriesQuery {
    /// `me`: begin so that the caller is in the middle of the page. `friends`: the caller and its friends, among themselves.
    around: Option<String>,
    /// Number of a season; without it the current one.
    season: Option<u64>,
    /// One of the board's regions; without it the whole board.
    region: Option<String>,
    /// next_cursor of the page before.
    cursor: Option<String>,
    /// 1 to 200, by default 50.
    limit: Option<u32>,
}

/// Part of a board, best first.
#[derive(Debug, Serialize, ToSchema)]
struct BoardEntriesBody {
    board: String,
    /// Number of the season.
    season: u64,
    /// Entries of the board, or of the region.
    total: u64,
    entries: Vec<BoardEntryBody>,
    next_cursor: Option<String>,
}

/// One place of a board.
#[derive(Debug, Serialize, ToSchema)]
struct BoardEntryBody {
    /// From 1. Whether equals share a rank is the board's to say.
    rank: u64,
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    /// Empty where the account is gone.
    name: String,
    #[schema(value_type = f64)]
    score: serde_json::Number,
    /// Empty where it is in no region's list.
    region: String,
    /// Unix milliseconds since which the score stands; absent on boards of ratings.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
}

/// The seasons of a board that anybody was on, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct BoardSeasonsBody {
    board: String,
    current: BoardSeasonBody,
    seasons: Vec<BoardSeasonBody>,
}

/// A season.
#[derive(Debug, Serialize, ToSchema)]
struct BoardSeasonBody {
    number: u64,
    /// Unix milliseconds.
    starts_at_ms: u64,
    /// Unix milliseconds; absent where it goes on for ever.
    ends_at_ms: Option<u64>,
}

/// The caller's own score.
#[derive(Debug, Deserialize, ToSchema)]
struct SubmitBody {
    score: i64,
    #[serde(default)]
    region: String,
    /// On a board that adds up: at most 64 characters. The same id never counts twice.
    #[serde(default)]
    write_id: Option<String>,
}

/// Scores of players.
#[derive(Debug, Deserialize, ToSchema)]
struct BatchBody {
    /// At most 1,000.
    entries: Vec<BatchEntryBody>,
}

/// A player's score.
#[derive(Debug, Deserialize, ToSchema)]
struct BatchEntryBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    score: i64,
    #[serde(default)]
    region: String,
    /// On a board that adds up: at most 64 characters. The same id never counts twice.
    #[serde(default)]
    write_id: Option<String>,
}

/// What stands now.
#[derive(Debug, Serialize, ToSchema)]
struct WrittenScoresBody {
    season: u64,
    /// One of each player that has an account.
    entries: Vec<WrittenEntryBody>,
    /// Those that have none: nothing was written for them.
    #[schema(value_type = Vec<Uuid>)]
    unknown_players: Vec<PlayerId>,
}

/// A player's score as it stands.
#[derive(Debug, Serialize, ToSchema)]
struct WrittenEntryBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    score: i64,
}

/// Part of a leaderboard
///
/// Of the current season, an older one, or one region of it; from the top, from a cursor, or around the caller.
#[utoipa::path(get, path = "/v1/leaderboards/{queue}/entries", operation_id = "leaderboard_entries", tag = "leaderboards", security(("access_token" = [])),
    params(("queue" = String, Path, description = "Id of the leaderboard, or name of a queue"), EntriesQuery),
    responses(UsualProblems, (status = 200, body = BoardEntriesBody)))]
async fn entries(
    State(app): State<App>,
    caller: Caller,
    Named(QueueName(id)): Named<QueueName>,
    Query(query): Query<EntriesQuery>,
) -> Result<Json<BoardEntriesBody>, Problem> {
    let board = find(&app, &id).await?;
    let season = query.season.unwrap_or_else(|| current(&board));
    let region = region_of(&board, query.region.as_deref())?;
    let limit = limit(query.limit) as usize;
    let start = match (query.around.as_deref(), query.cursor.as_deref()) {
        (None, None) => Start::At(0),
        (None, Some(cursor)) => Start::After(decode(cursor)?),
        (Some("me"), None) => Start::Around(caller.player_id, u32::try_from((limit - 1) / 2).unwrap_or(0)),
        (Some("friends"), None) => return friends(&app, &board, season, caller.player_id).await,
        (Some(_), _) => {
            let detail = "around is \"me\" or \"friends\", and then there is no cursor";
            return Err(Problem::new(axum::http::StatusCode::BAD_REQUEST, "invalid-query", "Invalid query", detail));
        }
    };
    let page = app.ranks.page(&board, season, start, limit, region).await?.ok_or_else(not_ranked)?;
    let last = page.entries.last().filter(|_| page.entries.len() == limit).map(|last| encode(&last.place));
    let entries = with_names(&app, &board, &page.entries).await?;
    Ok(Json(BoardEntriesBody { board: id, season, total: page.total, entries, next_cursor: last }))
}

/// The caller and its friends, those that are on the board.
async fn friends(app: &App, board: &Arc<Board>, season: u64, own: PlayerId) -> Result<Json<BoardEntriesBody>, Problem> {
    let mut players = app.store.friends_of(own).await?;
    players.push(own);
    let page = app.ranks.among(board, season, &players).await?;
    let entries = with_names(app, board, &page.entries).await?;
    Ok(Json(BoardEntriesBody { board: board.id.clone(), season, total: page.total, entries, next_cursor: None }))
}

/// The seasons of a leaderboard
#[utoipa::path(get, path = "/v1/leaderboards/{queue}/seasons", operation_id = "leaderboard_seasons", tag = "leaderboards", security(("access_token" = [])),
    params(("queue" = String, Path, description = "Id of the leaderboard, or name of a queue")),
    responses(UsualProblems, (status = 200, body = BoardSeasonsBody)))]
async fn seasons(
    State(app): State<App>,
    _caller: Caller,
    Named(QueueName(id)): Named<QueueName>,
) -> Result<Json<BoardSeasonsBody>, Problem> {
    let board = find(&app, &id).await?;
    let season = |number: u64| {
        let period = board.calendar.period(number);
        BoardSeasonBody { number: period.number, starts_at_ms: period.starts_at_ms, ends_at_ms: period.ends_at_ms }
    };
    let seasons = app.store.board_seasons(&id).await?.into_iter().map(season).collect();
    Ok(Json(BoardSeasonsBody { current: season(current(&board)), seasons, board: id }))
}

/// Write the own score, on a board that lets players
#[utoipa::path(post, path = "/v1/leaderboards/{queue}/entries", operation_id = "submit_score", tag = "leaderboards", security(("access_token" = [])),
    params(("queue" = String, Path, description = "Id of the leaderboard")), request_body = SubmitBody,
    responses(UsualProblems, (status = 200, body = WrittenScoresBody)))]
async fn submit(
    State(app): State<App>,
    caller: Caller,
    Named(QueueName(id)): Named<QueueName>,
    Body(body): Body<SubmitBody>,
) -> Result<Json<WrittenScoresBody>, Problem> {
    let board = find(&app, &id).await?;
    if !board.client_writable {
        return Err(Problem::forbidden("server-only", "players cannot write scores of this board: their servers do"));
    }
    let SubmitBody { score, region, write_id } = body;
    write(&app, &board, vec![ScoreWrite { player: caller.player_id, score, region, write_id }]).await
}

/// Write scores (servers)
///
/// With a service token. Of several scores of one player the board's rule decides. All of them are written, or none.
#[utoipa::path(post, path = "/v1/leaderboards/{queue}/entries:batch", operation_id = "submit_scores", tag = "leaderboards", security(("service_token" = [])),
    params(("queue" = String, Path, description = "Id of the leaderboard")), request_body = BatchBody,
    responses(UsualProblems, (status = 200, body = WrittenScoresBody)))]
async fn batch(
    State(app): State<App>,
    _server: ServerCaller,
    Named(QueueName(id)): Named<QueueName>,
    Body(body): Body<BatchBody>,
) -> Result<Json<WrittenScoresBody>, Problem> {
    let board = find(&app, &id).await?;
    if body.entries.is_empty() || body.entries.len() > BATCH_MAX {
        return Err(Problem::invalid("invalid-batch", format!("a batch has 1 to {BATCH_MAX} entries")));
    }
    let entry = |entry: BatchEntryBody| {
        let BatchEntryBody { player_id, score, region, write_id } = entry;
        ScoreWrite { player: player_id, score, region, write_id }
    };
    write(&app, &board, body.entries.into_iter().map(entry).collect()).await
}

async fn write(app: &App, board: &Arc<Board>, writes: Vec<ScoreWrite>) -> Result<Json<WrittenScoresBody>, Problem> {
    if board.is_rating() {
        return Err(Problem::forbidden("rated-board", "this board shows ratings: only results change it"));
    }
    for write in &writes {
        check(board, write)?;
    }
    let season = current(board);
    let players: Vec<PlayerId> = writes.iter().map(|write| write.player).collect();
    let mut rows = app.ranks.write(board, season, writes).await?;
    rows.sort_unstable_by_key(|row| row.player);
    rows.dedup_by_key(|row| row.player);
    let unknown = players.into_iter().filter(|player| rows.binary_search_by_key(player, |row| row.player).is_err());
    let unknown_players = unknown.collect();
    let entries = rows.into_iter().map(|row| WrittenEntryBody { player_id: row.player, score: row.score }).collect();
    Ok(Json(WrittenScoresBody { season, entries, unknown_players }))
}

fn check(board: &Board, write: &ScoreWrite) -> Result<(), Problem> {
    let (smallest, largest) = board.bounds;
    if !(smallest..=largest).contains(&write.score) {
        return Err(Problem::invalid("invalid-score", format!("a score of this board is {smallest} to {largest}")));
    }
    match &write.write_id {
        Some(id) if id.is_empty() || id.len() > WRITE_ID_MAX => {
            Err(Problem::invalid("invalid-write-id", format!("a write_id has 1 to {WRITE_ID_MAX} characters")))
        }
        None if board.keep == Keep::Sum => {
            let detail = "this board adds up: send a write_id with each score, so that a repeated request counts once";
            Err(Problem::invalid("write-id-missing", detail))
        }
        _ => Ok(()),
    }
}

/// The board with this id; that of a queue only where somebody was ever on it.
async fn find(app: &App, id: &str) -> Result<Arc<Board>, Problem> {
    if app.ranks.boards().is_named(id) || app.store.has_entries(id).await? {
        return Ok(app.ranks.boards().find(id));
    }
    Err(Problem::not_found("unknown-leaderboard", "there is no such leaderboard"))
}

fn current(board: &Board) -> u64 {
    board.calendar.at(service::clock::unix_ms()).number
}

fn region_of(board: &Board, name: Option<&str>) -> Result<usize, Problem> {
    let Some(name) = name else { return Ok(0) };
    match board.region(name) {
        0 => Err(Problem::not_found("unknown-region", "this leaderboard has no list of that region")),
        region => Ok(region),
    }
}

pub(super) fn not_ranked() -> Problem {
    Problem::not_found("not-ranked", "you are not on this leaderboard")
}

async fn with_names(app: &App, board: &Board, ranked: &[Ranked]) -> Result<Vec<BoardEntryBody>, Problem> {
    let players: Vec<PlayerId> = ranked.iter().map(|ranked| ranked.place.player).collect();
    let names = app.ranks.names(&players).await?;
    let body = |(ranked, name): (&Ranked, Arc<str>)| BoardEntryBody {
        rank: ranked.rank,
        player_id: ranked.place.player,
        name: name.as_ref().to_owned(),
        score: score_number(board, ranked.place.sort),
        region: board.region_name(ranked.region).to_owned(),
        since_ms: (!board.is_rating()).then_some(ranked.place.since_ms),
    };
    Ok(ranked.iter().zip(names).map(body).collect())
}

pub(crate) fn score_number(board: &Board, sort: i64) -> serde_json::Number {
    let score = board.score(sort);
    let rating = board.is_rating().then(|| serde_json::Number::from_f64(score as f64 / RATING_SCALE)).flatten();
    rating.unwrap_or_else(|| score.into())
}

/// A place as a cursor.
fn encode(place: &Place) -> String {
    let mut bytes = vec![b'e'];
    bytes.extend_from_slice(&place.sort.to_be_bytes());
    bytes.extend_from_slice(&place.since_ms.to_be_bytes());
    bytes.extend_from_slice(&place.player.to_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Result<Place, Problem> {
    let fault = || bad_cursor("the cursor is not one that this list gave: begin again without one".into());
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| fault())?;
    let bytes: [u8; 33] = bytes.try_into().map_err(|_| fault())?;
    if bytes[0] != b'e' {
        return Err(fault());
    }
    let eight = |from: usize| <[u8; 8]>::try_from(&bytes[from..from + 8]).expect("eight bytes");
    let player = PlayerId::from_bytes(bytes[17..].try_into().expect("sixteen bytes"));
    Ok(Place { sort: i64::from_be_bytes(eight(1)), since_ms: u64::from_be_bytes(eight(9)), player })
}

impl From<RanksError> for Problem {
    fn from(error: RanksError) -> Self {
        match error {
            RanksError::Loading => {
                Self::unavailable("ranks-loading", "the leaderboard is being read from the database: try again", 1)
            }
            RanksError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_others_are_refused() {
        let place = Place { sort: -7, since_ms: 9, player: PlayerId::from_entropy([3; 16]) };
        assert_eq!(decode(&encode(&place)).expect("a cursor"), place);
        for wrong in ["", "x", "AAAA"] {
            assert!(decode(wrong).is_err());
        }
    }
}
