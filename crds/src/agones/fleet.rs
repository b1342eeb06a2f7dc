//! `Fleet`.

use std::collections::BTreeMap;

use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::GameServerSpec;

/// A fleet's wish.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "agones.dev",
    version = "v1",
    kind = "Fleet",
    namespaced,
    status = "FleetStatus",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct FleetSpec {
    /// Servers wanted. Set once, at creation; afterwards only `/scale` may touch it, and an apply that once had it and
    /// then drops it would end every Ready server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Packed or Distributed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<String>,
    /// The game server.
    #[serde(default)]
    pub template: GameServerTemplateSpec,
}

/// A game server with its metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GameServerTemplateSpec {
    /// Labels and annotations of each game server.
    #[serde(default)]
    pub metadata: TemplateMeta,
    /// The game server.
    #[serde(default)]
    pub spec: GameServerSpec,
}

/// Labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateMeta {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What Agones says of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    /// Servers that it has.
    #[serde(default)]
    pub replicas: u32,
    /// In Ready; 0 for a pool of Reserved ones, so it says nothing of a Muster pool.
    #[serde(default)]
    pub ready_replicas: u32,
    /// In Reserved.
    #[serde(default)]
    pub reserved_replicas: u32,
    /// In Allocated.
    #[serde(default)]
    pub allocated_replicas: u32,
}
