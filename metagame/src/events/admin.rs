//! What operators see of events, on the admin port.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::app::App;
use crate::problem::Problem;
use crate::store::BACKLOG_MAX;

/// The routes of the admin port.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/events", get(show))
}

/// A sink as operators see it.
#[derive(Debug, Serialize)]
struct SinkStatus {
    sink: String,
    /// Acknowledged, ever.
    taken: u64,
    /// Counted up to `pending_max`.
    pending: u64,
    pending_max: u64,
    oldest_pending_age_ms: Option<u64>,
}

async fn show(State(app): State<App>) -> Result<Json<Vec<SinkStatus>>, Problem> {
    let now_ms = service::clock::unix_ms();
    let backlogs = app.store.event_backlogs().await?;
    let status = backlogs.into_iter().map(|backlog| SinkStatus {
        sink: backlog.sink,
        taken: backlog.taken,
        pending: backlog.pending,
        pending_max: BACKLOG_MAX,
        oldest_pending_age_ms: backlog.oldest_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms)),
    });
    Ok(Json(status.collect()))
}
