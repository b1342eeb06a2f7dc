//! The first message of a connection: who it is, and which session it begins or goes on with.

use std::net::IpAddr;
use std::sync::Arc;

use protocol::gateway::read;
use protocol::jwt::JwtError;
use protocol::pb::gateway_envelope::Body;
use protocol::pb::{self, GatewayStatus};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::commands;
use super::fanout::News;
use super::message::{envelope, problem};
use super::presence::PRESENCE_LIFE_MS;
use super::register::{Taken, seen_by};
use super::session::{Opening, Resume, Session};
use super::socket::{refresh, snapshot};
use super::sweep;
use super::ws_ticket::Proof;
use crate::app::App;
use crate::core::gateway::resume::{ResumeHash, ResumeTokens};
use crate::core::session::SessionId;
use crate::metrics;

/// Version of the protocol.
const VERSION: u32 = 1;
/// Bytes of the secret in a resume token, after the session's id.
const SECRET_BYTES: usize = 32;
/// Largest number of an ordered message that a client is believed to have.
const SEQ_MAX: u64 = 1 << 53;
/// What a client is told that has to say hello.
const GONE: Refusal = ("session-gone", "this session is over, or was resumed with this token before: say hello");

/// A session, the number of the connection that serves it now, and the answer.
pub(super) struct Begun {
    pub(super) session: Arc<Session>,
    pub(super) connection: u64,
    pub(super) welcome: Vec<u8>,
}

/// What the first message leads to, or the answer that refuses it.
pub(super) async fn begin(app: &App, bytes: &[u8], address: IpAddr) -> Result<Begun, Vec<u8>> {
    let now_ms = service::clock::unix_ms();
    let (id, body) = read(bytes).map_err(|error| envelope(0, problem("malformed-message", error.to_string(), 0)))?;
    let refuse = |slug, detail: &str, wait| envelope(id, problem(slug, detail, wait));
    if app.limit_address(address, now_ms).is_err() {
        return Err(refuse("too-many-requests", "too many connections of this address", 1_000));
    }
    let too_old = || refuse("unknown-version", "this gateway speaks version 1", 0);
    let away = || refuse("storage-unavailable", "try again", 1_000);
    match body {
        Body::Hello(hello) if hello.version == VERSION => {
            let proof = prove(app, hello, now_ms).await.map_err(|(slug, detail)| refuse(slug, detail, 0))?;
            let (session, welcome) = open(app, proof, now_ms).await.ok_or_else(away)?;
            Ok(Begun { session, connection: 1, welcome: envelope(id, welcome) })
        }
        Body::Resume(resume) if resume.version == VERSION => match Box::pin(go_on(app, &resume, now_ms)).await {
            Ok((session, connection, welcome)) => Ok(Begun { session, connection, welcome: envelope(id, welcome) }),
            Err(ResumeFault::Refused((slug, detail))) => Err(refuse(slug, detail, 0)),
            Err(ResumeFault::Away) => Err(away()),
        },
        Body::Hello(_) | Body::Resume(_) => Err(too_old()),
        _ => Err(refuse("hello-first", "the first message is a hello or a resume", 0)),
    }
}

/// A kind of problem and its sentence.
pub(super) type Refusal = (&'static str, &'static str);

/// Why a session does not go on.
enum ResumeFault {
    Refused(Refusal),
    /// The database does not answer; the token stays good.
    Away,
}

impl From<Refusal> for ResumeFault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

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

/// Whose access token it is.
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
        tokens: ResumeTokens::new(hash),
        expires_at_ms: proof.expires_at_ms,
        inbox_sent: inbox_acked,
        last_seq: 0,
        turn: 0,
        now_ms,
        bounds: app.hub.settings.bounds,
    };
    let (session, replaced) = app.hub.open(id, &opening);
    app.register.end(&replaced).await;
    metrics::gateway_begun("opened");
    snapshot(app, &session).await;
    show(app, &session, None, now_ms);
    sweep::keep(app, std::slice::from_ref(&session)).await;
    let welcome = welcome(app, &session, token, false, inbox_acked);
    Some((session, welcome))
}

/// The player is seen as it was before, by all who may see it.
fn show(app: &App, session: &Session, noted: Option<super::presence::Seen>, now_ms: u64) {
    let seen = app.hub.presences.get(session.player, now_ms).or(noted);
    let (status, text) = seen.map_or((GatewayStatus::Online, String::new()), |seen| (seen.status, seen.text));
    app.social.see(session.player, status, &text, session.watchers());
}

/// What resumes a session.
struct Resuming<'a> {
    id: Uuid,
    shown: ResumeHash,
    /// The token that is offered next, and its hash.
    next: (Vec<u8>, ResumeHash),
    /// Of a fresh access token.
    fresh: Option<Proof>,
    asked: &'a pb::GatewayResume,
    now_ms: u64,
}

impl Resuming<'_> {
    /// Until when the session's access token is good: the fresh one, or the one that it had.
    fn expiry(&self, session_player: protocol::id::PlayerId, known_ms: u64) -> Result<u64, Refusal> {
        let until_ms = match self.fresh {
            Some(proof) if proof.player != session_player => return Err(GONE),
            Some(proof) => proof.expires_at_ms,
            None => known_ms,
        };
        if until_ms <= self.now_ms {
            return Err(("token-expired", "send a fresh access token with the resume"));
        }
        Ok(until_ms)
    }
}

/// Goes on with a session, wherever it was served until now.
async fn go_on(app: &App, asked: &pb::GatewayResume, now_ms: u64) -> Result<(Arc<Session>, u64, Body), ResumeFault> {
    let id = asked.token.first_chunk::<16>().filter(|_| asked.token.len() == 16 + SECRET_BYTES).ok_or(GONE)?;
    let id = Uuid::from_bytes(*id);
    let fresh = if asked.access_token.is_empty() { None } else { Some(verify(app, &asked.access_token, now_ms)?) };
    let shown = Sha256::digest(&asked.token).into();
    let resuming = Resuming { id, shown, next: token_of(id), fresh, asked, now_ms };
    let own = app.hub.find(id);
    if let Some(session) = &own
        && let Some(connection) = resume_own(app, session, &resuming).await?
    {
        let welcome = welcome(app, session, resuming.next.0, true, 0);
        return Ok((Arc::clone(session), connection, welcome));
    }
    let taken = app.register.take(id, shown, resuming.next.1, own.is_some()).await.ok_or(GONE)?;
    if let Some(own) = own {
        app.hub.let_go(&own);
    }
    let session = take_over(app, &resuming, taken).await?;
    let welcome = welcome(app, &session, resuming.next.0, true, 0);
    Ok((session, 1, welcome))
}

/// Goes on with a session of this gateway. `None`: not with this token, or it has gone to another gateway meanwhile.
async fn resume_own(app: &App, session: &Arc<Session>, resuming: &Resuming<'_>) -> Result<Option<u64>, Refusal> {
    let expires_at_ms = resuming.expiry(session.player, session.lock().expires_at_ms)?;
    let (asked, now_ms) = (resuming.asked, resuming.now_ms);
    let resumed = session.resume(&Resume {
        shown: resuming.shown,
        next: resuming.next.1,
        last_seq: asked.last_seq,
        last_inbox: asked.last_inbox_seq,
        expires_at_ms,
        now_ms,
    });
    let Some((connection, is_whole)) = resumed else { return Ok(None) };
    if !app.register.keep(std::slice::from_ref(session), &app.hub.presences, now_ms).await.is_empty() {
        app.hub.let_go(session);
        return Ok(None);
    }
    commands::push_presences(app, session, now_ms);
    metrics::gateway_begun(if is_whole { "resumed" } else { "resynced" });
    Ok(Some(connection))
}

/// Goes on with a session that was another gateway's: what was in its ring is lost, and everything is told as it is.
async fn take_over(app: &App, resuming: &Resuming<'_>, taken: Taken) -> Result<Arc<Session>, ResumeFault> {
    let Taken { turn, note } = taken;
    // Who had it before may serve it no more, whatever becomes of this.
    app.social.publish(News::Moved { session: resuming.id, turn });
    let expires_at_ms = resuming.expiry(note.player, note.expires_at_ms)?;
    still_good(app, Proof { player: note.player, session: note.account_session, expires_at_ms })?;
    let living = app.store.living_sessions(&[note.account_session]).await.map_err(|_| ResumeFault::Away)?;
    if living.is_empty() || resuming.asked.last_seq > SEQ_MAX {
        return Err(GONE.into());
    }
    let opening = Opening {
        player: note.player,
        account_session: note.account_session,
        tokens: ResumeTokens::taken(resuming.shown, resuming.next.1),
        expires_at_ms,
        inbox_sent: resuming.asked.last_inbox_seq,
        last_seq: resuming.asked.last_seq,
        turn,
        now_ms: resuming.now_ms,
        bounds: app.hub.settings.bounds,
    };
    let (session, replaced) = app.hub.open(resuming.id, &opening);
    app.register.end(&replaced).await;
    refresh(app, &session, false).await;
    session.set(super::session::State::resync);
    show(app, &session, seen_by(&note, resuming.now_ms + PRESENCE_LIFE_MS), resuming.now_ms);
    metrics::gateway_begun("moved");
    tracing::info!(session = %session.id, turn, "a session goes on here that was another gateway's");
    Ok(session)
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
