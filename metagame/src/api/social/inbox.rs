//! The inbox.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::private;
use crate::app::App;
use crate::auth::Caller;
use crate::core::page::limit;
use crate::extract::{Body, Query};
use crate::problem::{Problem, UsualProblems};
use crate::store::social::InboxMessage;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(ack))
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct InboxQuery {
    /// seq of the last message that you have; by default the last that you acknowledged.
    after: Option<u64>,
    /// 1 to 200, by default 50.
    limit: Option<u32>,
}

/// Messages, oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct InboxBody {
    messages: Vec<InboxMessageBody>,
    /// Whether there may be more: ask again with the last seq as `after`.
    more: bool,
}

/// One message.
#[derive(Debug, Serialize, ToSchema)]
struct InboxMessageBody {
    /// Ascending; numbers may be left out.
    seq: u64,
    /// "friend_request", "friend_accepted", "party_invite", "match_found", …; ignore those that you do not know.
    kind: String,
    /// What the kind says.
    #[schema(value_type = Object)]
    body: serde_json::Value,
    /// Unix milliseconds.
    at_ms: u64,
}

/// How far the inbox is read.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct AckBody {
    /// Every message up to this one is done with.
    seq: u64,
}

/// Read the inbox
///
/// What the player must hear, whether connected or not. Messages stay until they are acknowledged, for 30 days.
#[utoipa::path(get, path = "/v1/players/me/inbox", operation_id = "read_inbox", tag = "social", security(("access_token" = [])), params(InboxQuery),
    responses(UsualProblems, (status = 200, body = InboxBody)))]
async fn read(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<InboxQuery>,
) -> Result<impl IntoResponse, Problem> {
    let limit = limit(query.limit);
    let messages = app.store.inbox(caller.player_id, query.after.unwrap_or(0), limit).await?;
    let more = messages.len() == limit as usize;
    Ok(private(Json(InboxBody { messages: messages.into_iter().map(message).collect(), more })))
}

fn message(message: InboxMessage) -> InboxMessageBody {
    let body = serde_json::from_str(&message.body).unwrap_or_default();
    InboxMessageBody { seq: message.seq, kind: message.kind, body, at_ms: message.at_ms }
}

/// Acknowledge messages
///
/// Up to and including `seq`; the answer says how far the inbox is acknowledged. Repeating it changes nothing.
#[utoipa::path(post, path = "/v1/players/me/inbox/ack", operation_id = "acknowledge_inbox", tag = "social", security(("access_token" = [])), request_body = AckBody,
    responses(UsualProblems, (status = 200, body = AckBody)))]
async fn ack(State(app): State<App>, caller: Caller, Body(body): Body<AckBody>) -> Result<impl IntoResponse, Problem> {
    let seq = app.store.ack_inbox(caller.player_id, body.seq).await?;
    Ok(private(Json(AckBody { seq })))
}
