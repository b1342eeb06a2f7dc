//! Live operations on the admin port: publishing events and settings, looking at verdicts.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::core::live::condition::Facts;
use crate::core::live::document::DocumentForm;
use crate::extract::{Body, Query};
use crate::problem::Problem;
use crate::store::KeptVerdict;

/// Verdicts of a list where nothing else is asked for, and at most.
const LISTED: u32 = 100;
const LISTED_MAX: u32 = 1_000;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/live", get(show).put(publish))
        .route("/live/versions", get(versions))
        .route("/live/versions/{version}", get(version))
        .route("/live/rollback", post(rollback))
        .route("/live/preview", post(preview))
        .route("/anti-cheat/verdicts", get(verdicts))
        .route("/anti-cheat/resolve", post(resolve))
}

#[derive(Debug, Serialize)]
struct VersionBody {
    version: u64,
    published_at_ms: u64,
}

/// Which version shall hold again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    version: u64,
}

/// For whom values are asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviewBody {
    player_id: PlayerId,
    level: u32,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    platform: Option<String>,
    #[serde(default)]
    build: Option<String>,
}

#[derive(Debug, Deserialize)]
struct VerdictsQuery {
    player_id: Option<PlayerId>,
    limit: Option<u32>,
}

/// Which verdict an operator has looked into.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveBody {
    vendor: String,
    message_id: String,
}

async fn document(app: &App, version: u64) -> Result<Value, Problem> {
    let kept = app.store.live_document_of(version).await?;
    let kept = kept.ok_or_else(|| Problem::not_found("unknown-version", "there is no such version any more"))?;
    serde_json::from_str(&kept.body).map_err(|_| Problem::internal())
}

async fn show(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let version = app.store.live_version().await?;
    let body = if version == 0 { json!(DocumentForm::default()) } else { document(&app, version).await? };
    Ok(([(header::ETAG, format!("\"{version}\""))], Json(body)))
}

async fn version(State(app): State<App>, Path(version): Path<u64>) -> Result<Json<Value>, Problem> {
    document(&app, version).await.map(Json)
}

/// The version that the operator has seen.
fn seen(headers: &HeaderMap) -> Result<u64, Problem> {
    let header = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
    let version = header.and_then(|text| text.trim().trim_matches('"').parse().ok());
    version.ok_or_else(|| {
        let detail =
            "send If-Match with the version that you have seen, as GET /live gives it in ETag; \"0\" before the first";
        Problem::new(StatusCode::PRECONDITION_REQUIRED, "version-missing", "Version missing", detail)
    })
}

async fn publish(
    State(app): State<App>,
    headers: HeaderMap,
    Body(form): Body<DocumentForm>,
) -> Result<impl IntoResponse, Problem> {
    let version = app.live.publish(&form, seen(&headers)?).await?;
    tracing::info!(version, "an operator has published events and settings");
    Ok(([(header::ETAG, format!("\"{version}\""))], Json(json!({ "version": version }))))
}

async fn versions(State(app): State<App>) -> Result<Json<Vec<VersionBody>>, Problem> {
    let body = |(version, published_at_ms)| VersionBody { version, published_at_ms };
    Ok(Json(app.store.live_versions().await?.into_iter().map(body).collect()))
}

/// An old version is published anew, under a new number.
async fn rollback(
    State(app): State<App>,
    headers: HeaderMap,
    Body(body): Body<RollbackBody>,
) -> Result<impl IntoResponse, Problem> {
    let form: DocumentForm =
        serde_json::from_value(document(&app, body.version).await?).map_err(|_| Problem::internal())?;
    let version = app.live.publish(&form, seen(&headers)?).await?;
    tracing::warn!(version, of = body.version, "an operator has published an older version again");
    Ok(Json(json!({ "version": version })))
}

/// What somebody would get, and by which rule: 0 is none of them.
async fn preview(State(app): State<App>, Body(body): Body<PreviewBody>) -> Json<Value> {
    let PreviewBody { player_id: player, level, region, platform, build } = body;
    let facts = Facts { player, level, region, platform, build };
    let held = app.live.held();
    let now_ms = service::clock::unix_ms();
    let settings: serde_json::Map<String, Value> = held
        .document
        .settings
        .iter()
        .map(|setting| {
            let (value, rule) = setting.value_for(&facts);
            (setting.key.clone(), json!({ "value": value, "rule": rule }))
        })
        .collect();
    let for_them = held.document.events.iter().filter(|event| event.form.when.holds(&facts, &event.form.id));
    let events: Vec<Value> = for_them
        .filter_map(|event| {
            let one = event.around(now_ms)?;
            let (starts_at_ms, ends_at_ms) = (one.starts_at_ms, one.ends_at_ms);
            Some(json!({ "id": event.form.id, "starts_at_ms": starts_at_ms, "ends_at_ms": ends_at_ms }))
        })
        .collect();
    Json(json!({ "version": held.version, "settings": settings, "events": events }))
}

fn verdict_body(kept: &KeptVerdict) -> Value {
    json!({
        "vendor": kept.vendor, "message_id": kept.message_id, "player_id": kept.player, "match_id": kept.match_id,
        "verdict": kept.verdict, "outcome": kept.outcome, "reason": kept.reason, "at_ms": kept.at_ms,
        "resolved_at_ms": kept.resolved_at_ms,
    })
}

/// Those that nobody has looked into, or all of a player.
async fn verdicts(State(app): State<App>, Query(query): Query<VerdictsQuery>) -> Result<Json<Vec<Value>>, Problem> {
    let limit = query.limit.unwrap_or(LISTED).clamp(1, LISTED_MAX);
    Ok(Json(app.store.verdicts(query.player_id, limit).await?.iter().map(verdict_body).collect()))
}

async fn resolve(State(app): State<App>, Body(body): Body<ResolveBody>) -> Result<StatusCode, Problem> {
    let resolved = app.store.resolve_verdict(body.vendor, body.message_id, service::clock::unix_ms()).await?;
    if resolved {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("unknown-verdict", "there is no such verdict"))
    }
}
