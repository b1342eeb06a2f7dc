//! One connection: once it is known whose it is ([`entrance`](super::entrance)) it serves a session, and ends without ending it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use protocol::gateway::read;
use protocol::id::PlayerId;

use super::carrier::{Broken, Carrier};
use super::commands::{self, Next};
use super::entrance::{Begun, begin};
use super::message::{self, envelope, problem, shared};
use super::session::{Closing, Due, Session};
use super::{hub, sweep};
use crate::app::App;
use crate::core::gateway::pulse::Pace;
use crate::metrics;

/// Messages that go out before the client is listened to again.
const OUT_AT_ONCE: u32 = 32;
/// Messages of the inbox that are read at once.
const INBOX_AT_ONCE: u32 = 32;
/// How long the last word to a client may take: one that does not read is not waited for.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection to its end.
pub(crate) async fn serve<C: Carrier>(app: App, mut carrier: C, address: IpAddr) {
    let first = tokio::time::timeout(app.hub.settings.first_message, carrier.receive()).await;
    let begun = match first {
        Ok(Ok(bytes)) => {
            Box::pin(begin(&app, &bytes, address)).await.inspect_err(|_| metrics::gateway_refused("first_message"))
        }
        Ok(Err(_)) | Err(_) => {
            metrics::gateway_refused("silent");
            Err(message::closing("refused", false, 0))
        }
    };
    match begun {
        Ok(Begun { session, connection, welcome }) => {
            if send(&app, &mut carrier, welcome).await {
                drive(&app, &session, connection, &mut carrier).await;
            }
            session.detach(connection, service::clock::unix_ms());
        }
        Err(refusal) => drop(tokio::time::timeout(FAREWELL, carrier.send(refusal)).await),
    }
    // Otherwise whoever takes nothing would keep its place for as long as it likes.
    let _ = tokio::time::timeout(FAREWELL, carrier.close()).await;
}

/// Everything as it is now, into the session's stream.
pub(super) async fn snapshot(app: &App, session: &Session) {
    let now_ms = service::clock::unix_ms();
    session.lock().party = None;
    refresh(app, session, true).await;
    if let Ok(Some(_)) = app.store.last_ticket(session.player).await
        && let Ok(ticket) = app.tickets.last(session.player).await
    {
        session.push(&shared(message::ticket(&ticket)));
    }
    commands::push_presences(app, session, now_ms);
}

/// Looks again who is in the player's party and who its friends are; the party is told if it is another, or `always`.
pub(super) async fn refresh(app: &App, session: &Session, always: bool) {
    let circle = match app.store.circle(session.player).await {
        Ok(circle) => circle,
        Err(error) => {
            tracing::warn!(session = %session.id, %error, "a session cannot be refreshed; trying again");
            tokio::time::sleep(Duration::from_secs(1)).await;
            return session.set(super::session::State::refresh);
        }
    };
    let party = circle.party.as_ref().map(|view| (view.party.id, view.party.version));
    let body = shared(message::party(circle.party.as_ref()));
    let now_ms = service::clock::unix_ms();
    session.set(|state| {
        if party != state.party || (always && party.is_some()) {
            state.party = party;
            state.push_ordered(body);
        }
        state.watch(circle.watchers(session.player), |player| app.hub.presences.get(player, now_ms).is_some());
        state.look_inbox();
    });
}

/// Sends what is due and hears the client, until either side ends.
async fn drive<C: Carrier>(app: &App, session: &Arc<Session>, connection: u64, carrier: &mut C) {
    let mut pace = Pace::new(service::clock::unix_ms());
    let mut sent = 0;
    loop {
        let due = session.due(connection);
        let received = match due {
            Due::Nothing => tokio::select! {
                received = carrier.receive() => Some(received),
                () = session.wake.notified() => None,
            },
            Due::Frame(frame) => {
                if !send(app, carrier, frame).await {
                    return;
                }
                sent += 1;
                if sent % OUT_AT_ONCE == 0 { carrier.receive().now_or_never() } else { None }
            }
            Due::Presence(player) => {
                if !send(app, carrier, presence(app, session, player)).await {
                    return;
                }
                None
            }
            Due::Resync => {
                if !send(app, carrier, message::resync()).await {
                    return;
                }
                Box::pin(snapshot(app, session)).await;
                None
            }
            Due::Refresh => {
                Box::pin(refresh(app, session, false)).await;
                None
            }
            Due::Inbox(after) => {
                if !Box::pin(send_inbox(app, session, connection, after, carrier)).await {
                    return;
                }
                None
            }
            Due::Close(closing) => return say_closing(carrier, closing).await,
            // Whoever woke this connection meant the newer one.
            Due::Replaced => return session.wake.notify_one(),
        };
        match received {
            None => {}
            Some(Ok(bytes)) => {
                let goes_on = Box::pin(hear(app, session, connection, &mut pace, &bytes, carrier)).await;
                if !goes_on {
                    return;
                }
            }
            Some(Err(Broken::Gone)) => return,
            Some(Err(Broken::Refused(detail))) => {
                let _ = send(app, carrier, envelope(0, problem("malformed-message", detail, 0))).await;
                return;
            }
        }
    }
}

async fn say_closing<C: Carrier>(carrier: &mut C, closing: Closing) {
    let frame = message::closing(closing.reason, closing.resume, closing.retry_after_ms);
    let _ = tokio::time::timeout(FAREWELL, carrier.send(frame)).await;
}

/// A connection that takes nothing for as long as a silent one may be silent is dead; its session is not.
async fn send<C: Carrier>(app: &App, carrier: &mut C, frame: Vec<u8>) -> bool {
    let patience = Duration::from_millis(app.hub.settings.pulse.dead_ms);
    matches!(tokio::time::timeout(patience, carrier.send(frame)).await, Ok(Ok(())))
}

/// How a player is seen now by this one, who may be a friend no more.
fn presence(app: &App, session: &Session, player: PlayerId) -> Vec<u8> {
    let may_see = session.lock().watchers.binary_search(&player).is_ok();
    let seen = app.hub.presences.get(player, service::clock::unix_ms()).filter(|_| may_see);
    envelope(0, hub::presence(player, seen))
}

async fn send_inbox<C: Carrier>(app: &App, session: &Session, connection: u64, after: u64, carrier: &mut C) -> bool {
    let messages = match app.store.inbox(session.player, after, INBOX_AT_ONCE).await {
        Ok(messages) => messages,
        Err(error) => {
            tracing::warn!(session = %session.id, %error, "an inbox cannot be read; trying again");
            tokio::time::sleep(Duration::from_secs(1)).await;
            session.set(super::session::State::look_inbox);
            return true;
        }
    };
    let more = messages.len() == INBOX_AT_ONCE as usize;
    for one in messages {
        let seq = one.seq;
        if !send(app, carrier, envelope(0, message::inbox(one))).await {
            return false;
        }
        session.inbox_sent(connection, seq, false);
    }
    session.inbox_sent(connection, 0, more);
    true
}

/// Does what a client asks. Returns whether the connection goes on.
async fn hear<C: Carrier>(
    app: &App,
    session: &Arc<Session>,
    connection: u64,
    pace: &mut Pace,
    bytes: &[u8],
    carrier: &mut C,
) -> bool {
    let now_ms = service::clock::unix_ms();
    let Some(is_first) = session.heard(connection, now_ms) else { return true };
    if is_first {
        // The token that it came with is good nowhere any more.
        sweep::keep(app, std::slice::from_ref(session)).await;
    }
    if !pace.take(now_ms) {
        metrics::limited("gateway");
        say_closing(carrier, Closing { reason: "too_fast", resume: true, retry_after_ms: 1_000 }).await;
        return false;
    }
    let (id, body) = match read(bytes) {
        Ok(read) => read,
        Err(error) => {
            let _ = send(app, carrier, envelope(0, problem("malformed-message", error.to_string(), 0))).await;
            return false;
        }
    };
    match commands::run(app, session, body, now_ms).await {
        Next::Quiet => true,
        Next::Answer(body) => send(app, carrier, envelope(id, *body)).await,
        Next::Leave => {
            sweep::end(app, std::slice::from_ref(session)).await;
            say_closing(carrier, hub::ENDED).await;
            false
        }
    }
}
