//! What the game beside the agent asks of it, over HTTP on loopback.
//!
//! There is no login: whoever is on this machine, or in this pod, is the game. So the agent listens on loopback alone,
//! and answers only requests that name a loopback host, which a page in a browser cannot make.

mod bodies;
mod problem;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::Shutdown;
use tokio::sync::Semaphore;
use utoipa::IntoParams;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::bodies::{
    AdmittedBody, DeliveryBody, DrainBody, HealthBody, JoinableBody, PlayersBody, RefuseBody, ResultBody, RosterBody,
    VerifyBody,
};
use self::problem::{Body, Problem, ProblemBody, Query};
use super::desk::Desk;

/// Largest body in bytes: the result of 64 players with their figures.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Requests at once, those that wait for a change included.
const REQUESTS_MAX: usize = 64;
/// Longest wait for a change, in seconds.
const WAIT_S_MAX: u64 = 60;
/// Longest time until an answer, reading the request included, but for a wait.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a result may take to be safe before the game is told to repeat it.
const RESULT_PATIENCE: Duration = Duration::from_secs(5);
/// Longest reason of a refusal, and longest name of a process, in bytes.
const REASON_BYTES_MAX: usize = 256;
const INSTANCE_BYTES_MAX: usize = 64;

const TITLE: &str = "Muster agent API";
const DESCRIPTION: &str = "What a game server in any language asks of the agent beside it, on loopback, without a login. \
Ids are hyphenated UUIDs. Bodies are JSON, declared as application/json. Every error is application/problem+json with a stable type.";

/// What the handlers need.
#[derive(Clone)]
struct App {
    desk: Desk,
    requests: Arc<Semaphore>,
    stop: Shutdown,
}

fn routes() -> OpenApiRouter<App> {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info =
        InfoBuilder::new().title(TITLE).version("1").description(Some(DESCRIPTION)).license(Some(license)).build();
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build())
        .routes(routes!(roster))
        .routes(routes!(drain))
        .routes(routes!(health))
        .routes(routes!(joinable))
        .routes(routes!(refuse))
        .routes(routes!(verify))
        .routes(routes!(players))
        .routes(routes!(result))
}

/// The OpenAPI 3.1 document of the agent.
pub fn openapi() -> OpenApi {
    routes().into_openapi()
}

/// The whole API. Waits end at `stop`.
pub(super) fn router(desk: Desk, stop: Shutdown) -> Router {
    let document = openapi();
    let (router, _) = routes().split_for_parts();
    let app = App { desk, requests: Arc::new(Semaphore::new(REQUESTS_MAX)), stop };
    router
        .route("/openapi.json", get(move || async move { Json(document) }))
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "unknown-route", "Not found", "there is nothing at this address")
        })
        .method_not_allowed_fallback(async || {
            let detail = "this address does not answer this method; the Allow header names those that it does";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// What protects the agent, around every request.
async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(names_loopback) {
        let detail = "the agent answers requests to 127.0.0.1, [::1] or localhost alone";
        return Problem::new(StatusCode::FORBIDDEN, "not-local", "Not local", detail).into_response();
    }
    let Ok(_permit) = app.requests.clone().try_acquire_owned() else {
        let detail = "too many requests at once; keep one GET /roster waiting, not many";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many requests", detail)
            .into_response();
    };
    let patience = REQUEST_TIMEOUT + Duration::from_secs(wait_of(&request));
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(patience, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            tracing::error!("a request handler of the agent panicked");
            let detail = "the agent failed; its log has the cause";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail).into_response()
        }
        Err(_elapsed) => {
            let detail = "the request took too long; try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "Timeout", detail).into_response()
        }
    }
}

/// Whether a Host header names this machine by itself.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn wait_of(request: &Request) -> u64 {
    let query = axum::extract::Query::<WaitQuery>::try_from_uri(request.uri());
    query.map_or(0, |query| query.0.wait_s.min(WAIT_S_MAX))
}

/// Whether and how long to wait for a change.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WaitQuery {
    /// Cursor of the state that is known: the answer comes when there is another.
    after: Option<u64>,
    /// Longest wait in seconds, at most 60; then the state comes as it is.
    #[serde(default = "wait_default")]
    wait_s: u64,
}

fn wait_default() -> u64 {
    20
}

/// What to host, and whether to leave
///
/// The whole state, at once or after the next change: compare it with what you host. A match that is new wants to be
/// prepared; one that is not there any more is over.
#[utoipa::path(get, path = "/roster", tag = "agent", params(WaitQuery), responses((status = 200, body = RosterBody),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
async fn roster(State(app): State<App>, Query(wait): Query<WaitQuery>) -> Json<RosterBody> {
    if let Some(after) = wait.after {
        let longest = Duration::from_secs(wait.wait_s.min(WAIT_S_MAX));
        tokio::select! {
            () = app.desk.changed(after) => {}
            () = tokio::time::sleep(longest) => {}
            () = app.stop.wait() => {}
        }
    }
    let server_id = app.desk.server_id();
    Json(app.desk.read(|book, now| RosterBody::of(book, server_id, now)))
}

/// Whether this server leaves
#[utoipa::path(get, path = "/drain", tag = "agent", responses((status = 200, body = DrainBody)))]
async fn drain(State(app): State<App>) -> Json<DrainBody> {
    Json(app.desk.read(DrainBody::of))
}

/// Show that the game lives
///
/// The first one says that it is loaded: from then on matches come. Say so several times within the agent's
/// --heard-within, from the loop that plays, not from a thread beside it.
#[utoipa::path(post, path = "/health", tag = "agent", request_body = HealthBody, responses((status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
async fn health(State(app): State<App>, Body(body): Body<HealthBody>) -> Result<StatusCode, Problem> {
    if body.instance.len() > INSTANCE_BYTES_MAX {
        return Err(Problem::invalid(format!("instance has at most {INSTANCE_BYTES_MAX} bytes")));
    }
    app.desk.heard(&body.instance);
    Ok(StatusCode::NO_CONTENT)
}

/// A match is ready for its players
///
/// Within the agent's --joinable-within, or the match goes to another server. Saying so again changes nothing.
#[utoipa::path(post, path = "/joinable", tag = "agent", request_body = JoinableBody, responses((status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
async fn joinable(State(app): State<App>, Body(body): Body<JoinableBody>) -> Result<StatusCode, Problem> {
    app.desk.joinable(body.match_id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A match cannot be hosted
///
/// Its settings ask for what this game does not have, say. It is not tried on another server.
#[utoipa::path(post, path = "/refuse", tag = "agent", request_body = RefuseBody, responses((status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
async fn refuse(State(app): State<App>, Body(body): Body<RefuseBody>) -> Result<StatusCode, Problem> {
    if body.reason.is_empty() || body.reason.len() > REASON_BYTES_MAX {
        return Err(Problem::invalid(format!("reason has 1 to {REASON_BYTES_MAX} bytes")));
    }
    app.desk.refuse(body.match_id, &body.reason)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is it?
///
/// Checks a client's join token, which lets it in once: signature, this server, not older than a minute, not used, a
/// match that is joinable, a player on its roster. A refusal carries the number of the wire format in `refusal`.
#[utoipa::path(post, path = "/verify", tag = "agent", request_body = VerifyBody, responses((status = 200, body = AdmittedBody),
    (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "join-refused, with refusal"),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
async fn verify(State(app): State<App>, Body(body): Body<VerifyBody>) -> Result<Json<AdmittedBody>, Problem> {
    Ok(Json(app.desk.verify(&body.token)?.into()))
}

/// What became of a player
///
/// "joined", "lost" (silent, may come back) or "left" for one player, or the number of players. Who was let in by
/// POST /verify counts as come; without a word here, as there until the end.
#[utoipa::path(post, path = "/players", tag = "agent", request_body = PlayersBody, responses((status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json")))]
async fn players(State(app): State<App>, Body(body): Body<PlayersBody>) -> Result<StatusCode, Problem> {
    match (body.player_id, body.event, body.count) {
        (Some(player), Some(event), None) => app.desk.player(body.match_id, player, event)?,
        (None, None, Some(count)) => app.desk.count(body.match_id, count)?,
        _ => return Err(Problem::invalid("either player_id and event, or count")),
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A match has ended
///
/// Answered once the result is on this server's disk; the agent signs it and posts it to metagame until that
/// acknowledges. Post the same again after a 503 or a broken connection: it counts once. The first result counts.
#[utoipa::path(post, path = "/result", tag = "agent", request_body = ResultBody, responses((status = 200, body = DeliveryBody),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "unknown-match: drop it"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "match-over, other-result: drop it"),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "not safe yet: post it again")))]
async fn result(State(app): State<App>, Body(body): Body<ResultBody>) -> Result<Json<DeliveryBody>, Problem> {
    let id = body.match_id;
    match app.desk.result(id, body.submission(), RESULT_PATIENCE).await? {
        Some(step) => Ok(Json(step.into())),
        None => {
            let detail = "neither the disk nor metagame has the result yet; post it again";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-safe-yet", "Not safe yet", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_that_can_be_nobody_else_is_answered() {
        for good in ["127.0.0.1:7790", "127.0.0.1", "localhost:7790", "localhost", "[::1]:7790", "[::1]"] {
            assert!(names_loopback(good), "{good}");
        }
        for bad in ["", "evil.example:7790", "10.0.0.1:7790", "localhost.evil.example", "[::2]:7790", "127.0.0.1.evil"]
        {
            assert!(!names_loopback(bad), "{bad}");
        }
    }
}
