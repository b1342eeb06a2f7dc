//! What a match can be told, and what is wrong with it.

use game::setup::{MatchSetup, Settings as Given};
use serde_json::Value;

use crate::rate::Rate;

/// Fewest and most players of a match.
pub const PLAYERS: std::ops::RangeInclusive<usize> = 2..=16;
/// Most teams: the map has four corners.
pub const TEAMS_MAX: usize = 4;
/// Shortest and longest play in seconds.
pub const SECONDS: std::ops::RangeInclusive<u64> = 5..=600;
/// Play in seconds when nothing is said.
pub const SECONDS_DEFAULT: u32 = 20;

/// Who fights whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Teams of the roster against each other.
    Teams,
    /// Everyone against everyone.
    FreeForAll,
}

/// The settings of a match, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `"mode"`: `"teams"` (default) or `"ffa"`.
    pub mode: Mode,
    /// `"seconds"`: length of play, 5 to 600, default 20.
    pub seconds: u32,
    /// `"map_seed"`: the same number gives the same map; the match's own seed when nothing is said.
    pub map_seed: Option<u64>,
}

/// Why a match cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A setting that the arena does not know.
    #[error("unknown setting \"{0}\": the arena knows \"mode\", \"seconds\" and \"map_seed\"")]
    Unknown(String),
    /// A wrong mode.
    #[error("setting \"mode\" is {0}: it must be \"teams\" or \"ffa\"")]
    Mode(String),
    /// A wrong length.
    #[error("setting \"seconds\" is {0}: it must be a whole number from 5 to 600")]
    Seconds(String),
    /// A wrong map seed.
    #[error("setting \"map_seed\" is {0}: it must be a whole number from 0 to 2^64 - 1")]
    MapSeed(String),
    /// Too few or too many players.
    #[error("the roster has {0} players: the arena is for 2 to 16")]
    Players(usize),
    /// Too few or too many teams.
    #[error("the roster has {0} teams: mode \"teams\" is for 2 to 4, or set mode \"ffa\"")]
    Teams(usize),
    /// A rate that the rules were not made for.
    #[error("{0} ticks per second: the arena runs at 20 to 128")]
    Rate(u32),
}

impl Settings {
    /// Reads the settings; what is not said is as by default.
    ///
    /// # Errors
    /// The first [`SettingsError`] found.
    pub fn read(given: &Given) -> Result<Self, SettingsError> {
        let mut settings = Self { mode: Mode::Teams, seconds: SECONDS_DEFAULT, map_seed: None };
        for (name, value) in given {
            match name.as_str() {
                "mode" => settings.mode = mode(value).ok_or_else(|| SettingsError::Mode(shown(value)))?,
                "seconds" => {
                    let seconds = value.as_u64().filter(|seconds| SECONDS.contains(seconds));
                    settings.seconds = seconds.ok_or_else(|| SettingsError::Seconds(shown(value)))? as u32;
                }
                "map_seed" => {
                    settings.map_seed = Some(value.as_u64().ok_or_else(|| SettingsError::MapSeed(shown(value)))?);
                }
                unknown => return Err(SettingsError::Unknown(short(unknown))),
            }
        }
        Ok(settings)
    }
}

/// The side of each player, by roster order, and how many sides there are.
///
/// # Errors
/// When there are too few or too many players or teams.
pub fn sides(setup: &MatchSetup, mode: Mode) -> Result<(Vec<usize>, usize), SettingsError> {
    let players = setup.players.len();
    if !PLAYERS.contains(&players) {
        return Err(SettingsError::Players(players));
    }
    if mode == Mode::FreeForAll {
        return Ok(((0..players).collect(), players));
    }
    let mut teams: Vec<u32> = setup.players.iter().map(|player| player.team).collect();
    teams.sort_unstable();
    teams.dedup();
    if !(2..=TEAMS_MAX).contains(&teams.len()) {
        return Err(SettingsError::Teams(teams.len()));
    }
    let side = |team: u32| teams.partition_point(|other| *other < team);
    Ok((setup.players.iter().map(|player| side(player.team)).collect(), teams.len()))
}

/// The match's tick rate.
///
/// # Errors
/// When the rules were not made for it.
pub fn rate(setup: &MatchSetup) -> Result<Rate, SettingsError> {
    Rate::new(setup.tick_rate_hz).ok_or(SettingsError::Rate(setup.tick_rate_hz))
}

fn mode(value: &Value) -> Option<Mode> {
    match value.as_str()? {
        "teams" => Some(Mode::Teams),
        "ffa" => Some(Mode::FreeForAll),
        _ => None,
    }
}

/// A value as JSON, cut to what belongs into a message.
fn shown(value: &Value) -> String {
    short(&value.to_string())
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_refused_with_a_message_that_names_it() {
        let cases = [
            (r#"{"mode": "chess"}"#, "setting \"mode\" is \"chess\": it must be \"teams\" or \"ffa\""),
            (r#"{"mode": 3}"#, "setting \"mode\" is 3"),
            (r#"{"seconds": 4}"#, "setting \"seconds\" is 4: it must be a whole number from 5 to 600"),
            (r#"{"seconds": 601}"#, "setting \"seconds\" is 601"),
            (r#"{"seconds": 7.5}"#, "setting \"seconds\" is 7.5"),
            (r#"{"seconds": "20"}"#, "setting \"seconds\" is \"20\""),
            (r#"{"map_seed": -1}"#, "setting \"map_seed\" is -1"),
            (r#"{"gravity": 1}"#, "unknown setting \"gravity\""),
        ];
        for (json, message) in cases {
            let error = Settings::read(&serde_json::from_str(json).unwrap()).expect_err(json).to_string();
            assert!(error.starts_with(message), "{json}: {error}");
        }
        let long = format!(r#"{{"mode": "{}"}}"#, "x".repeat(3_000));
        let error = Settings::read(&serde_json::from_str(&long).unwrap()).expect_err("no such mode").to_string();
        assert!(error.len() < 120, "{error}");
    }

    #[test]
    fn nothing_said_is_twenty_seconds_of_teams() {
        let defaults = Settings { mode: Mode::Teams, seconds: 20, map_seed: None };
        assert_eq!(Settings::read(&Given::new()), Ok(defaults));
        let json = r#"{"mode": "ffa", "seconds": 60, "map_seed": 7}"#;
        let all = Settings { mode: Mode::FreeForAll, seconds: 60, map_seed: Some(7) };
        assert_eq!(Settings::read(&serde_json::from_str(json).unwrap()), Ok(all));
    }
}
