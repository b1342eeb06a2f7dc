//! What happens around every request: an id, a log line, metrics, and the limits that protect the service.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::app::App;
use crate::connections::Peer;
use crate::metrics;
use crate::problem::{Problem, REQUEST_ID};

/// Longest time until the head of a response, reading the request's body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The middleware around every route.
pub(crate) async fn around(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let request_id = hex::encode(service::random::bytes::<16>());
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let mut response = REQUEST_ID.scope(request_id.clone(), guarded(&app, peer, request, next)).await;
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    guard_against_browsers(response.headers_mut());
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    metrics::request(method, &route, status, took);
    tracing::info!(%request_id, method, route, status, took_us = took.as_micros() as u64, "request");
    response
}

/// No answer is a page, and what does not say that it may be kept is not kept: not by a browser, nor by anything in between.
fn guard_against_browsers(headers: &mut HeaderMap) {
    const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; base-uri 'none'; frame-ancestors 'none'");
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The response, or what protects the service instead.
async fn guarded(app: &App, peer: SocketAddr, request: Request, next: Next) -> Response {
    if let Err(problem) = app.limit_address(peer.ip(), service::clock::unix_ms()) {
        return problem.into_response();
    }
    let Ok(_permit) = app.requests.try_acquire() else {
        metrics::limited("requests");
        return Problem::unavailable("overloaded", "too many requests at once; try again", 1).into_response();
    };
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(REQUEST_TIMEOUT, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            tracing::error!(request_id = REQUEST_ID.get(), "a request handler panicked");
            Problem::internal().into_response()
        }
        Err(_elapsed) => {
            metrics::limited("time");
            Problem::unavailable("timeout", "the request took longer than 10 s", 1).into_response()
        }
    }
}

/// Methods are a stranger's choice; labels are not.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
