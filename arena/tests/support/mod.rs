//! A match driven by hand, without rooms and networks, and a simple player for it.

use std::sync::Arc;

use arena::Arena;
use arena::event::Event;
use arena::movement::Controls;
use game::setup::Player;
use game::{Game, Input, Inputs, MatchSetup, Outbox, SeatId, Settings, StartError, Tick, World};
use protocol::id::{MatchId, PlayerId};

/// A match of the arena under test.
pub(crate) struct Match {
    pub(crate) game: Arena,
    pub(crate) world: World,
    pub(crate) tick: Tick,
    pub(crate) events: Vec<Event>,
    inputs: Vec<(bool, Input)>,
}

pub(crate) fn settings(json: &str) -> Settings {
    serde_json::from_str(json).expect("settings of a test are JSON")
}

/// A setup with players spread over `teams` teams in turn.
pub(crate) fn setup(seed: u64, players: u8, teams: u32, json: &str) -> MatchSetup {
    let player = |seat: u8| Player {
        id: PlayerId::from_entropy([seat; 16]),
        seat: SeatId(seat),
        team: u32::from(seat) % teams,
        name: format!("player {seat}"),
    };
    MatchSetup {
        match_id: MatchId::from_entropy([9; 16]),
        seed,
        tick_rate_hz: 60,
        players: (0..players).map(player).collect(),
        settings: settings(json),
    }
}

impl Match {
    pub(crate) fn start(setup: &MatchSetup) -> Result<Self, StartError> {
        let schema = Arc::new(Arena::schema());
        let mut world = World::new(Arc::clone(&schema), 512);
        let game = Arena::start(setup, &mut world)?;
        let inputs = setup.players.iter().map(|_| (false, Input::neutral(Arc::clone(&schema)))).collect();
        Ok(Self { game, world, tick: Tick::ZERO, events: Vec::new(), inputs })
    }

    /// A match that everyone has joined.
    pub(crate) fn with_everyone(setup: &MatchSetup) -> Self {
        let mut running = Self::start(setup).expect("the setup is good");
        for player in &setup.players {
            running.join(player.seat);
        }
        running
    }

    pub(crate) fn join(&mut self, seat: SeatId) {
        self.inputs[usize::from(seat.0)].0 = true;
        self.game.join(seat, &mut self.world);
    }

    /// One tick with these controls, by seat.
    pub(crate) fn step(&mut self, controls: &[Controls]) {
        for ((_, input), controls) in self.inputs.iter_mut().zip(controls) {
            for (field, value) in arena::input::values(controls).into_iter().enumerate() {
                input.set(field, value);
            }
        }
        self.tick = self.tick.next();
        let mut outbox = Outbox::new();
        self.game.step(self.tick, &Inputs::new(&self.inputs), &mut self.world, &mut outbox);
        let (messages, refused) = outbox.take();
        assert_eq!(refused, 0);
        self.events.extend(messages.iter().map(|(_, bytes)| Event::from_bytes(bytes).expect("the arena's own bytes")));
    }

    /// One tick in which everyone hunts the nearest enemy.
    pub(crate) fn step_with_hunters(&mut self) {
        let controls: Vec<_> = (0..self.inputs.len()).map(|place| self.hunt(place)).collect();
        self.step(&controls);
    }

    /// Runs at the nearest living enemy, slides along walls, shoots whenever it sees it, now and then with a rocket.
    fn hunt(&self, place: usize) -> Controls {
        let simulation = self.game.simulation();
        let own = &simulation.fighters[place];
        let apart2 = |at: (f32, f32)| (at.0 - own.body.x).powi(2) + (at.1 - own.body.y).powi(2);
        let enemies = simulation.fighters.iter().filter(|other| other.side != own.side && other.body.alive);
        let Some(enemy) = enemies.min_by(|a, b| apart2(a.body.position()).total_cmp(&apart2(b.body.position()))) else {
            return Controls::default();
        };
        let (dx, dy) = (enemy.body.x - own.body.x, enemy.body.y - own.body.y);
        let sees = simulation.map.sees(own.body.position(), enemy.body.position());
        // Behind a wall it tries one side, then the other, for longer than the longest wall takes.
        let swing =
            [0.0, 3.0, 0.0, -3.0][(self.tick.0 / 60 + place as u32) as usize % 4] * if sees { 0.3 } else { 1.0 };
        let length = dx.hypot(dy).max(0.1);
        Controls {
            right: dx / length - dy / length * swing,
            up: dy / length + dx / length * swing,
            aim: dy.atan2(dx),
            fire: sees,
            rocket: (self.tick.0 / 90).is_multiple_of(3),
            dash: self.tick.0.is_multiple_of(50),
        }
    }
}
