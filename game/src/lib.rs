//! What a studio writes against: the [`Game`] trait, and the [`Room`] that runs it one numbered tick at a time.
//!
//! A [`Room`] is one match, from its roster to its outcome. It is deterministic and does no IO: the shell (`gameserver`)
//! hands in what clients sent, calls [`Room::step`] once per tick, and sends out what the room gives its [`RoomSink`].
//! The same code runs whole matches in virtual time ([`simulation`]) and again from their input logs ([`mod@replay`]).
//!
//! | module | owns |
//! |---|---|
//! | [`rules`] | the [`Game`] trait |
//! | [`schema`] | describing a game's data in a few lines |
//! | [`setup`], [`outcome`] | what a match begins and ends with |
//! | [`map_view`] | what a spectator sees standing |
//! | [`input`], `input_buffer` | one player's input for one tick, on the wire and on its way to its tick |
//! | [`outbox`], [`message`] | reliable messages of the game and of the room |
//! | [`room`], `seat`, [`sink`] | the tick, what goes in and what comes out |
//! | `play` | the deterministic part of a match |
//! | [`mod@log`], [`mod@replay`] | the input log, and the match run again from it |
//! | [`simulation`] | seeded matches over an emulated network, checked while they run |

pub mod input;
mod input_buffer;
pub mod log;
pub mod map_view;
pub mod message;
pub mod outbox;
pub mod outcome;
mod play;
pub mod replay;
pub mod room;
pub mod rules;
pub mod schema;
mod seat;
pub mod setup;
pub mod simulation;
pub mod sink;

pub use input::{Input, InputPacket, Inputs, Seen};
pub use log::InputLog;
pub use map_view::MapView;
pub use message::{RoomMessage, RosterEntry, Standing};
pub use netcode::replication::{EntityId, SeatId, World, WorldFull};
pub use outbox::{Outbox, To};
pub use outcome::{Outcome, PlayerOutcome};
pub use protocol::tick::Tick;
pub use replay::replay;
pub use room::{Room, RoomConfig, RoomInput};
pub use rules::{Game, Leave, StartError};
pub use schema::Schema;
pub use setup::{MatchSetup, Player, Settings};
pub use sink::{InputCounts, Phase, RoomSink, StepReport};
