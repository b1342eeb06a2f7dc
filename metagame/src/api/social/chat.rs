//! Chat, mutes and presence over REST.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use protocol::id::PlayerId;
use protocol::pb::GatewayStatus;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::private;
use crate::app::{App, too_many};
use crate::auth::Caller;
use crate::core::page::limit;
use crate::core::sanction::FOR_EVER_MS;
use crate::core::social::chat::{Channel, MUTES_MAX};
use crate::extract::{Body, Named, Query};
use crate::gateway::presence::TEXT_BYTES_MAX;
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::social::{SayFault, read_status, status_name};
use crate::store::social::{ChatFault, ChatMessage};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(say, chat_history))
        .routes(routes!(mutes))
        .routes(routes!(mute, unmute))
        .routes(routes!(presences, set_presence))
}

/// Something to be said.
#[derive(Debug, Deserialize, ToSchema)]
struct SayBody {
    /// Made by the client: said twice it is one message.
    message_id: uuid::Uuid,
    /// 1 to 512 bytes of UTF-8.
    text: String,
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ChatQuery {
    /// seq of the last message that you have.
    after: Option<u64>,
    /// 1 to 200, by default 50.
    limit: Option<u32>,
}

/// Messages, oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct ChatBody {
    messages: Vec<ChatMessageBody>,
}

/// Something that was said.
#[derive(Debug, Serialize, ToSchema)]
struct ChatMessageBody {
    /// Ascending per channel; those of blocked and muted players are left out.
    seq: u64,
    message_id: uuid::Uuid,
    #[schema(value_type = Uuid)]
    sender_id: PlayerId,
    sender_name: String,
    text: String,
    /// Unix milliseconds.
    at_ms: u64,
}

impl From<ChatMessage> for ChatMessageBody {
    fn from(message: ChatMessage) -> Self {
        Self {
            seq: message.seq,
            message_id: uuid::Uuid::from_bytes(message.message_id),
            sender_id: message.sender,
            sender_name: message.sender_name,
            text: message.text,
            at_ms: message.at_ms,
        }
    }
}

/// Muted players.
#[derive(Debug, Serialize, ToSchema)]
struct MutesBody {
    mutes: Vec<MuteBody>,
}

/// A muted player.
#[derive(Debug, Serialize, ToSchema)]
struct MuteBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    name: String,
}

/// How the caller wants to be seen.
#[derive(Debug, Deserialize, ToSchema)]
struct SetPresenceBody {
    /// "online", "away", "busy", "in_match", or "offline": be there without being seen.
    status: String,
    /// At most 64 bytes.
    #[serde(default)]
    text: String,
}

/// Friends and party members that are there.
#[derive(Debug, Serialize, ToSchema)]
struct PresencesBody {
    players: Vec<PresenceBody>,
}

/// A player that is there.
#[derive(Debug, Serialize, ToSchema)]
struct PresenceBody {
    #[schema(value_type = Uuid)]
    player_id: PlayerId,
    status: &'static str,
    text: String,
}

impl From<SayFault> for Problem {
    fn from(fault: SayFault) -> Self {
        let detail = fault.to_string();
        match fault {
            SayFault::TooMuch(seconds) => too_many("chat", seconds),
            SayFault::Refused(ChatFault::NotInChannel) => Self::forbidden("not-in-channel", detail),
            SayFault::Refused(ChatFault::Muted { until_ms }) => {
                let problem = Self::forbidden("muted", detail);
                if until_ms == FOR_EVER_MS { problem } else { problem.with("until_ms", until_ms) }
            }
            SayFault::Store(error) => error.into(),
            other => Self::invalid(other.slug().0, detail),
        }
    }
}

fn channel(kind: &str, id: &str) -> Result<Channel, Problem> {
    Channel::parse(kind, id).ok_or_else(|| SayFault::Channel.into())
}

/// Say something
///
/// In the party that you are in, in a match that you play (and 10 minutes after it), or to a friend. One message a second, 8 at once.
#[utoipa::path(post, path = "/v1/chat/{kind}/{id}/messages", tag = "social", security(("access_token" = [])), request_body = SayBody,
    params(("kind" = String, Path, description = "party, match or direct"),
        ("id" = Uuid, Path, description = "The party, the match, or the friend")),
    responses(UsualProblems, (status = 200, body = ChatMessageBody),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "not-in-channel, muted")))]
async fn say(
    State(app): State<App>,
    caller: Caller,
    Path((kind, id)): Path<(String, String)>,
    Body(body): Body<SayBody>,
) -> Result<impl IntoResponse, Problem> {
    let channel = channel(&kind, &id)?;
    let text = body.text.parse().map_err(SayFault::Text)?;
    let (message_id, now_ms) = (body.message_id.into_bytes(), service::clock::unix_ms());
    let said = app.social.say(&app.store, caller.player_id, channel, message_id, text, now_ms).await?;
    Ok(private(Json(ChatMessageBody::from(said))))
}

/// What was said
///
/// The newest 100 messages of a channel are kept, for 7 days.
#[utoipa::path(get, path = "/v1/chat/{kind}/{id}/messages", tag = "social", security(("access_token" = [])),
    params(("kind" = String, Path, description = "party, match or direct"),
        ("id" = Uuid, Path, description = "The party, the match, or the friend"), ChatQuery),
    responses(UsualProblems, (status = 200, body = ChatBody),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "not-in-channel")))]
async fn chat_history(
    State(app): State<App>,
    caller: Caller,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<ChatQuery>,
) -> Result<impl IntoResponse, Problem> {
    let (after, limit, now_ms) = (query.after.unwrap_or(0), limit(query.limit), service::clock::unix_ms());
    let found = app.store.chat(caller.player_id, channel(&kind, &id)?, after, limit, now_ms).await?;
    let messages = found.map_err(SayFault::Refused)?;
    Ok(private(Json(ChatBody { messages: messages.into_iter().map(ChatMessageBody::from).collect() })))
}

/// Players whom you mute
#[utoipa::path(get, path = "/v1/players/me/mutes", tag = "social", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = MutesBody)))]
async fn mutes(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let mutes = app.store.mutes(caller.player_id).await?;
    let mutes = mutes.into_iter().map(|(player_id, name)| MuteBody { player_id, name }).collect();
    Ok(private(Json(MutesBody { mutes })))
}

/// Mute a player
///
/// What it says is not shown to you any more; it is not told.
#[utoipa::path(put, path = "/v1/players/me/mutes/{id}", tag = "social", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 204)))]
async fn mute(State(app): State<App>, caller: Caller, Named(other): Named<PlayerId>) -> Result<StatusCode, Problem> {
    if app.store.mute(caller.player_id, other, service::clock::unix_ms()).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = format!("there is no such player, or you mute {MUTES_MAX} already");
    Err(Problem::conflict("not-muted", detail))
}

/// End a mute
#[utoipa::path(delete, path = "/v1/players/me/mutes/{id}", tag = "social", security(("access_token" = [])),
    params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 204)))]
async fn unmute(State(app): State<App>, caller: Caller, Named(other): Named<PlayerId>) -> Result<StatusCode, Problem> {
    app.store.unmute(caller.player_id, other).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Friends and party members that are there
#[utoipa::path(get, path = "/v1/presence", tag = "social", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = PresencesBody)))]
async fn presences(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let now_ms = service::clock::unix_ms();
    let watched = app.store.circle(caller.player_id).await?.watchers(caller.player_id);
    let seen = |player: &PlayerId| {
        let seen = app.hub.presences.get(*player, now_ms)?;
        Some(PresenceBody { player_id: *player, status: status_name(seen.status), text: seen.text })
    };
    Ok(private(Json(PresencesBody { players: watched.iter().filter_map(seen).collect() })))
}

/// Say how you want to be seen
///
/// By friends and party members. It holds for 90 seconds; a session of the gateway holds it as long as it lives.
#[utoipa::path(put, path = "/v1/presence", tag = "social", security(("access_token" = [])), request_body = SetPresenceBody,
    responses(UsualProblems, (status = 204)))]
async fn set_presence(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<SetPresenceBody>,
) -> Result<StatusCode, Problem> {
    let status: Option<GatewayStatus> = read_status(&body.status);
    let is_good = body.text.len() <= TEXT_BYTES_MAX && !body.text.chars().any(char::is_control);
    let Some(status) = status.filter(|_| is_good) else {
        let detail = format!("a status that there is, and a text of at most {TEXT_BYTES_MAX} bytes");
        return Err(Problem::invalid("invalid-presence", detail));
    };
    let watchers = app.store.circle(caller.player_id).await?.watchers(caller.player_id);
    app.social.see(caller.player_id, status, &body.text, watchers.into());
    Ok(StatusCode::NO_CONTENT)
}
