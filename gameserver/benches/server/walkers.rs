//! The benches' game: so many walkers as the settings ask for, all seen by everyone. They walk, turn and sometimes
//! stop, as in netcode's bench of replication; the rules cost next to nothing, so what is measured is the platform.

use game::schema::{SchemaBuilder, angle, flag, range, unsigned};
use game::{Game, Inputs, Leave, MatchSetup, Outbox, Outcome, StartError};
use netcode::emulator::Random;
use netcode::replication::{EntityId, SeatId, World};
use protocol::schema::Schema;
use protocol::tick::Tick;

const X: usize = 0;
const Y: usize = 1;
const AIM: usize = 2;

/// The game.
pub(crate) struct Walkers {
    walkers: Vec<EntityId>,
    random: Random,
}

impl Game for Walkers {
    fn schema() -> Schema {
        let place = |name| range(name, -64.0, 64.0, 1.0 / 512.0);
        SchemaBuilder::new("walkers", 1)
            .kind("walker", [place("x"), place("y"), angle("aim", 12), unsigned("stance", 3), unsigned("health", 7)])
            .input([range("turn", -1.0, 1.0, 1.0 / 128.0), flag("fire")])
            .build()
    }

    fn start(setup: &MatchSetup, world: &mut World) -> Result<Self, StartError> {
        let count = setup.setting_u64("walkers", 64);
        let walkers = (0..count).map_while(|_| world.spawn(0, None).ok()).collect();
        Ok(Self { walkers, random: Random::new(1) })
    }

    fn join(&mut self, _seat: SeatId, _world: &mut World) {}

    fn leave(&mut self, _seat: SeatId, _why: Leave, _world: &mut World) {}

    fn step(&mut self, _tick: Tick, _inputs: &Inputs<'_>, world: &mut World, _outbox: &mut Outbox) {
        for &id in &self.walkers {
            if self.random.chance(0.2) {
                continue;
            }
            let aim = world.get(id, AIM) + (self.random.below(100) as f32 - 49.5) / 500.0;
            world.set(id, AIM, aim);
            world.set(id, X, world.get(id, X) + aim.cos() / 34.0);
            world.set(id, Y, world.get(id, Y) + aim.sin() / 34.0);
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        None
    }
}
