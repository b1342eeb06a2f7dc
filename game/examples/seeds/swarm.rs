//! Swarm: players fly among drones that hunt them. Nobody wins; it exists to keep every part of the network code busy:
//! entities come, go and hide, values change fast, slowly and back again, messages flow both ways.

use game::schema::{SchemaBuilder, angle, flag, for_owner, range, signed, unsigned};
use game::{EntityId, Game, Inputs, Leave, MatchSetup, Outbox, Outcome, Schema, SeatId, StartError, Tick, To, World};
use netcode::emulator::Random;
use std::collections::BTreeMap;

const SHIP: usize = 0;
const DRONE: usize = 1;
pub(crate) const X: usize = 0;
pub(crate) const Y: usize = 1;
const HEADING: usize = 2;
const ALERT: usize = 3;
const FUEL: usize = 4;
pub(crate) const TURN: usize = 0;
pub(crate) const THRUST: usize = 1;
const SIDE_M: f32 = 64.0;
const SIGHT_M: f32 = 40.0;

pub(crate) struct Swarm {
    random: Random,
    ships: BTreeMap<SeatId, EntityId>,
    drones: Vec<EntityId>,
    drones_most: usize,
    tick_seconds: f32,
    heard: u64,
}

impl Game for Swarm {
    fn schema() -> Schema {
        let place = |name| range(name, -SIDE_M, SIDE_M, 1.0 / 256.0);
        SchemaBuilder::new("swarm", 1)
            .kind(
                "ship",
                [place("x"), place("y"), angle("heading", 12), flag("alert"), for_owner(range("fuel", 0.0, 1.0, 0.01))],
            )
            .kind("drone", [place("x"), place("y"), angle("heading", 10), flag("alert"), unsigned("serial", 20)])
            .input([signed("turn", 3), unsigned("thrust", 2)])
            .build()
    }

    fn start(setup: &MatchSetup, world: &mut World) -> Result<Self, StartError> {
        Ok(Self {
            random: Random::new(setup.seed),
            ships: BTreeMap::new(),
            drones: Vec::new(),
            drones_most: usize::from(world.entities_max()) - setup.players.len(),
            tick_seconds: setup.tick_seconds(),
            heard: 0,
        })
    }

    fn join(&mut self, seat: SeatId, world: &mut World) {
        if let Ok(ship) = world.spawn(SHIP, Some(seat)) {
            self.ships.insert(seat, ship);
        }
    }

    fn leave(&mut self, seat: SeatId, _why: Leave, world: &mut World) {
        if let Some(ship) = self.ships.remove(&seat) {
            world.despawn(ship);
        }
    }

    fn step(&mut self, tick: Tick, inputs: &Inputs<'_>, world: &mut World, outbox: &mut Outbox) {
        for (&seat, &ship) in &self.ships {
            let input = inputs.get(seat);
            let heading = world.get(ship, HEADING) + input.get(TURN) * self.tick_seconds;
            world.set(ship, HEADING, heading);
            fly(world, ship, input.get(THRUST) * 4.0 * self.tick_seconds);
            world.set(ship, FUEL, 1.0 - (tick.0 % 997) as f32 / 997.0);
        }
        self.breed(tick, world);
        for &drone in &self.drones {
            if self.random.chance(0.1) {
                let heading = world.get(drone, HEADING) + self.random.below(100) as f32 / 50.0 - 1.0;
                world.set(drone, HEADING, heading);
            }
            let alert = self.random.chance(0.02);
            world.set_int(drone, ALERT, i64::from(alert));
            fly(world, drone, 5.0 * self.tick_seconds);
        }
        if tick.0.is_multiple_of(10) {
            outbox.send(To::All, &tick.0.to_le_bytes());
        }
        if self.random.chance(0.01) {
            outbox.send(To::Seat(SeatId(self.random.below(4) as u8)), &[7; 2_000]);
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        None
    }

    fn message(&mut self, _seat: SeatId, bytes: &[u8], _world: &mut World) {
        self.heard += bytes.len() as u64;
    }

    fn welcome(&self, _seat: SeatId) -> Vec<u8> {
        vec![1; 20_000]
    }

    fn relevant(&self, seat: SeatId, entity: EntityId, world: &World) -> bool {
        let Some(&ship) = self.ships.get(&seat) else { return false };
        let (dx, dy) = (world.get(entity, X) - world.get(ship, X), world.get(entity, Y) - world.get(ship, Y));
        dx * dx + dy * dy < SIGHT_M * SIGHT_M
    }

    fn digest(&self) -> u64 {
        self.heard
    }
}

impl Swarm {
    /// Some drones die, others are born.
    fn breed(&mut self, tick: Tick, world: &mut World) {
        if !self.drones.is_empty() && self.random.chance(0.05) {
            let place = self.random.below(self.drones.len() as u64) as usize;
            world.despawn(self.drones.swap_remove(place));
        }
        while self.drones.len() < self.drones_most {
            let Ok(drone) = world.spawn(DRONE, None) else { return };
            world.set_int(drone, 4, i64::from(tick.0));
            world.set(drone, X, self.random.below(100) as f32 - 50.0);
            world.set(drone, Y, self.random.below(100) as f32 - 50.0);
            self.drones.push(drone);
        }
    }
}

fn fly(world: &mut World, id: EntityId, distance_m: f32) {
    // Polynomials, because `sin` may differ between machines: error below 0.02, enough for a drone.
    let turn = world.get(id, HEADING) / std::f32::consts::TAU;
    let (x, y) = (wave(turn + 0.25), wave(turn));
    world.set(id, X, world.get(id, X) + x * distance_m);
    world.set(id, Y, world.get(id, Y) + y * distance_m);
}

/// About the sine of `turn` full turns.
fn wave(turn: f32) -> f32 {
    let phase = 2.0 * (turn - turn.floor()) - 1.0;
    -4.0 * phase * (1.0 - phase.abs())
}
