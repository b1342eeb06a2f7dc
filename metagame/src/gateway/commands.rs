//! What clients ask over a session.

use protocol::id::PlayerId;
use protocol::pb::gateway_envelope::Body;
use protocol::pb::{self, GatewayChannelKind, GatewayStatus};

use super::entrance::verify;
use super::message::problem;
use super::presence::TEXT_BYTES_MAX;
use super::session::{Session, State};
use crate::app::App;
use crate::core::social::chat::{Channel, ChatText};
use crate::social::SayFault;

/// What follows.
pub(super) enum Next {
    Quiet,
    Answer(Box<Body>),
    /// The client ends the session.
    Leave,
}

pub(super) async fn run(app: &App, session: &Session, body: Body, now_ms: u64) -> Next {
    let done = Next::Answer(Box::new(Body::Done(pb::GatewayDone {})));
    let refused = |slug, detail: String, wait| Next::Answer(Box::new(problem(slug, detail, wait)));
    match body {
        Body::Ping(_) => Next::Answer(Box::new(Body::Pong(pb::GatewayPong {}))),
        Body::Pong(_) => Next::Quiet,
        Body::Ack(ack) => {
            session.ack(ack.seq);
            if ack.inbox_seq > 0 && app.store.ack_inbox(session.player, ack.inbox_seq).await.is_err() {
                return refused("storage-unavailable", "acknowledge it again".into(), 1_000);
            }
            Next::Quiet
        }
        Body::Reauthenticate(fresh) => match verify(app, &fresh.access_token, now_ms) {
            Ok(proof) if proof.player == session.player => {
                session.set(|state| (state.expires_at_ms, state.expiry_told) = (proof.expires_at_ms, false));
                done
            }
            Ok(_) => refused("another-player", "a session is one player's".into(), 0),
            Err((slug, detail)) => refused(slug, detail.into(), 0),
        },
        Body::SetPresence(wish) => match set_presence(app, session, &wish) {
            Ok(()) => done,
            Err(detail) => refused("invalid-presence", detail, 0),
        },
        Body::SendChat(chat) => match say(app, session.player, chat, now_ms).await {
            Ok(()) => done,
            Err(fault) => {
                let (slug, wait) = fault.slug();
                refused(slug, fault.to_string(), wait)
            }
        },
        Body::Sync(_) => {
            session.set(State::resync);
            done
        }
        Body::Leave(_) => Next::Leave,
        _ => refused("unexpected-message", "a server does not take this message here".into(), 0),
    }
}

fn set_presence(app: &App, session: &Session, wish: &pb::GatewaySetPresence) -> Result<(), String> {
    let status = GatewayStatus::try_from(wish.status).map_err(|_| "there is no such status".to_owned())?;
    if wish.text.len() > TEXT_BYTES_MAX || wish.text.chars().any(char::is_control) {
        return Err(format!("the text has at most {TEXT_BYTES_MAX} bytes and no control characters"));
    }
    let to = session.watchers();
    app.social.see(session.player, status, &wish.text, to);
    Ok(())
}

async fn say(app: &App, player: PlayerId, chat: pb::GatewaySendChat, now_ms: u64) -> Result<(), SayFault> {
    let kind = match chat.channel() {
        GatewayChannelKind::Party => "party",
        GatewayChannelKind::Match => "match",
        GatewayChannelKind::Direct => "direct",
        GatewayChannelKind::Unspecified => "",
    };
    let channel = Channel::parse(kind, &chat.id).ok_or(SayFault::Channel)?;
    let message_id = uuid::Uuid::try_parse(&chat.message_id).map_err(|_| SayFault::MessageId)?;
    let text: ChatText = chat.text.parse()?;
    app.social.say(&app.store, player, channel, message_id.into_bytes(), text, now_ms).await.map(drop)
}

/// How those are seen is news whom the player may see.
pub(super) fn push_presences(app: &App, session: &Session, now_ms: u64) {
    let watched = session.watchers();
    for player in watched {
        if app.hub.presences.get(player, now_ms).is_some() {
            session.push_latest(player);
        }
    }
}
