//! Reports of the game, in batches.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::auth::{Caller, ServerCaller};
use crate::core::telemetry::report::{Given, REPORTS_MAX, Source, take};
use crate::extract::Body;
use crate::metrics;
use crate::problem::{Problem, ProblemBody, UsualProblems};

/// Most reports that a client may say it has lost: what counts them is no place for a lie of any size.
const LOST_MAX: u64 = 1_000_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(report))
}

/// A batch of reports.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ReportsBody {
    /// 1 to 100.
    events: Vec<ReportBody>,
    /// How many the reporter itself has lost since its last batch, for want of room; they are counted.
    #[serde(default)]
    lost: u64,
}

/// A report.
#[derive(Debug, Deserialize, ToSchema)]
struct ReportBody {
    /// Made by whoever reports: what comes twice on a day is kept once. Absent: the server makes one.
    #[serde(default)]
    event_id: Option<Uuid>,
    /// What happened: 1 to 64 letters, digits, '-', '_' or '.'.
    name: String,
    /// Which version of the event, from 1; 1 if absent.
    #[serde(default = "first")]
    version: u32,
    /// When it happened, Unix milliseconds. Absent, or days off: now.
    #[serde(default)]
    at_ms: Option<u64>,
    /// Of servers alone: whom it is about. A client's reports are about its player.
    #[schema(value_type = Option<Uuid>)]
    #[serde(default)]
    player_id: Option<PlayerId>,
    /// The game's own: at most 32 fields and 4 KiB. Figures are kept as they are, texts sealed, unless the game's plan says more.
    #[schema(value_type = Object)]
    #[serde(default)]
    body: Map<String, Value>,
}

fn first() -> u32 {
    1
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportedBody {
    /// How many will be kept.
    accepted: usize,
    /// How many found no room and are gone.
    lost: usize,
    /// Those that are no reports of this game.
    refused: Vec<RefusedBody>,
}

/// A report that was not taken.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedBody {
    /// Its place in the batch, from 0.
    event: usize,
    /// What is wrong with it.
    detail: String,
}

/// Who reports.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reporter {
    Client(PlayerId),
    Server,
}

impl FromRequestParts<App> for Reporter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, app).await {
            Ok(caller) => {
                app.telemetry.limit(caller.player_id, service::clock::unix_ms())?;
                Ok(Self::Client(caller.player_id))
            }
            // It may be a service token.
            Err(problem) if problem.is("token-invalid") && app.servers.is_some() => {
                ServerCaller::from_request_parts(parts, app).await.map(|_| Self::Server).map_err(|_| problem)
            }
            Err(problem) => Err(problem),
        }
    }
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::invalid("invalid-telemetry", detail)
}

/// Report what happens in the game
///
/// With an access token or a service token. It never waits for the database: what finds no room is lost, and counted in the answer;
/// sending it again is the reporter's choice. A report that is none is refused, and the others of its batch are taken.
#[utoipa::path(post, path = "/v1/telemetry:batch", operation_id = "report_telemetry", tag = "telemetry", security(("access_token" = []), ("service_token" = [])),
    request_body = ReportsBody,
    responses(UsualProblems, (status = 202, body = ReportedBody),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "invalid-telemetry: none of it is a report; with refused")))]
async fn report(
    State(app): State<App>,
    reporter: Reporter,
    Body(batch): Body<ReportsBody>,
) -> Result<(StatusCode, Json<ReportedBody>), Problem> {
    take_batch(&app, reporter, batch)
}

/// Takes a batch; without a wait.
pub(super) fn take_batch(
    app: &App,
    reporter: Reporter,
    batch: ReportsBody,
) -> Result<(StatusCode, Json<ReportedBody>), Problem> {
    let count = batch.events.len();
    if count == 0 || count > REPORTS_MAX {
        return Err(invalid(format!("a batch has 1 to {REPORTS_MAX} events")));
    }
    metrics::telemetry("before", usize::try_from(batch.lost.min(LOST_MAX)).unwrap_or_default());
    let now_ms = service::clock::unix_ms();
    let (mut reports, mut refused) = (Vec::with_capacity(count), Vec::new());
    for (number, event) in batch.events.into_iter().enumerate() {
        let taken = given(reporter, event).and_then(|(source, given)| {
            take(app.telemetry.plan(), source, given, now_ms).map_err(|fault| fault.to_string())
        });
        match taken {
            Ok(report) => reports.push(report),
            Err(detail) => refused.push(RefusedBody { event: number, detail }),
        }
    }
    metrics::telemetry("refused", refused.len());
    if reports.is_empty() {
        let detail = refused.first().map_or_else(String::new, |first| format!("event 0: {}", first.detail));
        return Err(invalid(detail).with("refused", serde_json::json!(refused)));
    }
    let (taken, is_taken) = (reports.len(), app.telemetry.offer(reports));
    let (accepted, lost) = if is_taken { (taken, 0) } else { (0, taken) };
    Ok((StatusCode::ACCEPTED, Json(ReportedBody { accepted, lost, refused })))
}

/// A report as its reporter may make it.
fn given(reporter: Reporter, event: ReportBody) -> Result<(Source, Given), String> {
    let (source, player) = match (reporter, event.player_id) {
        (Reporter::Server, about) => (Source::Server, about),
        (Reporter::Client(own), None) => (Source::Client, Some(own)),
        (Reporter::Client(own), Some(about)) if about == own => (Source::Client, Some(own)),
        (Reporter::Client(_), Some(_)) => return Err("a client reports about its own player alone".to_owned()),
    };
    let event_id = event.event_id.map_or_else(service::random::bytes, Uuid::into_bytes);
    let ReportBody { name, version, at_ms, body, .. } = event;
    Ok((source, Given { event_id, name, version, at_ms, player, body }))
}
