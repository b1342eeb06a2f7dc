//! A server's QUIC connections. It knows sessions by nothing but the id of their connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use bytes::BytesMut;
use protocol::wire::{CloseReason, DATAGRAM_BYTES_MAX, FRAMES_BYTES_MAX, encode_join_answer};
use quinn_proto::{ConnectionError, ConnectionHandle, DatagramEvent, Endpoint, Incoming};

use super::Room;
use super::link::{Link, LinkEvent};
use super::settings::{self, QuicConfigError, QuicServerConfig};
use super::time::{QuicTime, RetryClock};
use crate::endpoint::limits::{AMPLIFICATION_MAX, QUIC_REQUEST_TIMEOUT, QUIC_RETRY_FROM};
use crate::endpoint::{DropReason, Transmit};
use crate::{Entropy, Micros};

/// One connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::endpoint) struct QuicId(pub(in crate::endpoint) u64);

/// What a server does with the first packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::endpoint) enum Newcomers {
    /// Takes it.
    Welcome,
    /// Refuses it: no room.
    Busy,
}

/// All QUIC connections of the port.
pub(in crate::endpoint) struct QuicServer {
    endpoint: Endpoint,
    time: QuicTime,
    clock: RetryClock,
    connections: BTreeMap<QuicId, Guest>,
    by_handle: BTreeMap<ConnectionHandle, QuicId>,
    next_id: u64,
    timers: BTreeSet<(Micros, QuicId)>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<(QuicId, LinkEvent)>,
    /// Connections whose request is not answered with a session yet.
    half_open: usize,
    /// Addresses that were asked to prove themselves.
    pub(in crate::endpoint) retries: u64,
}

struct Guest {
    link: Link,
    timer: Option<Micros>,
    /// Until when the request must be there; none once it is.
    request_until: Option<Micros>,
    is_half_open: bool,
    /// What its address sent and got, until TLS is done.
    unproven: Option<Unproven>,
}

/// Bytes from and to an address that has not answered anything yet.
#[derive(Debug, Clone, Copy)]
struct Unproven {
    heard: u64,
    said: u64,
}

impl Unproven {
    /// Takes these bytes off what may still be sent; false: it would be too much.
    fn may_send(&mut self, bytes: u64) -> bool {
        let is_within = self.said + bytes <= AMPLIFICATION_MAX * self.heard;
        self.said += if is_within { bytes } else { 0 };
        is_within
    }
}

impl QuicServer {
    pub(in crate::endpoint) fn new(
        config: &QuicServerConfig,
        routing_token: Vec<u8>,
        entropy: &mut Entropy,
    ) -> Result<Self, QuicConfigError> {
        let clock = RetryClock::default();
        let server = settings::server(config, clock.clone(), entropy)?;
        let shared = settings::endpoint(entropy, routing_token);
        Ok(Self {
            endpoint: Endpoint::new(shared, Some(server), false, Some(entropy.bytes())),
            time: QuicTime::new(config.base),
            clock,
            connections: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            next_id: 1,
            timers: BTreeSet::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            half_open: 0,
            retries: 0,
        })
    }

    /// Takes a datagram. Returns the connection that it began, if it did.
    pub(in crate::endpoint) fn handle(
        &mut self,
        now: Micros,
        from: SocketAddr,
        datagram: &[u8],
        newcomers: Newcomers,
    ) -> Result<Option<QuicId>, DropReason> {
        self.clock.set(now);
        let (instant, mut answer) = (self.time.instant(now), Vec::new());
        let event = self.endpoint.handle(instant, from, None, None, BytesMut::from(datagram), &mut answer);
        match event {
            // Not for any connection, not authentic, or not QUIC: quinn-proto does not say which.
            None => Err(DropReason::Quic),
            Some(DatagramEvent::Response(transmit)) => {
                self.transmits.push_back(Transmit { to: transmit.destination, bytes: within_limit(answer) });
                Ok(None)
            }
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let Some(&id) = self.by_handle.get(&handle) else { return Err(DropReason::Quic) };
                if let Some(guest) = self.connections.get_mut(&id) {
                    if let Some(unproven) = &mut guest.unproven {
                        // Nobody moves before the handshake is done (RFC 9000, 9), and one address gets nothing for
                        // what another one sent: quinn-proto would count it.
                        if guest.link.connection.remote_address() != from {
                            return Err(DropReason::Quic);
                        }
                        unproven.heard += datagram.len() as u64;
                    }
                    guest.link.connection.handle_event(event);
                }
                self.advance(now, id);
                Ok(None)
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let unproven = Unproven { heard: datagram.len() as u64, said: 0 };
                Ok(self.begin(now, incoming, unproven, newcomers))
            }
        }
    }

    fn begin(&mut self, now: Micros, incoming: Incoming, unproven: Unproven, newcomers: Newcomers) -> Option<QuicId> {
        let (at, mut bytes) = (self.time.instant(now), Vec::new());
        if self.half_open >= QUIC_RETRY_FROM && !incoming.remote_address_validated() && incoming.may_retry() {
            self.retries += 1;
            if let Ok(transmit) = self.endpoint.retry(incoming, &mut bytes) {
                self.transmits.push_back(Transmit { to: transmit.destination, bytes });
            }
            return None;
        }
        if newcomers == Newcomers::Busy {
            let transmit = self.endpoint.refuse(incoming, &mut bytes);
            self.transmits.push_back(Transmit { to: transmit.destination, bytes });
            return None;
        }
        match self.endpoint.accept(incoming, at, &mut bytes, None) {
            Ok((handle, connection)) => {
                let id = QuicId(self.next_id);
                self.next_id += 1;
                let guest = Guest {
                    link: Link::new(handle, connection),
                    timer: None,
                    request_until: Some(now + QUIC_REQUEST_TIMEOUT),
                    is_half_open: true,
                    unproven: Some(unproven),
                };
                self.half_open += 1;
                self.by_handle.insert(handle, id);
                self.connections.insert(id, guest);
                self.advance(now, id);
                Some(id)
            }
            Err(error) => {
                let answer = error.response.map(|transmit| Transmit { to: transmit.destination, bytes });
                self.transmits.extend(answer);
                None
            }
        }
    }

    pub(in crate::endpoint) fn handle_timeout(&mut self, now: Micros) {
        self.clock.set(now);
        while let Some(&(due, id)) = self.timers.first() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            let instant = self.time.instant(now);
            let Some(guest) = self.connections.get_mut(&id) else { continue };
            guest.timer = None;
            guest.link.connection.handle_timeout(instant);
            if guest.request_until.is_some_and(|until| until <= now) {
                self.events.push_back((id, LinkEvent::Lost(ConnectionError::TimedOut)));
                self.close(now, id, CloseReason::TimedOut as u32);
            }
            self.advance(now, id);
        }
    }

    pub(in crate::endpoint) fn poll_timeout(&self) -> Option<Micros> {
        self.timers.first().map(|(due, _)| *due)
    }

    pub(in crate::endpoint) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(in crate::endpoint) fn poll_event(&mut self) -> Option<(QuicId, LinkEvent)> {
        self.events.pop_front()
    }

    /// What the client has sent on its stream so far; empty when its connection is gone.
    pub(in crate::endpoint) fn stream_bytes(&self, id: QuicId) -> &[u8] {
        self.connections.get(&id).map(|guest| guest.link.stream_bytes()).unwrap_or_default()
    }

    /// The request is there. Returns whether the connection can carry every packet.
    pub(in crate::endpoint) fn took_request(&mut self, id: QuicId) -> bool {
        let Some(guest) = self.connections.get_mut(&id) else { return false };
        guest.request_until = None;
        guest.link.room().frames == FRAMES_BYTES_MAX
    }

    /// Whether the request is still awaited.
    pub(in crate::endpoint) fn awaits_request(&self, id: QuicId) -> bool {
        self.connections.get(&id).is_some_and(|guest| guest.request_until.is_some())
    }

    /// The connection has a session.
    pub(in crate::endpoint) fn took_session(&mut self, id: QuicId) {
        if let Some(guest) = self.connections.get_mut(&id) {
            self.half_open -= usize::from(std::mem::take(&mut guest.is_half_open));
        }
    }

    /// What binds a proof to this connection; none once it is gone.
    pub(in crate::endpoint) fn export(&self, id: QuicId) -> Option<[u8; 32]> {
        self.connections.get(&id)?.link.export()
    }

    /// Answers the request with an accept payload.
    pub(in crate::endpoint) fn answer(&mut self, now: Micros, id: QuicId, payload: &[u8]) {
        if let Some(guest) = self.connections.get_mut(&id) {
            guest.link.say(&encode_join_answer(payload));
            self.advance(now, id);
        }
    }

    /// What a session may pack now.
    pub(in crate::endpoint) fn room(&mut self, id: QuicId) -> Option<Room> {
        self.connections.get_mut(&id).map(|guest| guest.link.room())
    }

    /// Sends a session's packets.
    pub(in crate::endpoint) fn send(&mut self, now: Micros, id: QuicId, packets: &mut Vec<Vec<u8>>) {
        let Some(guest) = self.connections.get_mut(&id) else { return };
        let has_any = !packets.is_empty();
        packets.drain(..).for_each(|packet| guest.link.send(packet));
        if has_any {
            self.advance(now, id);
        }
    }

    /// Closes a connection; nothing is heard from it any more.
    pub(in crate::endpoint) fn close(&mut self, now: Micros, id: QuicId, code: u32) {
        let instant = self.time.instant(now);
        if let Some(guest) = self.connections.get_mut(&id) {
            guest.request_until = None;
            guest.link.close(instant, code);
            self.advance(now, id);
        }
    }

    pub(in crate::endpoint) fn remote(&self, id: QuicId) -> Option<SocketAddr> {
        self.connections.get(&id).map(|guest| guest.link.connection.remote_address())
    }

    /// Bytes of UDP payload that a connection has sent and received.
    pub(in crate::endpoint) fn bytes(&self, id: QuicId) -> Option<(u64, u64)> {
        let stats = self.connections.get(&id)?.link.connection.stats();
        Some((stats.udp_tx.bytes, stats.udp_rx.bytes))
    }

    /// Lets a connection do what it can, and sets its timer; forgets it once it has drained.
    fn advance(&mut self, now: Micros, id: QuicId) {
        let instant = self.time.instant(now);
        let Some(guest) = self.connections.get_mut(&id) else { return };
        let (mut transmits, mut events) = (VecDeque::new(), Vec::new());
        guest.link.advance(instant, &mut self.endpoint, &mut transmits, &mut events);
        if events.iter().any(|event| matches!(event, LinkEvent::Established)) {
            guest.unproven = None;
        }
        if let Some(unproven) = &mut guest.unproven {
            // quinn-proto sends as long as one byte is left, so its last datagram may be too much. What is dropped here
            // is lost to it, and is sent again when more has come.
            transmits.retain(|transmit| unproven.may_send(transmit.bytes.len() as u64));
        }
        self.transmits.append(&mut transmits);
        if let Some(timer) = guest.timer.take() {
            self.timers.remove(&(timer, id));
        }
        if guest.link.connection.is_closed() {
            guest.request_until = None;
            self.half_open -= usize::from(std::mem::take(&mut guest.is_half_open));
        }
        self.events.extend(events.into_iter().map(|event| (id, event)));
        if guest.link.connection.is_drained() {
            self.by_handle.remove(&guest.link.handle);
            self.connections.remove(&id);
            return;
        }
        let quic = guest.link.connection.poll_timeout().map(|at| self.time.micros(at));
        guest.timer = [quic, guest.request_until].into_iter().flatten().min();
        self.timers.extend(guest.timer.map(|at| (at, id)));
    }
}

/// An answer without a connection, no longer than any datagram may be. Only a stateless reset can be: quinn-proto lets it be
/// as long as what it answers. It is random but for its first byte and the token of 16 bytes at its end (RFC 9000, 10.3), so
/// what is too much of the random part is left out.
fn within_limit(mut answer: Vec<u8>) -> Vec<u8> {
    let excess = answer.len().saturating_sub(DATAGRAM_BYTES_MAX);
    answer.drain(1..=excess);
    answer
}
