//! Matches: entering one, looking at one, and the result that its server reports.

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::IntoResponse;
use protocol::certificate::{RESULT_BYTES_MAX, SignedResult};
use protocol::id::MatchId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::private;
use super::tickets::{MatchBody, SeatBody};
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Named};
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::results::Outcome;
use crate::store::{MatchRecord, Seat};

/// Largest body of a result: the document of at most 64 KiB travels as a JSON string, so every quote takes two bytes.
const RESULT_BODY_BYTES_MAX: usize = 2 * RESULT_BYTES_MAX + 8 * 1024;

pub(super) fn routes() -> OpenApiRouter<App> {
    let result = OpenApiRouter::new().routes(routes!(result)).layer(DefaultBodyLimit::max(RESULT_BODY_BYTES_MAX));
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(join_token)).merge(result)
}

/// The right to enter a match.
#[derive(Debug, Serialize, ToSchema)]
struct JoinTokenBody {
    /// JWT for the game server; works once.
    join_token: String,
    /// Unix milliseconds: at most 60 s from now. Ask right before connecting, and again whenever needed.
    expires_at_ms: u64,
    r#match: MatchBody,
}

/// A match.
#[derive(Debug, Serialize, ToSchema)]
struct MatchStateBody {
    #[schema(value_type = Uuid)]
    match_id: MatchId,
    queue: String,
    /// "placed", "playing", "ended", "lost" or "closed" (given back before it was played).
    state: &'static str,
    roster: Vec<SeatBody>,
    /// Unix milliseconds.
    started_at_ms: Option<u64>,
    /// Unix milliseconds.
    ended_at_ms: Option<u64>,
    reason: String,
    trace_id: String,
    /// The result as the server signed it, once it is recorded.
    #[schema(value_type = Option<Object>)]
    result: Option<serde_json::Value>,
}

/// A result, signed by the match's server, with the allocator's certificate for the server's key.
#[derive(Debug, Deserialize, ToSchema)]
struct SignedResultBody {
    /// JWT, typ muster-certificate+jwt.
    certificate: String,
    /// Public key of the server, base64url, 32 bytes.
    key: String,
    /// The JSON of the result, byte for byte as signed; at most 64 KiB.
    result: String,
    /// Ed25519 signature over `result`, base64url, 64 bytes.
    signature: String,
}

/// What became of a result.
#[derive(Debug, Serialize, ToSchema)]
struct RecordedBody {
    /// False only for a match that was given back before it was played ("released"): its result counts for nobody.
    recorded: bool,
    /// Whether this request recorded it; false where it was recorded before.
    first: bool,
}

fn seats(roster: Vec<Seat>) -> Vec<SeatBody> {
    let seat = |seat: Seat| SeatBody { player_id: seat.player_id.to_string(), team: seat.team, name: seat.name };
    roster.into_iter().map(seat).collect()
}

/// A match as it stands, for its players
#[utoipa::path(get, path = "/v1/matches/{id}", operation_id = "get_match", tag = "matches", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = MatchStateBody)))]
async fn get(
    State(app): State<App>,
    caller: Caller,
    Named(match_id): Named<MatchId>,
) -> Result<impl IntoResponse, Problem> {
    let record = app.matches.get(caller.player_id, match_id).await?;
    Ok(private(Json(MatchStateBody::new(record))))
}

/// Any match, for the admin port.
pub(crate) async fn get_any(
    State(app): State<App>,
    Named(match_id): Named<MatchId>,
) -> Result<impl IntoResponse, Problem> {
    let record = app.store.find_match(match_id).await?;
    let record = record.ok_or_else(|| Problem::not_found("unknown-match", "there is no such match"))?;
    Ok(private(Json(MatchStateBody::new(record))))
}

impl MatchStateBody {
    fn new(record: MatchRecord) -> Self {
        Self {
            match_id: record.match_id,
            queue: record.queue,
            state: record.state.name(),
            roster: seats(record.roster),
            started_at_ms: record.started_at_ms,
            ended_at_ms: record.ended_at_ms,
            reason: record.reason,
            trace_id: record.trace_id,
            result: record.result.and_then(|result| serde_json::from_str(&result).ok()),
        }
    }
}

/// Ask for a join token
///
/// For as long as the match lives, as often as needed: after a crash, a reconnect, a long loading screen.
#[utoipa::path(post, path = "/v1/matches/{id}/join-token", operation_id = "mint_join_token", tag = "matches", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = JoinTokenBody),
        (status = 410, body = ProblemBody, content_type = "application/problem+json", description = "match-over")))]
async fn join_token(
    State(app): State<App>,
    caller: Caller,
    Named(match_id): Named<MatchId>,
) -> Result<impl IntoResponse, Problem> {
    let (minted, record) = app.matches.join_token(caller.player_id, match_id).await?;
    let assignment = minted.assignment.unwrap_or_default();
    Ok(private(Json(JoinTokenBody {
        join_token: minted.join_token,
        expires_at_ms: minted.expires_at_s.saturating_mul(1_000),
        r#match: MatchBody::new(assignment, seats(record.roster)),
    })))
}

/// Report a result (game servers)
///
/// The certificate is the credential; no access token. Post it until it is acknowledged: the same result again is
/// 200, another one for the same match 409.
#[utoipa::path(post, path = "/v1/matches/{id}/result", operation_id = "report_result", tag = "matches", params(("id" = Uuid, Path)), request_body = SignedResultBody,
    responses(UsualProblems, (status = 200, body = RecordedBody),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "certificate-… or result-…: why it is not believed; or refused-by-rule"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "result-conflict"),
        (status = 410, body = ProblemBody, content_type = "application/problem+json", description = "match-lost: more than 15 minutes ago")))]
async fn result(
    State(app): State<App>,
    Named(match_id): Named<MatchId>,
    Body(body): Body<SignedResultBody>,
) -> Result<Json<RecordedBody>, Problem> {
    let SignedResultBody { certificate, key, result, signature } = body;
    let outcome = app.results.record(&app, match_id, SignedResult { certificate, key, result, signature }).await?;
    Ok(Json(RecordedBody { recorded: outcome != Outcome::NotRecorded, first: outcome == Outcome::First }))
}
