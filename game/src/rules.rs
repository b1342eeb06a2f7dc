//! The interface between a studio's rules and Muster.

use netcode::replication::{EntityId, SeatId, World};
use protocol::schema::{Schema, SchemaError};
use protocol::tick::Tick;

use crate::input::Inputs;
use crate::map_view::MapView;
use crate::outbox::Outbox;
use crate::outcome::Outcome;
use crate::setup::MatchSetup;

/// The rules of a game.
///
/// An implementation holds what the rules need beside the [`World`] (timers, scores, a random generator seeded by
/// [`MatchSetup::seed`]). Clients see the world alone. It must be deterministic: no clock, no randomness of its own, no
/// iteration over hash maps; then every match replays bit for bit from its input log.
///
/// A panic loses this match and no other.
pub trait Game: Sized + Send + 'static {
    /// The game's data. Called on the server and on clients, which must get the same.
    fn schema() -> Schema;

    /// Begins a match: spawns what is there before anyone joins.
    ///
    /// # Errors
    /// [`StartError::Refused`] when the settings or the roster make no sense. The match is refused then.
    fn start(setup: &MatchSetup, world: &mut World) -> Result<Self, StartError>;

    /// A player takes its seat, for the first time or after it had left. Not called when a client only reconnects.
    fn join(&mut self, seat: SeatId, world: &mut World);

    /// A player is gone from its seat.
    fn leave(&mut self, seat: SeatId, why: Leave, world: &mut World);

    /// Advances the world by one tick.
    fn step(&mut self, tick: Tick, inputs: &Inputs<'_>, world: &mut World, outbox: &mut Outbox);

    /// `Some` when the match has ended. Asked after each step.
    fn outcome(&self) -> Option<Outcome>;

    /// A reliable message from a client; its bytes are the game's own and may be anything.
    fn message(&mut self, _seat: SeatId, _bytes: &[u8], _world: &mut World) {}

    /// What a client gets once when it joins, outside the snapshots (a map, …); empty for nothing.
    fn welcome(&self, _seat: SeatId) -> Vec<u8> {
        Vec::new()
    }

    /// Whether a client may see an entity that it does not own. What is hidden is never sent.
    fn relevant(&self, _seat: SeatId, _entity: EntityId, _world: &World) -> bool {
        true
    }

    /// What stands still, for people who watch a match from above; clients never get it. Asked once, after
    /// [`start`](Self::start).
    fn map(&self) -> Option<MapView> {
        None
    }

    /// Hash of what the game holds beside the world: it makes a replay notice a divergence at its very tick.
    fn digest(&self) -> u64 {
        0
    }
}

/// Why a player is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Leave {
    /// The player said so.
    Left = 1,
    /// Nothing was heard for too long.
    Lost = 2,
    /// The player was removed: by an operator, or for breaking the protocol.
    Kicked = 3,
}

impl Leave {
    /// The reason with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Left, Self::Lost, Self::Kicked].into_iter().find(|leave| *leave as u8 == code)
    }
}

/// Why a match does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The game's schema is faulty.
    #[error("the game's schema is faulty: {0}")]
    Schema(SchemaError),
    /// The roster or the tick rate is out of range.
    #[error("the match's setup is faulty: {0}")]
    Setup(String),
    /// The game refuses the settings or the roster.
    #[error("the game refuses the match: {0}")]
    Refused(String),
}
