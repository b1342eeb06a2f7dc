//! Reliable messages from the room to its clients.
//!
//! Bytes: the message's number (one byte), then its fields in order, all by [`protocol::codec`].

use netcode::endpoint::MESSAGE_BYTES_MAX;
use protocol::codec::{self, DecodeError};
use protocol::id::{MatchId, PlayerId};

use crate::outcome::{Outcome, PlayerOutcome};
use crate::rules::Leave;

/// What a room tells a client, reliably and in order.
///
/// [`Welcome`](Self::Welcome) is the first message of every session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomMessage {
    /// The client has its seat.
    Welcome {
        /// 16 bytes of the match's id.
        match_id: [u8; 16],
        /// The client's own seat.
        seat: u8,
        /// Ticks per second.
        tick_rate_hz: u32,
        /// The tick that the server is about to run.
        tick: u32,
        /// The roster, by seat.
        players: Vec<RosterEntry>,
        /// Settings of the match, a JSON object.
        settings_json: String,
    },
    /// Another player has taken its seat.
    PlayerJoined {
        /// Its seat.
        seat: u8,
    },
    /// Another player is gone.
    PlayerLeft {
        /// Its seat.
        seat: u8,
        /// Number of a [`Leave`].
        why: u8,
    },
    /// A message of the game.
    Game(Vec<u8>),
    /// The server has to leave: whatever still runs then ends at about this tick.
    Draining {
        /// The tick.
        tick: u32,
    },
    /// The match has ended; the server closes the session soon.
    Ended {
        /// Why, in a word.
        reason: String,
        /// Everyone who has a place.
        standings: Vec<Standing>,
    },
}

/// A player, as its fellow players see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterEntry {
    /// 16 bytes of the player's id.
    pub player_id: [u8; 16],
    /// Its seat.
    pub seat: u8,
    /// Its team.
    pub team: u32,
    /// Its name.
    pub name: String,
    /// Whether it has joined and is not gone.
    pub present: bool,
}

/// One player's part of the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its seat.
    pub seat: u8,
    /// Place of its team, 1 is best.
    pub place: u32,
    /// The game's own score.
    pub score: i64,
    /// The game's own figures, by name.
    pub stats: Vec<(String, i64)>,
}

/// Numbers of the messages; they never change their meaning.
const WELCOME: u8 = 0;
const PLAYER_JOINED: u8 = 1;
const PLAYER_LEFT: u8 = 2;
const GAME: u8 = 3;
const ENDED: u8 = 4;
const DRAINING: u8 = 5;

/// A roster entry and a standing as the codec sees them.
type RosterFields = ([u8; 16], u8, u32, String, bool);
type StandingFields = (u8, u32, i64, Vec<(String, i64)>);

/// Why bytes are not a room message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// No message has this number, or there are no bytes.
    #[error("no room message begins so")]
    Unknown,
    /// The fields are malformed.
    #[error("malformed fields of a room message: {0}")]
    Fields(DecodeError),
}

impl RoomMessage {
    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome { match_id, seat, tick_rate_hz, tick, players, settings_json } => {
                let players: Vec<RosterFields> = players.iter().cloned().map(RosterEntry::into_fields).collect();
                codec::encode(&(WELCOME, *match_id, *seat, *tick_rate_hz, *tick, players, settings_json.as_str()))
            }
            Self::PlayerJoined { seat } => codec::encode(&(PLAYER_JOINED, *seat)),
            Self::PlayerLeft { seat, why } => codec::encode(&(PLAYER_LEFT, *seat, *why)),
            Self::Game(bytes) => codec::encode(&(GAME, bytes.as_slice())),
            Self::Draining { tick } => codec::encode(&(DRAINING, *tick)),
            Self::Ended { reason, standings } => {
                let standings: Vec<StandingFields> = standings.iter().cloned().map(Standing::into_fields).collect();
                codec::encode(&(ENDED, reason.as_str(), standings))
            }
        }
    }

    /// The message in these bytes.
    ///
    /// # Errors
    /// [`MessageError`] when they are not exactly one message. Never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (&number, fields) = bytes.split_first().ok_or(MessageError::Unknown)?;
        Self::decode_fields(number, fields).ok_or(MessageError::Unknown)?.map_err(MessageError::Fields)
    }

    fn decode_fields(number: u8, fields: &[u8]) -> Option<Result<Self, DecodeError>> {
        Some(match number {
            WELCOME => codec::decode::<([u8; 16], u8, u32, u32, Vec<RosterFields>, String)>(fields).map(
                |(match_id, seat, tick_rate_hz, tick, players, settings_json)| Self::Welcome {
                    match_id,
                    seat,
                    tick_rate_hz,
                    tick,
                    players: players.into_iter().map(RosterEntry::from_fields).collect(),
                    settings_json,
                },
            ),
            PLAYER_JOINED => codec::decode(fields).map(|seat| Self::PlayerJoined { seat }),
            PLAYER_LEFT => codec::decode(fields).map(|(seat, why)| Self::PlayerLeft { seat, why }),
            GAME => codec::decode(fields).map(Self::Game),
            ENDED => codec::decode::<(String, Vec<StandingFields>)>(fields).map(|(reason, standings)| {
                let standings = standings.into_iter().map(Standing::from_fields).collect();
                Self::Ended { reason, standings }
            }),
            DRAINING => codec::decode(fields).map(|tick| Self::Draining { tick }),
            _ => return None,
        })
    }

    /// The end of a match. A message too long for its channel leaves out the players' figures.
    pub(crate) fn ended(outcome: &Outcome) -> Self {
        let figures = |player: &PlayerOutcome| player.stats.keys().map(|name| name.len() + 11).sum::<usize>();
        let with_stats = outcome.players.iter().map(figures).sum::<usize>() <= MESSAGE_BYTES_MAX / 2;
        let standing = |player: &PlayerOutcome| Standing {
            seat: player.seat.0,
            place: player.place,
            score: player.score,
            stats: player.stats.iter().filter(|_| with_stats).map(|(name, value)| (name.clone(), *value)).collect(),
        };
        Self::Ended { reason: outcome.reason.clone(), standings: outcome.players.iter().map(standing).collect() }
    }

    /// The match of a [`Welcome`](Self::Welcome).
    pub fn match_id(&self) -> Option<MatchId> {
        match self {
            Self::Welcome { match_id, .. } => Some(MatchId::from_bytes(*match_id)),
            _ => None,
        }
    }

    /// Why a player is gone, of a [`PlayerLeft`](Self::PlayerLeft).
    pub fn leave(&self) -> Option<Leave> {
        match self {
            Self::PlayerLeft { why, .. } => Leave::from_code(*why),
            _ => None,
        }
    }
}

impl Standing {
    fn into_fields(self) -> StandingFields {
        (self.seat, self.place, self.score, self.stats)
    }

    fn from_fields((seat, place, score, stats): StandingFields) -> Self {
        Self { seat, place, score, stats }
    }
}

impl RosterEntry {
    fn into_fields(self) -> RosterFields {
        (self.player_id, self.seat, self.team, self.name, self.present)
    }

    fn from_fields((player_id, seat, team, name, present): RosterFields) -> Self {
        Self { player_id, seat, team, name, present }
    }

    /// The player.
    pub fn id(&self) -> PlayerId {
        PlayerId::from_bytes(self.player_id)
    }
}
