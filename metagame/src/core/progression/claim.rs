//! What players fetch, and under which name it is kept that they did.

use serde::{Deserialize, Serialize};

use super::{CHALLENGE_CLAIM_MS, Progression, Standing};
use crate::core::catalog::Part;

/// A track of a battle pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    /// Everybody's.
    Free,
    /// For who has the pass.
    Paid,
}

/// Something that can be fetched once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// What a level gives.
    Level(u32),
    /// What a tier of a season gives.
    Tier {
        /// Which season.
        season: String,
        /// From 1.
        tier: u32,
        /// Which of its two.
        track: Track,
    },
    /// What a challenge of a period gives.
    Challenge {
        /// Which.
        id: String,
        /// Number of the day or week.
        period: u64,
    },
    /// What an achievement gives.
    Achievement(String),
}

/// What a claim must show before it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// This level, ever.
    Level(u32),
    /// This much of a season's XP, and perhaps an item.
    Season {
        /// Where it is counted.
        subject: String,
        /// XP.
        xp: u64,
        /// The item.
        pass: Option<String>,
    },
    /// A goal.
    Goal {
        /// Where it is counted.
        subject: String,
        /// Of which day or week.
        period: u64,
        /// How much by today's rules.
        goal: u64,
    },
}

/// What a claim gives, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What must be shown.
    pub proof: Proof,
    /// What it gives.
    pub gives: Vec<Part>,
    /// XP for the season that runs.
    pub season_xp: u64,
    /// When the claim may be forgotten, because what it shows is gone by then; Unix milliseconds.
    pub until_ms: Option<u64>,
}

/// Why nothing can be claimed, whatever the player has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTerms {
    /// The rules have no such thing.
    Unknown,
    /// Its time is over.
    Over,
}

impl Claim {
    /// Names it among all claims of a player.
    pub fn name(&self) -> String {
        match self {
            Self::Level(level) => format!("level:{level}"),
            Self::Tier { season, tier, track: Track::Free } => format!("tier:{season}:{tier}:free"),
            Self::Tier { season, tier, track: Track::Paid } => format!("tier:{season}:{tier}:paid"),
            Self::Challenge { id, period } => format!("challenge:{id}:{period}"),
            Self::Achievement(id) => format!("achievement:{id}"),
        }
    }

    /// What it takes and gives.
    ///
    /// # Errors
    /// [`NoTerms`].
    pub fn terms(&self, rules: &Progression, now_ms: u64) -> Result<Terms, NoTerms> {
        let lasting = |proof, gives: &[Part]| Terms { proof, gives: gives.to_vec(), season_xp: 0, until_ms: None };
        match self {
            Self::Level(level) => {
                let gives = rules.level_rewards.get(level).ok_or(NoTerms::Unknown)?;
                Ok(lasting(Proof::Level(*level), gives))
            }
            Self::Tier { season: id, tier, track } => {
                let season = rules.seasons.get(id).ok_or(NoTerms::Unknown)?;
                let index = usize::try_from(*tier).ok().and_then(|tier| tier.checked_sub(1));
                let tier = index.and_then(|index| season.tiers.get(index)).ok_or(NoTerms::Unknown)?;
                if now_ms >= season.until_ms.saturating_add(season.claim_ms) {
                    return Err(NoTerms::Over);
                }
                let (gives, pass) = match track {
                    Track::Free => (&tier.free, None),
                    Track::Paid => (&tier.paid, season.pass.clone()),
                };
                Ok(lasting(Proof::Season { subject: format!("season:{id}"), xp: tier.xp, pass }, gives))
            }
            Self::Achievement(id) => {
                let one = rules.achievements.get(id).ok_or(NoTerms::Unknown)?;
                let subject = format!("achievement:{id}");
                Ok(lasting(Proof::Goal { subject, period: 0, goal: one.goal }, &one.gives))
            }
            Self::Challenge { id, period } => {
                let one = rules.challenges.get(id).ok_or(NoTerms::Unknown)?;
                let proof = Proof::Goal { subject: format!("challenge:{id}"), period: *period, goal: one.goal };
                let ends_at_ms = rules.draw(one.every).calendar.period(*period).ends_at_ms.unwrap_or(0);
                let over_ms = ends_at_ms.saturating_add(CHALLENGE_CLAIM_MS);
                if now_ms >= over_ms {
                    return Err(NoTerms::Over);
                }
                // Twice as long as what it shows is kept: a clock that is a little behind claims nothing twice.
                let until_ms = Some(over_ms.saturating_add(CHALLENGE_CLAIM_MS));
                Ok(Terms { season_xp: one.season_xp, until_ms, ..lasting(proof, &one.gives) })
            }
        }
    }
}

impl Proof {
    /// Whether it is shown by a level, or by what was counted. A goal that was reached once stays reached.
    pub fn is_shown(&self, standing: Standing, count: u64, was_reached: bool) -> bool {
        match self {
            Self::Level(level) => standing.level_max >= *level,
            Self::Season { xp, .. } => count >= *xp,
            Self::Goal { goal, .. } => was_reached || count >= *goal,
        }
    }

    /// What there must be, and the row that counts it: subject and period.
    pub fn wanted(&self) -> (u64, Option<(&str, u64)>) {
        match self {
            Self::Level(level) => (u64::from(*level), None),
            Self::Season { subject, xp, .. } => (*xp, Some((subject, 0))),
            Self::Goal { subject, period, goal } => (*goal, Some((subject, *period))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn claims_have_names_of_their_own_and_end_with_their_time() {
        let text = r#"
            version = 1
            [[season]]
            id = "s1"
            from = "1970-01-01T00:00:00Z"
            until = "1970-01-02T00:00:00Z"
            claim_days = 1
            tier = [{ xp = 10 }]
            [[challenge]]
            id = "play"
            every = "day"
            counts = { matches = true }
            goal = 1
        "#;
        let rules = file::parse(text, &Default::default()).expect("rules");
        let day_ms = 86_400_000;
        let tier = |tier, track| Claim::Tier { season: "s1".into(), tier, track };
        assert_ne!(tier(1, Track::Free).name(), tier(1, Track::Paid).name());
        assert!(tier(1, Track::Free).terms(&rules, 2 * day_ms - 1).is_ok());
        assert_eq!(tier(1, Track::Free).terms(&rules, 2 * day_ms), Err(NoTerms::Over));
        for none in [tier(0, Track::Free), tier(2, Track::Free), Claim::Level(2), Claim::Achievement("s1".into())] {
            assert_eq!(none.terms(&rules, 0), Err(NoTerms::Unknown), "{none:?}");
        }
        let play = Claim::Challenge { id: "play".into(), period: 3 };
        let terms = play.terms(&rules, 4 * day_ms + CHALLENGE_CLAIM_MS - 1).expect("the last moment");
        assert!(terms.until_ms > Some(4 * day_ms + CHALLENGE_CLAIM_MS));
        assert_eq!(play.terms(&rules, 4 * day_ms + CHALLENGE_CLAIM_MS), Err(NoTerms::Over));
    }
}
