//! Exports and erasures that an operator orders, on the admin port.

use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use protocol::id::PlayerId;
use serde::Deserialize;
use uuid::Uuid;

use super::operator::{Operator, unknown_player};
use crate::api::privacy::export;
use crate::app::App;
use crate::core::receipt::SignedReceipt;
use crate::extract::{Body, Named};
use crate::privacy;
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/players/{id}/export", post(export_one)).route("/players/{id}/erase", post(erase_one))
}

/// Why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportBody {
    reason: String,
}

/// Why, and whom once more: this cannot be taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EraseBody {
    reason: String,
    confirm: PlayerId,
}

async fn export_one(
    State(app): State<App>,
    operator: Operator,
    Named(player): Named<PlayerId>,
    Body(body): Body<ExportBody>,
) -> Result<Response, Problem> {
    let order = operator.order(&app, player, &body.reason, None).await?;
    export(&app, player, order).await
}

async fn erase_one(
    State(app): State<App>,
    operator: Operator,
    Named(player): Named<PlayerId>,
    Body(body): Body<EraseBody>,
) -> Result<Json<SignedReceipt>, Problem> {
    if body.confirm != player {
        return Err(Problem::invalid("not-confirmed", "confirm is the player's id: this cannot be taken back"));
    }
    let order = operator.order(&app, player, &body.reason, None).await?;
    let receipt_id = Uuid::from_bytes(service::random::bytes());
    privacy::erase(&app, player, receipt_id, order).await?.map(Json).ok_or_else(unknown_player)
}
