//! A whole match in virtual time: clients, emulated links, the server's endpoint, and the room.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arena::Arena;
use arena::movement::{self, Body, Controls};
use arena::random::Random;
use arena::welcome::Welcome;
use client::{Client, ClientConfig, Event, Predict};
use game::setup::Player;
use game::{Game as _, Input, Leave, MatchSetup, Room, RoomConfig, RoomInput, RoomSink, SeatId};
use netcode::emulator::{Conditions, Link};
use netcode::endpoint::{ServerConfig, ServerEndpoint, ServerEvent, SessionId};
use netcode::replication::{EntityId, View};
use netcode::{Entropy, Micros};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::token::{ALLOCATOR_ISSUER, JoinClaims};
use protocol::wire::{CloseReason, Refusal};

pub(crate) const TICK: Duration = Duration::from_nanos(16_666_667);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 7000);

/// The arena's rules for prediction.
pub(crate) struct Rules(pub(crate) Welcome);

impl Predict for Rules {
    type State = Body;

    fn read(&self, view: &View, entity: EntityId) -> Option<Body> {
        arena::prediction::read(view, entity)
    }
    fn step(&self, body: &Body, input: &Input) -> Body {
        movement::step(body, &arena::input::controls(input), &self.0.map, self.0.rate)
    }
    fn error(&self, a: &Body, b: &Body) -> f32 {
        arena::prediction::error(a, b)
    }
    fn blend(&self, from: &Body, to: &Body, part: f32) -> Body {
        arena::prediction::blend(from, to, part)
    }
    fn jump(&self) -> f32 {
        arena::prediction::JUMP_M
    }
}

/// A client behind its links, and what it does.
pub(crate) struct Host {
    pub(crate) client: Client<Rules>,
    pub(crate) up: Link,
    pub(crate) down: Link,
    pub(crate) events: Vec<Event>,
    /// Where the client believed to be after the input of each tick, when it sent it.
    pub(crate) predicted: BTreeMap<u32, (f32, f32)>,
    address: SocketAddr,
    random: Random,
    wish: Controls,
    fires: bool,
}

/// Everything together.
pub(crate) struct Stand {
    pub(crate) now: Micros,
    pub(crate) server: ServerEndpoint,
    pub(crate) room: Room<Arena>,
    pub(crate) hosts: Vec<Host>,
    /// Where each seat's avatar was after each tick.
    pub(crate) truth: BTreeMap<(u8, u32), (f32, f32)>,
    /// Inputs that the room took in time, and ticks for which it had none.
    pub(crate) inputs: (u64, u64),
    sessions: BTreeMap<SeatId, SessionId>,
    ticks: u64,
}

struct Sink<'a> {
    now: Micros,
    server: &'a mut ServerEndpoint,
    sessions: &'a BTreeMap<SeatId, SessionId>,
}

impl RoomSink for Sink<'_> {
    fn snapshot(&mut self, seat: SeatId, tag: u32, bytes: &[u8]) {
        if let Some(session) = self.sessions.get(&seat) {
            let _lost = self.server.send_unreliable(self.now, *session, bytes, Some(tag));
        }
    }
    fn message(&mut self, seat: SeatId, bytes: &[u8]) {
        if let Some(session) = self.sessions.get(&seat) {
            self.server.send_message(self.now, *session, bytes).expect("the queue has room");
        }
    }
    fn bulk(&mut self, seat: SeatId, bytes: Vec<u8>) {
        if let Some(session) = self.sessions.get(&seat) {
            self.server.send_bulk(self.now, *session, bytes).expect("the queue has room");
        }
    }
}

fn player(seat: u8) -> PlayerId {
    PlayerId::from_entropy([seat + 1; 16])
}

/// Claims for the tokens of these tests: "join <seat>".
fn verify(token: &str) -> Result<JoinClaims, Refusal> {
    let seat: u8 = token.strip_prefix("join ").and_then(|seat| seat.parse().ok()).ok_or(Refusal::TokenMalformed)?;
    Ok(JoinClaims {
        iss: ALLOCATOR_ISSUER.into(),
        aud: ServerId::from_entropy([7; 16]),
        sub: player(seat),
        mid: MatchId::from_entropy([9; 16]),
        team: u32::from(seat),
        build: "test".into(),
        region: "test".into(),
        jti: format!("token of {seat}"),
        iat: 1_000,
        exp: 1_060,
    })
}

impl Stand {
    /// A match of two or more, everyone alone, with these conditions both ways.
    pub(crate) fn new(seed: u64, clients: u8, conditions: Conditions, fires: bool) -> Self {
        let schema = Arc::new(Arena::schema());
        let address = SocketAddr::from(SERVER);
        let config = ServerConfig {
            static_secret: [3; 32],
            routing_token: vec![1, 2],
            server_id: ServerId::from_entropy([7; 16]),
            schema_hash: schema.hash(),
            sessions_max: 16,
            half_open_max: 16,
        };
        let server = ServerEndpoint::new(config, Entropy::new([5; 32]));
        let setup = MatchSetup {
            match_id: MatchId::from_entropy([9; 16]),
            seed,
            tick_rate_hz: 60,
            players: (0..clients)
                .map(|seat| Player {
                    id: player(seat),
                    seat: SeatId(seat),
                    team: seat.into(),
                    name: format!("p{seat}"),
                })
                .collect(),
            settings: serde_json::from_str(r#"{"mode": "ffa", "seconds": 600}"#).expect("JSON"),
        };
        let room = Room::new(setup, RoomConfig::default()).expect("the setup is good");
        let hosts = (0..clients).map(|seat| {
            let config = ClientConfig {
                server: address,
                server_key: server.public_key(),
                routing_token: vec![1, 2],
                credential: format!("join {seat}").into(),
                schema: Arc::clone(&schema),
                quic: None,
            };
            let seed = seed * 100 + u64::from(seat);
            let entropy = Entropy::new([seat + 10; 32]);
            Host {
                client: Client::new(config, entropy, Micros::ZERO),
                up: Link::new(conditions, seed * 2),
                down: Link::new(conditions, seed * 2 + 1),
                events: Vec::new(),
                predicted: BTreeMap::new(),
                address: ([10, 0, 1, seat], 5000).into(),
                random: Random::new(seed),
                wish: Controls::default(),
                fires,
            }
        });
        Self {
            now: Micros::ZERO,
            hosts: hosts.collect(),
            server,
            room,
            truth: BTreeMap::new(),
            inputs: (0, 0),
            sessions: BTreeMap::new(),
            ticks: 0,
        }
    }

    /// Runs for this long; `watch` is called after everything that happens.
    pub(crate) fn run(&mut self, duration: Duration, mut watch: impl FnMut(&mut Self)) {
        let end = self.now + duration;
        while self.now < end {
            let next_tick = self.next_tick();
            if self.now >= next_tick {
                self.tick();
            }
            self.exchange();
            watch(self);
            let timers = self
                .hosts
                .iter()
                .flat_map(|host| [host.client.poll_timeout(), host.up.poll_timeout(), host.down.poll_timeout()]);
            let next = timers.chain([self.server.poll_timeout()]).flatten().min().unwrap_or(end);
            self.now = next.min(self.next_tick()).clamp(self.now + Duration::from_micros(1), end);
        }
    }

    fn next_tick(&self) -> Micros {
        Micros((self.ticks + 1) * u64::try_from(TICK.as_nanos()).expect("short") / 1_000)
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let mut sink = Sink { now: self.now, server: &mut self.server, sessions: &self.sessions };
        let report = self.room.step(&mut sink);
        self.inputs.0 += report.inputs.accepted;
        self.inputs.1 += report.inputs.missing;
        self.server.flush(self.now);
        for fighter in &self.room.game().simulation().fighters {
            self.truth.insert((fighter.seat.0, report.tick.0), fighter.body.position());
        }
    }

    fn exchange(&mut self) {
        let early_us = u32::try_from(self.next_tick().since(self.now).as_micros()).unwrap_or(0);
        self.server.handle_timeout(self.now);
        for host in &mut self.hosts {
            while let Some(bytes) = host.up.poll(self.now) {
                self.server.handle_datagram(self.now, host.address, &bytes);
            }
            while let Some(bytes) = host.down.poll(self.now) {
                host.client.handle_datagram(self.now, SERVER.into(), &bytes);
            }
            host.pump(self.now);
        }
        while let Some(job) = self.server.poll_handshake() {
            let done = job.run(&verify);
            self.server.complete_handshake(self.now, done);
        }
        while let Some(event) = self.server.poll_event() {
            self.take(event, early_us);
        }
        while let Some(datagram) = self.server.poll_transmit() {
            if let Some(host) = self.hosts.iter_mut().find(|host| host.address == datagram.to) {
                host.down.send(self.now, &datagram.bytes);
            }
        }
    }

    fn take(&mut self, event: ServerEvent, early_us: u32) {
        let seat_of =
            |session: SessionId| self.sessions.iter().find(|(_, known)| **known == session).map(|(seat, _)| *seat);
        match event {
            ServerEvent::Connected { session, claims, .. } => {
                let seat = SeatId(claims.team as u8);
                self.sessions.insert(seat, session);
                self.room.handle(RoomInput::Joined { seat });
            }
            ServerEvent::Unreliable { session, payload } => {
                if let Some(seat) = seat_of(session) {
                    self.room.handle(RoomInput::Unreliable { seat, payload, early_us });
                }
            }
            ServerEvent::Delivered { session, tag } => {
                if let Some(seat) = seat_of(session) {
                    self.room.handle(RoomInput::Delivered { seat, tag });
                }
            }
            ServerEvent::Closed { session, reason, .. } => {
                if let Some(seat) = seat_of(session) {
                    self.sessions.remove(&seat);
                    let why = if reason == CloseReason::Left { Leave::Left } else { Leave::Lost };
                    self.room.handle(RoomInput::Left { seat, why });
                }
            }
            ServerEvent::Message { .. } | ServerEvent::Silent { .. } | ServerEvent::Heard { .. } => {}
        }
    }
}

impl Host {
    pub(crate) fn set_conditions(&mut self, conditions: Conditions) {
        self.up.set_conditions(conditions);
        self.down.set_conditions(conditions);
    }

    fn pump(&mut self, now: Micros) {
        self.client.handle_timeout(now);
        while let Some(event) = self.client.poll_event() {
            if let Event::Bulk(bytes) = &event {
                let welcome = Welcome::from_bytes(bytes).expect("the arena's welcome");
                self.client.predict_with(Rules(welcome));
            }
            self.events.push(event);
        }
        while let Some(tick) = self.client.due_input(now) {
            self.think();
            let mut input = self.client.neutral_input();
            for (field, value) in arena::input::values(&self.wish).into_iter().enumerate() {
                input.set(field, value);
            }
            self.client.send_input(now, &input);
            if let Some(body) = self.client.own_newest() {
                self.predicted.insert(tick.0, body.position());
            }
        }
        while let Some(datagram) = self.client.poll_transmit() {
            self.up.send(now, &datagram.bytes);
        }
    }

    /// Runs about, changing direction four times a second, and dashes.
    fn think(&mut self) {
        if self.random.below(15) == 0 {
            let (right, up) = (self.random.signed_unit(), self.random.signed_unit());
            let fire = self.fires && self.random.below(2) == 0;
            self.wish = Controls { right, up, aim: self.random.signed_unit() * 3.0, fire, ..Controls::default() };
        }
        self.wish.dash = self.random.below(60) == 0;
    }
}
