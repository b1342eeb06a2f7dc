//! One connection: once it is known whose it is ([`entrance`](super::entrance)) it serves a session, and ends without ending it.

use std::net::IpAddr;
use std::pin::pin;
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

/// Messages that go out at most before the client is listened to again.
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
            let mut serving = Serving::new(&app, &session, connection, &mut carrier);
            if serving.send(welcome).await {
                serving.drive().await;
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

async fn say_closing<C: Carrier>(carrier: &mut C, closing: Closing) {
    let frame = message::closing(closing.reason, closing.resume, closing.retry_after_ms);
    let _ = tokio::time::timeout(FAREWELL, carrier.send(frame)).await;
}

/// A connection that serves a session.
struct Serving<'a, C> {
    app: &'a App,
    session: &'a Arc<Session>,
    /// The connection's number.
    number: u64,
    carrier: &'a mut C,
    pace: Pace,
    /// Messages that went out since the client was listened to.
    unheard: u32,
}

impl<'a, C: Carrier> Serving<'a, C> {
    fn new(app: &'a App, session: &'a Arc<Session>, number: u64, carrier: &'a mut C) -> Self {
        let pace = Pace::new(service::clock::unix_ms());
        Self { app, session, number, carrier, pace, unheard: 0 }
    }

    /// Sends what is due and hears the client, until either side ends.
    async fn drive(&mut self) {
        let (app, session) = (self.app, self.session);
        loop {
            let goes_on = match session.due(self.number) {
                Due::Nothing => tokio::select! {
                    received = self.carrier.receive() => self.take(received).await,
                    () = session.wake.notified() => true,
                },
                Due::Frame(frame) => self.tell(frame).await,
                Due::Presence(player) => self.tell(presence(app, session, player)).await,
                Due::Resync => {
                    let told = self.tell(message::resync()).await;
                    if told {
                        Box::pin(snapshot(app, session)).await;
                    }
                    told
                }
                Due::Refresh => {
                    Box::pin(refresh(app, session, false)).await;
                    true
                }
                Due::Inbox(after) => Box::pin(self.tell_inbox(after)).await,
                Due::Close(closing) => {
                    say_closing(self.carrier, closing).await;
                    false
                }
                Due::Replaced => {
                    // Whoever woke this connection meant the newer one.
                    session.wake.notify_one();
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Sends a message, and listens to the client whenever enough have gone out or this one had to wait for it. Returns
    /// whether the connection goes on, as all of these do.
    async fn tell(&mut self, frame: Vec<u8>) -> bool {
        if !self.send(frame).await {
            return false;
        }
        self.unheard += 1;
        if self.unheard < OUT_AT_ONCE {
            return true;
        }
        self.unheard = 0;
        match self.carrier.receive().now_or_never() {
            Some(received) => self.take(received).await,
            None => true,
        }
    }

    /// A connection that takes nothing for as long as a silent one may be silent is dead; its session is not. One that takes
    /// slowly what it is sent lives, though its answer to a ping may wait behind all that.
    async fn send(&mut self, frame: Vec<u8>) -> bool {
        let patience = Duration::from_millis(self.app.hub.settings.pulse.dead_ms);
        let mut sending = pin!(self.carrier.send(frame));
        if let Some(sent) = sending.as_mut().now_or_never() {
            return sent.is_ok();
        }
        let sent = matches!(tokio::time::timeout(patience, sending).await, Ok(Ok(())));
        if sent {
            self.session.took(self.number, service::clock::unix_ms());
            self.unheard = OUT_AT_ONCE;
        }
        sent
    }

    async fn tell_inbox(&mut self, after: u64) -> bool {
        let session = self.session;
        let messages = match self.app.store.inbox(session.player, after, INBOX_AT_ONCE).await {
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
            if !self.send(envelope(0, message::inbox(one))).await {
                return false;
            }
            session.inbox_sent(self.number, seq, false);
        }
        session.inbox_sent(self.number, 0, more);
        true
    }

    async fn take(&mut self, received: Result<Vec<u8>, Broken>) -> bool {
        match received {
            Ok(bytes) => Box::pin(self.hear(&bytes)).await,
            Err(Broken::Gone) => false,
            Err(Broken::Refused(detail)) => {
                self.send(envelope(0, problem("malformed-message", detail, 0))).await;
                false
            }
        }
    }

    /// Does what a client asks.
    async fn hear(&mut self, bytes: &[u8]) -> bool {
        let (app, session) = (self.app, self.session);
        let now_ms = service::clock::unix_ms();
        let Some(is_first) = session.heard(self.number, now_ms) else { return true };
        if is_first {
            // The token that it came with is good nowhere any more.
            sweep::keep(app, std::slice::from_ref(session)).await;
        }
        if !self.pace.take(now_ms) {
            metrics::limited("gateway");
            let too_fast = Closing { reason: "too_fast", resume: true, retry_after_ms: 1_000 };
            say_closing(self.carrier, too_fast).await;
            return false;
        }
        let (id, body) = match read(bytes) {
            Ok(read) => read,
            Err(error) => {
                self.send(envelope(0, problem("malformed-message", error.to_string(), 0))).await;
                return false;
            }
        };
        match commands::run(app, session, body, now_ms).await {
            Next::Quiet => true,
            Next::Answer(body) => self.send(envelope(id, *body)).await,
            Next::Leave => {
                sweep::end(app, std::slice::from_ref(session)).await;
                say_closing(self.carrier, hub::ENDED).await;
                false
            }
        }
    }
}

/// How a player is seen now by this one, who may be a friend no more.
fn presence(app: &App, session: &Session, player: PlayerId) -> Vec<u8> {
    let may_see = session.lock().watchers.binary_search(&player).is_ok();
    let seen = app.hub.presences.get(player, service::clock::unix_ms()).filter(|_| may_see);
    envelope(0, hub::presence(player, seen))
}
