//! What the pages ask for: JSON, and server-sent events. A browser reaches no other service.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{Stream, StreamExt as _};
use protocol::id::MatchId;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::state::State;

type App = Arc<State>;

/// The routes below `/api`.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/overview", get(overview))
        .route("/api/overview/events", get(overview_events))
        .route("/api/history", get(history))
        .route("/api/matches", get(matches))
        .route("/api/matches/{id}", get(match_page))
        .route("/api/matches/{id}/live", get(live))
}

async fn overview(Shared(app): Shared<App>) -> impl IntoResponse {
    let newest = app.overview.borrow().to_string();
    ([(header::CONTENT_TYPE, "application/json")], newest)
}

async fn history(Shared(app): Shared<App>) -> Json<Value> {
    Json(app.board().history())
}

async fn matches(Shared(app): Shared<App>) -> Json<Value> {
    Json(app.board().matches())
}

/// The overview, and again whenever it has changed: once a second.
async fn overview_events(Shared(app): Shared<App>) -> Response {
    let Some(permit) = permit(&app.viewers) else { return busy() };
    let newest = app.overview.subscribe();
    let events = futures_util::stream::unfold((newest, true, permit), next_overview);
    let events = events.take_until(app.shutdown.wait_owned());
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

type Viewer = (watch::Receiver<Arc<str>>, bool, OwnedSemaphorePermit);

async fn next_overview((mut newest, is_first, permit): Viewer) -> Option<(Result<Event, Infallible>, Viewer)> {
    if !is_first {
        newest.changed().await.ok()?;
    }
    let data = newest.borrow_and_update().to_string();
    Some((Ok(Event::default().event("overview").data(data)), (newest, false, permit)))
}

/// One match: what the allocator told of it, and metagame's record with the result.
async fn match_page(Shared(app): Shared<App>, Path(id): Path<String>) -> Response {
    let Some(id) = match_id(&id) else { return unknown() };
    let record = app.sources.record(&id).await;
    let (page, looked) = {
        let board = app.board();
        (board.match_page(&id), board.looked())
    };
    let mut page = match (page, &record) {
        (Some(page), _) => page,
        (None, Some(record)) => record.clone(),
        (None, None) => return unknown(),
    };
    page["record"] = record.unwrap_or(Value::Null);
    for name in ["at_ms", "away"] {
        page[name] = looked[name].clone();
    }
    Json(page).into_response()
}

/// The live view, passed on from the match's server as it comes.
async fn live(Shared(app): Shared<App>, Path(id): Path<String>) -> Response {
    let Some(id) = match_id(&id) else { return unknown() };
    let address = app.board().admin_address(&id).map(str::to_owned);
    let Some(address) = address else { return unknown() };
    let Some(permit) = permit(&app.live) else { return busy() };
    let Some(answer) = app.sources.live(&address, &id).await else {
        return (StatusCode::BAD_GATEWAY, "the match's server does not answer\n").into_response();
    };
    let status = answer.status();
    if !status.is_success() {
        return (status, "the match's server refuses\n").into_response();
    }
    let body = Body::from_stream(relay(answer, permit, &app));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, body).into_response()
}

fn relay(
    answer: reqwest::Response,
    permit: OwnedSemaphorePermit,
    app: &App,
) -> impl Stream<Item = reqwest::Result<Bytes>> + use<> {
    let held = answer.bytes_stream().map(move |bytes| {
        // The place is free again when the stream is dropped.
        let _ = &permit;
        bytes
    });
    held.take_until(app.shutdown.wait_owned())
}

/// The id in its canonical form: what a browser sends goes into no other service's URL.
fn match_id(text: &str) -> Option<String> {
    text.parse::<MatchId>().ok().map(|id| id.to_string())
}

fn permit(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
}

pub(super) fn busy() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], "the console has too many visitors\n")
        .into_response()
}

fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "no such match is known or running\n").into_response()
}
