//! Profiles and match history.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::certificate::Participation;
use protocol::id::{MatchId, PlayerId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::private;
use crate::app::App;
use crate::auth::Caller;
use crate::core::live::rule::Act;
use crate::core::name::PlayerName;
use crate::core::page::{HistoryCursor, limit};
use crate::core::progression::Progression;
use crate::extract::{Body, Named, Query};
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::rules::name_facts;
use crate::store::{HistoryEntry, Profile, Renamed};
use crate::tickets::unknown_player;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(own_profile, rename))
        .routes(routes!(public_profile))
        .routes(routes!(own_matches))
        .routes(routes!(others_matches))
}

/// A player's own profile.
#[derive(Debug, Serialize, ToSchema)]
struct ProfileBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    name: String,
    /// Unix milliseconds.
    created_at_ms: u64,
    xp: u64,
    /// From 1.
    level: u32,
    /// How often the player began anew.
    prestige: u32,
    matches: u64,
    wins: u64,
    ratings: Vec<RatingBody>,
}

/// Skill in one queue (Weng-Lin).
#[derive(Debug, Serialize, ToSchema)]
struct RatingBody {
    queue: String,
    /// Mean; new players begin at 25.
    rating: f64,
    /// Standard deviation; new players begin at 8.33.
    uncertainty: f64,
    /// Matches that were rated.
    matches: u64,
}

/// What everybody may see of a player.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PublicProfileBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    name: String,
    level: u32,
    prestige: u32,
    matches: u64,
    wins: u64,
}

/// What can be changed of a profile.
#[derive(Debug, Deserialize, ToSchema)]
struct RenameBody {
    /// At most 32 bytes, at least one letter or digit, nothing invisible. Names need not be unique.
    name: String,
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// next_cursor of the page before.
    pub(super) cursor: Option<String>,
    /// 1 to 200, by default 50.
    pub(super) limit: Option<u32>,
}

/// A page of match history, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryBody {
    matches: Vec<HistoryEntryBody>,
    next_cursor: Option<String>,
}

/// One match and what it gave.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryEntryBody {
    #[schema(value_type = Uuid)]
    match_id: MatchId,
    queue: String,
    /// Unix milliseconds.
    ended_at_ms: u64,
    reason: String,
    team: u32,
    /// Place of the team, 1 is best.
    place: u32,
    score: i64,
    /// "played", "abandoned" or "absent".
    #[schema(value_type = String)]
    participation: Participation,
    xp_gained: u64,
    rating_before: f64,
    rating_after: f64,
    /// The game's own figures.
    stats: BTreeMap<String, i64>,
}

/// Own profile
#[utoipa::path(get, path = "/v1/players/me", tag = "players", security(("access_token" = [])),
    responses(UsualProblems,
        (status = 200, body = ProfileBody, headers(("ETag" = String, description = "Version of the profile"))),
        (status = 304, description = "If-None-Match names the current version")))]
async fn own_profile(State(app): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    let profile = app.store.profile(caller.player_id).await?.ok_or_else(unknown_player)?;
    let tag = etag(&profile);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    Ok(profile_response(profile, &app.progression))
}

/// Change the own profile
///
/// With If-Match the change happens only to that version; otherwise 412.
#[utoipa::path(patch, path = "/v1/players/me", tag = "players", security(("access_token" = [])), request_body = RenameBody,
    params(("If-Match" = Option<String>, Header, description = "ETag of the profile that is changed")),
    responses(UsualProblems, (status = 200, body = ProfileBody)))]
async fn rename(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body<RenameBody>,
) -> Result<Response, Problem> {
    let name: PlayerName = body.name.parse().map_err(|error| Problem::invalid("invalid-name", format!("{error}")))?;
    let expected = if_match(&headers)?;
    if app.has_rules(Act::Name) {
        app.permit(Act::Name, Some(caller.player_id), name_facts(&name)).await?;
    }
    match app.store.rename(caller.player_id, name, expected).await? {
        Renamed::Done(profile) => {
            app.ranks.forget_name(caller.player_id);
            Ok(profile_response(*profile, &app.progression))
        }
        Renamed::Unknown => Err(unknown_player()),
        Renamed::Stale(_version) => Err(stale()),
    }
}

/// Another player's profile
#[utoipa::path(get, path = "/v1/players/{id}", tag = "players", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = PublicProfileBody)))]
async fn public_profile(
    State(app): State<App>,
    _caller: Caller,
    Named(player): Named<PlayerId>,
) -> Result<Json<PublicProfileBody>, Problem> {
    public(&app, player).await
}

pub(super) async fn public(app: &App, player: PlayerId) -> Result<Json<PublicProfileBody>, Problem> {
    let profile = app.store.profile(player).await?;
    let profile = profile.ok_or_else(|| Problem::not_found("unknown-player", "there is no such player"))?;
    Ok(Json(PublicProfileBody {
        player_id: profile.player_id,
        name: profile.name,
        level: profile.standing.now(&app.progression.xp).level,
        prestige: profile.standing.prestige,
        matches: profile.matches,
        wins: profile.wins,
    }))
}

/// Own match history, newest first
#[utoipa::path(get, path = "/v1/players/me/matches", tag = "players", security(("access_token" = [])), params(PageQuery),
    responses(UsualProblems, (status = 200, body = HistoryBody)))]
async fn own_matches(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    let after = page.cursor.as_deref().map(HistoryCursor::decode).transpose();
    let after = after.map_err(|error| bad_cursor(error.to_string()))?;
    let limit = limit(page.limit);
    let entries = app.store.history(caller.player_id, after, limit).await?;
    let next_cursor = entries
        .last()
        .filter(|_| entries.len() == limit as usize)
        .map(|entry| HistoryCursor { ended_at_ms: entry.ended_at_ms, match_id: entry.match_id }.encode());
    Ok(private(Json(HistoryBody { matches: entries.into_iter().map(history_entry).collect(), next_cursor })))
}

/// Another player's match history: never given
#[utoipa::path(get, path = "/v1/players/{id}/matches", operation_id = "matches_of", tag = "players", security(("access_token" = [])),
    params(("id" = Uuid, Path)), responses(UsualProblems, (status = 403, body = ProblemBody, content_type = "application/problem+json")))]
async fn others_matches(_caller: Caller, Named(_player): Named<PlayerId>) -> Problem {
    Problem::forbidden("not-your-history", "match history is private: yours is at /v1/players/me/matches")
}

fn history_entry(entry: HistoryEntry) -> HistoryEntryBody {
    HistoryEntryBody {
        match_id: entry.match_id,
        queue: entry.queue,
        ended_at_ms: entry.ended_at_ms,
        reason: entry.reason,
        team: entry.team,
        place: entry.place,
        score: entry.score,
        participation: entry.participation,
        xp_gained: entry.xp_gained,
        rating_before: entry.rating_before,
        rating_after: entry.rating_after,
        stats: entry.stats,
    }
}

pub(super) fn bad_cursor(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-cursor", "Invalid cursor", detail)
}

fn etag(profile: &Profile) -> String {
    format!("\"{}\"", profile.version)
}

fn stale() -> Problem {
    let detail = "the profile has changed since you read it: read it again";
    Problem::new(StatusCode::PRECONDITION_FAILED, "stale", "Changed meanwhile", detail)
}

/// The version that If-Match names; `None` without it or with `*`.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH).filter(|value| *value != HeaderValue::from_static("*")) else {
        return Ok(None);
    };
    // A tag that metagame did not make names no version, so it cannot be the current one.
    let version = value.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    version.map(Some).ok_or_else(stale)
}

fn profile_response(profile: Profile, progression: &Progression) -> Response {
    let tag = etag(&profile);
    let rating = |rating: crate::store::QueueRating| RatingBody {
        queue: rating.queue,
        rating: rating.rating.rating,
        uncertainty: rating.rating.uncertainty,
        matches: rating.matches,
    };
    let body = ProfileBody {
        player_id: profile.player_id,
        name: profile.name,
        created_at_ms: profile.created_at_ms,
        xp: profile.xp,
        level: profile.standing.now(&progression.xp).level,
        prestige: profile.standing.prestige,
        matches: profile.matches,
        wins: profile.wins,
        ratings: profile.ratings.into_iter().map(rating).collect(),
    };
    private(([(header::ETAG, tag)], Json(body))).into_response()
}
