//! The client's side of the port: one handshake, then one session.

mod over_quic;
mod resumption;

use std::collections::VecDeque;
use std::net::SocketAddr;

use protocol::wire::{
    Accept, AcceptPayload, CONNECTION_ID_BYTES, CloseReason, Connect, ConnectionId, Cookie, CookieReply, DataHeader,
    Hello, Refusal, Refuse, ResumeBinder, ResumeTicket, SessionOffer, VERSION_MAX, VERSION_MIN, packet_type, prologue,
};

use super::buffers::Buffers;
use super::limits::{CONNECTS_PER_COOKIE, HANDSHAKE_RETRY_FIRST, HANDSHAKE_RETRY_MAX, HANDSHAKE_TIMEOUT};
use super::noise::Initiator;
use super::quic::client::QuicClient;
use super::quic::{QuicClientConfig, Room};
use super::session::{Role, Session, SessionEvent};
use super::{
    Carrier, ClientEvent, Counters, Credential, DropReason, Received, RefusalDetail, Resumption, SendError, SessionId,
    SessionStats, Transmit,
};
use crate::{Entropy, Micros};

/// What a client endpoint needs to know, all of it from the assignment.
pub struct ClientConfig {
    /// The server's address.
    pub server: SocketAddr,
    /// The server's public key.
    pub server_key: [u8; 32],
    /// Beginning of every connection id towards the server; may be empty.
    pub routing_token: Vec<u8>,
    /// By what right.
    pub credential: Credential,
    /// Hash of the game's schema.
    pub schema_hash: u64,
    /// What QUIC needs, to go by QUIC; `None`: by native UDP.
    pub quic: Option<QuicClientConfig>,
}

/// A client's sans-IO endpoint. To connect again, make another one: with another token, or with the
/// [`resumption`](Self::resumption) of this one.
pub struct ClientEndpoint {
    server: SocketAddr,
    client_id: ConnectionId,
    credential: Credential,
    state: State,
    /// What the server gave to come back with.
    ticket: Option<ResumeTicket>,
    /// What is left of a session that has ended.
    left: Option<Resumption>,
    /// The connection, where packets go by QUIC.
    quic: Option<Box<QuicClient>>,
    /// Why the session is being closed, once it is.
    close_reason: Option<CloseReason>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<ClientEvent>,
    buffers: Buffers,
    /// Where the session puts its packets: memory that is used again.
    packets: Vec<Vec<u8>>,
    counters: Counters,
}

enum State {
    Handshake(Box<Handshake>),
    /// A QUIC connection is being made, or its request answered, until the deadline.
    Asking {
        deadline: Micros,
    },
    Connected(Box<Session>),
    Done(SessionStats),
}

/// A handshake that is not answered yet.
struct Handshake {
    hello: Hello,
    initiator: Initiator,
    /// Noise message 1: the same in every Connect, so that the server knows a repetition.
    noise: Vec<u8>,
    cookie: Option<Cookie>,
    connects_left: u32,
    retry_after: std::time::Duration,
    retry_at: Micros,
    deadline: Micros,
}

impl ClientEndpoint {
    /// An endpoint that begins its handshake at once; its public-key work (0.1 ms) runs here and when the answer comes.
    /// A token that is too long, or a server key that is none, is refused by an event, as the server would.
    pub fn new(config: ClientConfig, mut entropy: Entropy, now: Micros) -> Self {
        let client_id = entropy.bytes();
        let server = config.server;
        let mut endpoint = Self {
            server,
            client_id,
            credential: config.credential.clone(),
            state: State::Done(SessionStats::default()),
            ticket: None,
            left: None,
            quic: None,
            close_reason: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            buffers: Buffers::default(),
            packets: Vec::new(),
            counters: Counters::default(),
        };
        if let Some(quic) = config.quic.clone() {
            endpoint.dial(config, quic, &mut entropy, now);
            return endpoint;
        }
        match Handshake::new(&config, client_id, &mut entropy, now) {
            Ok(handshake) => {
                endpoint.state = State::Handshake(Box::new(handshake));
                endpoint.handle_timeout(now);
            }
            Err(refusal) => endpoint.events.push_back(ClientEvent::Refused { refusal, detail: None }),
        }
        endpoint
    }

    /// Takes one datagram. Whatever it holds, nothing worse happens than that it is dropped and counted.
    pub fn handle_datagram(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Received {
        self.counters.datagram_in(datagram);
        let result = match datagram.first() {
            _ if from != self.server => Err(DropReason::WrongAddress),
            None => Err(DropReason::TooShort),
            Some(&first) if Carrier::of(first) == Carrier::Quic => self.handle_quic(now, from, datagram),
            Some(_) if self.quic.is_some() => Err(DropReason::UnknownType),
            Some(&packet_type::COOKIE) => self.handle_cookie(now, datagram),
            Some(&packet_type::ACCEPT) => self.handle_accept(now, datagram),
            Some(&packet_type::REFUSE) => self.handle_refuse(datagram),
            Some(&packet_type::DATA) => self.handle_data(now, datagram),
            Some(_) => Err(DropReason::UnknownType),
        };
        match result {
            Ok(()) => Received::Accepted,
            Err(reason) => {
                self.counters.drop(reason);
                Received::Dropped(reason)
            }
        }
    }

    /// Takes the passing of time. Calls before [`poll_timeout`](Self::poll_timeout) are harmless.
    pub fn handle_timeout(&mut self, now: Micros) {
        self.expire_quic(now);
        match &mut self.state {
            State::Asking { deadline } if now >= *deadline => {
                self.close_quic(now, CloseReason::TimedOut as u32);
                self.timed_out();
            }
            State::Handshake(handshake) if now >= handshake.deadline => self.timed_out(),
            State::Handshake(handshake) => {
                let bytes = handshake.retry(now);
                self.transmits.extend(bytes.map(|bytes| Transmit { to: self.server, bytes }));
            }
            State::Connected(session) => {
                session.handle_timeout(now);
                self.service(now, false);
            }
            State::Asking { .. } | State::Done(_) => {}
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None`: the endpoint is done. Ask again after every
    /// other call.
    pub fn poll_timeout(&self) -> Option<Micros> {
        let own = match &self.state {
            State::Handshake(handshake) => Some(handshake.retry_at.min(handshake.deadline)),
            State::Asking { deadline } => Some(*deadline),
            State::Connected(session) => session.next_timeout(),
            State::Done(_) => return None,
        };
        [own, self.quic.as_ref().and_then(|quic| quic.next_timeout())].into_iter().flatten().min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let over_quic = |quic: &mut Option<Box<QuicClient>>| quic.as_mut().and_then(|quic| quic.poll_transmit());
        let transmit = self.transmits.pop_front().or_else(|| over_quic(&mut self.quic))?;
        self.counters.datagram_out(&transmit.bytes);
        Some(transmit)
    }

    /// Gives back the bytes of a [`Transmit`] that was sent, or of an event's payload that was read: their memory is used
    /// again. Who drops them instead pays an allocation for each.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.buffers.give(bytes);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Queues an unreliable payload for the next flush. With a `tag`, [`ClientEvent::Delivered`] tells when the packet that
    /// carried it was acknowledged.
    ///
    /// # Errors
    /// [`SendError`]; the payload is dropped.
    pub fn send_unreliable(&mut self, _now: Micros, payload: &[u8], tag: Option<u32>) -> Result<(), SendError> {
        self.session()?.send_unreliable(payload, tag)
    }

    /// Queues a reliable, ordered message for the next flush.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued. [`SendError::Full`]: 256 segments or 64 KiB are not acknowledged yet.
    pub fn send_message(&mut self, _now: Micros, payload: &[u8]) -> Result<(), SendError> {
        self.session()?.send_message(payload)
    }

    /// Packs the pending payloads, with acks, into packets: one datagram where they fit.
    pub fn flush(&mut self, now: Micros) {
        self.service(now, true);
    }

    /// Closes the session; [`ClientEvent::Closed`] follows at once. Keep polling until [`is_done`](Self::is_done): Close is
    /// sent three times, after reliable messages were delivered or 3 s have passed. A handshake just ends.
    pub fn close(&mut self, now: Micros, reason: CloseReason) {
        match &mut self.state {
            State::Connected(session) => {
                session.close(now, reason);
                self.service(now, false);
            }
            State::Handshake(_) | State::Asking { .. } => {
                self.close_quic(now, reason as u32);
                self.state = State::Done(SessionStats::default());
                self.events.push_back(ClientEvent::Closed { reason, by_peer: false });
            }
            State::Done(_) => {}
        }
    }

    /// Whether payloads may be sent.
    pub fn is_open(&self) -> bool {
        matches!(&self.state, State::Connected(session) if session.is_open())
    }

    /// Whether the endpoint is done: refused, timed out or closed, with nothing left to send.
    pub fn is_done(&self) -> bool {
        let is_quiet = self.transmits.is_empty() && self.quic.as_ref().is_none_or(|quic| quic.is_quiet());
        matches!(self.state, State::Done(_)) && is_quiet
    }

    /// Measurements of the session; those at its end when it has ended.
    pub fn stats(&self) -> SessionStats {
        match &self.state {
            State::Handshake(_) | State::Asking { .. } => SessionStats::default(),
            State::Connected(session) => self.stats_of(session),
            State::Done(stats) => *stats,
        }
    }

    /// Totals since the endpoint was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn handle_cookie(&mut self, now: Micros, datagram: &[u8]) -> Result<(), DropReason> {
        let reply = CookieReply::decode(datagram)?;
        let State::Handshake(handshake) = &mut self.state else { return Err(DropReason::Stale) };
        if reply.client_id != self.client_id {
            return Err(DropReason::UnknownSession);
        }
        if handshake.cookie.is_some() {
            return Err(DropReason::Stale);
        }
        handshake.take_cookie(now, reply.cookie);
        self.handle_timeout(now);
        Ok(())
    }

    fn handle_accept(&mut self, now: Micros, datagram: &[u8]) -> Result<(), DropReason> {
        let accept = Accept::decode(datagram)?;
        let State::Handshake(handshake) = &mut self.state else { return Err(DropReason::Stale) };
        if accept.client_id != self.client_id {
            return Err(DropReason::UnknownSession);
        }
        let (payload, keys) = handshake.initiator.finish(&accept.noise).map_err(|_| DropReason::BadAuth)?;
        match AcceptPayload::decode(&payload) {
            Ok(AcceptPayload::Offer(offer)) if (VERSION_MIN..=VERSION_MAX).contains(&offer.version) => {
                let session = Session::new(now, Role::Client, offer.session_id, &keys);
                self.begin(now, Carrier::Native, session, &offer);
            }
            Ok(AcceptPayload::Refused(refusal)) => self.refused(refusal, None),
            // Authentic, so it will not get better: the server speaks another version than it says.
            Ok(AcceptPayload::Offer(_)) | Err(_) => {
                self.refused(Refusal::Version, None);
                return Err(DropReason::Malformed);
            }
        }
        Ok(())
    }

    /// An offer begins the session: a Ping goes out at once.
    fn begin(&mut self, now: Micros, carrier: Carrier, mut session: Session, offer: &SessionOffer) {
        session.ping_at_once();
        self.take_up(&mut session, offer);
        self.state = State::Connected(Box::new(session));
        self.counters.accepted(carrier);
        let session = SessionId(u64::from_le_bytes(offer.session_id));
        self.events.push_back(ClientEvent::Connected { session, version: offer.version });
        self.service(now, false);
    }

    fn handle_refuse(&mut self, datagram: &[u8]) -> Result<(), DropReason> {
        let refuse = Refuse::decode(datagram)?;
        let State::Handshake(handshake) = &self.state else { return Err(DropReason::Stale) };
        if refuse.client_id != self.client_id {
            return Err(DropReason::UnknownSession);
        }
        if handshake.cookie != Some(refuse.cookie) {
            return Err(DropReason::BadCookie);
        }
        let detail = RefusalDetail {
            version_min: refuse.version_min,
            version_max: refuse.version_max,
            schema_hash: refuse.schema_hash,
        };
        self.refused(refuse.refusal, Some(detail));
        Ok(())
    }

    fn handle_data(&mut self, now: Micros, datagram: &[u8]) -> Result<(), DropReason> {
        let (header, _) = DataHeader::decode(datagram)?;
        let State::Connected(session) = &mut self.state else { return Err(DropReason::Stale) };
        if header.connection_id != self.client_id {
            return Err(DropReason::UnknownSession);
        }
        let result = session.receive(now, header, datagram, &mut self.buffers);
        if matches!(result, Ok(_) | Err(DropReason::Malformed)) {
            self.service(now, false);
        }
        result.map(drop)
    }

    fn refused(&mut self, refusal: Refusal, detail: Option<RefusalDetail>) {
        self.counters.refuse(refusal);
        self.left = self.credential.resumption().filter(|_| refusal == Refusal::Busy).cloned();
        self.state = State::Done(SessionStats::default());
        self.events.push_back(ClientEvent::Refused { refusal, detail });
    }

    fn session(&mut self) -> Result<&mut Session, SendError> {
        match &mut self.state {
            State::Connected(session) => Ok(session),
            State::Handshake(_) | State::Asking { .. } | State::Done(_) => Err(SendError::NotOpen),
        }
    }

    /// Hands on the session's events and sends what it has to send.
    fn service(&mut self, now: Micros, flush: bool) {
        let State::Connected(session) = &mut self.state else { return };
        let packets = &mut self.packets;
        match &mut self.quic {
            None => {
                session.transmit(now, flush, Room::NATIVE, &mut self.buffers, packets);
                self.transmits.extend(packets.drain(..).map(|bytes| Transmit { to: self.server, bytes }));
            }
            Some(quic) => {
                session.transmit(now, flush, quic.room(), &mut self.buffers, packets);
                quic.send(now, packets);
            }
        }
        while let Some(event) = session.poll_event() {
            if let SessionEvent::Closed { reason, .. } = event {
                self.close_reason = Some(reason);
            }
            self.events.push_back(client_event(event));
        }
        if session.has_ended() {
            self.end(now);
        }
    }
}

impl Handshake {
    fn new(
        config: &ClientConfig,
        client_id: ConnectionId,
        entropy: &mut Entropy,
        now: Micros,
    ) -> Result<Self, Refusal> {
        let mut destination: ConnectionId = entropy.bytes();
        let routed = config.routing_token.len().min(CONNECTION_ID_BYTES);
        destination[..routed].copy_from_slice(&config.routing_token[..routed]);
        let hello = Hello {
            destination,
            client_id,
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            schema_hash: config.schema_hash,
        };
        let mut is_good = true;
        let payload = |ephemeral| {
            let request = config.credential.request(|| Some(ResumeBinder::Native { ephemeral, client_id }));
            is_good = request.is_some();
            request.unwrap_or_default()
        };
        let started = Initiator::start(entropy, &config.server_key, &prologue(&hello), payload);
        let (initiator, noise) = started.map_err(|_| Refusal::ServerKey)?;
        if !is_good {
            return Err(Refusal::TokenMalformed);
        }
        Ok(Self {
            hello,
            initiator,
            noise,
            cookie: None,
            connects_left: 0,
            retry_after: HANDSHAKE_RETRY_FIRST,
            retry_at: now,
            deadline: now + HANDSHAKE_TIMEOUT,
        })
    }

    fn take_cookie(&mut self, now: Micros, cookie: Cookie) {
        self.cookie = Some(cookie);
        self.connects_left = CONNECTS_PER_COOKIE;
        self.retry_after = HANDSHAKE_RETRY_FIRST;
        self.retry_at = now;
    }

    /// The packet to send now, if one is due.
    fn retry(&mut self, now: Micros) -> Option<Vec<u8>> {
        if now < self.retry_at {
            return None;
        }
        self.retry_at = now + self.retry_after;
        self.retry_after = (self.retry_after * 2).min(HANDSHAKE_RETRY_MAX);
        if self.connects_left == 0 {
            self.cookie = None;
        }
        Some(match self.cookie {
            None => self.hello.encode(),
            Some(cookie) => {
                self.connects_left -= 1;
                Connect { hello: self.hello.clone(), cookie, noise: self.noise.clone() }.encode()
            }
        })
    }
}

fn client_event(event: SessionEvent) -> ClientEvent {
    match event {
        SessionEvent::Unreliable(payload) => ClientEvent::Unreliable { payload },
        SessionEvent::Message(payload) => ClientEvent::Message { payload },
        SessionEvent::Bulk(payload) => ClientEvent::Bulk { payload },
        SessionEvent::Delivered(tag) => ClientEvent::Delivered { tag },
        SessionEvent::Silent => ClientEvent::Silent,
        SessionEvent::Heard => ClientEvent::Heard,
        SessionEvent::Closed { reason, by_peer } => ClientEvent::Closed { reason, by_peer },
    }
}
