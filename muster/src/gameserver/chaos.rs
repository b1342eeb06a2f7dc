//! A game whose rooms can be made to panic, for `muster demo --chaos` alone.

use std::path::{Path, PathBuf};

use game::{
    EntityId, Game, Inputs, Leave, MapView, MatchSetup, Outbox, Outcome, Schema, SeatId, StartError, Tick, World,
};
use protocol::id::MatchId;

/// Names the folder in which a file with a match's id makes that match's room panic. Only `demo --chaos` sets it.
pub(crate) const VARIABLE: &str = "MUSTER_CHAOS";

/// The file that makes a room panic.
pub(crate) fn trigger(folder: &Path, match_id: MatchId) -> PathBuf {
    folder.join(match_id.to_string())
}

/// A game that panics in its step once its [`trigger`] exists; otherwise the game that it wraps.
pub(crate) struct Fragile<G> {
    game: G,
    trigger: Option<PathBuf>,
}

impl<G: Game> Game for Fragile<G> {
    fn schema() -> Schema {
        G::schema()
    }

    fn start(setup: &MatchSetup, world: &mut World) -> Result<Self, StartError> {
        let folder = std::env::var_os(VARIABLE);
        let trigger = folder.map(|folder| trigger(Path::new(&folder), setup.match_id));
        Ok(Self { game: G::start(setup, world)?, trigger })
    }

    fn join(&mut self, seat: SeatId, world: &mut World) {
        self.game.join(seat, world);
    }

    fn leave(&mut self, seat: SeatId, why: Leave, world: &mut World) {
        self.game.leave(seat, why, world);
    }

    fn step(&mut self, tick: Tick, inputs: &Inputs<'_>, world: &mut World, outbox: &mut Outbox) {
        let is_due = self.trigger.as_ref().is_some_and(|trigger| trigger.exists());
        assert!(!is_due, "chaos asked this room to panic");
        self.game.step(tick, inputs, world, outbox);
    }

    fn outcome(&self) -> Option<Outcome> {
        self.game.outcome()
    }

    fn message(&mut self, seat: SeatId, bytes: &[u8], world: &mut World) {
        self.game.message(seat, bytes, world);
    }

    fn welcome(&self, seat: SeatId) -> Vec<u8> {
        self.game.welcome(seat)
    }

    fn relevant(&self, seat: SeatId, entity: EntityId, world: &World) -> bool {
        self.game.relevant(seat, entity, world)
    }

    fn map(&self) -> Option<MapView> {
        self.game.map()
    }

    fn digest(&self) -> u64 {
        self.game.digest()
    }
}
