//! A server's handshakes: Hello, Connect, the worker's answer, the first packet.

use std::hash::Hasher;
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::wire::{
    CloseReason, Connect, ConnectionId, Cookie, CookieReply, DataHeader, Hello, Refusal, Refuse, ResumeTicket,
    VERSION_MAX, VERSION_MIN, prologue,
};
use siphasher::sip128::{Hasher128, SipHasher24};

use super::{Connected, Link, Route, ServerEndpoint};
use crate::Micros;
use crate::endpoint::admission::seat;
use crate::endpoint::half_open::{Attempt, AttemptKey, AttemptState};
use crate::endpoint::handshake::{Asked, Entry, Grant, Outcome};
use crate::endpoint::path::Path;
use crate::endpoint::resuming::Resuming;
use crate::endpoint::session::{Role, Session};
use crate::endpoint::{DropReason, HandshakeDone, HandshakeJob, ServerEvent, SessionId, Transmit};

impl ServerEndpoint {
    pub(super) fn handle_hello(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        let hello = Hello::decode(datagram)?;
        let cookie = self.cookies.mint(now, &mut self.entropy, from, &hello.client_id);
        self.counters.cookies += 1;
        self.transmit(from, CookieReply { client_id: hello.client_id, cookie }.encode());
        Ok(())
    }

    /// The cheap checks come first, in order of cost; what passes them all becomes a job.
    pub(super) fn handle_connect(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        let connect = Connect::decode(datagram)?;
        let hello = &connect.hello;
        if !self.cookies.check(now, &mut self.entropy, from, &hello.client_id, &connect.cookie) {
            return Err(DropReason::BadCookie);
        }
        self.expire_attempts(now);
        let key = AttemptKey::Native(hello.client_id, self.hash(&connect.noise));
        if let Some(attempt) = self.half_open.get_mut(&key) {
            // A lost answer: the very same one again, to where the client is now.
            (attempt.remote, attempt.cookie) = (from, Some(connect.cookie));
            let answer = match &attempt.state {
                AttemptState::Working => None,
                AttemptState::Refused { answer } | AttemptState::Offered { answer, .. } => Some(answer.clone()),
            };
            answer.into_iter().for_each(|answer| self.transmit(from, answer));
            return Ok(());
        }
        match self.check_connect(now, hello) {
            Ok(version) => self.begin(now, from, key, connect, version),
            Err(refusal) => self.refuse(from, hello.client_id, connect.cookie, refusal),
        }
        Ok(())
    }

    fn check_connect(&mut self, now: Micros, hello: &Hello) -> Result<u16, Refusal> {
        let version = self.check_peer(hello.version_min, hello.version_max, hello.schema_hash)?;
        self.make_room(now)?;
        Ok(version)
    }

    /// What is decided without the token: the version to speak, or the refusal.
    pub(super) fn check_peer(&self, version_min: u16, version_max: u16, schema_hash: u64) -> Result<u16, Refusal> {
        if self.is_draining {
            return Err(Refusal::Draining);
        }
        let version = VERSION_MAX.min(version_max);
        if version < VERSION_MIN.max(version_min) {
            return Err(Refusal::Version);
        }
        if schema_hash != self.config.schema_hash {
            return Err(Refusal::Schema);
        }
        Ok(version)
    }

    /// Makes sure that one more attempt fits.
    pub(super) fn make_room(&mut self, now: Micros) -> Result<(), Refusal> {
        match self.half_open.make_room() {
            Ok(dropped) => dropped.into_iter().for_each(|attempt| self.forget(now, &attempt)),
            Err(()) => return Err(Refusal::Busy),
        }
        Ok(())
    }

    fn begin(&mut self, now: Micros, from: SocketAddr, key: AttemptKey, connect: Connect, version: u16) {
        let session_id = self.unused_connection_id();
        let number = self.half_open.insert(now, key, from, Some(connect.cookie), session_id);
        self.routes.insert(session_id, Route::Attempt(key));
        let ticket = self.new_ticket();
        self.jobs.push_back(HandshakeJob {
            key,
            number,
            asked: Asked::Native {
                client_id: connect.hello.client_id,
                static_secret: Arc::clone(&self.static_secret),
                entropy: Box::new(self.entropy.fork()),
                prologue: prologue(&connect.hello),
                noise: connect.noise,
            },
            session_id,
            version,
            ticket,
            admission: Arc::clone(&self.admission),
        });
    }

    pub(super) fn new_ticket(&mut self) -> ResumeTicket {
        ResumeTicket { id: self.entropy.bytes(), secret: self.entropy.bytes() }
    }

    pub(super) fn answer(&mut self, now: Micros, done: HandshakeDone) {
        let HandshakeDone { key, number, outcome } = done;
        let Some(attempt) = self.half_open.get_mut(&key).filter(|attempt| attempt.number == number) else { return };
        let (remote, cookie, session_id) = (attempt.remote, attempt.cookie, attempt.session_id);
        match outcome {
            Outcome::Undecryptable => {
                self.turn_away(now, &key, remote, cookie, Refusal::ServerKey);
            }
            Outcome::Refused { refusal, answer } => {
                attempt.state = AttemptState::Refused { answer: answer.clone() };
                self.routes.remove(&session_id);
                self.counters.refuse(refusal);
                self.reply(now, &key, remote, answer);
            }
            Outcome::Offered { answer, keys, grant } => {
                let seat = seat(&grant.claims);
                // What the worker saw may have changed since: asked again, and refused in the clear.
                if let Err(refusal) = self.check_grant(&grant) {
                    self.turn_away(now, &key, remote, cookie, refusal);
                    return;
                }
                match self.half_open.offer_to(&seat) {
                    Some((_, other)) if other > number => {
                        // The player has begun again since; the newer attempt counts.
                        self.abandon(now, &key);
                        return;
                    }
                    Some((other, _)) => self.abandon(now, &other),
                    None => {}
                }
                Arc::make_mut(&mut self.admission).take_seat(seat);
                let mut session = match (key, keys) {
                    (AttemptKey::Native(client_id, _), Some(keys)) => Session::new(now, Role::Server, client_id, &keys),
                    _ => Session::over_quic(now, Role::Server),
                };
                if grant.entry != Entry::Token {
                    session.resuming = Resuming::Asked;
                }
                self.half_open.offer(&key, answer.clone(), Box::new(session), grant);
                self.reply(now, &key, remote, answer);
            }
        }
    }

    /// Sends an answer the way that the question came.
    fn reply(&mut self, now: Micros, key: &AttemptKey, remote: SocketAddr, answer: Vec<u8>) {
        match *key {
            AttemptKey::Native(..) => self.transmit(remote, answer),
            AttemptKey::Quic(id) => self.reply_over_quic(now, id, &answer),
        }
    }

    /// Ends an attempt with a refusal that the worker did not write.
    fn turn_away(
        &mut self,
        now: Micros,
        key: &AttemptKey,
        remote: SocketAddr,
        cookie: Option<Cookie>,
        refusal: Refusal,
    ) {
        match (*key, cookie) {
            (AttemptKey::Quic(id), _) => self.refuse_over_quic(now, id, refusal),
            (AttemptKey::Native(client_id, _), Some(cookie)) => {
                self.abandon(now, key);
                self.refuse(remote, client_id, cookie, refusal);
            }
            (AttemptKey::Native(..), None) => {}
        }
    }

    /// Takes a packet for a session that is offered. If it is authentic, the session begins and its token is used.
    pub(super) fn confirm(
        &mut self,
        now: Micros,
        from: SocketAddr,
        key: &AttemptKey,
        header: DataHeader,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let Some(Attempt { state: AttemptState::Offered { session, .. }, .. }) = self.half_open.get_mut(key) else {
            return Err(DropReason::UnknownSession);
        };
        session.receive(now, header, datagram, &mut self.buffers)?;
        self.begin_session(now, from, key);
        Ok(())
    }

    /// An offered session has received its first packet.
    pub(super) fn begin_session(&mut self, now: Micros, remote: SocketAddr, key: &AttemptKey) {
        let Some(attempt) = self.half_open.remove(key) else { return };
        let AttemptState::Offered { session, grant, .. } = attempt.state else { return };
        let link = match *key {
            AttemptKey::Native(..) => Link::Native { path: Path::new(remote), connection_id: attempt.session_id },
            AttemptKey::Quic(id) => Link::Quic(id),
        };
        self.connect(now, remote, link, *session, *grant);
    }

    fn connect(&mut self, now: Micros, remote: SocketAddr, link: Link, mut session: Session, grant: Grant) {
        let seat = seat(&grant.claims);
        if grant.entry == Entry::Token {
            Arc::make_mut(&mut self.admission).use_token(now, &grant.claims.jti);
        }
        if let Some(older) = self.seats.get(&seat).copied() {
            self.close(now, older, CloseReason::SeatTaken);
        }
        let id = SessionId(self.next_session);
        self.next_session += 1;
        self.hand_over(now, seat, id, &grant, &mut session);
        Arc::make_mut(&mut self.admission).take_seat(seat);
        self.seats.insert(seat, id);
        let carrier = link.carrier();
        match &link {
            Link::Native { connection_id, .. } => drop(self.routes.insert(*connection_id, Route::Session(id))),
            Link::Quic(quic_id) => self.began_over_quic(*quic_id, id),
        }
        self.counters.accepted(carrier);
        // The client pings until it hears us.
        session.received.note_urgent(now);
        let came_with = grant.entry.ticket();
        self.sessions.insert(id, Connected { session, link, seat, came_with, closed: None, timer: None });
        let (resumed, claims) = (grant.entry != Entry::Token, grant.claims);
        self.counters.resumed += u64::from(resumed);
        self.events.push_back(ServerEvent::Connected { session: id, claims, remote, carrier, resumed });
        self.service(now, id, false);
    }

    pub(super) fn expire_attempts(&mut self, now: Micros) {
        while let Some(attempt) = self.half_open.pop_expired(now) {
            self.forget(now, &attempt);
        }
        if self.admission.has_expired_tokens(now) {
            Arc::make_mut(&mut self.admission).forget_expired(now);
        }
    }

    pub(super) fn abandon(&mut self, now: Micros, key: &AttemptKey) {
        if let Some(attempt) = self.half_open.remove(key) {
            self.forget(now, &attempt);
        }
    }

    /// Clears what the table of attempts does not know: the connection id, the QUIC connection and the seat.
    fn forget(&mut self, now: Micros, attempt: &Attempt) {
        if let AttemptKey::Quic(id) = attempt.key {
            self.close_quic(now, id, CloseReason::TimedOut as u32);
        }
        self.routes.remove(&attempt.session_id);
        if let AttemptState::Offered { grant, .. } = &attempt.state {
            self.leave_seat(&seat(&grant.claims));
        }
    }

    fn refuse(&mut self, to: SocketAddr, client_id: ConnectionId, cookie: Cookie, refusal: Refusal) {
        self.counters.refuse(refusal);
        let refuse = Refuse {
            client_id,
            cookie,
            refusal,
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            schema_hash: self.config.schema_hash,
        };
        self.transmit(to, refuse.encode());
    }

    fn transmit(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.transmits.push_back(Transmit { to, bytes });
    }

    fn hash(&self, noise: &[u8]) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(&self.attempt_key);
        hasher.write(noise);
        hasher.finish128().as_bytes()
    }

    /// The routing token and random bytes that no session has.
    pub(super) fn unused_connection_id(&mut self) -> ConnectionId {
        loop {
            let mut id: ConnectionId = self.entropy.bytes();
            id[..self.config.routing_token.len()].copy_from_slice(&self.config.routing_token);
            if !self.routes.contains_key(&id) {
                return id;
            }
        }
    }
}
