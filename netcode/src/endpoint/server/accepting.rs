//! A server's handshakes: Hello, Connect, the worker's answer, the first packet.

use std::hash::Hasher;
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::token::JoinClaims;
use protocol::wire::{
    Connect, ConnectionId, CookieReply, DataHeader, Hello, Refusal, Refuse, VERSION_MAX, VERSION_MIN, prologue,
};
use siphasher::sip128::{Hasher128, SipHasher24};

use super::{Connected, Route, ServerEndpoint};
use crate::Micros;
use crate::endpoint::admission::seat;
use crate::endpoint::half_open::{Attempt, AttemptKey, AttemptState};
use crate::endpoint::handshake::Outcome;
use crate::endpoint::path::Path;
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
        let key = (hello.client_id, self.hash(&connect.noise));
        if let Some(attempt) = self.half_open.get_mut(&key) {
            // A lost answer: the very same one again, to where the client is now.
            (attempt.remote, attempt.cookie) = (from, connect.cookie);
            let answer = match &attempt.state {
                AttemptState::Working => None,
                AttemptState::Refused { accept } | AttemptState::Offered { accept, .. } => Some(accept.clone()),
            };
            answer.into_iter().for_each(|accept| self.transmit(from, accept));
            return Ok(());
        }
        match self.check_connect(hello) {
            Ok(version) => self.begin(now, from, key, connect, version),
            Err(refusal) => self.refuse(from, hello.client_id, connect.cookie, refusal),
        }
        Ok(())
    }

    fn check_connect(&mut self, hello: &Hello) -> Result<u16, Refusal> {
        if self.is_draining {
            return Err(Refusal::Draining);
        }
        let version = VERSION_MAX.min(hello.version_max);
        if version < VERSION_MIN.max(hello.version_min) {
            return Err(Refusal::Version);
        }
        if hello.schema_hash != self.config.schema_hash {
            return Err(Refusal::Schema);
        }
        match self.half_open.make_room() {
            Ok(dropped) => dropped.into_iter().for_each(|attempt| self.forget(&attempt)),
            Err(()) => return Err(Refusal::Busy),
        }
        Ok(version)
    }

    fn begin(&mut self, now: Micros, from: SocketAddr, key: AttemptKey, connect: Connect, version: u16) {
        let session_id = self.unused_connection_id();
        let number = self.half_open.insert(now, key, from, connect.cookie, session_id);
        self.routes.insert(session_id, Route::Attempt(key));
        self.jobs.push_back(HandshakeJob {
            key,
            number,
            static_secret: Arc::clone(&self.static_secret),
            entropy: self.entropy.fork(),
            prologue: prologue(&connect.hello),
            noise: connect.noise,
            session_id,
            version,
            admission: Arc::clone(&self.admission),
        });
    }

    pub(super) fn answer(&mut self, now: Micros, done: HandshakeDone) {
        let HandshakeDone { key, number, outcome } = done;
        let Some(attempt) = self.half_open.get_mut(&key).filter(|attempt| attempt.number == number) else { return };
        let (remote, cookie, session_id) = (attempt.remote, attempt.cookie, attempt.session_id);
        match outcome {
            Outcome::Undecryptable => {
                self.abandon(&key);
                self.refuse(remote, key.0, cookie, Refusal::ServerKey);
            }
            Outcome::Refused { refusal, accept } => {
                attempt.state = AttemptState::Refused { accept: accept.clone() };
                self.routes.remove(&session_id);
                self.counters.refuse(refusal);
                self.transmit(remote, accept);
            }
            Outcome::Offered { accept, keys, claims } => {
                // What the worker saw may have changed since: asked again, and refused in the clear.
                if let Err(refusal) = self.admission.check(&claims) {
                    self.abandon(&key);
                    self.refuse(remote, key.0, cookie, refusal);
                    return;
                }
                match self.half_open.offer_to(&seat(&claims)) {
                    Some((_, other)) if other > number => {
                        // The player has begun again since; the newer attempt counts.
                        self.abandon(&key);
                        return;
                    }
                    Some((other, _)) => self.abandon(&other),
                    None => {}
                }
                Arc::make_mut(&mut self.admission).take_seat(seat(&claims));
                let session = Box::new(Session::new(now, Role::Server, key.0, &keys));
                self.half_open.offer(&key, accept.clone(), session, claims);
                self.transmit(remote, accept);
            }
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
        session.receive(now, header, datagram)?;
        let attempt = self.half_open.remove(key).ok_or(DropReason::UnknownSession)?;
        let AttemptState::Offered { session, claims, .. } = attempt.state else {
            return Err(DropReason::UnknownSession);
        };
        self.connect(now, from, attempt.session_id, *session, *claims);
        Ok(())
    }

    fn connect(
        &mut self,
        now: Micros,
        remote: SocketAddr,
        connection_id: ConnectionId,
        mut session: Session,
        claims: JoinClaims,
    ) {
        let seat = seat(&claims);
        Arc::make_mut(&mut self.admission).use_token(now, &claims.jti);
        if let Some(older) = self.seats.get(&seat).copied() {
            self.close(now, older, protocol::wire::CloseReason::SeatTaken);
        }
        let id = SessionId(self.next_session);
        self.next_session += 1;
        Arc::make_mut(&mut self.admission).take_seat(seat);
        self.seats.insert(seat, id);
        self.routes.insert(connection_id, Route::Session(id));
        self.counters.handshakes_accepted += 1;
        // The client pings until it hears us.
        session.received.note_urgent(now);
        self.sessions.insert(id, Connected { session, path: Path::new(remote), seat, connection_id, timer: None });
        self.events.push_back(ServerEvent::Connected { session: id, claims, remote });
        self.service(now, id, false);
    }

    pub(super) fn expire_attempts(&mut self, now: Micros) {
        while let Some(attempt) = self.half_open.pop_expired(now) {
            self.forget(&attempt);
        }
        if self.admission.has_expired_tokens(now) {
            Arc::make_mut(&mut self.admission).forget_expired(now);
        }
    }

    fn abandon(&mut self, key: &AttemptKey) {
        if let Some(attempt) = self.half_open.remove(key) {
            self.forget(&attempt);
        }
    }

    /// Clears what the table of attempts does not know: the connection id and the seat.
    fn forget(&mut self, attempt: &Attempt) {
        self.routes.remove(&attempt.session_id);
        if let AttemptState::Offered { claims, .. } = &attempt.state {
            self.leave_seat(&seat(claims));
        }
    }

    fn refuse(&mut self, to: SocketAddr, client_id: ConnectionId, cookie: protocol::wire::Cookie, refusal: Refusal) {
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
    fn unused_connection_id(&mut self) -> ConnectionId {
        loop {
            let mut id: ConnectionId = self.entropy.bytes();
            id[..self.config.routing_token.len()].copy_from_slice(&self.config.routing_token);
            if !self.routes.contains_key(&id) {
                return id;
            }
        }
    }
}
