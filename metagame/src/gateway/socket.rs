//! One connection: it says who it is, serves a session, and ends without ending it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use protocol::gateway::read;
use protocol::jwt::JwtError;
use protocol::pb::gateway_envelope::Body;
use protocol::pb::{self, GatewayStatus};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::carrier::{Broken, Carrier};
use super::commands::{self, Next};
use super::message::{self, envelope, problem, shared};
use super::session::{Closing, Due, Opening, Session};
use super::ws_ticket::Proof;
use super::{hub, sweep};
use crate::app::App;
use crate::core::gateway::pulse::Pace;
use crate::core::gateway::resume::ResumeHash;
use crate::core::session::SessionId;
use crate::metrics;

/// Version of the protocol.
const VERSION: u32 = 1;
/// Messages that go out before the client is listened to again.
const OUT_AT_ONCE: u32 = 32;
/// Messages of the inbox that are read at once.
const INBOX_AT_ONCE: u32 = 32;
/// Bytes of the secret in a resume token, after the session's id.
const SECRET_BYTES: usize = 32;

/// Serves a connection to its end.
pub(crate) async fn serve<C: Carrier>(app: App, mut carrier: C, address: IpAddr) {
    let first = tokio::time::timeout(app.hub.settings.first_message, carrier.receive()).await;
    let Ok(Ok(bytes)) = first else {
        metrics::gateway_refused("silent");
        let _ = carrier.send(message::closing("refused", false, 0)).await;
        return carrier.close().await;
    };
    match Box::pin(begin(&app, &bytes, address)).await {
        Ok((session, connection, welcome)) => {
            if carrier.send(welcome).await.is_ok() {
                drive(&app, &session, connection, &mut carrier).await;
            }
            session.detach(connection, service::clock::unix_ms());
        }
        Err(refusal) => {
            metrics::gateway_refused("first_message");
            let _ = carrier.send(refusal).await;
        }
    }
    carrier.close().await;
}

type Begun = (Arc<Session>, u64, Vec<u8>);

/// What the first message leads to, or the answer that refuses it.
async fn begin(app: &App, bytes: &[u8], address: IpAddr) -> Result<Begun, Vec<u8>> {
    let now_ms = service::clock::unix_ms();
    let (id, body) = read(bytes).map_err(|error| envelope(0, problem("malformed-message", error.to_string(), 0)))?;
    let refuse = |slug, detail: &str, wait| envelope(id, problem(slug, detail, wait));
    if app.limit_address(address, now_ms).is_err() {
        return Err(refuse("too-many-requests", "too many connections of this address", 1_000));
    }
    let too_old = || refuse("unknown-version", "this gateway speaks version 1", 0);
    match body {
        Body::Hello(hello) if hello.version == VERSION => {
            let proof = prove(app, hello, now_ms).await.map_err(|(slug, detail)| refuse(slug, detail, 0))?;
            let begun = open(app, proof, now_ms).await;
            let (session, welcome) = begun.ok_or_else(|| refuse("storage-unavailable", "try again", 1_000))?;
            Ok((session, 1, envelope(id, welcome)))
        }
        Body::Resume(resume) if resume.version == VERSION => {
            let found = resume_session(app, &resume, now_ms).map_err(|(slug, detail)| refuse(slug, detail, 0))?;
            Ok((found.0, found.1, envelope(id, found.2)))
        }
        Body::Hello(_) | Body::Resume(_) => Err(too_old()),
        _ => Err(refuse("hello-first", "the first message is a hello or a resume", 0)),
    }
}

/// A kind of problem and its sentence.
pub(super) type Refusal = (&'static str, &'static str);

async fn prove(app: &App, hello: pb::GatewayHello, now_ms: u64) -> Result<Proof, Refusal> {
    match hello.proof {
        Some(pb::gateway_hello::Proof::AccessToken(token)) => verify(app, &token, now_ms),
        Some(pb::gateway_hello::Proof::Ticket(ticket)) => {
            let proof = app.ws_tickets.redeem(&ticket, now_ms).await;
            still_good(app, proof.ok_or(("ticket-invalid", "the ticket was used or has expired"))?)
        }
        None => Err(("unauthenticated", "send an access token or a ticket")),
    }
}

/// Refuses the proof of a session that was ended meanwhile.
fn still_good(app: &App, proof: Proof) -> Result<Proof, Refusal> {
    if app.identity.revoked.holds(proof.player, proof.session) {
        return Err(("session-ended", "the session has ended: log in again"));
    }
    Ok(proof)
}

pub(super) fn verify(app: &App, token: &str, now_ms: u64) -> Result<Proof, Refusal> {
    let claims = app.access.verify(token, now_ms / 1_000).map_err(|error| match error {
        JwtError::Expired => ("token-expired", "the access token has expired: refresh the session"),
        _ => ("token-invalid", "this is not an access token of this installation"),
    })?;
    let expires_at_ms = claims.exp.saturating_mul(1_000);
    still_good(app, Proof { player: claims.sub, session: SessionId(claims.sid), expires_at_ms })
}

fn token_of(session: Uuid) -> (Vec<u8>, ResumeHash) {
    let mut token = session.as_bytes().to_vec();
    token.extend_from_slice(&service::random::bytes::<SECRET_BYTES>());
    let hash = Sha256::digest(&token).into();
    (token, hash)
}

/// Opens a session. `None`: the database does not answer.
async fn open(app: &App, proof: Proof, now_ms: u64) -> Option<(Arc<Session>, Body)> {
    let inbox_acked = app.store.inbox_acked(proof.player).await.ok()?;
    let id = uuid::Builder::from_random_bytes(service::random::bytes()).into_uuid();
    let (token, hash) = token_of(id);
    let opening = Opening {
        player: proof.player,
        account_session: proof.session,
        token: hash,
        expires_at_ms: proof.expires_at_ms,
        inbox_acked,
        now_ms,
        bounds: app.hub.settings.bounds,
    };
    let session = app.hub.open(id, &opening);
    metrics::gateway_begun("opened");
    snapshot(app, &session).await;
    let seen = app.hub.presences.get(session.player, now_ms);
    let (status, text) = seen.map_or((GatewayStatus::Online, String::new()), |seen| (seen.status, seen.text));
    // By itself: a lock within the call's arguments is held until it returns, and seeing takes the locks of others.
    let watchers = session.lock().watchers.to_vec();
    app.social.see(session.player, status, &text, watchers);
    let welcome = welcome(app, &session, token, false, inbox_acked);
    Some((session, welcome))
}

fn resume_session(app: &App, resume: &pb::GatewayResume, now_ms: u64) -> Result<(Arc<Session>, u64, Body), Refusal> {
    let gone = ("session-gone", "this session is over, or was resumed with this token before: say hello");
    let id = resume.token.first_chunk::<16>().filter(|_| resume.token.len() == 16 + SECRET_BYTES).ok_or(gone)?;
    let session = app.hub.find(Uuid::from_bytes(*id)).ok_or(gone)?;
    let fresh = if resume.access_token.is_empty() {
        None
    } else {
        let proof = verify(app, &resume.access_token, now_ms)?;
        Some(proof.expires_at_ms).filter(|_| proof.player == session.player).map(Some).ok_or(gone)?
    };
    let expires_at_ms = fresh.unwrap_or_else(|| session.lock().expires_at_ms);
    if expires_at_ms <= now_ms {
        return Err(("token-expired", "send a fresh access token with the resume"));
    }
    let (token, hash) = token_of(session.id);
    let shown = Sha256::digest(&resume.token).into();
    let resumed = session.resume(shown, hash, resume.last_seq, resume.last_inbox_seq, now_ms).ok_or(gone)?;
    session.set(|state| {
        (state.expires_at_ms, state.expiry_told) = (expires_at_ms, false);
        // What changed meanwhile by subject, and what news may have missed.
        state.refresh();
    });
    commands::push_presences(app, &session, now_ms);
    metrics::gateway_begun(if resumed.1 { "resumed" } else { "resynced" });
    let welcome = welcome(app, &session, token, true, 0);
    Ok((session, resumed.0, welcome))
}

fn welcome(app: &App, session: &Session, resume_token: Vec<u8>, resumed: bool, inbox_acked_seq: u64) -> Body {
    let pulse = app.hub.settings.pulse;
    Body::Welcome(pb::GatewayWelcome {
        session_id: session.id.to_string(),
        resumed,
        resume_token,
        grace_ms: pulse.grace_ms as u32,
        ping_ms: pulse.ping_ms as u32,
        expires_at_ms: session.lock().expires_at_ms,
        inbox_acked_seq,
    })
}

/// Everything as it is now, into the session's stream.
async fn snapshot(app: &App, session: &Session) {
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
async fn refresh(app: &App, session: &Session, always: bool) {
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
    session.set(|state| {
        if party != state.party || (always && party.is_some()) {
            state.party = party;
            state.push_ordered(body);
        }
        state.watchers = circle.watchers(session.player);
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
                if !Box::pin(send_inbox(app, session, after, carrier)).await {
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
    // A client that does not read is not waited for.
    let _ = tokio::time::timeout(Duration::from_secs(1), carrier.send(frame)).await;
}

/// A connection that takes nothing for as long as a silent one may be silent is dead; its session is not.
async fn send<C: Carrier>(app: &App, carrier: &mut C, frame: Vec<u8>) -> bool {
    let patience = Duration::from_millis(app.hub.settings.pulse.dead_ms);
    matches!(tokio::time::timeout(patience, carrier.send(frame)).await, Ok(Ok(())))
}

async fn send_inbox<C: Carrier>(app: &App, session: &Session, after: u64, carrier: &mut C) -> bool {
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
        session.lock().inbox_sent(seq, false);
    }
    session.lock().inbox_sent(0, more);
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
    if !session.heard(connection, now_ms) {
        return true;
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
            sweep::end(app, session);
            say_closing(carrier, hub::ENDED).await;
            false
        }
    }
}
