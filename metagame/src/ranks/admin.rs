//! Ranks on the admin port: computing them anew, and taking an entry off a board.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, post};
use protocol::id::PlayerId;

use crate::admin::operator::{Operator, order_of};
use crate::app::App;
use crate::problem::Problem;
use crate::store::Changed;

/// The routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/leaderboards/rebuild", post(rebuild))
        .route("/leaderboards/{board}/seasons/{season}/entries/{player}", delete(remove))
}

/// Ranks are computed anew from the table, in Redis as well.
async fn rebuild(State(app): State<App>, operator: Option<Operator>) -> Result<StatusCode, Problem> {
    let order = order_of(operator.as_ref());
    app.store.note_act(order, "rebuild-ranks", "boards".into(), "{}".into()).await?;
    app.ranks.rebuild().await;
    tracing::info!("ranks are computed anew, as an operator asked");
    Ok(StatusCode::NO_CONTENT)
}

/// An entry is taken off; a score that comes later counts again.
async fn remove(
    State(app): State<App>,
    operator: Option<Operator>,
    Path((board, season, player)): Path<(String, u64, PlayerId)>,
) -> Result<StatusCode, Problem> {
    let row = app.store.remove_entry(&board, season, player, order_of(operator.as_ref())).await?;
    let row = row.ok_or_else(|| Problem::not_found("unknown-entry", "there is no such entry"))?;
    tracing::info!(board, season, %player, score = row.score, "an entry was taken off, as an operator asked");
    app.ranks.apply(&[Changed { board, season, row }]).await;
    Ok(StatusCode::NO_CONTENT)
}
