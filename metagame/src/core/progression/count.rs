//! What a result counts for a player.

use protocol::certificate::Participation;

use super::{Keep, Measure, Progression, What};
use crate::core::calendar::Every;
use crate::core::settlement::PlayerSettlement;

/// Largest figure that is kept, 2⁵³ − 1: what every JSON reader takes without rounding.
pub const COUNT_MAX: u64 = (1 << 53) - 1;

/// What is added to a row of a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// `season:`, `challenge:`, `achievement:` or `stat:`, and which.
    pub subject: String,
    /// Number of the day or week; 0 where it lasts.
    pub period: u64,
    /// How much, from 1.
    pub count: u64,
    /// What becomes of it and what there is.
    pub keep: Keep,
    /// What is to be reached; 0: nothing.
    pub goal: u64,
    /// Unix milliseconds at which the period ends.
    pub until_ms: Option<u64>,
}

impl Count {
    /// What stands after this was counted onto `before`. Neither order nor grouping matters.
    pub fn onto(&self, before: u64) -> u64 {
        match self.keep {
            Keep::Sum => before.saturating_add(self.count).min(COUNT_MAX),
            Keep::Best => before.max(self.count),
        }
    }
}

/// A match as far as counting is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// Its queue.
    pub queue: &'a str,
    /// Milliseconds from first to last tick.
    pub duration_ms: u64,
    /// Unix milliseconds of the last tick.
    pub ended_at_ms: u64,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What a match counts for a player; nothing for who was not there to the end.
pub fn count(rules: &Progression, counted: Counted<'_>, player: &PlayerSettlement) -> Vec<Count> {
    if player.result.participation != Participation::Played {
        return Vec::new();
    }
    let mut counts = Vec::new();
    let lasting = |subject: String, count, keep, goal| Count { subject, period: 0, count, keep, goal, until_ms: None };
    for (id, season) in &rules.seasons {
        if season.takes(counted.ended_at_ms, counted.now_ms) {
            counts.push(lasting(format!("season:{id}"), player.xp_gained, Keep::Sum, 0));
        }
    }
    for (name, keep) in &rules.stats {
        let figure = player.result.stats.get(name).copied().unwrap_or(0);
        counts.push(lasting(format!("stat:{name}"), natural(figure), *keep, 0));
    }
    for (id, one) in &rules.achievements {
        let figure = one.counts.of(counted, player);
        counts.push(lasting(format!("achievement:{id}"), figure, one.counts.keep, one.goal));
    }
    for every in [Every::Day, Every::Week] {
        let (period, drawn) = rules.drawn(every, player.result.player_id, counted.ended_at_ms);
        for (id, one) in drawn {
            let figure = one.counts.of(counted, player);
            let subject = format!("challenge:{id}");
            let (period, until_ms) = (period.number, period.ends_at_ms);
            counts.push(Count { subject, period, count: figure, keep: one.counts.keep, goal: one.goal, until_ms });
        }
    }
    counts.retain(|one| one.count > 0);
    counts
}

impl Measure {
    /// How much of it a match has.
    fn of(&self, counted: Counted<'_>, player: &PlayerSettlement) -> u64 {
        if self.queue.as_deref().is_some_and(|queue| queue != counted.queue) {
            return 0;
        }
        let figure = match &self.what {
            What::Matches => 1,
            What::Wins => u64::from(player.won),
            What::Seconds => counted.duration_ms / 1_000,
            What::Score => natural(player.result.score),
            What::Stat(name) => natural(player.result.stats.get(name).copied().unwrap_or(0)),
        };
        figure.min(COUNT_MAX)
    }
}

/// A figure that can only grow: what is below zero counts nothing.
fn natural(figure: i64) -> u64 {
    u64::try_from(figure).unwrap_or(0).min(COUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;
    use crate::core::rating::Rating;
    use proptest::prelude::*;
    use protocol::certificate::PlayerResult;
    use protocol::id::PlayerId;
    use std::collections::BTreeMap;

    const RULES: &str = r#"
        version = 1
        [[stat]]
        id = "kills"
        [[stat]]
        id = "streak"
        keep = "best"
        [[season]]
        id = "s1"
        from = "1970-01-01T00:00:00Z"
        until = "1970-01-02T00:00:00Z"
        [[achievement]]
        id = "ten-wins"
        counts = { wins = true, queue = "duel" }
        goal = 10
        [[achievement]]
        id = "spree"
        counts = { stat = "kills", keep = "best" }
        goal = 5
        [[challenge]]
        id = "play"
        every = "day"
        counts = { seconds = true }
        goal = 60
    "#;

    fn rules() -> Progression {
        file::parse(RULES, &Default::default()).expect("rules")
    }

    fn settled(won: bool, kills: i64, participation: Participation) -> PlayerSettlement {
        let stats = BTreeMap::from([("kills".to_owned(), kills), ("streak".to_owned(), kills)]);
        let player_id = PlayerId::from_entropy([1; 16]);
        let result = PlayerResult { player_id, team: 0, place: 1, score: 0, participation, stats };
        let rating = Rating::default();
        PlayerSettlement { result, xp_gained: 7, before: rating, after: rating, counts: true, won, rated: true }
    }

    fn at(queue: &str, ended_at_ms: u64) -> Counted<'_> {
        Counted { queue, duration_ms: 20_999, ended_at_ms, now_ms: ended_at_ms }
    }

    #[test]
    fn a_match_counts_by_its_figures_queue_and_time() {
        let subjects = |queue, ended_at_ms, player: &PlayerSettlement| -> Vec<(String, u64, u64)> {
            let counts = count(&rules(), at(queue, ended_at_ms), player);
            counts.into_iter().map(|one| (one.subject, one.period, one.count)).collect()
        };
        let row = |subject: &str, period, count| (subject.to_owned(), period, count);
        let all = [
            row("season:s1", 0, 7),
            row("stat:kills", 0, 3),
            row("stat:streak", 0, 3),
            row("achievement:spree", 0, 3),
            row("achievement:ten-wins", 0, 1),
            row("challenge:play", 0, 20),
        ];
        assert_eq!(subjects("duel", 5, &settled(true, 3, Participation::Played)), all);
        let day_ms = 24 * 60 * 60 * 1_000;
        let later = subjects("arena", day_ms, &settled(true, -3, Participation::Played));
        assert_eq!(later, [row("challenge:play", 1, 20)], "another queue, after the season, with nothing to count");
        assert_eq!(subjects("duel", 5, &settled(true, 3, Participation::Abandoned)), []);
    }

    proptest! {
        #[test]
        fn the_order_of_results_does_not_matter(
            matches in prop::collection::vec((any::<bool>(), -2..9_i64, 0..3_u64), 1..20), seed in any::<u64>()
        ) {
            let rules = rules();
            let play = |order: &[(bool, i64, u64)]| {
                let mut rows = BTreeMap::<(String, u64), u64>::new();
                for (won, kills, day) in order {
                    let player = settled(*won, *kills, Participation::Played);
                    for one in count(&rules, at("duel", day * 86_400_000), &player) {
                        let row = rows.entry((one.subject.clone(), one.period)).or_default();
                        let after = one.onto(*row);
                        assert!(after >= *row, "nothing that was counted is lost");
                        *row = after;
                    }
                }
                rows
            };
            let mut shuffled = matches.clone();
            let mut state = seed;
            shuffled.sort_by_cached_key(|_| { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); state >> 33 });
            prop_assert_eq!(play(&matches), play(&shuffled));
        }
    }
}
