//! The file as it is written.

use serde::Deserialize;

use crate::core::calendar::Every;
use crate::core::catalog::file::PartTable;
use crate::core::progression::Keep;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) version: u32,
    #[serde(default)]
    pub(super) xp: XpForm,
    #[serde(default)]
    pub(super) level: Vec<LevelForm>,
    #[serde(default)]
    pub(super) stat: Vec<StatForm>,
    #[serde(default)]
    pub(super) season: Vec<SeasonForm>,
    #[serde(default)]
    pub(super) challenge: Vec<ChallengeForm>,
    #[serde(default)]
    pub(super) daily: DrawForm,
    #[serde(default)]
    pub(super) weekly: DrawForm,
    #[serde(default)]
    pub(super) achievement: Vec<AchievementForm>,
    #[serde(default)]
    pub(super) unlock: Vec<UnlockForm>,
    pub(super) prestige: Option<PrestigeForm>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct XpForm {
    pub(super) per_match: Option<u64>,
    pub(super) per_second: Option<u64>,
    pub(super) seconds_max: Option<u64>,
    pub(super) per_win: Option<u64>,
    pub(super) levels: Option<Vec<u64>>,
    pub(super) curve: Option<CurveForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CurveForm {
    pub(super) levels: u32,
    pub(super) first: u64,
    #[serde(default)]
    pub(super) more: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LevelForm {
    pub(super) level: u32,
    pub(super) gives: Vec<PartTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatForm {
    pub(super) id: String,
    #[serde(default)]
    pub(super) keep: Keep,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeasonForm {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) from: String,
    pub(super) until: String,
    pub(super) claim_days: Option<u64>,
    pub(super) pass: Option<String>,
    #[serde(default)]
    pub(super) tier: Vec<TierForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TierForm {
    pub(super) xp: u64,
    #[serde(default)]
    pub(super) free: Vec<PartTable>,
    #[serde(default)]
    pub(super) paid: Vec<PartTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MeasureForm {
    #[serde(default)]
    pub(super) matches: bool,
    #[serde(default)]
    pub(super) wins: bool,
    #[serde(default)]
    pub(super) seconds: bool,
    #[serde(default)]
    pub(super) score: bool,
    pub(super) stat: Option<String>,
    pub(super) queue: Option<String>,
    #[serde(default)]
    pub(super) keep: Keep,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChallengeForm {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) every: Every,
    pub(super) counts: MeasureForm,
    pub(super) goal: u64,
    #[serde(default)]
    pub(super) gives: Vec<PartTable>,
    #[serde(default)]
    pub(super) season_xp: u64,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct DrawForm {
    pub(super) count: Option<usize>,
    #[serde(default)]
    pub(super) per_player: bool,
    pub(super) reset_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AchievementForm {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) counts: MeasureForm,
    pub(super) goal: u64,
    #[serde(default)]
    pub(super) gives: Vec<PartTable>,
    #[serde(default)]
    pub(super) hidden: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnlockForm {
    pub(super) id: String,
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) needs: Vec<String>,
    #[serde(default)]
    pub(super) level: u32,
    #[serde(default)]
    pub(super) costs: Vec<PartTable>,
    #[serde(default)]
    pub(super) gives: Vec<PartTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrestigeForm {
    pub(super) level: u32,
    pub(super) max: u32,
    #[serde(default)]
    pub(super) gives: Vec<PartTable>,
}
