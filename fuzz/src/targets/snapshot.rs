//! Snapshots from a hostile server, applied to a replica with a real history: a refused one must change nothing.

use std::sync::{Arc, OnceLock};

use netcode::replication::{HISTORY_TICKS, Replica, Replicator, SeatId, SnapshotError, SnapshotHeader, World};
use protocol::schema::{Field, FieldCodec, Kind, Schema};
use protocol::tick::Tick;
use xxhash_rust::xxh3::Xxh3;

use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "snapshot",
    what: "snapshots applied to a replica with history; a refused one changes nothing",
    cases_per_world: 64,
    bytes_max: 1_200,
    world: || Box::new(History::new()),
    seeds,
};

/// Ticks that every replica has received before the first case.
const TICKS: u32 = 24;
/// The kind without a field.
const MARK: usize = 2;
/// Views that a replica keeps at most.
const VIEWS_MAX: usize = 2 * HISTORY_TICKS as usize;

struct History {
    schema: Arc<Schema>,
    replica: Replica,
    digest: u64,
}

impl History {
    fn new() -> Self {
        let (schema, replica) = received().clone();
        Self { digest: digest(&schema, &replica), schema, replica }
    }
}

impl Target for History {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let applied = self.replica.apply(case);
        let views = self.replica.views().count();
        check(views <= VIEWS_MAX, || format!("{views} views are kept, at most {VIEWS_MAX}"))?;
        let now = digest(&self.schema, &self.replica);
        let before = std::mem::replace(&mut self.digest, now);
        Ok(match applied {
            Ok(info) => {
                let view = self.replica.at(info.tick).ok_or("an applied snapshot has no view")?;
                for entity in view.entities() {
                    let kind = view.kind(entity).ok_or("an entity without a kind")?;
                    for (place, field) in self.schema.kinds[kind].fields.iter().enumerate() {
                        let raw = view.raw(entity, place).unwrap_or(0);
                        let raw_max = field.codec.raw_max();
                        check(raw <= raw_max, || format!("{} is {raw}, at most {raw_max}", field.name))?;
                        check(view.get(entity, place).is_finite(), || format!("{} is not finite", field.name))?;
                    }
                }
                // A world as large as the format allows is slow to copy; one is enough.
                if view.entities().any(|entity| entity.index() > 2_000) {
                    *self = Self::new();
                }
                16 + info.mentioned.min(64) as u64
            }
            Err(error) => {
                check(now == before, || format!("a refused snapshot ({error}) changed the replica"))?;
                match error {
                    SnapshotError::Malformed => 1,
                    SnapshotError::Version(_) => 2,
                    SnapshotError::MissingBaseline => 3,
                    SnapshotError::Duplicate => 4,
                    SnapshotError::TooOld => 5,
                }
            }
        })
    }
}

/// Everything that can be asked of a replica.
fn digest(schema: &Schema, replica: &Replica) -> u64 {
    let mut hash = Xxh3::new();
    for view in replica.views() {
        hash.update(&view.tick().0.to_le_bytes());
        for entity in view.entities() {
            hash.update(&entity.to_bits().to_le_bytes());
            let kind = view.kind(entity).unwrap_or(usize::MAX);
            hash.update(&[kind as u8, view.owner(entity).map_or(255, |seat| seat.0)]);
            for field in 0..schema.kinds[kind].fields.len() {
                let raw = view.raw(entity, field).map_or(u64::MAX, u64::from);
                hash.update(&raw.to_le_bytes());
            }
        }
    }
    hash.digest()
}

fn schema() -> Schema {
    let range = FieldCodec::Range { min: -8.0, max: 8.0, step: 1.0 / 64.0 };
    Schema {
        game: "snapshot".into(),
        version: 1,
        kinds: vec![
            Kind {
                name: "player".into(),
                fields: vec![
                    Field::new("x", range),
                    Field::new("aim", FieldCodec::Angle { bits: 10 }),
                    Field::owner_only("ammo", FieldCodec::Unsigned { bits: 6 }),
                    Field::new("alive", FieldCodec::Bool),
                ],
            },
            Kind { name: "shot".into(), fields: vec![Field::new("speed", FieldCodec::Signed { bits: 32 })] },
            Kind { name: "mark".into(), fields: vec![] },
        ],
        input: vec![],
    }
}

/// A replica that has received [`TICKS`] ticks.
fn received() -> &'static (Arc<Schema>, Replica) {
    static RECEIVED: OnceLock<(Arc<Schema>, Replica)> = OnceLock::new();
    RECEIVED.get_or_init(|| {
        let schema = Arc::new(schema());
        let mut replica = Replica::new(Arc::clone(&schema));
        for (tick, bytes) in written().iter().take_while(|(tick, _)| *tick <= TICKS) {
            replica.apply(bytes).unwrap_or_else(|error| panic!("own snapshot of tick {tick}: {error}"));
        }
        (schema, replica)
    })
}

/// Snapshots of a small world that changes: most against acknowledged baselines, with comings and goings.
fn written() -> &'static [(u32, Vec<u8>)] {
    static WRITTEN: OnceLock<Vec<(u32, Vec<u8>)>> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let schema = Arc::new(schema());
        let mut world = World::new(Arc::clone(&schema), 64);
        let mut replicator = Replicator::new(&schema, 64);
        replicator.add_client(SeatId(0));
        let mut entities: Vec<_> = (0..4).filter_map(|seat| world.spawn(0, Some(SeatId(seat))).ok()).collect();
        // They all fly and turn at once, so that snapshots name the fields that usually change together.
        let flock: Vec<_> = (0..12).filter_map(|_| world.spawn(0, None).ok()).collect();
        let mut snapshots = Vec::new();
        for tick in 1..=TICKS + 16 {
            for (number, entity) in
                entities.iter().enumerate().filter(|(number, _)| !(number + tick as usize).is_multiple_of(3))
            {
                if world.kind(*entity) == Some(MARK) {
                    continue;
                }
                world.set(*entity, 0, (tick as f32 / 5.0 + number as f32).sin() * 8.0);
            }
            for entity in &flock {
                world.set(*entity, 0, tick as f32 / 10.0);
                world.set(*entity, 1, tick as f32 / 7.0);
            }
            if tick % 3 == 0 {
                entities.extend(world.spawn(1 + tick as usize % 2, None));
            }
            if tick % 5 == 0 && entities.len() > 5 {
                world.despawn(entities.remove(5));
            }
            replicator.record(Tick(tick), &world);
            let header = SnapshotHeader { last_input: Tick(tick - tick % 4), margin_ms: 7 - tick as i16 };
            let mut bytes = Vec::new();
            replicator.write_snapshot(SeatId(0), header, &mut |_| true, &mut bytes, 1_100);
            snapshots.push((tick, bytes));
            // Within the history, every second snapshot arrives; what follows refers to the last of them.
            if tick <= TICKS && tick % 2 == 0 {
                replicator.delivered(SeatId(0), Tick(tick));
            }
        }
        snapshots
    })
}

fn seeds() -> Vec<Entry> {
    let picked = written().iter().filter(|(tick, _)| *tick == 1 || *tick >= TICKS - 1);
    picked.map(|(tick, bytes)| (format!("tick-{tick:02}"), bytes.clone())).collect()
}
