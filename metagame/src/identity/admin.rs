//! What operators ask of logins, on the admin port.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;

use crate::admin::operator::{Operator, order_of};
use crate::app::App;
use crate::problem::Problem;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/signing-keys/rotate", post(rotate))
}

#[derive(Debug, Serialize)]
struct RotatedBody {
    /// From when the new key signs; Unix milliseconds.
    signs_from_ms: u64,
}

/// Makes a new key of access tokens, for whoever fears that one is known. Tokens that the present one signed stay good
/// until they expire.
async fn rotate(State(app): State<App>, operator: Option<Operator>) -> Result<Json<RotatedBody>, Problem> {
    let signs_from_ms = app.access.keyring().rotate(order_of(operator.as_ref())).await?;
    tracing::warn!(signs_from_ms, "an operator has a new key of access tokens made");
    Ok(Json(RotatedBody { signs_from_ms }))
}
