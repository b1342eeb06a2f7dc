//! The tests' own game: whoever holds "go" longest wins. It can be told to panic.

use std::collections::BTreeMap;

use game::schema::{SchemaBuilder, flag, unsigned};
use game::{
    EntityId, Game, Inputs, Leave, MatchSetup, Outbox, Outcome, PlayerOutcome, Schema, SeatId, StartError, Tick, To,
    World,
};

/// Settings: `ticks` (length of the race), `refuse` (true: the game refuses the match), `panic_at` (tick), `tell_every` (ticks
/// between two messages to all, each with the number of its tick).
pub(crate) struct Race {
    length: u32,
    panic_at: u64,
    tell_every: u64,
    tick: u32,
    cars: BTreeMap<SeatId, EntityId>,
    scores: BTreeMap<SeatId, i64>,
}

impl Game for Race {
    fn schema() -> Schema {
        SchemaBuilder::new("race", 1).kind("car", [unsigned("distance", 16)]).input([flag("go")]).build()
    }

    fn start(setup: &MatchSetup, _world: &mut World) -> Result<Self, StartError> {
        if setup.settings.get("refuse") == Some(&true.into()) {
            return Err(StartError::Refused("told to".into()));
        }
        Ok(Self {
            length: u32::try_from(setup.setting_u64("ticks", 60)).expect("small"),
            panic_at: setup.setting_u64("panic_at", u64::MAX),
            tell_every: setup.setting_u64("tell_every", u64::MAX),
            tick: 0,
            cars: BTreeMap::new(),
            scores: setup.players.iter().map(|player| (player.seat, 0)).collect(),
        })
    }

    fn join(&mut self, seat: SeatId, world: &mut World) {
        let car = world.spawn(0, Some(seat)).expect("room for every car");
        self.cars.insert(seat, car);
    }

    fn leave(&mut self, seat: SeatId, _why: Leave, world: &mut World) {
        if let Some(car) = self.cars.remove(&seat) {
            world.despawn(car);
        }
    }

    fn step(&mut self, tick: Tick, inputs: &Inputs<'_>, world: &mut World, outbox: &mut Outbox) {
        assert!(u64::from(tick.0) < self.panic_at, "told to panic");
        self.tick = tick.0;
        for (seat, car) in &self.cars {
            if inputs.get(*seat).is_set(0) {
                let score = self.scores.entry(*seat).or_default();
                *score += 1;
                world.set_int(*car, 0, *score);
            }
        }
        if u64::from(tick.0).is_multiple_of(self.tell_every) {
            outbox.send(To::All, &tick.0.to_le_bytes());
        }
        if tick.0 == 1 {
            outbox.send(To::All, b"start");
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        let place = |score: i64| 1 + self.scores.values().filter(|other| **other > score).count();
        let player = |(seat, score): (&SeatId, &i64)| PlayerOutcome {
            seat: *seat,
            place: u32::try_from(place(*score)).expect("small"),
            score: *score,
            stats: BTreeMap::from([("distance".into(), *score)]),
        };
        (self.tick >= self.length).then(|| Outcome::finished(self.scores.iter().map(player).collect()))
    }
}
