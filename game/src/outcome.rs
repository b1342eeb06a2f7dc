//! What a match ends with.

use std::collections::BTreeMap;

use netcode::replication::SeatId;

/// Longest reason in bytes.
pub const REASON_BYTES_MAX: usize = 64;
/// Most figures per player.
pub const STATS_MAX: usize = 64;

/// How a match ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why, in a word: "finished" when the rules came to their end.
    pub reason: String,
    /// Everyone who has a place; empty when the match was aborted.
    pub players: Vec<PlayerOutcome>,
}

/// One player's part of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerOutcome {
    /// The player's seat.
    pub seat: SeatId,
    /// Place of the player's team, 1 is best; equal places are a draw.
    pub place: u32,
    /// The game's own score.
    pub score: i64,
    /// The game's own figures, at most [`STATS_MAX`].
    pub stats: BTreeMap<String, i64>,
}

impl Outcome {
    /// The rules came to their end.
    pub fn finished(players: Vec<PlayerOutcome>) -> Self {
        Self { reason: "finished".to_owned(), players }
    }

    /// The match was ended from outside, with places for nobody.
    pub fn aborted(reason: &str) -> Self {
        Self { reason: reason.to_owned(), players: Vec::new() }
    }

    /// The same outcome within the limits of the wire: what is too much is cut off.
    #[must_use]
    pub(crate) fn bounded(mut self) -> Self {
        truncate(&mut self.reason, REASON_BYTES_MAX);
        self.players.truncate(crate::setup::SEATS_MAX);
        for player in &mut self.players {
            let stats = std::mem::take(&mut player.stats);
            player.stats =
                stats.into_iter().filter(|(name, _)| name.len() <= REASON_BYTES_MAX).take(STATS_MAX).collect();
        }
        self
    }
}

/// Cuts a text at the last character boundary at or before `bytes`.
fn truncate(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
}
