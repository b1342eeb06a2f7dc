//! What requests and answers of progression hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::shop::PartBody;
use crate::core::progression::Track;

/// Where a player stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProgressionBody {
    /// Version of the rules.
    pub(super) rules_version: u32,
    /// In all; it never becomes less.
    pub(super) xp: u64,
    /// From 1.
    pub(super) level: u32,
    /// XP since the level began; 0 where it is kept from rules by which it began earlier.
    pub(super) level_xp: u64,
    /// XP from the level to the next; null at the last one.
    pub(super) next_level_xp: Option<u64>,
    /// How often the player began anew.
    pub(super) prestige: u32,
    /// Whether it could now.
    pub(super) can_prestige: bool,
    /// Rewards of levels, those that can be claimed first of all.
    pub(super) levels: Vec<LevelBody>,
    /// The season that runs.
    pub(super) season: Option<String>,
}

/// What a level gives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LevelBody {
    pub(super) level: u32,
    pub(super) gives: Vec<PartBody>,
    pub(super) is_reached: bool,
    pub(super) is_claimed: bool,
}

/// Challenges of today and of this week, and those before that can be claimed still.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChallengesBody {
    pub(super) challenges: Vec<ChallengeBody>,
}

/// A challenge of a day or a week.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChallengeBody {
    pub(super) challenge: String,
    pub(super) name: String,
    /// "day" or "week".
    pub(super) every: &'static str,
    /// Number of the day or week; a claim names it.
    pub(super) period: u64,
    /// Unix milliseconds.
    pub(super) ends_at_ms: u64,
    pub(super) count: u64,
    pub(super) goal: u64,
    pub(super) is_reached: bool,
    pub(super) is_claimed: bool,
    pub(super) gives: Vec<PartBody>,
    pub(super) season_xp: u64,
}

/// Which day or week of a challenge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimChallengeBody {
    /// As the list of challenges says.
    pub(super) period: u64,
}

/// Everything that can be reached once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AchievementsBody {
    pub(super) achievements: Vec<AchievementBody>,
}

/// An achievement. Hidden ones are absent until they are reached.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AchievementBody {
    pub(super) achievement: String,
    pub(super) name: String,
    pub(super) count: u64,
    pub(super) goal: u64,
    /// Unix milliseconds; null: not yet.
    pub(super) unlocked_at_ms: Option<u64>,
    pub(super) is_claimed: bool,
    pub(super) gives: Vec<PartBody>,
}

/// Seasons of the rules, and those that are over.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeasonsBody {
    pub(super) seasons: Vec<SeasonLineBody>,
}

/// A season of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeasonLineBody {
    pub(super) season: String,
    pub(super) name: String,
    /// Unix milliseconds.
    pub(super) starts_at_ms: u64,
    /// Unix milliseconds.
    pub(super) ends_at_ms: u64,
    /// The caller's XP in it.
    pub(super) xp: u64,
    /// How many of its tiers that reaches.
    pub(super) tiers_reached: u32,
    /// Whether it is over and nothing changes any more; then how many players had XP in it.
    pub(super) archived_players: Option<u64>,
}

/// A season with its battle pass.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeasonBody {
    pub(super) season: String,
    pub(super) name: String,
    /// Unix milliseconds.
    pub(super) starts_at_ms: u64,
    /// Unix milliseconds.
    pub(super) ends_at_ms: u64,
    /// Unix milliseconds until which tiers can be claimed.
    pub(super) claim_until_ms: u64,
    pub(super) xp: u64,
    /// The item of the catalog that opens the paid track.
    pub(super) pass: Option<String>,
    pub(super) has_pass: bool,
    pub(super) tiers: Vec<TierBody>,
}

/// A tier of a battle pass.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TierBody {
    /// From 1.
    pub(super) tier: u32,
    pub(super) xp: u64,
    pub(super) is_reached: bool,
    pub(super) free: Vec<PartBody>,
    pub(super) free_is_claimed: bool,
    pub(super) paid: Vec<PartBody>,
    pub(super) paid_is_claimed: bool,
}

/// Which part of a battle pass.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimTierBody {
    /// From 1.
    pub(super) tier: u32,
    /// "free" or "paid".
    #[schema(value_type = String)]
    pub(super) track: Track,
}

/// The unlock trees.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UnlocksBody {
    pub(super) unlocks: Vec<UnlockBody>,
}

/// A node of an unlock tree.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UnlockBody {
    pub(super) unlock: String,
    pub(super) name: String,
    pub(super) needs: Vec<String>,
    pub(super) level: u32,
    pub(super) costs: Vec<PartBody>,
    pub(super) gives: Vec<PartBody>,
    pub(super) is_unlocked: bool,
}

/// What a claim gave.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClaimedBody {
    pub(super) gave: Vec<PartBody>,
    /// Whether that was now; false where it was claimed before.
    pub(super) first: bool,
}

/// That something is done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UnlockedBody {
    /// Whether that was now; false where it was so before.
    pub(super) first: bool,
}

/// From where to begin anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PrestigeBody {
    /// The prestige that the player has: so the same request sent again is one.
    pub(super) from: u32,
}

/// After a prestige.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PrestigedBody {
    pub(super) prestige: u32,
    pub(super) level: u32,
    /// Whether that was now; false where it was so before.
    pub(super) first: bool,
}

/// Figures over all matches.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsBody {
    pub(super) stats: BTreeMap<String, u64>,
}
