//! What is on, how the game is set for the caller, and what vendors of anti-cheat say.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::id::{MatchId, PlayerId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::core::live::condition::{Facts, NAME_BYTES_MAX};
use crate::core::live::config;
use crate::core::live::verdict::{Outcome, Verdict};
use crate::core::webhook::{SignatureFault, verify};
use crate::extract::{Named, Query};
use crate::metrics;
use crate::problem::{Problem, UsualProblems};
use crate::store::NewVerdict;
use crate::tickets::unknown_player;

/// How far ahead an event is announced.
const AHEAD_MS: u64 = 14 * 24 * 60 * 60 * 1_000;
/// Longest name that a vendor gives a message, in bytes.
const MESSAGE_ID_BYTES_MAX: usize = 128;
/// What is kept of a vendor's words, in bytes.
const REASON_BYTES_MAX: usize = 500;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events)).routes(routes!(configuration)).routes(routes!(verdict))
}

/// What the client says of itself.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SegmentQuery {
    /// Where it is. At most 64 bytes.
    region: Option<String>,
    /// What it runs on. At most 64 bytes.
    platform: Option<String>,
    /// What it is. At most 64 bytes.
    build: Option<String>,
}

/// What is on, and what is next.
#[derive(Debug, Serialize, ToSchema)]
struct EventsBody {
    /// In order of their begin.
    events: Vec<EventBody>,
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
struct EventBody {
    id: String,
    /// The game's own word.
    kind: String,
    /// By language.
    titles: BTreeMap<String, String>,
    /// Ascends from each time that it is on to the next.
    occurrence: u64,
    /// Whether it is on now; otherwise it begins within 14 days.
    active: bool,
    /// Unix milliseconds.
    starts_at_ms: u64,
    /// Unix milliseconds; absent where it goes on for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at_ms: Option<u64>,
    /// The game's own.
    #[schema(value_type = Object)]
    data: Value,
}

/// How the game is set.
#[derive(Debug, Serialize, ToSchema)]
struct ConfigurationBody {
    /// By key.
    #[schema(value_type = Object)]
    values: BTreeMap<String, Value>,
}

/// What a vendor says of a player.
#[derive(Debug, Deserialize, ToSchema)]
struct VerdictBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    #[schema(value_type = Option<Uuid>)]
    #[serde(default)]
    match_id: Option<MatchId>,
    /// "clean", "suspicious" or "cheating".
    #[schema(value_type = String)]
    verdict: Verdict,
    /// The vendor's words, of which 500 bytes are kept.
    #[serde(default)]
    reason: String,
}

/// What followed.
#[derive(Debug, Serialize, ToSchema)]
struct VerdictTakenBody {
    /// Whether the message came for the first time.
    first: bool,
    /// "none", "flag", "ban", or "unknown_player".
    outcome: String,
}

async fn facts(app: &App, player: PlayerId, query: SegmentQuery) -> Result<Facts, Problem> {
    let SegmentQuery { region, platform, build } = query;
    if [&region, &platform, &build].into_iter().flatten().any(|text| text.len() > NAME_BYTES_MAX) {
        let detail = format!("region, platform and build have at most {NAME_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-query", "Invalid query", detail));
    }
    let profile = app.store.profile(player).await?.ok_or_else(unknown_player)?;
    Ok(Facts { player, level: profile.standing.now(&app.progression.xp).level, region, platform, build })
}

/// An answer that the client may keep until it is another one.
fn tagged(headers: &HeaderMap, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("plain data");
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&text)[..16]));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known = known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*");
    let keep = [(header::ETAG, tag), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if is_known {
        return (StatusCode::NOT_MODIFIED, keep).into_response();
    }
    let json = HeaderValue::from_static("application/json");
    (keep, [(header::CONTENT_TYPE, json)], text).into_response()
}

/// Events that are on, or begin within 14 days
///
/// Those that are for the caller. With If-None-Match the answer is 304 while nothing has changed.
#[utoipa::path(get, path = "/v1/live/events", operation_id = "live_events", tag = "live", security(("access_token" = [])), params(SegmentQuery),
    responses(UsualProblems,
        (status = 200, body = EventsBody, headers(("ETag" = String, description = "Of this answer"))),
        (status = 304, description = "If-None-Match names this answer")))]
async fn events(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<SegmentQuery>,
) -> Result<Response, Problem> {
    let facts = facts(&app, caller.player_id, query).await?;
    let (now_ms, held) = (service::clock::unix_ms(), app.live.held());
    let for_them = held.document.events.iter().filter(|event| event.form.when.holds(&facts, &event.form.id));
    let near = for_them.filter_map(|event| {
        let one = event.around(now_ms).filter(|one| one.starts_at_ms <= now_ms.saturating_add(AHEAD_MS))?;
        Some(EventBody {
            id: event.form.id.clone(),
            kind: event.form.kind.clone(),
            titles: event.form.titles.clone(),
            occurrence: one.number,
            active: one.is_on(now_ms),
            starts_at_ms: one.starts_at_ms,
            ends_at_ms: one.ends_at_ms,
            data: event.form.data.clone(),
        })
    });
    let mut events: Vec<EventBody> = near.collect();
    events.sort_by(|a, b| (a.starts_at_ms, &a.id).cmp(&(b.starts_at_ms, &b.id)));
    Ok(tagged(&headers, &EventsBody { events }))
}

/// How the game is set for the caller
///
/// Nothing secret belongs into it. With If-None-Match the answer is 304 while nothing has changed for the caller.
#[utoipa::path(get, path = "/v1/config", tag = "live", security(("access_token" = [])), params(SegmentQuery),
    responses(UsualProblems,
        (status = 200, body = ConfigurationBody, headers(("ETag" = String, description = "Of these values"))),
        (status = 304, description = "If-None-Match names these values")))]
async fn configuration(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<SegmentQuery>,
) -> Result<Response, Problem> {
    let facts = facts(&app, caller.player_id, query).await?;
    let held = app.live.held();
    let values = config::values(&held.document.settings, &facts);
    let values = values.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
    Ok(tagged(&headers, &ConfigurationBody { values }))
}

fn signature_problem(fault: SignatureFault) -> Problem {
    Problem::unauthenticated("signature-invalid", fault.to_string())
}

/// A vendor's verdict on a player
///
/// Signed as our own webhooks are (Standard Webhooks): webhook-id, webhook-timestamp, webhook-signature. Each webhook-id
/// counts once; sent again it is answered as it was.
#[utoipa::path(post, path = "/v1/webhooks/anti-cheat/{vendor}", operation_id = "anti_cheat_verdict", tag = "live", request_body = VerdictBody,
    params(("vendor" = String, Path, description = "Its name in the settings"),
        ("webhook-id" = String, Header, description = "Names the message"),
        ("webhook-timestamp" = u64, Header, description = "Unix seconds; at most 5 minutes from now"),
        ("webhook-signature" = String, Header, description = "v1, and base64 of HMAC-SHA256 over id.timestamp.body")),
    responses(UsualProblems, (status = 200, body = VerdictTakenBody)))]
async fn verdict(
    State(app): State<App>,
    Named(vendor): Named<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<VerdictTakenBody>, Problem> {
    let named = app.live.integrations.anti_cheat.iter().find(|one| one.name == vendor);
    let vendor = named.ok_or_else(|| Problem::not_found("unknown-vendor", "the settings name no such vendor"))?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (now_ms, id) = (service::clock::unix_ms(), header("webhook-id"));
    let signed =
        verify(&vendor.secrets, id, header("webhook-timestamp"), &body, header("webhook-signature"), now_ms / 1_000);
    signed.map_err(|fault| {
        metrics::limited("webhook_signature");
        signature_problem(fault)
    })?;
    if id.len() > MESSAGE_ID_BYTES_MAX {
        let detail = format!("webhook-id has at most {MESSAGE_ID_BYTES_MAX} bytes");
        return Err(Problem::invalid("invalid-id", detail));
    }
    let said: VerdictBody =
        serde_json::from_slice(&body).map_err(|error| Problem::invalid("wrong-type", error.to_string()))?;
    let outcome = vendor.policy.judge(said.verdict, now_ms);
    let new = NewVerdict {
        vendor: vendor.name.clone(),
        message_id: id.to_owned(),
        player: said.player_id,
        match_id: said.match_id,
        verdict: said.verdict,
        outcome,
        reason: said.reason[..said.reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned(),
        now_ms,
    };
    let (kept, first) = app.store.take_verdict(new).await?;
    if first {
        let (vendor, player_id, outcome) = (&kept.vendor, kept.player, &kept.outcome);
        tracing::info!(vendor, %player_id, verdict = kept.verdict, outcome, "a verdict of anti-cheat");
    }
    if first && matches!(outcome, Outcome::Ban(_)) {
        // Its access tokens are refused here at once, by others within seconds.
        app.identity.revoked.look(&app.store).await?;
    }
    Ok(Json(VerdictTakenBody { first, outcome: kept.outcome }))
}
