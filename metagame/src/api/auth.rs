//! Logging in, keeping a session alive, logging out.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::private;
use crate::app::App;
use crate::auth::Strong;
use crate::core::device::device_hash;
use crate::core::name::PlayerName;
use crate::core::session::{RefreshToken, SessionId};
use crate::extract::Body;
use crate::metrics;
use crate::problem::{Problem, UsualProblems};
use crate::store::{DeviceLogin, NewSession, Rotated, Rotation};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(login_device))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(jwks))
}

/// A login by device.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct LoginBody {
    /// 32 hex digits: 128 random bits that the client makes once and keeps secret. Whoever knows them is the player.
    #[schema(example = "5f1c9a7e0b3d42688a6e4c1f9d2b7035")]
    device_id: String,
    /// Name of the account, if this login makes it; otherwise it is ignored. At most 32 bytes.
    name: Option<String>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    /// Whether this login made the account.
    created: bool,
    /// JWT for the Authorization header.
    access_token: String,
    /// Unix milliseconds: 15 minutes from now.
    access_expires_at_ms: u64,
    /// For auth/refresh; each works once.
    refresh_token: String,
    /// Unix milliseconds at which the session ends, however often it is refreshed: 30 days after the login.
    refresh_expires_at_ms: u64,
}

/// A refresh token.
#[derive(Debug, Deserialize, ToSchema)]
struct RefreshBody {
    refresh_token: String,
}

/// Public keys of access tokens (RFC 7517).
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only describes the document")]
struct JwksBody {
    #[schema(value_type = Vec<Object>)]
    keys: Vec<serde_json::Value>,
}

/// Log in by device
///
/// Finds the account of the device, or makes it, and starts a session. Repeating it is safe: the account is the
/// same, and a player's oldest sessions above the bound end.
#[utoipa::path(post, path = "/v1/auth/device", tag = "auth", request_body = LoginBody,
    responses(UsualProblems, (status = 200, body = SessionBody)))]
async fn login_device(State(app): State<App>, Body(body): Body<LoginBody>) -> Result<impl IntoResponse, Problem> {
    login(&app, body).await
}

pub(super) async fn login(app: &App, body: LoginBody) -> Result<impl IntoResponse + use<>, Problem> {
    let device =
        device_hash(&body.device_id).map_err(|error| Problem::invalid("invalid-device-id", error.to_string()))?;
    let name = body.name.as_deref().map(str::parse::<PlayerName>).transpose();
    let name = name.map_err(|error| Problem::invalid("invalid-name", error.to_string()))?;
    let (name, later) = app.name_of_new(name);
    let (token, session) = new_session(app, "device");
    let login = DeviceLogin {
        device,
        new_player: PlayerId::from_time(session.now_ms, service::random::bytes()),
        name,
        session: session.session,
        token: session.token,
        sessions_max: session.sessions_max,
        now_ms: session.now_ms,
    };
    let done = app.store.login_device(login).await?;
    if let Some(until_ms) = done.barred_until_ms {
        return Err(banned(app, done.player, until_ms).await);
    }
    if done.created {
        app.name_later(done.player, later).await;
    }
    metrics::login(done.created);
    tracing::info!(player_id = %done.player, created = done.created, "login");
    Ok(answer(app, done.player, done.created, &token, done.expires_at_ms))
}

/// Refresh a session
///
/// Replaces the refresh token and gives a new access token. The answer may get lost: the replaced token gives the
/// same successor once more for 30 seconds. Using an older one ends the session.
#[utoipa::path(post, path = "/v1/auth/refresh", operation_id = "refresh_session", tag = "auth", request_body = RefreshBody,
    responses(UsualProblems, (status = 200, body = SessionBody)))]
async fn refresh(State(app): State<App>, Body(body): Body<RefreshBody>) -> Result<impl IntoResponse, Problem> {
    let token = read_token(&app, &body)?;
    let successor = app.refresh.successor(&token);
    let rotation = Rotation {
        session: token.session,
        presented: token.hash(),
        successor: successor.hash(),
        now_ms: service::clock::unix_ms(),
    };
    match app.store.rotate_refresh(rotation).await? {
        Rotated::Successor { player, expires_at_ms, strong } => {
            metrics::refresh("rotated");
            let strong = strong.map(|(by, at_ms)| Strong { by, at_ms });
            Ok(strong_answer(&app, player, &successor, expires_at_ms, strong))
        }
        Rotated::Reused => {
            metrics::refresh("reused");
            tracing::warn!(session = %token.session, "an old refresh token was used: the session has ended");
            let detail =
                "this refresh token was replaced long ago, so somebody has a copy: the session has ended, log in again";
            Err(Problem::unauthenticated("refresh-reused", detail))
        }
        Rotated::Gone => {
            metrics::refresh("gone");
            Err(Problem::unauthenticated("session-ended", "the session has ended: log in again"))
        }
    }
}

/// Log out
///
/// Ends the session of the refresh token. Its access tokens are refused at once here, and within seconds by every other
/// instance.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "auth", request_body = RefreshBody,
    responses(UsualProblems, (status = 204)))]
async fn logout(State(app): State<App>, Body(body): Body<RefreshBody>) -> Result<StatusCode, Problem> {
    let token = read_token(&app, &body)?;
    app.store.logout(token.session, service::clock::unix_ms()).await?;
    app.identity.revoked.look(&app.store).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keys of access tokens
///
/// Verify access tokens with these: EdDSA, `typ` muster-access+jwt, `iss` and `aud` muster-metagame.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth", responses(UsualProblems, (status = 200, body = JwksBody, content_type = "application/jwk-set+json")))]
async fn jwks(State(app): State<App>) -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=300")];
    (headers, app.access.jwks())
}

fn read_token(app: &App, body: &RefreshBody) -> Result<RefreshToken, Problem> {
    app.refresh.read(&body.refresh_token).ok_or_else(|| {
        metrics::refresh("forged");
        Problem::unauthenticated("refresh-invalid", "this is not a refresh token of this installation")
    })
}

/// A session to begin, and its first refresh token.
pub(super) fn new_session(app: &App, method: &'static str) -> (RefreshToken, NewSession) {
    let now_ms = service::clock::unix_ms();
    let session = SessionId::from_time(now_ms, service::random::bytes());
    let token = app.refresh.first(session, service::random::bytes());
    let sessions_max = app.limits.sessions_max;
    let new = NewSession { session, token: token.hash(), method, strong_by: None, sessions_max, now_ms };
    (token, new)
}

/// The account is kept out.
pub(super) fn barred(until_ms: u64) -> Problem {
    let for_ever = until_ms >= i64::MAX as u64;
    let detail = if for_ever { "this account is banned" } else { "this account is banned for a time" };
    let problem = Problem::forbidden("banned", detail);
    if for_ever { problem } else { problem.with("until_ms", until_ms) }
}

/// The same with what its player may know of the ban: the reason's code, and the id with which to appeal.
pub(super) async fn banned(app: &App, player: PlayerId, until_ms: u64) -> Problem {
    let problem = barred(until_ms);
    match app.store.ban_of(player, service::clock::unix_ms()).await {
        Ok(Some(ban)) => problem.with("reason", ban.reason).with("sanction_id", ban.sanction_id.to_string()),
        Ok(None) => problem,
        Err(error) => error.into(),
    }
}

/// A session in which no second factor was shown.
pub(super) fn answer(
    app: &App,
    player_id: PlayerId,
    created: bool,
    refresh: &RefreshToken,
    refresh_expires_at_ms: u64,
) -> impl IntoResponse + use<> {
    private(Json(session_body(app, player_id, created, refresh, refresh_expires_at_ms, None)))
}

/// A session of an account that was there, with the second factor that was shown in it.
pub(super) fn strong_answer(
    app: &App,
    player_id: PlayerId,
    refresh: &RefreshToken,
    refresh_expires_at_ms: u64,
    strong: Option<Strong>,
) -> impl IntoResponse + use<> {
    private(Json(session_body(app, player_id, false, refresh, refresh_expires_at_ms, strong)))
}

fn session_body(
    app: &App,
    player_id: PlayerId,
    created: bool,
    refresh: &RefreshToken,
    refresh_expires_at_ms: u64,
    strong: Option<Strong>,
) -> SessionBody {
    let now_s = service::clock::unix_s();
    let (access_token, access_expires_at_ms) = app.access.mint(player_id, refresh.session, strong, now_s);
    let refresh_token = app.refresh.text(refresh);
    SessionBody { player_id, created, access_token, access_expires_at_ms, refresh_token, refresh_expires_at_ms }
}
