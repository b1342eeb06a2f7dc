//! What a steady session and a steady world allocate: nothing per tick, nothing per datagram.

mod counting;

use std::net::SocketAddr;
use std::sync::Arc;

use counting::allocations;
use netcode::endpoint::{
    ClientConfig, ClientEndpoint, ClientEvent, ServerConfig, ServerEndpoint, ServerEvent, SessionId,
};
use netcode::replication::{Replicator, SeatId, SnapshotHeader, World};
use netcode::{Entropy, Micros};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::schema::{Field, FieldCodec, Kind, Schema};
use protocol::tick::Tick;
use protocol::token::JoinClaims;

#[test]
fn recording_and_writing_allocate_nothing_in_steady_state() {
    let fields = vec![
        Field::new("x", FieldCodec::Range { min: -32.0, max: 32.0, step: 1.0 / 256.0 }),
        Field::new("aim", FieldCodec::Angle { bits: 12 }),
    ];
    let kinds = vec![Kind { name: "walker".into(), fields }];
    let schema = Arc::new(Schema { game: "test".into(), version: 1, kinds, input: vec![] });
    let mut world = World::new(schema.clone(), 200);
    let mut replicator = Replicator::new(&schema, 200);
    (0..4).for_each(|seat| replicator.add_client(SeatId(seat)));
    let mut out = Vec::with_capacity(1_200);
    let mut counted = 0;
    for tick in 1..=400u32 {
        for _ in 0..2 {
            let _ = world.spawn(0, None);
        }
        let before = allocations();
        let old = world.entities().nth(tick as usize % 150);
        if let Some(id) = old.filter(|_| tick % 2 == 0) {
            world.despawn(id);
        }
        for place in 0..world.len() {
            let id = world.entities().nth(place);
            if let Some(id) = id {
                world.set(id, 0, ((tick + place as u32) as f32 / 20.0).sin());
            }
        }
        replicator.record(Tick(tick), &world);
        for seat in (0..4).map(SeatId) {
            let mut relevant = |_| true;
            let header = SnapshotHeader::default();
            replicator.write_snapshot(seat, header, &mut relevant, &mut out, 1_000).expect("the client is known");
            replicator.delivered(seat, Tick(tick.saturating_sub(6)));
        }
        if tick > 200 {
            counted += allocations() - before;
        }
    }
    assert_eq!(counted, 0, "allocations in 200 ticks");
}

const CLIENTS: u8 = 32;

fn address(client: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7_000 + u16::from(client)))
}

/// A server with its clients, without a network between them.
struct Sessions {
    server: ServerEndpoint,
    clients: Vec<ClientEndpoint>,
    sessions: Vec<SessionId>,
    now: Micros,
    datagrams: u64,
}

impl Sessions {
    fn new() -> Self {
        let config = ServerConfig {
            static_secret: [7; 32],
            routing_token: Vec::new(),
            server_id: ServerId::from_entropy([1; 16]),
            schema_hash: 1,
            sessions_max: usize::from(CLIENTS),
            half_open_max: usize::from(CLIENTS),
        };
        let server = ServerEndpoint::new(config, Entropy::new([1; 32]));
        let client = |n: u8| {
            let config = ClientConfig {
                server: address(u8::MAX),
                server_key: server.public_key(),
                routing_token: Vec::new(),
                credential: n.to_string().into(),
                schema_hash: 1,
                quic: None,
            };
            ClientEndpoint::new(config, Entropy::new([n; 32]), Micros(0))
        };
        let clients = (0..CLIENTS).map(client).collect();
        let mut sessions = Self { clients, server, sessions: Vec::new(), now: Micros(0), datagrams: 0 };
        sessions.settle();
        assert_eq!(sessions.sessions.len(), usize::from(CLIENTS), "every client connects");
        sessions
    }

    /// One tick: a snapshot for everyone, an input from everyone.
    fn tick(&mut self, payload: &[u8]) {
        self.now.0 += 16_667;
        self.server.handle_timeout(self.now);
        for session in &self.sessions {
            self.server.send_unreliable(self.now, *session, payload, Some(1)).expect("the session is open");
        }
        self.server.flush(self.now);
        for client in &mut self.clients {
            client.handle_timeout(self.now);
            client.send_unreliable(self.now, &payload[..40], None).expect("the session is open");
            client.flush(self.now);
        }
        self.settle();
    }

    /// Moves datagrams until all are quiet; events are read and their payloads given back.
    fn settle(&mut self) {
        let mut before = u64::MAX;
        while before != self.datagrams {
            before = self.datagrams;
            for (n, client) in (0u8..).zip(&mut self.clients) {
                while let Some(transmit) = client.poll_transmit() {
                    self.server.handle_datagram(self.now, address(n), &transmit.bytes);
                    client.recycle(transmit.bytes);
                    self.datagrams += 1;
                }
            }
            while let Some(job) = self.server.poll_handshake() {
                self.server.complete_handshake(self.now, job.run(&|token| Ok(claims(token))));
            }
            while let Some(transmit) = self.server.poll_transmit() {
                let client = &mut self.clients[usize::from(transmit.to.port() - 7_000)];
                client.handle_datagram(self.now, address(u8::MAX), &transmit.bytes);
                self.server.recycle(transmit.bytes);
                self.datagrams += 1;
            }
            while let Some(event) = self.server.poll_event() {
                match event {
                    ServerEvent::Connected { session, .. } => self.sessions.push(session),
                    ServerEvent::Unreliable { payload, .. } => self.server.recycle(payload),
                    _ => {}
                }
            }
            for client in &mut self.clients {
                while let Some(event) = client.poll_event() {
                    if let ClientEvent::Unreliable { payload } = event {
                        client.recycle(payload);
                    }
                }
            }
        }
    }
}

fn claims(token: &str) -> JoinClaims {
    let n: u8 = token.parse().expect("tokens are numbers here");
    JoinClaims {
        iss: String::new(),
        aud: ServerId::from_entropy([1; 16]),
        sub: PlayerId::from_entropy([n; 16]),
        mid: MatchId::from_entropy([3; 16]),
        team: 0,
        build: String::new(),
        region: String::new(),
        jti: token.into(),
        iat: 0,
        exp: 60,
    }
}

#[test]
fn a_datagram_of_a_steady_session_allocates_nothing_on_either_side() {
    let mut sessions = Sessions::new();
    let payload = [0xAB; 1_000];
    (0..300).for_each(|_| sessions.tick(&payload));
    let (allocated, datagrams) = (allocations(), sessions.datagrams);
    (0..300).for_each(|_| sessions.tick(&payload));
    let (allocated, datagrams) = (allocations() - allocated, sessions.datagrams - datagrams);
    assert!(datagrams >= 300 * 2 * u64::from(CLIENTS), "only {datagrams} datagrams");
    assert_eq!(allocated, 0, "allocations for {datagrams} datagrams");
}
