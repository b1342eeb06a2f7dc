//! The door of the realtime gateway.

use axum::Json;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::private;
use crate::app::App;
use crate::auth::Caller;
use crate::connections::Peer;
use crate::gateway::carrier::Web;
use crate::gateway::socket;
use crate::gateway::ws_ticket::{Proof, TICKET_LIFE_MS};
use crate::metrics;
use crate::problem::{Problem, ProblemBody, UsualProblems};

/// The subprotocol that clients name.
const SUBPROTOCOL: &str = "muster.v1";
/// Bytes that a connection reads at once; also what an idle one holds.
const READ_BUFFER_BYTES: usize = 512;
/// Largest message from a client.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// What a connection may have waiting to be sent before it waits itself.
const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(connect)).routes(routes!(ws_ticket))
}

/// A one-time ticket.
#[derive(Debug, Serialize, ToSchema)]
struct WsTicketBody {
    /// For the first message of a connection.
    ticket: String,
    /// Unix milliseconds: 30 s from now.
    expires_at_ms: u64,
}

/// A ticket for the gateway
///
/// Works once, within 30 seconds, at every instance if they share a Redis, and else at the one that gave it: for clients that do not want to hand their access token to what
/// opens the connection.
#[utoipa::path(post, path = "/v1/auth/ws-ticket", tag = "gateway", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = WsTicketBody)))]
async fn ws_ticket(State(app): State<App>, caller: Caller) -> impl IntoResponse {
    let now_ms = service::clock::unix_ms();
    let Caller { player_id: player, session, expires_at_ms, .. } = caller;
    let proof = Proof { player, session, expires_at_ms };
    let ticket = app.ws_tickets.issue(proof, service::random::bytes(), now_ms).await;
    private(Json(WsTicketBody { ticket, expires_at_ms: now_ms + TICKET_LIFE_MS }))
}

/// Connect to the gateway
///
/// A WebSocket of binary messages, each a muster.v1.GatewayEnvelope; the first is a hello or a resume and comes within 3 seconds. Nothing
/// secret belongs into the address.
#[utoipa::path(get, path = "/v1/gateway", operation_id = "connect_gateway", tag = "gateway",
    params(("Sec-WebSocket-Protocol" = Option<String>, Header, description = "muster.v1")),
    responses(UsualProblems, (status = 101, description = "The connection is a WebSocket now"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "origin-refused")))]
async fn connect(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    check_origin(&headers, &app.hub.settings.origins)?;
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(StatusCode::BAD_REQUEST, "not-a-websocket", "Not a WebSocket", rejection.body_text())
    })?;
    if app.shutdown.is_triggered() {
        return Err(Problem::unavailable("draining", "this instance is shutting down; connect again", 1));
    }
    let Ok(place) = std::sync::Arc::clone(&app.hub.places).try_acquire_owned() else {
        metrics::gateway_refused("full");
        return Err(Problem::unavailable("gateway-full", "too many connections; come back later", 10));
    };
    let address = peer.0.ip();
    let upgrade = bounded(upgrade).protocols([SUBPROTOCOL]);
    Ok(upgrade.on_upgrade(move |web| async move {
        peer.leave_place();
        socket::serve(app, Web(web), address).await;
        drop(place);
    }))
}

/// With the bounds of every connection.
pub(super) fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
}

/// Browsers say which page connects; other pages than one's own must not (ASVS 4.4.2).
pub(super) fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_own = host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, page)| page == host));
    if is_own || allowed.iter().any(|one| one == origin) {
        return Ok(());
    }
    metrics::gateway_refused("origin");
    Err(Problem::forbidden("origin-refused", "this page may not connect: name its origin in the gateway's settings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_others_are_refused() {
        let check = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "api.example.com".parse().expect("a header"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().expect("a header"));
            }
            check_origin(&headers, &["https://play.example.com".into()]).is_ok()
        };
        assert!(check(None), "a client that is no browser");
        assert!(check(Some("https://api.example.com")) && check(Some("https://play.example.com")));
        assert!(!check(Some("https://evil.example.com")) && !check(Some("null")) && !check(Some("")));
        assert!(!check(Some("http://play.example.com")), "another scheme is another page");
    }
}
