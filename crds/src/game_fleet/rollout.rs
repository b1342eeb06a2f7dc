//! How a new revision takes over.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a new revision takes over from the stable one. Weights count for new matches alone: a running match always ends on
/// the server that it began on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// In steps, or all new matches at once.
    #[serde(default)]
    pub strategy: RolloutStrategy,
    /// The steps of a canary; the last leads to 100 % by itself.
    #[serde(default = "default_steps")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.map(s, s.weight).isSorted() && self.all(s, self.filter(t, t.weight == s.weight).size() == 1)")
        .message("rollout.steps: the weight of each step must be above that of the step before"))]
    pub steps: Vec<RolloutStep>,
    /// What makes a canary fail.
    #[serde(default)]
    pub analysis: Analysis,
    /// What happens then.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Stays at the present step until it is false again.
    #[serde(default)]
    pub paused: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            strategy: RolloutStrategy::default(),
            steps: default_steps(),
            analysis: Analysis::default(),
            on_failure: OnFailure::default(),
            paused: false,
        }
    }
}

/// In steps, or at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutStrategy {
    /// In steps, each judged against the stable revision.
    #[default]
    Canary,
    /// All new matches as soon as the new revision has servers.
    Immediate,
}

/// A step of a canary: it is passed when its time is over, enough matches ended, and the analysis is content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStep {
    /// Share of new matches that go to the new revision, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
    /// Shortest time in this step.
    #[serde(default = "pause")]
    #[schemars(range(min = 0, max = 604_800))]
    pub pause_seconds: u32,
    /// Fewest matches that must have ended on the new revision in this step.
    #[serde(default = "sessions")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub minimum_sessions: u32,
}

/// Limits of a canary, relative to the stable revision over the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// Percentage points by which its share of failed joins may be above stable's.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 100))]
    pub join_failures_points: u32,
    /// Percentage points by which its share of matches that ended in a crash may be above stable's.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub crashes_points: u32,
    /// How far its tick p99 may be above stable's, in percent.
    #[serde(default = "tick")]
    #[schemars(range(min = 0, max = 1_000))]
    pub tick_p99_percent: u32,
    /// Crashes of servers that fail it at once, before any match ended: a build that does not even start.
    #[serde(default = "crashes")]
    #[schemars(range(min = 1, max = 1_000))]
    pub crashes_at_start: u32,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            join_failures_points: two(),
            crashes_points: one(),
            tick_p99_percent: tick(),
            crashes_at_start: crashes(),
        }
    }
}

/// What happens when a canary fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// All new matches go to the stable revision again; the failed one drains.
    #[default]
    Rollback,
    /// The weight stays where it is until the manifest changes.
    Hold,
}

fn default_steps() -> Vec<RolloutStep> {
    [10, 50].map(|weight| RolloutStep { weight, pause_seconds: pause(), minimum_sessions: sessions() }).into()
}

fn pause() -> u32 {
    300
}

fn sessions() -> u32 {
    20
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn tick() -> u32 {
    25
}

fn crashes() -> u32 {
    3
}
