//! What every server does besides carrying bytes: the world, and the payload of each client.

use std::ops::Range;
use std::sync::Arc;

use netcode::emulator::Random;
use netcode::endpoint::UNRELIABLE_BYTES_MAX;
use netcode::replication::{EntityId, Replicator, SeatId, SnapshotHeader, World};
use protocol::schema::{Field, FieldCodec, Kind, Schema};
use protocol::tick::Tick;

use crate::naive::NaiveState;
use crate::{CLIENTS, Peer};

const X: usize = 0;
const Y: usize = 1;
const AIM: usize = 2;

/// A world of walkers, and the bytes that show it.
pub struct Work {
    world: World,
    walkers: Vec<EntityId>,
    random: Random,
    replicator: Replicator,
    naive: Option<NaiveState>,
    tick: u32,
    one: Vec<u8>,
    all: Vec<u8>,
    payloads: Vec<Range<usize>>,
    /// Entity updates written so far.
    pub mentioned: u64,
}

fn schema() -> Arc<Schema> {
    let place = FieldCodec::Range { min: -64.0, max: 64.0, step: 1.0 / 512.0 };
    let fields = vec![
        Field::new("x", place),
        Field::new("y", place),
        Field::new("aim", FieldCodec::Angle { bits: 12 }),
        Field::new("stance", FieldCodec::Unsigned { bits: 3 }),
        Field::new("health", FieldCodec::Unsigned { bits: 7 }),
    ];
    let kinds = vec![Kind { name: "walker".into(), fields }];
    Arc::new(Schema { game: "peers".into(), version: 1, kinds, input: vec![] })
}

impl Work {
    /// The world that this peer shows.
    pub fn new(peer: Peer, entities: u16) -> Self {
        let schema = schema();
        let mut world = World::new(Arc::clone(&schema), entities);
        let walkers = (0..entities).map_while(|_| world.spawn(0, None).ok()).collect();
        let mut replicator = Replicator::new(&schema, entities);
        seats().for_each(|seat| replicator.add_client(seat));
        Self {
            world,
            walkers,
            random: Random::new(1),
            replicator,
            naive: (peer == Peer::RenetNaive).then(NaiveState::default),
            tick: 0,
            one: Vec::new(),
            all: Vec::new(),
            payloads: Vec::new(),
            mentioned: 0,
        }
    }

    /// A client has this tick's snapshot.
    pub fn delivered(&mut self, client: usize, tick: u32) {
        if self.naive.is_none() && tick != 0 {
            self.replicator.delivered(seat(client), Tick(tick));
        }
    }

    /// One tick: everyone walks, then every payload is written.
    pub fn step(&mut self) {
        self.tick += 1;
        self.walk();
        self.all.clear();
        self.payloads.clear();
        if let Some(naive) = &mut self.naive {
            naive.write(self.tick, &self.world, &self.walkers, &mut self.all);
            self.mentioned += (self.walkers.len() * CLIENTS) as u64;
            return;
        }
        self.replicator.record(Tick(self.tick), &self.world);
        for seat in seats() {
            let header = SnapshotHeader::default();
            let (out, bytes_max) = (&mut self.one, UNRELIABLE_BYTES_MAX);
            let written = self.replicator.write_snapshot(seat, header, &mut |_| true, out, bytes_max);
            self.mentioned += written.map_or(0, |written| written.mentioned as u64);
            let start = self.all.len();
            self.all.extend_from_slice(&self.one);
            self.payloads.push(start..self.all.len());
        }
    }

    /// 1.4 m/s on average at 60 Hz; some stand still.
    fn walk(&mut self) {
        for &id in &self.walkers {
            if self.random.chance(0.2) {
                continue;
            }
            let aim = self.world.get(id, AIM) + (self.random.below(100) as f32 - 49.5) / 500.0;
            self.world.set(id, AIM, aim);
            self.world.set(id, X, self.world.get(id, X) + aim.cos() / 34.0);
            self.world.set(id, Y, self.world.get(id, Y) + aim.sin() / 34.0);
        }
    }

    /// The newest tick.
    pub fn tick(&self) -> u32 {
        self.tick
    }

    /// What a client is sent this tick.
    pub fn payload(&self, client: usize) -> &[u8] {
        self.payloads.get(client).map_or(&self.all, |range| &self.all[range.clone()])
    }

    /// What everyone is sent this tick, when that is the same.
    pub fn broadcast(&self) -> Option<&[u8]> {
        self.naive.is_some().then_some(&self.all)
    }
}

fn seat(client: usize) -> SeatId {
    SeatId(u8::try_from(client).expect("few clients"))
}

fn seats() -> impl Iterator<Item = SeatId> {
    (0..CLIENTS).map(seat)
}

/// The tick that a payload shows, in front of it where the carrier does not report deliveries itself.
pub fn with_tick(tick: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + payload.len());
    bytes.extend_from_slice(&tick.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The tick in front of a payload or an input.
pub fn tick_of(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |tick| u32::from_le_bytes(*tick))
}
