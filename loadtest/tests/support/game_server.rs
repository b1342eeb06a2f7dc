//! One match of the arena on a UDP port of this machine, at its real speed, on a thread of its own.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arena::Arena;
use game::setup::Player;
use game::{Game as _, Leave, MatchSetup, Room, RoomConfig, RoomInput, RoomSink, SeatId};
use netcode::endpoint::{Carrier, QuicServerConfig, ServerConfig, ServerEndpoint, ServerEvent, SessionId};
use netcode::{Entropy, Micros};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::token::{ALLOCATOR_ISSUER, JoinClaims};
use protocol::wire::{CloseReason, Refusal};

pub(crate) const TICK: Duration = Duration::from_nanos(16_666_667);

/// A running match.
pub(crate) struct GameServer {
    pub(crate) address: SocketAddr,
    pub(crate) server_key: [u8; 32],
    /// SHA-256 of its QUIC certificate.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl GameServer {
    /// Starts a match of these players, everyone alone, for this long. Datagrams of the blocked carrier vanish on their way
    /// to the server.
    pub(crate) fn start(match_id: MatchId, players: &[PlayerId], seconds: u32, blocked: Option<Carrier>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let config = ServerConfig {
            static_secret: [3; 32],
            routing_token: vec![7],
            server_id: ServerId::from_entropy([7; 16]),
            schema_hash: Arena::schema().hash(),
            sessions_max: 16,
            half_open_max: 16,
        };
        let (quic, fingerprint) = certificate();
        let endpoint = ServerEndpoint::new(config, Entropy::new([5; 32])).with_quic(&quic).unwrap();
        let server_key = endpoint.public_key();
        let setup = MatchSetup {
            match_id,
            seed: 11,
            tick_rate_hz: 60,
            players: (0..)
                .zip(players)
                .map(|(seat, id)| Player { id: *id, seat: SeatId(seat), team: seat.into(), name: format!("p{seat}") })
                .collect(),
            settings: serde_json::from_value(serde_json::json!({ "mode": "ffa", "seconds": seconds })).unwrap(),
        };
        let (is_over, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut running = Running {
            socket,
            endpoint,
            room: Room::new(setup, RoomConfig::default()).unwrap(),
            sessions: BTreeMap::new(),
            begin: Instant::now(),
            blocked,
            is_over: Arc::clone(&is_over),
        };
        let stopped = Arc::clone(&stop);
        let thread = Some(std::thread::spawn(move || running.run(&stopped)));
        Self { address, server_key, fingerprint, is_over, thread, stop }
    }
}

/// A new certificate and its fingerprint.
fn certificate() -> (QuicServerConfig, [u8; 32]) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["muster".into()]).unwrap().self_signed(&key).unwrap();
    let fingerprint = ring::digest::digest(&ring::digest::SHA256, certificate.der());
    let quic =
        QuicServerConfig { certificate: certificate.der().to_vec(), key: key.serialize_der(), base: Instant::now() };
    (quic, fingerprint.as_ref().try_into().unwrap())
}

impl Drop for GameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

struct Running {
    socket: UdpSocket,
    endpoint: ServerEndpoint,
    room: Room<Arena>,
    sessions: BTreeMap<SeatId, SessionId>,
    begin: Instant,
    blocked: Option<Carrier>,
    is_over: Arc<AtomicBool>,
}

struct Sink<'a>(Micros, &'a mut ServerEndpoint, &'a BTreeMap<SeatId, SessionId>);

impl RoomSink for Sink<'_> {
    fn snapshot(&mut self, seat: SeatId, tag: u32, bytes: &[u8]) {
        self.2.get(&seat).map(|session| self.1.send_unreliable(self.0, *session, bytes, Some(tag)));
    }
    fn message(&mut self, seat: SeatId, bytes: &[u8]) {
        self.2.get(&seat).map(|session| self.1.send_message(self.0, *session, bytes));
    }
    fn bulk(&mut self, seat: SeatId, bytes: Vec<u8>) {
        self.2.get(&seat).map(|session| self.1.send_bulk(self.0, *session, bytes));
    }
}

impl Running {
    fn run(&mut self, stop: &AtomicBool) {
        let mut next = Instant::now() + TICK;
        while !stop.load(Ordering::Relaxed) {
            self.receive(next);
            let now = self.now();
            let was_over = self.room.outcome().is_some();
            self.room.step(&mut Sink(now, &mut self.endpoint, &self.sessions));
            if self.room.outcome().is_some() && !was_over {
                self.is_over.store(true, Ordering::Relaxed);
                self.endpoint.flush(now);
                for session in self.sessions.values() {
                    self.endpoint.close(now, *session, CloseReason::MatchEnded);
                }
            }
            self.endpoint.flush(now);
            self.transmit();
            next += TICK;
        }
    }

    fn now(&self) -> Micros {
        Micros(self.begin.elapsed().as_micros() as u64)
    }

    /// Takes datagrams until the next tick.
    fn receive(&mut self, until: Instant) {
        let mut buffer = [0; 2_048];
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left)).unwrap();
            if let Ok((bytes, from)) = self.socket.recv_from(&mut buffer) {
                // QUIC has bit 0x40 set, native packets have not.
                let carrier = if buffer[0] & 0x40 == 0 { Carrier::Native } else { Carrier::Quic };
                if self.blocked == Some(carrier) {
                    continue;
                }
                let now = self.now();
                self.endpoint.handle_datagram(now, from, &buffer[..bytes]);
                self.take_events(until);
            }
        }
        self.endpoint.handle_timeout(self.now());
        self.take_events(until);
    }

    fn take_events(&mut self, next_tick: Instant) {
        let now = self.now();
        while let Some(job) = self.endpoint.poll_handshake() {
            let room = &self.room;
            let done = job.run(&|token| verify(room, token));
            self.endpoint.complete_handshake(now, done);
        }
        let early_us = next_tick.saturating_duration_since(Instant::now()).as_micros() as u32;
        while let Some(event) = self.endpoint.poll_event() {
            let seat_of = |session| self.sessions.iter().find(|(_, own)| **own == session).map(|(seat, _)| *seat);
            let input = match event {
                ServerEvent::Connected { session, claims, .. } => {
                    let seat = SeatId(claims.team as u8);
                    self.sessions.insert(seat, session);
                    Some(RoomInput::Joined { seat })
                }
                ServerEvent::Unreliable { session, payload } => {
                    seat_of(session).map(|seat| RoomInput::Unreliable { seat, payload, early_us })
                }
                ServerEvent::Delivered { session, tag } => {
                    seat_of(session).map(|seat| RoomInput::Delivered { seat, tag })
                }
                ServerEvent::Closed { session, .. } => seat_of(session).map(|seat| {
                    self.sessions.remove(&seat);
                    RoomInput::Left { seat, why: Leave::Left }
                }),
                ServerEvent::Message { .. } | ServerEvent::Silent { .. } | ServerEvent::Heard { .. } => None,
            };
            if let Some(input) = input {
                self.room.handle(input);
            }
        }
        self.transmit();
    }

    fn transmit(&mut self) {
        while let Some(datagram) = self.endpoint.poll_transmit() {
            let _lost = self.socket.send_to(&datagram.bytes, datagram.to);
        }
    }
}

/// Claims for the tokens of this stand-in: "<player> <unique>".
fn verify(room: &Room<Arena>, token: &str) -> Result<JoinClaims, Refusal> {
    let (player, unique) = token.split_once(' ').ok_or(Refusal::TokenMalformed)?;
    let player: PlayerId = player.parse().map_err(|_| Refusal::TokenMalformed)?;
    let setup = room.setup();
    let entry = setup.players.iter().find(|entry| entry.id == player).ok_or(Refusal::NotOnRoster)?;
    if room.outcome().is_some() {
        return Err(Refusal::NoMatch);
    }
    Ok(JoinClaims {
        iss: ALLOCATOR_ISSUER.into(),
        aud: ServerId::from_entropy([7; 16]),
        sub: player,
        mid: setup.match_id,
        team: entry.team,
        build: "test".into(),
        region: "test".into(),
        jti: unique.into(),
        iat: 0,
        exp: 60,
    })
}
