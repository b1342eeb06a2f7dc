//! What operators see of webhooks, and how they have something sent again, on the admin port.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::EndpointStatus;
use crate::admin::operator::{Operator, order_of};
use crate::app::App;
use crate::extract::{Body, Query};
use crate::problem::Problem;
use crate::store::DeadLetter;

/// Dead letters listed where nothing else is asked for, and at most.
const LISTED: u32 = 100;
const LISTED_MAX: u32 = 1_000;

/// The routes of the admin port.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/webhooks", get(show))
        .route("/webhooks/dead", get(dead))
        .route("/webhooks/resend", post(resend))
}

#[derive(Debug, Deserialize)]
struct DeadQuery {
    limit: Option<u32>,
}

/// What to send again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResendBody {
    endpoint: String,
    /// One event; without it all dead letters of the endpoint.
    #[serde(default)]
    event_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct Resent {
    events: u64,
}

async fn show(State(app): State<App>) -> Result<Json<Vec<EndpointStatus>>, Problem> {
    Ok(Json(app.webhooks.status(service::clock::unix_ms()).await?))
}

async fn dead(State(app): State<App>, Query(query): Query<DeadQuery>) -> Result<Json<Vec<DeadLetter>>, Problem> {
    let limit = query.limit.unwrap_or(LISTED).clamp(1, LISTED_MAX);
    Ok(Json(app.store.dead_letters(limit).await?))
}

async fn resend(
    State(app): State<App>,
    operator: Option<Operator>,
    Body(body): Body<ResendBody>,
) -> Result<Json<Resent>, Problem> {
    let one = body.event_id.is_some();
    match app.webhooks.resend(&body.endpoint, body.event_id, order_of(operator.as_ref())).await? {
        None => Err(Problem::not_found("unknown-webhook", "the settings name no webhook of this name")),
        Some(0) if one => Err(Problem::not_found("unknown-event", "there is no such event; events are kept 30 days")),
        Some(events) => Ok(Json(Resent { events })),
    }
}
