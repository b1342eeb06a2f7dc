//! What an event makes of a match, and whether a match keeps its players from queueing.
//!
//! The game server's signed result has the last word. What the allocator reports comes before it or is ignored; a
//! LOST grants nothing, frees the players, and yields to a valid result for [`LOST_YIELDS_MS`].

use std::fmt;
use std::str::FromStr;

/// How long a LOST yields to a valid result, in milliseconds: 15 minutes, longer than any server's drain.
pub const LOST_YIELDS_MS: u64 = 15 * 60 * 1_000;
/// How long an ended match waits for its result before it frees its players, in milliseconds.
pub const RESULT_WAIT_MS: u64 = 15 * 60 * 1_000;
/// How long a match can hold its players at most, in milliseconds: 2 hours. It bounds the harm where the word that
/// the match is over never arrives.
pub const HOLD_MS_MAX: u64 = 2 * 60 * 60 * 1_000;

/// Where a match is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchState {
    /// On a server that waits for its players.
    Placed,
    /// Being played.
    Playing,
    /// Over, with or without its result yet.
    Ended,
    /// Its server is gone.
    Lost,
    /// Given back before it was played.
    Closed,
}

/// A name that is no match state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no match state")]
pub struct UnknownState(String);

impl MatchState {
    /// The state's name in JSON and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Playing => "playing",
            Self::Ended => "ended",
            Self::Lost => "lost",
            Self::Closed => "closed",
        }
    }

    /// Whether a player may still come in.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Placed | Self::Playing)
    }
}

impl fmt::Display for MatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MatchState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        [Self::Placed, Self::Playing, Self::Ended, Self::Lost, Self::Closed]
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What the allocator reports of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Players may come in.
    Joinable,
    /// The first tick was played.
    Playing,
    /// The last tick was played.
    Ended,
    /// The server or the room is gone.
    Lost,
    /// The allocator is done with it.
    Closed,
}

/// What a report makes of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The state after the report.
    pub state: MatchState,
    /// Whether the players are free from now on.
    pub frees: bool,
}

/// What `report` makes of a match in `state`; `None` if it is old news.
pub fn advance(state: MatchState, has_result: bool, report: Report) -> Option<Step> {
    use MatchState::{Closed, Ended, Lost, Placed, Playing};
    if has_result {
        return None;
    }
    let step = |state, frees| Some(Step { state, frees });
    match (state, report) {
        (Placed, Report::Playing) => step(Playing, false),
        (Placed | Playing, Report::Ended) => step(Ended, false),
        (Placed | Playing | Ended, Report::Lost) => step(Lost, true),
        (Placed | Playing, Report::Closed) => step(Closed, true),
        (Ended, Report::Closed) => step(Ended, true),
        _ => None,
    }
}

/// Whether a result may still be recorded for a match that was reported LOST at `lost_at_ms`.
pub fn lost_yields(lost_at_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(lost_at_ms) <= LOST_YIELDS_MS
}

/// Whether a match that was not freed still keeps its players from queueing.
pub fn holds_players(state: MatchState, placed_at_ms: u64, ended_at_ms: Option<u64>, now_ms: u64) -> bool {
    let waits_too_long = ended_at_ms.is_some_and(|ended| now_ms.saturating_sub(ended) > RESULT_WAIT_MS);
    let awaited = state.is_live() || (state == MatchState::Ended && !waits_too_long);
    awaited && now_ms.saturating_sub(placed_at_ms) < HOLD_MS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use MatchState::{Closed, Ended, Lost, Placed, Playing};

    fn after(state: MatchState, report: Report) -> Option<(MatchState, bool)> {
        advance(state, false, report).map(|step| (step.state, step.frees))
    }

    #[test]
    fn a_match_only_moves_forward() {
        assert_eq!(after(Placed, Report::Playing), Some((Playing, false)));
        assert_eq!(after(Playing, Report::Playing), None);
        assert_eq!(after(Playing, Report::Ended), Some((Ended, false)));
        assert_eq!(after(Ended, Report::Playing), None);
        assert_eq!(after(Ended, Report::Closed), Some((Ended, true)));
        assert_eq!(after(Placed, Report::Closed), Some((Closed, true)));
        assert_eq!(after(Ended, Report::Lost), Some((Lost, true)));
        assert_eq!(after(Lost, Report::Ended), None);
        assert_eq!(after(Closed, Report::Lost), None);
    }

    #[test]
    fn after_the_result_every_report_is_old_news() {
        for report in [Report::Joinable, Report::Playing, Report::Ended, Report::Lost, Report::Closed] {
            assert_eq!(advance(Ended, true, report), None);
        }
    }

    #[test]
    fn no_match_holds_its_players_for_ever() {
        assert!(holds_players(Placed, 0, None, HOLD_MS_MAX - 1));
        assert!(!holds_players(Placed, 0, None, HOLD_MS_MAX));
        assert!(holds_players(Ended, 0, Some(10), 10 + RESULT_WAIT_MS));
        assert!(!holds_players(Ended, 0, Some(10), 11 + RESULT_WAIT_MS));
        assert!(!holds_players(Lost, 0, None, 1));
        assert!(!holds_players(Closed, 0, None, 1));
    }

    #[test]
    fn names_round_trip() {
        for state in [Placed, Playing, Ended, Lost, Closed] {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert!("over".parse::<MatchState>().is_err());
    }
}
