//! The log of acts on the admin port, by pages.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::operator::{Operator, read_note};
use crate::app::App;
use crate::core::act::Act;
use crate::core::page::limit;
use crate::extract::Query;
use crate::problem::Problem;
use crate::store::ActFilter;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/acts", get(list))
}

/// Which entries.
#[derive(Debug, Deserialize)]
struct ActsQuery {
    /// Those with smaller numbers.
    before: Option<u64>,
    /// `player:<id>` or what else it was done to.
    subject: Option<String>,
    /// 1 to 200, by default 50.
    limit: Option<u32>,
}

/// Entries, newest first.
#[derive(Debug, Serialize)]
struct ActsBody {
    acts: Vec<ActBody>,
    /// For `before`; absent on the last page.
    next_before: Option<u64>,
}

/// An entry.
#[derive(Debug, Serialize)]
struct ActBody {
    number: u64,
    at_ms: u64,
    actor: String,
    act: String,
    subject: String,
    reason: String,
    /// Gone where its player was erased.
    note: Option<String>,
    detail: Value,
    request_id: String,
    hash: String,
}

async fn list(
    State(app): State<App>,
    _operator: Operator,
    Query(query): Query<ActsQuery>,
) -> Result<Json<ActsBody>, Problem> {
    let filter = ActFilter { before: query.before, subject: query.subject, limit: limit(query.limit) };
    let wanted = filter.limit as usize;
    let found = app.store.acts(filter).await?;
    let next_before = found.last().filter(|_| found.len() == wanted).map(|act| act.number);
    let mut acts = Vec::with_capacity(found.len());
    for act in found {
        acts.push(body(&app, act).await?);
    }
    Ok(Json(ActsBody { acts, next_before }))
}

async fn body(app: &App, act: Act) -> Result<ActBody, Problem> {
    let player: Option<PlayerId> = act.subject.strip_prefix("player:").and_then(|id| id.parse().ok());
    let note = match player {
        Some(player) => read_note(app, player, act.note.as_deref()).await?,
        None => None,
    };
    Ok(ActBody {
        number: act.number,
        at_ms: act.at_ms,
        actor: act.actor,
        act: act.act,
        subject: act.subject,
        reason: act.reason,
        note,
        detail: serde_json::from_str(&act.detail).unwrap_or(Value::Null),
        request_id: act.request_id,
        hash: hex::encode(act.hash),
    })
}
