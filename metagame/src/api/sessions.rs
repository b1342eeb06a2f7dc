//! A player's sessions: where the account is logged in, and ending that.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::private;
use crate::app::App;
use crate::auth::Caller;
use crate::core::session::SessionId;
use crate::extract::Named;
use crate::problem::{Problem, UsualProblems};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(end)).routes(routes!(end_all))
}

/// A session of the player.
#[derive(Debug, Serialize, ToSchema)]
struct ListedSessionBody {
    session_id: Uuid,
    /// How it began: device, password, …
    method: String,
    /// Unix milliseconds.
    created_at_ms: u64,
    /// Unix milliseconds of its newest refresh.
    refreshed_at_ms: u64,
    /// Unix milliseconds at which it ends, however often it is refreshed.
    expires_at_ms: u64,
    /// Whether it is the one that asks.
    current: bool,
}

/// A player's sessions, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct SessionsBody {
    sessions: Vec<ListedSessionBody>,
}

/// Where the account is logged in
#[utoipa::path(get, path = "/v1/auth/sessions", operation_id = "list_sessions", tag = "auth", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = SessionsBody)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let sessions = app.store.sessions(caller.player_id, service::clock::unix_ms()).await?;
    let body = |one: crate::store::ListedSession| ListedSessionBody {
        session_id: one.session.0,
        method: one.method,
        created_at_ms: one.created_at_ms,
        refreshed_at_ms: one.refreshed_at_ms,
        expires_at_ms: one.expires_at_ms,
        current: one.session == caller.session,
    };
    Ok(private(Json(SessionsBody { sessions: sessions.into_iter().map(body).collect() })))
}

/// End one session
///
/// Its access tokens are refused at once here, and within seconds by every other instance.
#[utoipa::path(delete, path = "/v1/auth/sessions/{id}", operation_id = "end_session", tag = "auth", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 204)))]
async fn end(State(app): State<App>, caller: Caller, Named(id): Named<Uuid>) -> Result<StatusCode, Problem> {
    let ended = app.store.end_session(caller.player_id, SessionId(id), service::clock::unix_ms()).await?;
    if !ended {
        return Err(Problem::not_found("unknown-session", "you have no such session; it may have ended already"));
    }
    app.identity.revoked.look(&app.store).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all sessions, this one included
#[utoipa::path(post, path = "/v1/auth/logout-all", operation_id = "end_all_sessions", tag = "auth", security(("access_token" = [])),
    responses(UsualProblems, (status = 204)))]
async fn end_all(State(app): State<App>, caller: Caller) -> Result<StatusCode, Problem> {
    app.store.end_sessions(caller.player_id, None, service::clock::unix_ms()).await?;
    app.identity.revoked.look(&app.store).await?;
    Ok(StatusCode::NO_CONTENT)
}
