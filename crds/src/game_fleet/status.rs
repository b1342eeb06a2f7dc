//! What the operator says of a fleet.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// What the operator says of a fleet. Written only when it changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameFleetStatus {
    /// Generation of the spec that it speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, `Progressing`, `Degraded`, `Draining`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Revision that takes matches by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
    /// Revision that is being tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// Step of the rollout in a word or two, for people: `50%`, `paused 10%`, `rolled back`, `done`.
    #[serde(default)]
    pub rollout: String,
    /// Step of the rollout, from 0; absent when none goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// When that step began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_since: Option<String>,
    /// Revision that failed and is not tried again until the template changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_revision: Option<String>,
    /// Every revision that still has servers.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub revisions: Vec<RevisionStatus>,
    /// By region.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub regions: Vec<RegionStatus>,
    /// Servers in all.
    #[serde(default)]
    pub servers: u32,
    /// Matches that run on them.
    #[serde(default)]
    pub matches: u32,
    /// Rooms without a match on servers that take matches.
    #[serde(default)]
    pub free_rooms: u32,
    /// Label selector of its game servers, for `kubectl scale` and others.
    #[serde(default)]
    pub selector: String,
}

/// A revision: one frozen template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// Hash of the template, eight hexadecimal digits.
    pub name: String,
    /// Its build.
    pub build: String,
    /// What it is for.
    pub phase: RevisionPhase,
    /// Share of new matches, in percent.
    pub weight: u32,
    /// Its servers.
    pub servers: u32,
    /// Those with a match.
    pub busy: u32,
}

/// What a revision is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RevisionPhase {
    /// Takes matches by default.
    Stable,
    /// Is being tried.
    Canary,
    /// Takes no new match; goes when its last has ended.
    Draining,
}

/// A region of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionStatus {
    /// Its name.
    pub name: String,
    /// Servers that it has.
    pub servers: u32,
    /// Servers that it should have.
    pub desired: u32,
    /// Rooms without a match.
    pub free_rooms: u32,
}
