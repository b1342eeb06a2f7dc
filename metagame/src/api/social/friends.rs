//! Friends, requests and blocks.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use protocol::id::PlayerId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::players::{PageQuery, bad_cursor};
use crate::api::private;
use crate::app::App;
use crate::auth::Caller;
use crate::core::page::{PlayerCursor, limit};
use crate::core::social::tie::{Act, Refusal, Tie};
use crate::extract::{Named, Query};
use crate::gateway::fanout::News;
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::store::social::{Companion, FriendAct};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(friends))
        .routes(routes!(befriend, unfriend))
        .routes(routes!(blocks))
        .routes(routes!(block, unblock))
}

/// A page of friends and requests, by player id.
#[derive(Debug, Serialize, ToSchema)]
struct FriendsBody {
    friends: Vec<FriendBody>,
    next_cursor: Option<String>,
}

/// Another player and what it is to the caller.
#[derive(Debug, Serialize, ToSchema)]
struct FriendBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    name: String,
    /// "friend"; "sent": asked by you; "received": asks you.
    tie: &'static str,
    /// Unix milliseconds.
    since_ms: u64,
}

/// A page of blocked players, by player id.
#[derive(Debug, Serialize, ToSchema)]
struct BlocksBody {
    blocks: Vec<BlockBody>,
    next_cursor: Option<String>,
}

/// A player that the caller blocks.
#[derive(Debug, Serialize, ToSchema)]
struct BlockBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    name: String,
    /// Unix milliseconds.
    since_ms: u64,
}

/// What another player is to the caller now.
#[derive(Debug, Serialize, ToSchema)]
struct TieBody {
    /// "friend", "sent", "received" or "blocked".
    tie: &'static str,
}

/// Friends and requests
#[utoipa::path(get, path = "/v1/players/me/friends", tag = "social", security(("access_token" = [])), params(PageQuery),
    responses(UsualProblems, (status = 200, body = FriendsBody)))]
async fn friends(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    let (after, limit) = read_page(&page)?;
    let found = app.store.friends(caller.player_id, after, limit).await?;
    let next_cursor = next_cursor(&found, limit);
    let friend = |one: Companion| FriendBody {
        player_id: one.player_id,
        name: one.name,
        tie: one.tie.name(),
        since_ms: one.since_ms,
    };
    Ok(private(Json(FriendsBody { friends: found.into_iter().map(friend).collect(), next_cursor })))
}

/// Ask to be friends, or accept
///
/// Asking who has asked you makes you friends. The other finds a message in its inbox. Repeating it changes nothing.
#[utoipa::path(put, path = "/v1/players/me/friends/{id}", tag = "social", security(("access_token" = [])),
    params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = TieBody),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "player-unreachable"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "blocked-by-you or list-full")))]
async fn befriend(
    State(app): State<App>,
    caller: Caller,
    Named(other): Named<PlayerId>,
) -> Result<impl IntoResponse, Problem> {
    let tie = act(&app, caller.player_id, other, Act::Befriend).await?;
    Ok(private(Json(TieBody { tie: tie.map_or("none", Tie::name) })))
}

/// End a friendship, take a request back, or decline one
#[utoipa::path(delete, path = "/v1/players/me/friends/{id}", tag = "social", security(("access_token" = [])),
    params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 204)))]
async fn unfriend(
    State(app): State<App>,
    caller: Caller,
    Named(other): Named<PlayerId>,
) -> Result<StatusCode, Problem> {
    act(&app, caller.player_id, other, Act::Unfriend).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Blocked players
#[utoipa::path(get, path = "/v1/players/me/blocks", tag = "social", security(("access_token" = [])), params(PageQuery),
    responses(UsualProblems, (status = 200, body = BlocksBody)))]
async fn blocks(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    let (after, limit) = read_page(&page)?;
    let found = app.store.blocks(caller.player_id, after, limit).await?;
    let next_cursor = next_cursor(&found, limit);
    let block = |one: Companion| BlockBody { player_id: one.player_id, name: one.name, since_ms: one.since_ms };
    Ok(private(Json(BlocksBody { blocks: found.into_iter().map(block).collect(), next_cursor })))
}

/// Block a player
///
/// Ends a friendship and its requests. Neither of the two sees or reaches the other from then on, and the other is not told.
#[utoipa::path(put, path = "/v1/players/me/blocks/{id}", tag = "social", security(("access_token" = [])),
    params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 204)))]
async fn block(State(app): State<App>, caller: Caller, Named(other): Named<PlayerId>) -> Result<StatusCode, Problem> {
    act(&app, caller.player_id, other, Act::Block).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End a block
#[utoipa::path(delete, path = "/v1/players/me/blocks/{id}", tag = "social", security(("access_token" = [])),
    params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 204)))]
async fn unblock(State(app): State<App>, caller: Caller, Named(other): Named<PlayerId>) -> Result<StatusCode, Problem> {
    act(&app, caller.player_id, other, Act::Unblock).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn act(app: &App, player: PlayerId, other: PlayerId, act: Act) -> Result<Option<Tie>, Problem> {
    let done = app.store.act_on_friend(FriendAct { player, other, act, now_ms: service::clock::unix_ms() }).await?;
    let done = done.ok_or_else(|| Problem::not_found("unknown-player", "there is no such player"))?;
    if done.is_ok() {
        app.social.publish(News::Refresh(vec![player, other]));
    }
    done.map_err(|refusal| {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Oneself => Problem::invalid("oneself", detail),
            Refusal::YouBlock => Problem::conflict("blocked-by-you", detail),
            Refusal::Unreachable => Problem::forbidden("player-unreachable", detail),
            Refusal::Full(_) => Problem::conflict("list-full", detail),
        }
    })
}

fn read_page(page: &PageQuery) -> Result<(Option<PlayerId>, u32), Problem> {
    let after = page.cursor.as_deref().map(PlayerCursor::decode).transpose();
    let after = after.map_err(|error| bad_cursor(error.to_string()))?;
    Ok((after.map(|cursor| cursor.0), limit(page.limit)))
}

fn next_cursor(page: &[Companion], limit: u32) -> Option<String> {
    page.last().filter(|_| page.len() == limit as usize).map(|last| PlayerCursor(last.player_id).encode())
}
