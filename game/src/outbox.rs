//! Reliable messages from the game to its players.

use netcode::replication::SeatId;

/// Longest message of a game in bytes.
pub const GAME_MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Most messages of one tick.
pub const MESSAGES_PER_TICK_MAX: usize = 256;

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Everyone who has joined.
    All,
    /// One seat, if it has joined.
    Seat(SeatId),
}

/// Takes the messages of one step; they leave after it, in order, and arrive in order, whatever the network loses.
#[derive(Debug, Default)]
pub struct Outbox {
    messages: Vec<(To, Vec<u8>)>,
    refused: u64,
}

impl Outbox {
    /// Sends bytes that the game's client understands.
    ///
    /// False, and counted in [`StepReport::messages_refused`](crate::StepReport), when the message is longer than
    /// [`GAME_MESSAGE_BYTES_MAX`] or this step has sent [`MESSAGES_PER_TICK_MAX`] already.
    pub fn send(&mut self, to: To, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= GAME_MESSAGE_BYTES_MAX && self.messages.len() < MESSAGES_PER_TICK_MAX;
        if fits {
            self.messages.push((to, bytes.to_vec()));
        } else {
            self.refused += 1;
        }
        fits
    }

    /// An empty outbox: a room makes its own; for tests of a game.
    pub fn new() -> Self {
        Self::default()
    }

    /// The messages, in order, and how many were refused.
    pub fn take(&mut self) -> (Vec<(To, Vec<u8>)>, u64) {
        (std::mem::take(&mut self.messages), std::mem::take(&mut self.refused))
    }
}
