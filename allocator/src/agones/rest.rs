//! Agones' `POST /gameserverallocation`: the same request and answer as JSON.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use protocol::agones_allocation::json;
use serde_json::json;
use tonic::{Code, Status};

use super::engine::Engine;
use super::grpc::{self, WAIT};

/// Largest request.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The interface.
pub(super) fn routes(engine: Engine) -> Router {
    Router::new()
        .route("/gameserverallocation", post(allocate))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(engine)
}

async fn allocate(State(engine): State<Engine>, headers: HeaderMap, body: Bytes) -> Response {
    match answer(&engine, &headers, &body).await {
        Ok(response) => axum::Json(response).into_response(),
        Err(status) => fault(&status),
    }
}

async fn answer(
    engine: &Engine,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<protocol::agones_allocation::AllocationResponse, Status> {
    let wait = headers.get(WAIT).map(|wait| grpc::parse_wait(wait.to_str().unwrap_or(""))).transpose()?;
    let message = json::read(body).map_err(|error| Status::invalid_argument(error.to_string()))?;
    grpc::allocate(engine, message, wait.unwrap_or_default()).await
}

/// An error as gRPC's JSON gateways write it.
fn fault(status: &Status) -> Response {
    let http = match status.code() {
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Aborted => StatusCode::CONFLICT,
        Code::InvalidArgument | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = json!({ "code": i32::from(status.code()), "message": status.message(), "details": [] });
    (http, axum::Json(body)).into_response()
}
