//! A match without its clients: the rules, the world and the inputs, advanced tick by tick.
//!
//! This is all that the outcome depends on. [`Room`](crate::Room) drives it with what clients send, and
//! [`replay`](mod@crate::replay) with what was recorded.

use std::sync::Arc;

use netcode::replication::{SeatId, World};
use protocol::schema::Schema;
use protocol::tick::Tick;
use xxhash_rust::xxh3::xxh3_64;

use crate::input::{Input, Inputs, RawInput};
use crate::outbox::Outbox;
use crate::outcome::Outcome;
use crate::rules::{Game, Leave, StartError};
use crate::setup::MatchSetup;

/// The deterministic part of a match.
pub(crate) struct Play<G> {
    pub(crate) game: G,
    pub(crate) schema: Arc<Schema>,
    pub(crate) world: World,
    pub(crate) outbox: Outbox,
    pub(crate) tick: Tick,
    pub(crate) outcome: Option<Outcome>,
    /// Hash of the history up to `tick`.
    pub(crate) hash: u64,
    /// Per seat: whether the player is there, and its input.
    inputs: Vec<(bool, Input)>,
}

impl<G: Game> Play<G> {
    pub(crate) fn start(setup: &MatchSetup, entities_max: u16) -> Result<Self, StartError> {
        let schema = G::schema();
        schema.validate().map_err(StartError::Schema)?;
        setup.validate()?;
        let schema = Arc::new(schema);
        let mut world = World::new(Arc::clone(&schema), entities_max);
        let game = G::start(setup, &mut world)?;
        let hash = chain([schema.hash(), setup.seed, world.hash(), game.digest()]);
        let inputs = setup.players.iter().map(|_| (false, Input::neutral(Arc::clone(&schema)))).collect();
        let outbox = Outbox::new();
        Ok(Self { game, schema, world, outbox, tick: Tick::ZERO, outcome: None, hash, inputs })
    }

    pub(crate) fn is_present(&self, seat: SeatId) -> bool {
        self.inputs.get(usize::from(seat.0)).is_some_and(|(present, _)| *present)
    }

    /// Players on their seats.
    pub(crate) fn present(&self) -> impl Iterator<Item = SeatId> + '_ {
        (0u8..).map(SeatId).zip(&self.inputs).filter(|(_, (present, _))| *present).map(|(seat, _)| seat)
    }

    /// The player takes its seat; false if it was there.
    pub(crate) fn join(&mut self, seat: SeatId) -> bool {
        let is_new = !std::mem::replace(&mut self.inputs[usize::from(seat.0)].0, true);
        if is_new && self.outcome.is_none() {
            self.game.join(seat, &mut self.world);
        }
        is_new
    }

    /// The player is gone from its seat; false if it was not there.
    pub(crate) fn leave(&mut self, seat: SeatId, why: Leave) -> bool {
        let was_present = std::mem::take(&mut self.inputs[usize::from(seat.0)].0);
        if was_present && self.outcome.is_none() {
            self.game.leave(seat, why, &mut self.world);
        }
        was_present
    }

    /// A message of a player; false if nobody may send one.
    pub(crate) fn message(&mut self, seat: SeatId, bytes: &[u8]) -> bool {
        let is_taken = self.is_present(seat) && self.outcome.is_none();
        if is_taken {
            self.game.message(seat, bytes, &mut self.world);
        }
        is_taken
    }

    /// Sets the input of a seat from now on; true if it differs from the one before.
    pub(crate) fn set_input(&mut self, seat: SeatId, raw: &RawInput) -> bool {
        let input = &mut self.inputs[usize::from(seat.0)].1;
        let differs = input.raw() != raw;
        if differs {
            *input = Input::from_raw(Arc::clone(&self.schema), raw);
        }
        differs
    }

    /// Ends the match from outside, unless it has ended.
    pub(crate) fn abort(&mut self, reason: &str) -> bool {
        let is_open = self.outcome.is_none();
        if is_open {
            self.outcome = Some(Outcome::aborted(reason).bounded());
        }
        is_open
    }

    /// Advances by one tick. After the end the rules rest, and time alone passes.
    pub(crate) fn step(&mut self) {
        self.tick = self.tick.next();
        if self.outcome.is_none() {
            self.game.step(self.tick, &Inputs::new(&self.inputs), &mut self.world, &mut self.outbox);
            self.outcome = self.game.outcome().map(Outcome::bounded);
        }
    }

    /// Takes the tick into the hash of the history.
    pub(crate) fn seal(&mut self) {
        self.hash = chain([self.hash, u64::from(self.tick.0), self.world.hash(), self.game.digest()]);
    }
}

fn chain(parts: [u64; 4]) -> u64 {
    xxh3_64(parts.map(u64::to_le_bytes).as_flattened())
}
