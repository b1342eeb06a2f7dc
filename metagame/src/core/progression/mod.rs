//! Progression as data: levels, seasons with a battle pass, challenges, achievements, unlock trees and prestige.
//!
//! An operator writes the rules down in one TOML file (`file`); what is here has been checked against the catalog. Everything is
//! counted from signed results alone ([`mod@count`]), by adding up or by taking the largest, so the order of results does not matter.
//! What players fetch is a [`Claim`], each once. Rows name the version of the rules that made them, and what was reached stays
//! reached when the rules change.

pub mod claim;
pub mod count;
pub mod draw;
pub mod file;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calendar::{Calendar, Every, Period};
use super::catalog::Part;
use super::progress::XpRules;

pub use claim::{Claim, Track};
pub use count::{Count, count};
pub use file::ProgressionFaults;

/// How long after its end a season takes in what results of it bring; then it is archived.
pub const SEASON_LATE_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long after its period a challenge that was reached can be claimed.
pub const CHALLENGE_CLAIM_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// All rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Progression {
    /// Counts its changes.
    pub version: u32,
    /// What XP is earned by, and levels.
    pub xp: XpRules,
    /// What reaching a level gives, once.
    pub level_rewards: BTreeMap<u32, Vec<Part>>,
    /// The game's figures that are kept over all matches of a player.
    pub stats: BTreeMap<String, Keep>,
    /// By id.
    pub seasons: BTreeMap<String, Season>,
    /// By id.
    pub challenges: BTreeMap<String, Challenge>,
    /// How many challenges of a day there are, and for whom.
    pub daily: Draw,
    /// How many challenges of a week there are, and for whom.
    pub weekly: Draw,
    /// By id.
    pub achievements: BTreeMap<String, Achievement>,
    /// Nodes of the unlock trees, by id.
    pub unlocks: BTreeMap<String, Unlock>,
    /// Beginning anew.
    pub prestige: Option<Prestige>,
    /// The file, as it was read.
    pub source: String,
}

impl Default for Progression {
    /// What `muster up` begins with: levels, and some figures of the arena.
    fn default() -> Self {
        file::parse(include_str!("starter.toml"), &Default::default())
            .expect("the starter rules are good: a test reads them")
    }
}

/// What becomes of a figure when another one comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// They are added.
    #[default]
    Sum,
    /// The largest one stays.
    Best,
}

/// What of a match counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// Which figure.
    pub what: What,
    /// Of this queue alone.
    pub queue: Option<String>,
    /// Over several matches.
    pub keep: Keep,
}

/// A figure of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// 1 for each match played to its end.
    Matches,
    /// 1 for each match won.
    Wins,
    /// Seconds that it lasted.
    Seconds,
    /// The player's score.
    Score,
    /// One of the game's figures.
    Stat(String),
}

/// A stretch of time with a battle pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Season {
    /// What players read.
    pub name: String,
    /// Unix milliseconds.
    pub from_ms: u64,
    /// Unix milliseconds.
    pub until_ms: u64,
    /// How long after the end what was reached can be claimed, in milliseconds.
    pub claim_ms: u64,
    /// The item that opens the paid track.
    pub pass: Option<String>,
    /// What is reached by XP of the season, ascending.
    pub tiers: Vec<Tier>,
}

/// A step of a battle pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// XP of the season at which it is reached.
    pub xp: u64,
    /// What it gives to everybody.
    pub free: Vec<Part>,
    /// What it gives besides to who has the pass.
    pub paid: Vec<Part>,
}

impl Season {
    /// Whether a match that ended then counts, if its result comes now.
    pub fn takes(&self, ended_at_ms: u64, now_ms: u64) -> bool {
        (self.from_ms..self.until_ms).contains(&ended_at_ms) && now_ms < self.archive_ms()
    }

    /// From when on nothing changes any more; Unix milliseconds.
    pub fn archive_ms(&self) -> u64 {
        self.until_ms.saturating_add(SEASON_LATE_MS)
    }

    /// How many tiers are reached with this XP of the season.
    pub fn reached(&self, xp: u64) -> u32 {
        u32::try_from(self.tiers.partition_point(|tier| tier.xp <= xp)).unwrap_or(u32::MAX)
    }
}

/// Something to do within a day or a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// What players read.
    pub name: String,
    /// A day or a week.
    pub every: Every,
    /// What counts.
    pub counts: Measure,
    /// How much of it, from 1.
    pub goal: u64,
    /// What it gives.
    pub gives: Vec<Part>,
    /// XP of the season that runs when it is claimed.
    pub season_xp: u64,
}

/// How challenges are drawn for a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// How many; at least as many as there are: all of them.
    pub count: usize,
    /// Whether each player has others.
    pub per_player: bool,
    /// When the period begins.
    pub calendar: Calendar,
}

/// Something to reach once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Achievement {
    /// What players read.
    pub name: String,
    /// What counts.
    pub counts: Measure,
    /// How much of it, from 1.
    pub goal: u64,
    /// What it gives.
    pub gives: Vec<Part>,
    /// Whether it is shown only once it is reached.
    pub hidden: bool,
}

/// A node of an unlock tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlock {
    /// What players read.
    pub name: String,
    /// Nodes that come before.
    pub needs: Vec<String>,
    /// The level that it takes.
    pub level: u32,
    /// What it costs: currencies, and items that are one stack.
    pub costs: Vec<Part>,
    /// What it gives.
    pub gives: Vec<Part>,
}

/// Giving up one's level for a star beside the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prestige {
    /// The level that it takes; from 2.
    pub level: u32,
    /// How often.
    pub max: u32,
    /// What each time gives.
    pub gives: Vec<Part>,
}

/// How far a player is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// XP in all. It never becomes less.
    pub xp: u64,
    /// How often the player began anew.
    pub prestige: u32,
    /// XP that this took.
    pub spent_xp: u64,
    /// The highest level since, as it was written.
    pub level: u32,
    /// The highest level ever, as it was written.
    pub level_max: u32,
}

impl Standing {
    /// The same by today's curve; what was reached by an older one stays.
    pub fn now(self, rules: &XpRules) -> Self {
        let level = self.level.max(rules.level(self.xp.saturating_sub(self.spent_xp)));
        Self { level, level_max: self.level_max.max(level), ..self }
    }

    /// After a prestige; `None` if it is not possible. XP beyond the level that it takes is kept for the next round.
    pub fn prestige(self, rules: &Progression) -> Option<Self> {
        let prestige = rules.prestige.as_ref()?;
        let before = self.now(&rules.xp);
        if before.level < prestige.level || before.prestige >= prestige.max {
            return None;
        }
        let left = self.xp.saturating_sub(self.spent_xp);
        let spent_xp = self.spent_xp + rules.xp.begins_at(prestige.level).min(left);
        let after = Self { prestige: before.prestige + 1, spent_xp, level: 1, ..before };
        Some(after.now(&rules.xp))
    }
}

impl Progression {
    /// The season that runs, if one does.
    pub fn season_at(&self, now_ms: u64) -> Option<(&str, &Season)> {
        let runs = |season: &Season| (season.from_ms..season.until_ms).contains(&now_ms);
        self.seasons.iter().find(|(_, season)| runs(season)).map(|(id, season)| (id.as_str(), season))
    }

    /// How challenges of this length are drawn.
    pub fn draw(&self, every: Every) -> Draw {
        if every == Every::Week { self.weekly } else { self.daily }
    }

    /// The period of a challenge around a moment.
    pub fn period(&self, challenge: &Challenge, at_ms: u64) -> Period {
        self.draw(challenge.every).calendar.at(at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> Progression {
        let prestige = Prestige { level: 3, max: 5, gives: Vec::new() };
        Progression { prestige: Some(prestige), ..Progression::default() }
    }

    #[test]
    fn the_starter_rules_are_good() {
        let rules = Progression::default();
        assert_eq!((rules.version, rules.xp.level(200), rules.stats.get("kills")), (1, 2, Some(&Keep::Sum)));
        assert_eq!(rules.xp, XpRules::default());
    }

    #[test]
    fn a_season_takes_what_ended_in_it_until_it_is_archived() {
        let season =
            Season { name: String::new(), from_ms: 100, until_ms: 200, claim_ms: 0, pass: None, tiers: Vec::new() };
        assert!(season.takes(100, 150) && season.takes(199, 200 + SEASON_LATE_MS - 1));
        assert!(!season.takes(99, 150) && !season.takes(200, 250) && !season.takes(150, 200 + SEASON_LATE_MS));
    }

    #[test]
    fn a_steeper_curve_takes_no_level_away() {
        let mut rules = rules();
        let before = Standing { xp: 450, ..Standing::default() }.now(&rules.xp);
        assert_eq!((before.level, before.level_max), (3, 3));
        rules.xp.levels = vec![1_000];
        assert_eq!(before.now(&rules.xp).level, 3);
        let after = before.prestige(&rules).expect("level 3 is kept");
        // By the new curve level 3 costs more than there is: all of it is spent, and no more.
        assert_eq!((after.level, after.level_max, after.xp, after.spent_xp), (1, 3, 450, 450));
    }

    proptest! {
        #[test]
        fn xp_is_never_lost_and_levels_fall_only_by_prestige(steps in prop::collection::vec(0..900_u64, 1..60)) {
            let rules = rules();
            let (mut standing, mut earned) = (Standing::default().now(&rules.xp), 0);
            for step in steps {
                if step % 7 == 0 && let Some(after) = standing.prestige(&rules) {
                    prop_assert_eq!((after.prestige, after.xp), (standing.prestige + 1, standing.xp));
                    // What was more than the level took goes on counting.
                    prop_assert_eq!(after.spent_xp - standing.spent_xp, rules.xp.begins_at(3));
                    prop_assert!(after.spent_xp <= after.xp && after.level_max >= standing.level_max);
                    standing = after;
                    continue;
                }
                earned += step;
                let after = Standing { xp: standing.xp + step, ..standing }.now(&rules.xp);
                prop_assert!(after.level >= standing.level && after.level_max >= after.level);
                standing = after;
            }
            prop_assert_eq!(standing.xp, earned);
        }
    }
}
