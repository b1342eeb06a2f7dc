//! A match run again from its input log.

use crate::log::{InputLog, Record};
use crate::play::Play;
use crate::rules::{Game, StartError};

/// Why a match cannot be run again, or does not come out the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The log is of another game, or of another version of its data.
    #[error(
        "the log was recorded with another schema ({recorded:016x}) than this game has ({own:016x}): replay it with the build that recorded it"
    )]
    Schema {
        /// Hash of the log's schema.
        recorded: u64,
        /// Hash of the game's schema.
        own: u64,
    },
    /// The match does not begin.
    #[error("the match does not begin again: {0}")]
    Start(StartError),
    /// From this tick on the match is another one.
    #[error(
        "tick {tick} diverges: recorded {recorded:016x}, replayed {replayed:016x}: the rules have changed or are not deterministic"
    )]
    Diverged {
        /// The first tick that differs.
        tick: u32,
        /// Its hash in the log.
        recorded: u64,
        /// Its hash now.
        replayed: u64,
    },
}

/// Runs a recorded match again and returns its last state hash.
///
/// # Errors
/// [`ReplayError`]; a divergence is found at its very tick.
pub fn replay<G: Game>(log: &InputLog) -> Result<u64, ReplayError> {
    let (recorded, own) = (log.schema().hash(), G::schema().hash());
    if recorded != own {
        return Err(ReplayError::Schema { recorded, own });
    }
    let mut play: Play<G> = Play::start(log.setup(), log.entities_max()).map_err(ReplayError::Start)?;
    for record in log.records() {
        match record {
            Record::Joined(seat) => {
                play.join(seat);
            }
            Record::Left(seat, why) => {
                play.leave(seat, why);
            }
            Record::Message(seat, bytes) => {
                play.message(seat, bytes);
            }
            Record::Input(seat, raw) => {
                play.set_input(seat, &raw);
            }
            Record::Aborted(reason) => {
                play.abort(reason);
            }
            Record::Stepped(recorded) => {
                play.step();
                play.outbox.take();
                play.seal();
                if play.hash != recorded {
                    return Err(ReplayError::Diverged { tick: play.tick.0, recorded, replayed: play.hash });
                }
            }
        }
    }
    Ok(play.hash)
}
