//! Logging in with a Steam account.

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::SessionBody;
use super::federation::{Arrival, attach, enter, read_name};
use crate::app::App;
use crate::auth::{Caller, require_strong};
use crate::connections::Peer;
use crate::core::steam::Ticket;
use crate::extract::Body;
use crate::identity::federation::{STEAM, Source, Vouched};
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::store::UsedProof;

/// How long a ticket that was used is remembered, in milliseconds: a ticket lives as long as the game that asked for it runs.
const TICKET_LIFE_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(login)).routes(routes!(link))
}

/// A login by Steam.
#[derive(Deserialize, ToSchema)]
struct SteamBody {
    /// What `GetAuthTicketForWebApi` gave for the identity that this installation expects, in hex. Each works once.
    #[schema(example = "14000000a1b2c3d4e5f60718293a4b5c")]
    ticket: String,
    /// Name of the account, if this login makes it; otherwise it is ignored. At most 32 bytes.
    name: Option<String>,
    /// What tells this device from others, if the client knows.
    device_id: Option<String>,
}

/// A Steam account to link.
#[derive(Deserialize, ToSchema)]
struct LinkSteamBody {
    /// What `GetAuthTicketForWebApi` gave, in hex. Each works once.
    #[schema(example = "14000000a1b2c3d4e5f60718293a4b5c")]
    ticket: String,
}

/// Log in by Steam
///
/// Finds the account of whoever Steam says the ticket is of, or makes it, and starts a session.
#[utoipa::path(post, path = "/v1/auth/steam", operation_id = "login_steam", tag = "auth", request_body = SteamBody,
    responses(UsualProblems, (status = 200, body = SessionBody),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "steam-unavailable")))]
async fn login(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    Body(body): Body<SteamBody>,
) -> Result<impl IntoResponse, Problem> {
    let source = Source { peer: peer.ip(), device: body.device_id.as_deref() };
    let arrival = Arrival { source, name: body.name.as_deref() };
    read_name(arrival.name)?;
    let vouched = vouched(&app, source, &body.ticket).await?;
    enter(&app, vouched, STEAM, arrival).await
}

/// Link a Steam account
#[utoipa::path(post, path = "/v1/players/me/identities/steam", operation_id = "link_steam", tag = "auth", security(("access_token" = [])), request_body = LinkSteamBody,
    responses(UsualProblems, (status = 204),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "steam-unavailable")))]
async fn link(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    caller: Caller,
    Body(body): Body<LinkSteamBody>,
) -> Result<StatusCode, Problem> {
    require_strong(&app, &caller).await?;
    let vouched = vouched(&app, Source { peer: peer.ip(), device: None }, &body.ticket).await?;
    attach(&app, &caller, vouched).await
}

/// Whose ticket it is.
async fn vouched(app: &App, source: Source<'_>, ticket: &str) -> Result<Vouched, Problem> {
    let steam = app.identity.vouchers.steam()?;
    let ticket: Ticket = ticket.parse().map_err(|error| Problem::invalid("invalid-ticket", format!("{error}")))?;
    app.identity.allow_proof(&app.store, source).await?;
    let owner = match steam.authenticate(&ticket).await {
        Ok(owner) => owner,
        Err(problem) => {
            app.identity.count_refusal(&app.store, source, &problem).await?;
            return Err(problem);
        }
    };
    let steam_id = owner.steam_id.0.to_string();
    let proof = Sha256::digest(ticket.as_str().as_bytes()).into();
    let expires_at_ms = service::clock::unix_ms() + TICKET_LIFE_MS;
    Ok(Vouched {
        provider: STEAM.to_owned(),
        subject: app.identity.subject(STEAM, &steam_id),
        name: Some(steam_id),
        used: Some(UsedProof { proof, expires_at_ms }),
    })
}
