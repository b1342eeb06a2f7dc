//! A world that changes at random, clients behind a bad network, and a plain copy of every tick to compare with.

use std::collections::BTreeMap;
use std::sync::Arc;

use netcode::replication::{EntityId, Replica, Replicator, SeatId, SnapshotError, SnapshotHeader, World};
use protocol::schema::{Field, FieldCodec, Kind, Schema};
use protocol::tick::Tick;

const SEATS: u8 = 3;

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Bytes with a few bits flipped, or cut, or longer, or other altogether.
    pub(crate) fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        match self.below(6) {
            0 => bytes.truncate(self.below(bytes.len() as u64) as usize),
            1 => bytes.extend((0..=self.below(20)).map(|_| self.0 as u8)),
            2 => bytes = (0..self.below(80)).map(|_| self.next() as u8).collect(),
            _ => {}
        }
        for _ in 0..=self.below(4) {
            let length = bytes.len() as u64;
            if length > 0 {
                bytes[self.below(length) as usize] ^= 1 << self.below(8);
            }
        }
        bytes
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Network {
    pub(crate) loss_percent: u64,
    /// Packets and acks take 1 to this many ticks, in any order.
    pub(crate) delay_ticks_max: u64,
    /// Sometimes nothing gets through for a long time.
    pub(crate) outages: bool,
}

pub(crate) fn schema() -> Arc<Schema> {
    let range = FieldCodec::Range { min: -32.0, max: 32.0, step: 1.0 / 256.0 };
    let walker = vec![
        Field::new("x", range),
        Field::new("y", range),
        Field::new("aim", FieldCodec::Angle { bits: 12 }),
        Field::new("alive", FieldCodec::Bool),
        Field::owner_only("ammo", FieldCodec::Unsigned { bits: 8 }),
        Field::new("score", FieldCodec::Signed { bits: 32 }),
    ];
    let door = vec![Field::new("state", FieldCodec::Unsigned { bits: 2 })];
    let kinds = vec![
        Kind { name: "walker".into(), fields: walker },
        Kind { name: "door".into(), fields: door },
        Kind { name: "mark".into(), fields: vec![] },
    ];
    Arc::new(Schema { game: "test".into(), version: 1, kinds, input: vec![] })
}

/// What one client should see at one tick: per entity its owner and the raw values that it may see.
type Expected = BTreeMap<EntityId, (Option<SeatId>, Vec<Option<u32>>)>;

struct Client {
    replica: Replica,
    /// Arrival tick, snapshot tick, bytes.
    packets: Vec<(u32, u32, Vec<u8>)>,
    acks: Vec<(u32, u32)>,
    hidden: u64,
    expected: BTreeMap<u32, (bool, Expected)>,
    written: Vec<Vec<u8>>,
}

pub(crate) struct Run {
    pub(crate) world: World,
    replicator: Replicator,
    clients: Vec<Client>,
    network: Network,
    random: Random,
    bytes_max: usize,
    tick: u32,
    outage_until: u32,
    /// Interest no longer changes.
    resting: bool,
    last_bytes: usize,
    schema: Arc<Schema>,
}

impl Run {
    pub(crate) fn new(seed: u64, network: Network, bytes_max: usize) -> Self {
        let mut run = Self::of(World::new(schema(), 60), network, bytes_max);
        run.random = Random::new(seed);
        run
    }

    pub(crate) fn of(world: World, network: Network, bytes_max: usize) -> Self {
        let schema = schema();
        let mut replicator = Replicator::new(&schema, world.entities_max());
        let client = |seat| {
            replicator.add_client(SeatId(seat));
            Client {
                replica: Replica::new(schema.clone()),
                packets: vec![],
                acks: vec![],
                hidden: 0,
                expected: BTreeMap::new(),
                written: vec![],
            }
        };
        let clients = (0..SEATS).map(client).collect();
        let random = Random::new(0);
        Self {
            world,
            replicator,
            clients,
            network,
            random,
            bytes_max,
            tick: 0,
            outage_until: 0,
            resting: false,
            last_bytes: 0,
            schema,
        }
    }

    /// One tick: the world changes (or not), snapshots leave, what is due arrives and is compared.
    pub(crate) fn tick(&mut self, changes: bool) {
        if changes {
            self.change_world();
        }
        self.replicate();
    }

    pub(crate) fn replicate(&mut self) {
        self.tick += 1;
        self.replicator.record(Tick(self.tick), &self.world);
        if self.network.outages && self.random.chance(1) {
            self.outage_until = self.tick + self.random.below(150) as u32;
        }
        for seat in 0..SEATS {
            self.write(seat);
            self.receive(seat);
        }
    }

    /// Fills the world.
    pub(crate) fn crowd(&mut self) {
        while let Ok(id) = self.world.spawn(0, None) {
            self.scramble(id);
        }
    }

    /// Lets the network heal and the world rest; then every client must see all of it.
    pub(crate) fn settle(&mut self) {
        self.network = Network { loss_percent: 0, delay_ticks_max: 2, outages: false };
        self.outage_until = 0;
        self.resting = true;
        self.clients.iter_mut().for_each(|client| client.hidden = 0);
        for _ in 0..200 {
            self.tick(false);
        }
        for seat in 0..SEATS {
            let client = &self.clients[usize::from(seat)];
            let view = client.replica.newest();
            assert!(view.tick().0 + 3 >= self.tick, "client {seat} is stuck at {:?}", view.tick());
            let seen: Vec<_> = view.entities().collect();
            assert_eq!(seen, self.world.entities().collect::<Vec<_>>(), "client {seat} sees other entities");
            assert_eq!(self.see(seat), self.show(seat), "client {seat} sees other values");
        }
    }

    pub(crate) fn last_snapshot_bytes(&self) -> usize {
        self.last_bytes
    }

    pub(crate) fn replica(&self, seat: SeatId) -> &Replica {
        &self.clients[usize::from(seat.0)].replica
    }

    pub(crate) fn newest_bytes(&self, seat: SeatId) -> Option<Vec<u8>> {
        self.clients[usize::from(seat.0)].written.last().cloned()
    }

    pub(crate) fn first_bytes(&self, seat: SeatId) -> Option<Vec<u8>> {
        self.clients[usize::from(seat.0)].written.first().cloned()
    }

    fn write(&mut self, seat: u8) {
        let expected = self.show(seat);
        let (tick, random) = (self.tick, &mut self.random);
        let client = &mut self.clients[usize::from(seat)];
        let hidden = client.hidden;
        let mut relevant = |id: EntityId| !is_hidden(hidden, id);
        let header = SnapshotHeader { last_input: Tick(tick / 2), margin_ms: -(tick as i16) };
        let mut bytes = Vec::new();
        let written = self.replicator.write_snapshot(SeatId(seat), header, &mut relevant, &mut bytes, self.bytes_max);
        let written = written.expect("the client is known");
        assert!(bytes.len() <= self.bytes_max, "{} bytes are more than {}", bytes.len(), self.bytes_max);
        self.last_bytes = bytes.len();
        client.expected.insert(tick, (written.deferred == 0, expected));
        client.written.push(bytes.clone());
        if tick >= self.outage_until && !random.chance(self.network.loss_percent) {
            let arrival = tick + random.below(self.network.delay_ticks_max) as u32;
            client.packets.push((arrival, tick, bytes));
        }
        if !self.resting && random.chance(10) {
            client.hidden ^= 1 << random.below(40);
        }
    }

    fn receive(&mut self, seat: u8) {
        let (now, random) = (self.tick, &mut self.random);
        let client = &mut self.clients[usize::from(seat)];
        for (_, tick, bytes) in client.packets.extract_if(.., |packet| packet.0 <= now).collect::<Vec<_>>() {
            // The transport acknowledges whatever arrives, whether the replica can use it or not.
            if !random.chance(self.network.loss_percent) {
                client.acks.push((now + random.below(self.network.delay_ticks_max) as u32, tick));
            }
            match client.replica.apply(&bytes) {
                Ok(info) => {
                    assert_eq!(
                        (info.tick, info.last_input, info.margin_ms),
                        (Tick(tick), Tick(tick / 2), -(tick as i16))
                    );
                    let view = client.replica.at(Tick(tick)).expect("it was applied");
                    self.replicator.verify(SeatId(seat), view).expect("the replica is as the server believes");
                    let (complete, expected) = &client.expected[&tick];
                    if *complete {
                        assert_eq!(&see(&self.schema, view), expected, "client {seat}, tick {tick}");
                    }
                }
                Err(SnapshotError::TooOld) => {}
                Err(error) => panic!("client {seat}, tick {tick}: {error}"),
            }
        }
        for (_, tick) in client.acks.extract_if(.., |ack| ack.0 <= now).collect::<Vec<_>>() {
            self.replicator.delivered(SeatId(seat), Tick(tick));
        }
    }

    /// What the client should see now.
    fn show(&self, seat: u8) -> Expected {
        let client = &self.clients[usize::from(seat)];
        let visible = |id: &EntityId| self.world.owner(*id) == Some(SeatId(seat)) || !is_hidden(client.hidden, *id);
        let row = |id: EntityId| {
            let owner = self.world.owner(id);
            let fields = &self.schema.kinds[self.world.kind(id).expect("it lives")].fields;
            let raw = |(field, description): (usize, &Field)| {
                let may_see = !description.owner_only || owner == Some(SeatId(seat));
                may_see.then(|| self.world.raw(id, field).expect("it lives"))
            };
            (id, (owner, fields.iter().enumerate().map(raw).collect()))
        };
        self.world.entities().filter(visible).map(row).collect()
    }

    fn see(&self, seat: u8) -> Expected {
        see(&self.schema, self.clients[usize::from(seat)].replica.newest())
    }

    fn change_world(&mut self) {
        for _ in 0..self.random.below(3) {
            let owner = self.random.chance(30).then(|| SeatId(self.random.below(4) as u8));
            let kind = self.random.below(3) as usize;
            if let Ok(id) = self.world.spawn(kind, owner) {
                self.scramble(id);
            }
        }
        let living: Vec<_> = self.world.entities().collect();
        for id in living {
            match self.random.below(100) {
                0..3 => {
                    self.world.despawn(id);
                }
                3..40 if self.world.kind(id) == Some(0) => {
                    let x = self.world.get(id, 0) + (self.random.below(100) as f32 - 50.0) / 200.0;
                    self.world.set(id, 0, x);
                    let aim = self.world.get(id, 2) + (self.random.below(100) as f32 - 50.0) / 100.0;
                    self.world.set(id, 2, aim);
                }
                40..45 => self.scramble(id),
                // There and back again: what was sent in between must be taken back.
                45..60 if self.world.kind(id) != Some(2) => {
                    let field = if self.world.kind(id) == Some(0) { 3 } else { 0 };
                    let value = 1 - self.world.get_int(id, field).min(1);
                    self.world.set_int(id, field, value);
                }
                _ => {}
            }
        }
    }

    fn scramble(&mut self, id: EntityId) {
        let schema = self.schema.clone();
        let fields = &schema.kinds[self.world.kind(id).expect("it lives")].fields;
        for (field, description) in fields.iter().enumerate() {
            let value = self.random.next() as i32;
            match description.codec {
                FieldCodec::Range { .. } => self.world.set(id, field, (value % 4_000) as f32 / 100.0),
                _ => self.world.set_int(id, field, i64::from(value)),
            }
        }
    }
}

fn is_hidden(hidden: u64, id: EntityId) -> bool {
    hidden >> (id.index() % 64) & 1 == 1
}

fn see(schema: &Schema, view: &netcode::replication::View) -> Expected {
    let row = |id| {
        let fields = schema.kinds[view.kind(id).expect("it is known")].fields.len();
        (id, (view.owner(id), (0..fields).map(|field| view.raw(id, field)).collect()))
    };
    view.entities().map(row).collect()
}
