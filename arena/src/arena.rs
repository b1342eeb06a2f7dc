//! The arena as a [`Game`]: checks the setup, runs the [`Simulation`], and says how it ended.

use std::collections::BTreeMap;

use game::{
    EntityId, Game, Inputs, Leave, MapView, MatchSetup, Outbox, Outcome, PlayerOutcome, Schema, SeatId, StartError,
    Tick, World,
};

use crate::fighter::{Fighter, Stats};
use crate::input;
use crate::map_generation::generate;
use crate::map_view::map_view;
use crate::rules::{self, Clock, Ending, Phase};
use crate::schema;
use crate::settings::{self, Mode, Settings};
use crate::simulation::Simulation;
use crate::welcome::Welcome;

/// Makes the match's randomness differ from the map's, which may have the same seed.
const MATCH_SALT: u64 = 0x6D75_7374_6572_2121;

/// One match of the arena.
#[derive(Debug, Clone)]
pub struct Arena {
    simulation: Simulation,
}

impl Arena {
    /// The match's state, for watching it.
    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }
}

impl Game for Arena {
    fn schema() -> Schema {
        schema::schema()
    }

    fn start(setup: &MatchSetup, world: &mut World) -> Result<Self, StartError> {
        let refused = |error: settings::SettingsError| StartError::Refused(error.to_string());
        let settings = Settings::read(&setup.settings).map_err(refused)?;
        let (sides, sides_count) = settings::sides(setup, settings.mode).map_err(refused)?;
        let rate = settings::rate(setup).map_err(refused)?;
        let map = generate(settings.map_seed.unwrap_or(setup.seed), setup.players.len());
        let fighters = setup.players.iter().zip(sides).map(|(player, side)| Fighter::absent(player.seat, side));
        let corners = match (settings.mode, sides_count) {
            (Mode::FreeForAll, _) => None,
            // Two teams stand in opposite corners.
            (Mode::Teams, 2) => Some(vec![0, 2]),
            (Mode::Teams, _) => Some(vec![0, 1, 2, 3]),
        };
        let clock = Clock::new(settings.seconds, rate);
        let seed = setup.seed ^ MATCH_SALT;
        let simulation = Simulation::new(map, clock, rate, fighters.collect(), corners, seed, world)
            .map_err(|full| StartError::Refused(full.to_string()))?;
        Ok(Self { simulation })
    }

    fn join(&mut self, seat: SeatId, world: &mut World) {
        self.simulation.join(seat, world);
    }

    fn leave(&mut self, seat: SeatId, _why: Leave, world: &mut World) {
        self.simulation.leave(seat, world);
    }

    fn step(&mut self, _tick: Tick, inputs: &Inputs<'_>, world: &mut World, outbox: &mut Outbox) {
        self.simulation.step(&|seat| input::controls(inputs.get(seat)), world, outbox);
    }

    fn outcome(&self) -> Option<Outcome> {
        (self.simulation.clock.phase() == Phase::Over).then(|| outcome(&self.simulation))
    }

    fn welcome(&self, _seat: SeatId) -> Vec<u8> {
        Welcome::to_bytes(self.simulation.rate, &self.simulation.map)
    }

    fn relevant(&self, seat: SeatId, entity: EntityId, world: &World) -> bool {
        self.simulation.is_relevant(seat, entity, world)
    }

    fn map(&self) -> Option<MapView> {
        Some(map_view(&self.simulation.map))
    }

    fn digest(&self) -> u64 {
        self.simulation.digest()
    }
}

fn outcome(simulation: &Simulation) -> Outcome {
    let fighters = &simulation.fighters;
    let players = fighters.iter().zip(rules::places(fighters)).map(|(fighter, place)| PlayerOutcome {
        seat: fighter.seat,
        place,
        score: i64::from(fighter.stats.kills),
        stats: figures(&fighter.stats),
    });
    match simulation.clock.ending() {
        Some(Ending::TimeUp) => Outcome::finished(players.collect()),
        // The places stand: those who stayed come first.
        Some(Ending::Abandoned) | None => Outcome { reason: "abandoned".to_owned(), players: players.collect() },
    }
}

fn figures(stats: &Stats) -> BTreeMap<String, i64> {
    let figures = [
        ("kills", i64::from(stats.kills)),
        ("deaths", i64::from(stats.deaths)),
        ("suicides", i64::from(stats.suicides)),
        ("damage", i64::from(stats.damage)),
        ("shots", i64::from(stats.shots)),
        ("hits", i64::from(stats.hits)),
        ("pickups", i64::from(stats.pickups)),
        ("distance_m", stats.distance_m as i64),
    ];
    figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect()
}
