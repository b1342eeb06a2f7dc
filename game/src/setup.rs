//! What a match begins with.

use netcode::replication::SeatId;
use protocol::id::{MatchId, PlayerId};

use crate::rules::StartError;

/// Slowest and fastest tick rate.
pub const TICK_RATES_HZ: std::ops::RangeInclusive<u32> = 20..=128;

/// Most players of one match.
pub const SEATS_MAX: usize = 64;
/// Longest player name in bytes.
pub const PLAYER_NAME_BYTES_MAX: usize = 64;
/// Longest settings, as JSON, in bytes.
pub const SETTINGS_BYTES_MAX: usize = 4 * 1024;

/// Settings of a match for the game: mode, map, seconds, …
pub type Settings = serde_json::Map<String, serde_json::Value>;

/// Everything that a match begins with. The same setup and the same inputs give the same match.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchSetup {
    /// The match.
    pub match_id: MatchId,
    /// Seed of the game's own randomness.
    pub seed: u64,
    /// Ticks per second, 20 to 128.
    pub tick_rate_hz: u32,
    /// The roster; player `n` has seat `n`.
    pub players: Vec<Player>,
    /// Settings for the game.
    pub settings: Settings,
}

/// One player of a roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Player {
    /// The player.
    pub id: PlayerId,
    /// Its place, by roster order.
    pub seat: SeatId,
    /// Team; every player of a free-for-all has a team of its own.
    pub team: u32,
    /// Name to show.
    pub name: String,
}

impl MatchSetup {
    /// Seconds per tick.
    pub fn tick_seconds(&self) -> f32 {
        1.0 / self.tick_rate_hz as f32
    }

    /// Checks what every game needs: tick rate, seats in order, lengths.
    ///
    /// # Errors
    /// [`StartError::Setup`] with the first fault.
    pub fn validate(&self) -> Result<(), StartError> {
        let faulty = |what: String| Err(StartError::Setup(what));
        if !TICK_RATES_HZ.contains(&self.tick_rate_hz) {
            return faulty(format!("{} Hz is not a tick rate from 20 to 128", self.tick_rate_hz));
        }
        if self.players.is_empty() || self.players.len() > SEATS_MAX {
            return faulty(format!("{} players are not 1 to {SEATS_MAX}", self.players.len()));
        }
        for (place, player) in self.players.iter().enumerate() {
            if place != usize::from(player.seat.0) {
                return faulty(format!("player {place} has {:?}, but seats are numbered in roster order", player.seat));
            }
            if player.name.len() > PLAYER_NAME_BYTES_MAX {
                return faulty(format!("the name of {} is longer than {PLAYER_NAME_BYTES_MAX} bytes", player.id));
            }
        }
        let settings = self.settings_json().len();
        if settings > SETTINGS_BYTES_MAX {
            return faulty(format!("the settings have {settings} bytes as JSON, at most {SETTINGS_BYTES_MAX}"));
        }
        Ok(())
    }

    /// The settings as a JSON text.
    pub fn settings_json(&self) -> String {
        serde_json::Value::Object(self.settings.clone()).to_string()
    }

    /// The player on this seat.
    pub fn player(&self, seat: SeatId) -> Option<&Player> {
        self.players.get(usize::from(seat.0))
    }

    /// A setting that is a whole number of at least 0, or `otherwise`.
    pub fn setting_u64(&self, name: &str, otherwise: u64) -> u64 {
        self.settings.get(name).and_then(serde_json::Value::as_u64).unwrap_or(otherwise)
    }
}
