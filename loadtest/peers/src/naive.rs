//! The state as one writes it at first: a struct per entity, all of them every tick, by bincode.

use netcode::replication::{EntityId, World};

#[derive(bincode::Encode)]
struct Snapshot {
    tick: u32,
    walkers: Vec<Walker>,
}

#[derive(bincode::Encode)]
struct Walker {
    id: u64,
    position: [f32; 3],
    velocity: [f32; 3],
    aim: f32,
    stance: u8,
    health: f32,
}

/// Reused from tick to tick.
#[derive(Default)]
pub struct NaiveState {
    walkers: Vec<Walker>,
}

impl NaiveState {
    /// Appends the whole state.
    pub fn write(&mut self, tick: u32, world: &World, ids: &[EntityId], out: &mut Vec<u8>) {
        let mut walkers = std::mem::take(&mut self.walkers);
        walkers.clear();
        walkers.extend(ids.iter().map(|&id| {
            let aim = world.get(id, 2);
            Walker {
                id: u64::from(id.to_bits()),
                position: [world.get(id, 0), world.get(id, 1), 0.0],
                velocity: [aim.cos(), aim.sin(), 0.0],
                aim,
                stance: world.get_int(id, 3) as u8,
                health: world.get_int(id, 4) as f32,
            }
        }));
        out.extend_from_slice(&tick.to_le_bytes());
        let snapshot = Snapshot { tick, walkers };
        bincode::encode_into_std_write(&snapshot, out, bincode::config::legacy()).expect("memory takes everything");
        self.walkers = snapshot.walkers;
    }
}
