//! What replication costs and how many bytes it makes: 64 clients that see everything, baselines 6 ticks old (100 ms at
//! 60 Hz), entities that walk, turn and sometimes stop.
//!
//! The throughput column is bytes of snapshots: divide by 64 for one client.

use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use netcode::emulator::Random;
use netcode::endpoint::UNRELIABLE_BYTES_MAX;
use netcode::replication::{EntityId, Replica, Replicator, SeatId, SnapshotHeader, World};
use protocol::schema::{Field, FieldCodec, Kind, Schema};
use protocol::tick::Tick;

const CLIENTS: u8 = 64;
const ACK_TICKS: u32 = 6;
const ENTITIES: [u16; 3] = [64, 200, 1_000];

/// Counts allocations beside the times.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// A world of walkers with a replicator and clients that acknowledge everything a little later.
struct Bench {
    world: World,
    walkers: Vec<EntityId>,
    replicator: Replicator,
    random: Random,
    tick: u32,
    out: Vec<u8>,
    /// A whole world takes several packets; where encoding is measured, it gets one large one.
    bytes_max: usize,
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
    Arc::new(Schema { game: "bench".into(), version: 1, kinds, input: vec![] })
}

impl Bench {
    fn new(entities: u16) -> Self {
        Self::within(entities, 64 * 1024)
    }

    fn within(entities: u16, bytes_max: usize) -> Self {
        let schema = schema();
        let mut world = World::new(Arc::clone(&schema), entities);
        let walkers: Vec<EntityId> = (0..entities).map_while(|_| world.spawn(0, None).ok()).collect();
        let mut replicator = Replicator::new(&schema, entities);
        (0..CLIENTS).for_each(|seat| replicator.add_client(SeatId(seat)));
        let random = Random::new(1);
        let mut bench = Self { world, walkers, replicator, random, tick: 0, out: Vec::new(), bytes_max };
        for _ in 0..2 * ACK_TICKS {
            bench.walk();
            bench.write();
        }
        bench
    }

    /// 1.4 m/s on average at 60 Hz; some stand still.
    fn walk(&mut self) {
        self.tick += 1;
        for &id in &self.walkers {
            if self.random.chance(0.2) {
                continue;
            }
            let aim = self.world.get(id, 2) + (self.random.below(100) as f32 - 49.5) / 500.0;
            self.world.set(id, 2, aim);
            self.world.set(id, 0, self.world.get(id, 0) + aim.cos() / 34.0);
            self.world.set(id, 1, self.world.get(id, 1) + aim.sin() / 34.0);
        }
        self.replicator.record(Tick(self.tick), &self.world);
        for seat in (0..CLIENTS).map(SeatId) {
            self.replicator.delivered(seat, Tick(self.tick.saturating_sub(ACK_TICKS)));
        }
    }

    /// One snapshot for every client; returns the bytes of all.
    fn write(&mut self) -> usize {
        let mut bytes = 0;
        for seat in (0..CLIENTS).map(SeatId) {
            let header = SnapshotHeader::default();
            self.replicator.write_snapshot(seat, header, &mut |_| true, &mut self.out, self.bytes_max);
            bytes += self.out.len();
        }
        bytes
    }
}

#[divan::bench(args = ENTITIES)]
fn write_snapshots_for_64_clients(bencher: Bencher<'_, '_>, entities: u16) {
    let mut bench = Bench::new(entities);
    bench.walk();
    // The same tick again: what was mentioned changes nothing about what must be said.
    let bytes = bench.write();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| black_box(bench.write()));
}

/// What a server does in each tick: another step, then a packet for everyone.
#[divan::bench(args = ENTITIES)]
fn a_tick_of_one_packet_for_64_clients(bencher: Bencher<'_, '_>, entities: u16) {
    let mut bench = Bench::within(entities, UNRELIABLE_BYTES_MAX);
    bencher.bench_local(|| {
        bench.walk();
        black_box(bench.write())
    });
}

#[divan::bench(args = ENTITIES)]
fn record_a_tick(bencher: Bencher<'_, '_>, entities: u16) {
    let mut bench = Bench::new(entities);
    bencher.bench_local(|| {
        bench.tick += 1;
        bench.replicator.record(Tick(bench.tick), &bench.world);
    });
}

#[divan::bench(args = ENTITIES)]
fn apply_a_snapshot(bencher: Bencher<'_, '_>, entities: u16) {
    let mut bench = Bench::new(entities);
    let replica = Replica::new(schema());
    bench.replicator.add_client(SeatId(0));
    bench.walk();
    bench.write();
    let bytes = {
        let header = SnapshotHeader::default();
        bench.replicator.write_snapshot(SeatId(0), header, &mut |_| true, &mut bench.out, bench.bytes_max);
        bench.out.clone()
    };
    bencher
        .counter(BytesCount::new(bytes.len()))
        .with_inputs(|| replica.clone())
        .bench_local_values(|mut replica| black_box(replica.apply(&bytes)));
}
