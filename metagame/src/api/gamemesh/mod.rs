//! The addresses of the GameMesh backend, answered as its clients expect: their bodies, their statuses, errors as `{error}`.

mod auth;
mod players;
mod queue;
mod scores;
mod socket;

use axum::extract::{FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::id::PlayerId;
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::Caller;
use crate::core::gamemesh::TOKEN_LIFE_MS;
use crate::core::session::SessionId;
use crate::gateway::ws_ticket::Proof;
use crate::problem::Problem;

/// Largest problem that is read again to be written as an error; they are short.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/auth/register", post(auth::register))
        .route("/api/v1/auth/login", post(auth::login))
        .route("/api/v1/auth/logout", post(auth::logout))
        .route("/api/v1/players/{id}", get(players::show).put(players::change))
        .route("/api/v1/score", post(scores::submit))
        .route("/api/v1/leaderboard", get(scores::page))
        .route("/api/v1/leaderboard/top/{n}", get(scores::top))
        .route("/api/v1/leaderboard/rank/{player_id}", get(scores::rank))
        .route("/api/v1/queue", post(queue::join).delete(queue::leave))
        .route("/api/v1/queue/status", get(queue::status))
        .route("/api/v1/rooms/{id}", get(queue::room))
        .route("/ws", get(socket::connect))
}

/// Writes problems of these addresses as `{"error": …}`, whoever answered them.
pub(super) async fn errors(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_theirs = path.starts_with("/api/v1/") || path == "/ws";
    let response = next.run(request).await;
    let problem = HeaderValue::from_static("application/problem+json");
    if !is_theirs || response.headers().get(CONTENT_TYPE) != Some(&problem) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, PROBLEM_BYTES_MAX).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let error = body["detail"].as_str().unwrap_or("the request failed").to_owned();
    // What was read and is not possible is a bad request to these clients.
    if head.status == StatusCode::UNPROCESSABLE_ENTITY {
        head.status = StatusCode::BAD_REQUEST;
    }
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (head, Json(json!({ "error": error }))).into_response()
}

/// The player that sends the request, by the token of a login here, or by an access token. Counts against the account's rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Player {
    id: PlayerId,
    session: SessionId,
    /// Unix milliseconds at which the token expires.
    expires_at_ms: u64,
}

impl FromRequestParts<App> for Player {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(token) = header.and_then(|value| value.strip_prefix("Bearer "))
            && let Some(player) = of_token(app, token.trim()).await?
        {
            return Ok(player);
        }
        let Caller { player_id, session, expires_at_ms, .. } = Caller::from_request_parts(parts, app).await?;
        Ok(Self { id: player_id, session, expires_at_ms })
    }
}

/// Whose token this is. `None`: it has not the form of one. The database is asked each time, so a session that has ended has
/// ended everywhere at once.
async fn of_token(app: &App, token: &str) -> Result<Option<Player>, Problem> {
    let Some(token) = app.refresh.read(token) else { return Ok(None) };
    let now_ms = service::clock::unix_ms();
    let gone = || Problem::unauthenticated("token-invalid", "invalid or expired token");
    let found = app.store.session_of(token.session, token.hash(), now_ms).await?;
    let (id, since_ms) = found.ok_or_else(gone)?;
    let expires_at_ms = since_ms.saturating_add(TOKEN_LIFE_MS);
    if expires_at_ms <= now_ms {
        return Err(gone());
    }
    app.limit_account(id, now_ms)?;
    Ok(Some(Player { id, session: token.session, expires_at_ms }))
}

impl Player {
    fn proof(self) -> Proof {
        Proof { player: self.id, session: self.session, expires_at_ms: self.expires_at_ms }
    }
}

/// The value in a path that is an id.
fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "invalid-id", "Invalid id", format!("invalid {what}")))
}
