//! What a result gives to each player: rating, XP, a match played, a match won.

use std::collections::BTreeMap;

use protocol::certificate::{MatchResult, Participation, PlayerResult};
use protocol::id::PlayerId;

use crate::core::progress::{Played, XpRules};
use crate::core::rating::{Member, Rating, Team, rate};

/// Most players of one match.
pub const PLAYERS_MAX: usize = 256;
/// Most figures of one player.
pub const STATS_MAX: usize = 64;
/// How far a server's clock may run ahead, in milliseconds.
pub const SKEW_MS_MAX: u64 = 5 * 60 * 1_000;
/// Reasons by which the platform, not the game, ended a match: XP for the time played, but nothing won or lost.
pub const UNRATED_REASONS: [&str; 6] = ["nobody_joined", "abandoned", "drained", "too_long", "aborted", "failed"];
/// Reason of a match that was given back before it was played. The same match may be on another server by now,
/// whose result is the one that counts.
pub const RELEASED: &str = "released";

/// Why a well-signed result cannot be what happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultFault {
    /// No player, or more than [`PLAYERS_MAX`].
    #[error("a result has 1 to {PLAYERS_MAX} players, this one has {0}")]
    Players(usize),
    /// Places count from 1.
    #[error("player {0} has place 0: places count from 1")]
    Place(PlayerId),
    /// More than [`STATS_MAX`] figures.
    #[error("player {0} has more than {STATS_MAX} figures")]
    Stats(PlayerId),
    /// Ends before it starts, or in the future.
    #[error("the match ended before it started, or more than five minutes in the future")]
    Times,
}

/// Checks what no signature can vouch for.
///
/// # Errors
/// The first [`ResultFault`] that applies.
pub fn validate(result: &MatchResult, now_ms: u64) -> Result<(), ResultFault> {
    if result.players.is_empty() || result.players.len() > PLAYERS_MAX {
        return Err(ResultFault::Players(result.players.len()));
    }
    if result.ended_at_ms < result.started_at_ms || result.ended_at_ms > now_ms + SKEW_MS_MAX {
        return Err(ResultFault::Times);
    }
    for player in &result.players {
        if player.place == 0 {
            return Err(ResultFault::Place(player.player_id));
        }
        if player.stats.len() > STATS_MAX {
            return Err(ResultFault::Stats(player.player_id));
        }
    }
    Ok(())
}

/// What one player gets.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayerSettlement {
    /// The player's part of the result.
    pub result: PlayerResult,
    /// XP granted.
    pub xp_gained: u64,
    /// Rating before the match.
    pub before: Rating,
    /// Rating after it.
    pub after: Rating,
    /// Whether the match counts as played; not for who never came.
    pub counts: bool,
    /// Whether it counts as won.
    pub won: bool,
    /// Whether it was rated for this player.
    pub rated: bool,
}

/// Settles a result; `ratings` holds the ratings before, a player that is not in it is new.
pub fn settle(result: &MatchResult, ratings: &BTreeMap<PlayerId, Rating>, rules: &XpRules) -> Vec<PlayerSettlement> {
    let contested = !UNRATED_REASONS.contains(&result.reason.as_str());
    let places = team_places(result);
    let after = if contested { rate_players(result, &places, ratings) } else { BTreeMap::new() };
    let first_places = places.values().filter(|place| **place == 1).count();
    let settle_one = |player: &PlayerResult| {
        let there = player.participation == Participation::Played;
        let first = contested && there && places.get(&player.team) == Some(&1);
        let won = first && first_places == 1 && places.len() > 1;
        let drawn = first && first_places > 1;
        let duration_ms = result.ended_at_ms.saturating_sub(result.started_at_ms);
        let before = ratings.get(&player.player_id).copied().unwrap_or_default();
        PlayerSettlement {
            xp_gained: rules.xp_for(Played { participation: player.participation, duration_ms, won, drawn }),
            before,
            after: after.get(&player.player_id).copied().unwrap_or(before),
            counts: player.participation != Participation::Absent,
            won,
            rated: after.contains_key(&player.player_id),
            result: player.clone(),
        }
    };
    result.players.iter().map(settle_one).collect()
}

/// The place of each team: the best that one of its players has.
fn team_places(result: &MatchResult) -> BTreeMap<u32, u32> {
    let mut places = BTreeMap::new();
    for player in &result.players {
        let place = places.entry(player.team).or_insert(player.place);
        *place = player.place.min(*place);
    }
    places
}

/// New ratings of everybody who was there; empty if fewer than two teams were.
fn rate_players(
    result: &MatchResult,
    places: &BTreeMap<u32, u32>,
    ratings: &BTreeMap<PlayerId, Rating>,
) -> BTreeMap<PlayerId, Rating> {
    let mut present: BTreeMap<u32, Vec<&PlayerResult>> = BTreeMap::new();
    for player in result.players.iter().filter(|player| player.participation != Participation::Absent) {
        present.entry(player.team).or_default().push(player);
    }
    if present.len() < 2 {
        return BTreeMap::new();
    }
    let member = |player: &&PlayerResult| Member {
        before: ratings.get(&player.player_id).copied().unwrap_or_default(),
        abandoned: player.participation == Participation::Abandoned,
    };
    let team = |(team, players): (&u32, &Vec<&PlayerResult>)| Team {
        place: places.get(team).copied().unwrap_or(u32::MAX),
        members: players.iter().map(member).collect(),
    };
    let teams: Vec<Team> = present.iter().map(team).collect();
    let players = present.values().flatten().map(|player| player.player_id);
    players.zip(rate(&teams).into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::id::MatchId;

    fn id(byte: u8) -> PlayerId {
        PlayerId::from_entropy([byte; 16])
    }

    fn player(byte: u8, team: u32, place: u32, participation: Participation) -> PlayerResult {
        PlayerResult { player_id: id(byte), team, place, score: 0, participation, stats: BTreeMap::new() }
    }

    fn result(reason: &str, players: Vec<PlayerResult>) -> MatchResult {
        MatchResult {
            match_id: MatchId::from_entropy([9; 16]),
            game: "arena".into(),
            started_at_ms: 1_000,
            ended_at_ms: 21_000,
            ticks: 1_200,
            tick_rate_hz: 60,
            state_hash: "0".repeat(16),
            reason: reason.into(),
            trace_id: String::new(),
            players,
        }
    }

    fn settle_new(result: &MatchResult) -> Vec<PlayerSettlement> {
        settle(result, &BTreeMap::new(), &XpRules::default())
    }

    use Participation::{Abandoned, Absent, Played as There};

    #[test]
    fn each_part_in_a_match_gets_its_due() {
        let players =
            vec![player(1, 0, 1, There), player(2, 0, 1, Abandoned), player(3, 1, 2, There), player(4, 1, 2, Absent)];
        let settled = settle_new(&result("finished", players));
        let [winner, leaver, loser, absent] = &settled[..] else { panic!("four players") };
        assert!(winner.won && winner.after.rating > winner.before.rating && winner.xp_gained == 120);
        assert!(!leaver.won && leaver.after.rating < leaver.before.rating && leaver.xp_gained == 0 && leaver.counts);
        assert!(!loser.won && loser.after.rating < loser.before.rating && loser.xp_gained == 70);
        assert!(!absent.counts && absent.after == absent.before && absent.xp_gained == 0 && !absent.rated);
    }

    #[test]
    fn a_match_that_the_platform_ended_is_not_rated() {
        for reason in UNRATED_REASONS {
            let settled = settle_new(&result(reason, vec![player(1, 0, 1, There), player(2, 1, 2, There)]));
            assert!(settled.iter().all(|player| !player.rated && !player.won && player.after == player.before));
        }
    }

    #[test]
    fn nobody_wins_against_nobody() {
        let alone = settle_new(&result("finished", vec![player(1, 0, 1, There), player(2, 1, 2, Absent)]));
        assert!(!alone[0].rated, "no opponent was there");
        let draw = settle_new(&result("finished", vec![player(1, 0, 1, There), player(2, 1, 1, There)]));
        assert!(draw.iter().all(|player| !player.won && player.xp_gained == 95));
    }

    #[test]
    fn impossible_results_are_refused() {
        let good = result("finished", vec![player(1, 0, 1, There)]);
        let check = |result: &MatchResult| validate(result, 21_000);
        assert_eq!(check(&good), Ok(()));
        assert_eq!(check(&MatchResult { players: vec![], ..good.clone() }), Err(ResultFault::Players(0)));
        assert_eq!(check(&MatchResult { ended_at_ms: 999, ..good.clone() }), Err(ResultFault::Times));
        assert_eq!(check(&MatchResult { ended_at_ms: u64::MAX, ..good.clone() }), Err(ResultFault::Times));
        let unplaced = MatchResult { players: vec![player(1, 0, 0, There)], ..good };
        assert_eq!(check(&unplaced), Err(ResultFault::Place(id(1))));
    }
}
