//! Skill ratings by Weng and Lin's Bradley-Terry model for teams ("A Bayesian Approximation Method for Online
//! Ranking", JMLR 12, 2011), as implemented by `skillratings`.

use skillratings::MultiTeamOutcome;
use skillratings::weng_lin::{WengLinConfig, WengLinRating, weng_lin_multi_team};

/// Skill of a new player.
pub const RATING_START: f64 = 25.0;
/// Uncertainty of a new player: 25 / 3.
pub const UNCERTAINTY_START: f64 = 25.0 / 3.0;
/// Uncertainty never falls below this, so that the rating of a veteran still follows the player.
pub const UNCERTAINTY_MIN: f64 = 1.0;
/// Ratings stay within this distance from zero; no honest series of matches comes near it.
const RATING_LIMIT: f64 = 1_000.0;

/// What is believed about a player's skill in one queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// Mean.
    pub rating: f64,
    /// Standard deviation.
    pub uncertainty: f64,
}

impl Default for Rating {
    fn default() -> Self {
        Self { rating: RATING_START, uncertainty: UNCERTAINTY_START }
    }
}

impl Rating {
    /// What leaderboards sort by: the skill that the player very probably exceeds. 0 for a new player.
    pub fn score(self) -> f64 {
        self.rating - 3.0 * self.uncertainty
    }

    fn model(self) -> WengLinRating {
        WengLinRating { rating: self.rating, uncertainty: self.uncertainty }
    }

    fn bounded(model: WengLinRating, before: Self) -> Self {
        if !model.rating.is_finite() || !model.uncertainty.is_finite() {
            return before;
        }
        Self {
            rating: model.rating.clamp(-RATING_LIMIT, RATING_LIMIT),
            uncertainty: model.uncertainty.clamp(UNCERTAINTY_MIN, UNCERTAINTY_START),
        }
    }
}

/// One member of a team.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// The rating before the match.
    pub before: Rating,
    /// Left before the end: rated as if the team had come last.
    pub abandoned: bool,
}

/// One team and its place, 1 is best.
#[derive(Debug, Clone, PartialEq)]
pub struct Team {
    /// Place; equal places are a draw.
    pub place: u32,
    /// Those who were there; never empty.
    pub members: Vec<Member>,
}

/// The ratings after a match, in the order of teams and members. With fewer than two teams nothing was contested
/// and nothing changes.
pub fn rate(teams: &[Team]) -> Vec<Vec<Rating>> {
    let before = |team: &Team| team.members.iter().map(|member| member.before).collect::<Vec<_>>();
    if teams.len() < 2 || teams.iter().any(|team| team.members.is_empty()) {
        return teams.iter().map(before).collect();
    }
    let played = rate_with(teams, None);
    let rate_team = |index: usize| {
        let members = &teams[index].members;
        if !members.iter().any(|member| member.abandoned) {
            return played[index].clone();
        }
        let lost = rate_with(teams, Some(index));
        let choose = |at: usize| if members[at].abandoned { lost[index][at] } else { played[index][at] };
        (0..members.len()).map(choose).collect()
    };
    (0..teams.len()).map(rate_team).collect()
}

/// Rates all teams by their places; `last` came behind everyone, whatever its place says.
fn rate_with(teams: &[Team], last: Option<usize>) -> Vec<Vec<Rating>> {
    let models: Vec<Vec<WengLinRating>> =
        teams.iter().map(|team| team.members.iter().map(|member| member.before.model()).collect()).collect();
    let rank = |index: usize| if last == Some(index) { usize::MAX } else { teams[index].place as usize };
    let ranked: Vec<_> =
        models.iter().enumerate().map(|(index, team)| (&team[..], MultiTeamOutcome::new(rank(index)))).collect();
    let rated = weng_lin_multi_team(&ranked, &WengLinConfig::new());
    let bound = |team: &Team, after: Vec<WengLinRating>| {
        team.members.iter().zip(after).map(|(member, model)| Rating::bounded(model, member.before)).collect()
    };
    teams.iter().zip(rated).map(|(team, after)| bound(team, after)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn team(place: u32, abandoned: &[bool]) -> Team {
        let member = |abandoned: &bool| Member { before: Rating::default(), abandoned: *abandoned };
        Team { place, members: abandoned.iter().map(member).collect() }
    }

    #[test]
    fn winners_rise_losers_fall_and_everybody_is_known_better() {
        let after = rate(&[team(1, &[false; 4]), team(2, &[false; 4])]);
        assert!(after[0].iter().all(|r| r.rating > RATING_START && r.uncertainty < UNCERTAINTY_START));
        assert!(after[1].iter().all(|r| r.rating < RATING_START && r.uncertainty < UNCERTAINTY_START));
    }

    #[test]
    fn a_draw_of_equals_moves_nobody() {
        let after = rate(&[team(1, &[false]), team(1, &[false])]);
        assert!(after.iter().flatten().all(|r| (r.rating - RATING_START).abs() < 1e-9));
    }

    #[test]
    fn who_leaves_the_winning_team_loses_as_the_losers_do() {
        let after = rate(&[team(1, &[false, true]), team(2, &[false, false])]);
        assert!(after[0][0].rating > RATING_START);
        assert!(after[0][1].rating < RATING_START);
        assert!((after[0][1].rating - after[1][0].rating).abs() < 1e-9);
    }

    #[test]
    fn without_an_opponent_nothing_changes() {
        assert_eq!(rate(&[team(1, &[false, true])]), vec![vec![Rating::default(); 2]]);
        assert_eq!(rate(&[]), Vec::<Vec<Rating>>::new());
    }

    proptest! {
        #[test]
        fn ratings_stay_finite_and_bounded(
            teams in prop::collection::vec(
                (1_u32..5, prop::collection::vec((-1_000.0..1_000.0_f64, 1.0..8.4_f64, any::<bool>()), 1..6)), 0..8)
        ) {
            let member = |(rating, uncertainty, abandoned)| Member { before: Rating { rating, uncertainty }, abandoned };
            let teams: Vec<Team> = teams.into_iter()
                .map(|(place, members)| Team { place, members: members.into_iter().map(member).collect() })
                .collect();
            let after = rate(&teams);
            prop_assert_eq!(after.len(), teams.len());
            for (team, after) in teams.iter().zip(&after) {
                prop_assert_eq!(team.members.len(), after.len());
                for rating in after {
                    prop_assert!(rating.rating.abs() <= RATING_LIMIT && rating.uncertainty >= UNCERTAINTY_MIN);
                }
            }
        }

        #[test]
        fn equals_of_equal_teams_share_what_is_won_and_lost(size in 1_usize..6) {
            let after = rate(&[team(1, &vec![false; size]), team(2, &vec![false; size])]);
            let sum: f64 = after.iter().flatten().map(|r| r.rating - RATING_START).sum();
            prop_assert!(sum.abs() < 1e-9, "sum of changes {}", sum);
        }
    }
}
