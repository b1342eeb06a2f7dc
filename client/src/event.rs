//! What a client tells its game.

use game::{Leave, RosterEntry, Standing};
use netcode::endpoint::RefusalDetail;
use netcode::replication::SeatId;
use protocol::id::MatchId;
use protocol::tick::Tick;
use protocol::wire::{CloseReason, Refusal};

/// Something that happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client has its seat in the match.
    Connected(Welcome),
    /// Another player has taken its seat.
    PlayerJoined(SeatId),
    /// Another player is gone.
    PlayerLeft {
        /// Its seat.
        seat: SeatId,
        /// Why.
        why: Leave,
    },
    /// A message of the game, exactly once and in order.
    Game(Vec<u8>),
    /// A bulk transfer of the game: what it gives to those who join (a map, …).
    Bulk(Vec<u8>),
    /// The server has to leave: whatever still runs ends at about this tick.
    Draining(Tick),
    /// The match has ended; the session is closed soon.
    Ended(Ending),
    /// Nothing was heard from the server for 5 s.
    Silent,
    /// The server is heard again.
    Heard,
    /// The server refused. The client is done; see [`Refusal`] for what may help.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What the server speaks, where it says so.
        detail: Option<RefusalDetail>,
    },
    /// The session is closed. The client is done.
    Closed {
        /// Why.
        reason: CloseReason,
        /// Whether the server said so.
        by_server: bool,
    },
    /// The server did not answer in time. The client is done.
    TimedOut,
}

/// What a client learns when it has its seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The match.
    pub match_id: MatchId,
    /// The client's own seat.
    pub seat: SeatId,
    /// Ticks per second.
    pub tick_rate_hz: u32,
    /// The tick that the server was about to run.
    pub tick: Tick,
    /// The roster, by seat.
    pub players: Vec<RosterEntry>,
    /// Settings of the match, a JSON object.
    pub settings_json: String,
}

/// How the match ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Why, in a word.
    pub reason: String,
    /// Everyone who has a place.
    pub standings: Vec<Standing>,
}
