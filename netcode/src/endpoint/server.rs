//! The server's side of the port: many sessions, told apart by connection id.

mod accepting;
mod over_quic;
mod routing;
mod seats;
mod timers;

pub(super) use over_quic::close_reason;
use seats::Line;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::id::ServerId;
use protocol::wire::{CloseReason, ConnectionId, ROUTING_TOKEN_BYTES_MAX, ResumeId, packet_type};
use zeroize::Zeroizing;

use self::timers::Timers;
use super::admission::{Admission, Seat};
use super::buffers::Buffers;
use super::cookie::CookieJar;
use super::half_open::{AttemptKey, HalfOpen};
use super::noise::public_key;
use super::path::Path;
use super::quic::server::{QuicId, QuicServer};
use super::quic::{QuicConfigError, QuicServerConfig};
use super::session::Session;
use super::{
    Carrier, Counters, DropReason, HandshakeDone, HandshakeJob, Received, SendError, ServerEvent, SessionId,
    SessionStats, Transmit,
};
use crate::{Entropy, Micros};

/// What a server endpoint needs to know.
pub struct ServerConfig {
    /// X25519 secret; assignments name its public key. May outlive the process: session keys are fresh all the same.
    pub static_secret: [u8; 32],
    /// Beginning of every connection id, for routing proxies; at most 3 bytes, may be empty.
    pub routing_token: Vec<u8>,
    /// This incarnation of the server process: the audience of its join tokens.
    pub server_id: ServerId,
    /// Hash of the game's schema.
    pub schema_hash: u64,
    /// Most players at once; more are refused as busy. A player who takes over the own seat is not one more.
    pub sessions_max: usize,
    /// Most handshakes at once that have no session yet; more are refused as busy.
    pub half_open_max: usize,
}

/// A server's sans-IO endpoint: one per UDP port.
///
/// Public-key work is not done here: run the jobs of [`poll_handshake`](Self::poll_handshake) on a bounded worker and hand
/// their outcomes to [`complete_handshake`](Self::complete_handshake).
pub struct ServerEndpoint {
    config: ServerConfig,
    static_secret: Arc<Zeroizing<[u8; 32]>>,
    entropy: Entropy,
    cookies: CookieJar,
    /// Key of the hash that tells repeated Connects from new ones.
    attempt_key: [u8; 16],
    half_open: HalfOpen,
    admission: Arc<Admission>,
    jobs: VecDeque<HandshakeJob>,
    is_draining: bool,
    sessions: BTreeMap<SessionId, Connected>,
    next_session: u64,
    /// Whose packet has this connection id.
    routes: BTreeMap<ConnectionId, Route>,
    /// The open session of each player.
    seats: BTreeMap<Seat, SessionId>,
    /// What outlives the session of each player who can come back.
    lines: BTreeMap<Seat, Line>,
    /// When each session wants to be woken.
    timers: Timers,
    transmits: VecDeque<Transmit>,
    events: VecDeque<ServerEvent>,
    buffers: Buffers,
    /// Where a session puts its packets, and which sessions a flush serves: memory that is used again.
    packets: Vec<Vec<u8>>,
    flushed: Vec<SessionId>,
    counters: Counters,
    /// QUIC on the same port, where the shell gave a certificate.
    quic: Option<QuicServer>,
    /// The session of each QUIC connection that has one.
    quic_sessions: BTreeMap<QuicId, SessionId>,
}

/// A session with what only a server knows of it.
struct Connected {
    session: Session,
    link: Link,
    seat: Seat,
    /// The ticket that it came with: good until the client is known to have heard us, and so to have the next.
    came_with: Option<ResumeId>,
    /// Why it is being closed, once it is.
    closed: Option<CloseReason>,
    /// Its entry among the timers.
    timer: Option<Micros>,
}

/// How a session's packets travel.
enum Link {
    Native { path: Path, connection_id: ConnectionId },
    Quic(QuicId),
}

impl Link {
    fn carrier(&self) -> Carrier {
        match self {
            Self::Native { .. } => Carrier::Native,
            Self::Quic(_) => Carrier::Quic,
        }
    }
}

#[derive(Clone, Copy)]
enum Route {
    Attempt(AttemptKey),
    Session(SessionId),
}

impl ServerEndpoint {
    /// An endpoint without sessions. `entropy` must come from the operating system, freshly for each process.
    ///
    /// # Panics
    /// When the routing token is longer than [`ROUTING_TOKEN_BYTES_MAX`]: check settings before.
    pub fn new(mut config: ServerConfig, mut entropy: Entropy) -> Self {
        assert!(config.routing_token.len() <= ROUTING_TOKEN_BYTES_MAX, "a routing token has at most 3 bytes");
        let static_secret = Arc::new(Zeroizing::new(std::mem::take(&mut config.static_secret)));
        Self {
            static_secret,
            cookies: CookieJar::new(&mut entropy),
            attempt_key: entropy.bytes(),
            half_open: HalfOpen::new(config.half_open_max),
            admission: Arc::new(Admission::new(config.server_id, config.sessions_max)),
            jobs: VecDeque::new(),
            is_draining: false,
            sessions: BTreeMap::new(),
            next_session: 1,
            routes: BTreeMap::new(),
            seats: BTreeMap::new(),
            lines: BTreeMap::new(),
            timers: Timers::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            buffers: Buffers::default(),
            packets: Vec::new(),
            flushed: Vec::new(),
            counters: Counters::default(),
            quic: None,
            quic_sessions: BTreeMap::new(),
            config,
            entropy,
        }
    }

    /// The same endpoint, speaking QUIC too. Without it, QUIC is dropped as an unknown type.
    ///
    /// # Errors
    /// [`QuicConfigError`] when TLS does not take the certificate.
    pub fn with_quic(mut self, config: &QuicServerConfig) -> Result<Self, QuicConfigError> {
        self.quic = Some(QuicServer::new(config, self.config.routing_token.clone(), &mut self.entropy)?);
        Ok(self)
    }

    /// The public key that clients must know.
    pub fn public_key(&self) -> [u8; 32] {
        public_key(&self.static_secret)
    }

    /// Takes one datagram. Whatever it holds, nothing worse happens than that it is dropped and counted.
    pub fn handle_datagram(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Received {
        self.counters.datagram_in(datagram);
        let result = match datagram.first() {
            None => Err(DropReason::TooShort),
            Some(&first) if Carrier::of(first) == Carrier::Quic => self.handle_quic(now, from, datagram),
            Some(&packet_type::HELLO) => self.handle_hello(now, from, datagram),
            Some(&packet_type::CONNECT) => self.handle_connect(now, from, datagram),
            Some(&packet_type::DATA) => self.handle_data(now, from, datagram),
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
        self.expire_attempts(now);
        self.expire_quic(now);
        while let Some(session) = self.timers.pop_due(now) {
            if let Some(connected) = self.sessions.get_mut(&session) {
                connected.timer = None;
                connected.session.handle_timeout(now);
                self.service(now, session, false);
            }
        }
        self.take_quic_events(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next. Ask again after every other call.
    pub fn poll_timeout(&self) -> Option<Micros> {
        let session = self.timers.first().map(|(due, _)| due);
        let quic = self.quic.as_ref().and_then(QuicServer::poll_timeout);
        [session, quic, self.half_open.next_timeout()].into_iter().flatten().min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let over_quic = |quic: &mut Option<QuicServer>| quic.as_mut().and_then(QuicServer::poll_transmit);
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
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// The next piece of public-key work, for a bounded worker. At most `half_open_max` are outstanding.
    pub fn poll_handshake(&mut self) -> Option<HandshakeJob> {
        self.jobs.pop_front()
    }

    /// Takes the outcome of a piece of public-key work; one that comes too late is ignored.
    pub fn complete_handshake(&mut self, now: Micros, done: HandshakeDone) {
        self.answer(now, done);
        self.take_quic_events(now);
    }

    /// Queues an unreliable payload for the next flush. With a `tag`, [`ServerEvent::Delivered`] tells when the packet that
    /// carried it was acknowledged. `_now` is here for symmetry: the flush decides when it leaves.
    ///
    /// # Errors
    /// [`SendError`]; the payload is dropped.
    pub fn send_unreliable(
        &mut self,
        _now: Micros,
        session: SessionId,
        payload: &[u8],
        tag: Option<u32>,
    ) -> Result<(), SendError> {
        self.open_session(session)?.send_unreliable(payload, tag)
    }

    /// Queues a reliable, ordered message for the next flush.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued. [`SendError::Full`]: 256 segments or 64 KiB are not acknowledged yet.
    pub fn send_message(&mut self, _now: Micros, session: SessionId, payload: &[u8]) -> Result<(), SendError> {
        self.open_session(session)?.send_message(payload)
    }

    /// Queues a bulk transfer: reliable, chunked, paced, one after another, beside everything else.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued. [`SendError::Full`]: four transfers wait already.
    pub fn send_bulk(&mut self, now: Micros, session: SessionId, payload: Vec<u8>) -> Result<(), SendError> {
        self.open_session(session)?.send_bulk(payload)?;
        self.arm(session, now);
        Ok(())
    }

    /// Packs the pending payloads of every session, with acks, into packets: one datagram per session where they fit.
    pub fn flush(&mut self, now: Micros) {
        let mut sessions = std::mem::take(&mut self.flushed);
        sessions.extend(self.sessions.keys());
        for session in sessions.drain(..) {
            self.service(now, session, true);
        }
        self.flushed = sessions;
        self.take_quic_events(now);
    }

    /// Closes a session; [`ServerEvent::Closed`] follows at once. Its player can come back unless the reason is that it
    /// left, was kicked, or that match, room or server are over. Close is sent three times. When the session ends in order
    /// (left, match ended, draining), reliable messages get up to 3 s to be delivered before it.
    pub fn close(&mut self, now: Micros, session: SessionId, reason: CloseReason) {
        if let Some(connected) = self.sessions.get_mut(&session) {
            connected.session.close(now, reason);
            self.service(now, session, false);
        }
    }

    /// Refuses every new handshake from now on, also of players who were here before; sessions go on.
    pub fn drain(&mut self, _now: Micros) {
        self.is_draining = true;
    }

    /// Measurements of a session.
    pub fn stats(&self, session: SessionId) -> Option<SessionStats> {
        let connected = self.sessions.get(&session)?;
        let mut stats = connected.session.stats();
        if let Link::Quic(id) = connected.link
            && let Some((bytes_out, bytes_in)) = self.quic.as_ref().and_then(|quic| quic.bytes(id))
        {
            (stats.bytes_out, stats.bytes_in) = (bytes_out, bytes_in);
        }
        Some(stats)
    }

    /// Totals since the endpoint was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The address that a session's packets go to now.
    pub fn remote(&self, session: SessionId) -> Option<SocketAddr> {
        match &self.sessions.get(&session)?.link {
            Link::Native { path, .. } => Some(path.remote()),
            Link::Quic(id) => self.quic.as_ref()?.remote(*id),
        }
    }

    /// What carries a session's packets.
    pub fn carrier(&self, session: SessionId) -> Option<Carrier> {
        self.sessions.get(&session).map(|connected| connected.link.carrier())
    }

    /// Sessions, those that are being closed included.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Handshakes that have no session yet.
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Resume tickets that are good: one per seat, two while a client that has come back has not heard the server.
    pub fn resume_tickets(&self) -> usize {
        self.admission.tickets()
    }

    /// Join tokens remembered as used.
    pub fn tokens_remembered(&self) -> usize {
        self.admission.tokens()
    }

    fn open_session(&mut self, session: SessionId) -> Result<&mut Session, SendError> {
        self.sessions.get_mut(&session).map(|connected| &mut connected.session).ok_or(SendError::NotOpen)
    }
}
