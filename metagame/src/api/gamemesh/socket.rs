//! Their WebSocket.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::{Player, of_token};
use crate::api::gateway::{bounded, check_origin};
use crate::app::App;
use crate::connections::Peer;
use crate::extract::Query;
use crate::gamemesh::carrier::GameMeshWeb;
use crate::gateway::socket;
use crate::metrics;
use crate::problem::Problem;

#[derive(Deserialize)]
pub(super) struct TokenQuery {
    token: Option<String>,
}

pub(super) async fn connect(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Query(query): Query<TokenQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    check_origin(&headers, &app.hub.settings.origins)?;
    let bearer = || headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ");
    let token = query.token.as_deref().or_else(bearer).unwrap_or_default();
    let missing = || Problem::unauthenticated("unauthenticated", "missing or invalid token");
    let player: Player = of_token(&app, token).await?.ok_or_else(missing)?;
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
    let now_ms = service::clock::unix_ms();
    let ticket = app.ws_tickets.issue(player.proof(), service::random::bytes(), now_ms).await;
    Ok(bounded(upgrade).on_upgrade(move |web| async move {
        peer.leave_place();
        let carrier = GameMeshWeb::new(web, app.clone(), player.id, ticket);
        socket::serve(app, carrier, address).await;
        drop(place);
    }))
}
