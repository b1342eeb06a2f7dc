//! `GameFleet`: game servers of one game, kept at a size, rolled out by matches and drained with care.

mod drain;
mod pool;
mod rollout;
mod status;
mod template;

pub use drain::Drain;
pub use pool::{Forecast, Scaling, ScheduleEntry, WarmPool, Weekday};
pub use rollout::{Analysis, OnFailure, Rollout, RolloutStep, RolloutStrategy};
pub use status::{GameFleetStatus, RegionStatus, RevisionPhase, RevisionStatus};
pub use template::{GamePort, GameServerTemplate, Health, PortPolicy, PortProtocol, Resources};

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest name of a GameFleet together with the name of its longest region. An Agones Fleet is named
/// `<fleet>-<region>-<revision>`; Agones appends twelve characters for a game server, whose name is a label of 63.
pub const FLEET_AND_REGION_CHARS_MAX: usize = 41;
/// Region of a fleet that names none.
pub const DEFAULT_REGION: &str = "default";

/// A fleet of game servers.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "GameFleet",
    namespaced,
    shortname = "gf",
    category = "muster",
    doc = "A fleet of game servers: its template, its size, how a new build is rolled out, and how servers drain.",
    status = "GameFleetStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.warmPool.minimum",
        status_replicas_path = ".status.servers",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Build", type_ = "string", json_path = ".spec.build"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Servers", type_ = "integer", json_path = ".status.servers"),
    printcolumn(name = "Matches", type_ = "integer", json_path = ".status.matches"),
    printcolumn(name = "Free", type_ = "integer", json_path = ".status.freeRooms", description = "rooms without a match"),
    printcolumn(name = "Rollout", type_ = "string", json_path = ".status.rollout"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: a fleet's name becomes part of host names, so it has lower-case letters, digits and '-' only and begins with a letter"),
    validation = Rule::new("self.spec.regions.all(r, size(self.metadata.name) + size(r.name) <= 41)")
        .message("metadata.name: with the name of each region it may have 41 characters, because Agones appends more; choose a shorter name for the fleet or the region"),
    validation = Rule::new("!has(self.spec.scaling.crashFloor) || self.spec.scaling.crashFloor <= self.spec.warmPool.maximum")
        .message("scaling.crashFloor must not be above warmPool.maximum")
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
pub struct GameFleetSpec {
    /// The game's build, as clients name it in their tickets. A new build is a new revision.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    pub build: String,
    /// Who allocates from the fleet: Muster's allocator over its control link (`Muster`), or Agones
    /// (`Agones`, plain GameServerAllocation). Never both, so it cannot be changed later.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.poolKind cannot be changed: make a new GameFleet and move the queues to it"))]
    pub pool_kind: PoolKind,
    /// Matches that one server hosts at once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub capacity: u32,
    /// Where servers run: one Agones Fleet for each. Without any, the whole cluster is one region, "default".
    #[serde(default = "default_regions")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub regions: Vec<Region>,
    /// The game server.
    pub template: GameServerTemplate,
    /// How many servers wait for matches.
    #[serde(default)]
    pub warm_pool: WarmPool,
    /// How the size follows demand.
    #[serde(default)]
    pub scaling: Scaling,
    /// How a changed template takes over.
    #[serde(default)]
    pub rollout: Rollout,
    /// How long matches may go on when their server has to leave.
    #[serde(default)]
    pub drain: Drain,
    /// Which server takes the next match.
    #[serde(default)]
    pub allocation: Allocation,
}

/// Who allocates from a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PoolKind {
    /// Muster's allocator: servers wait in Agones' state Reserved and are assigned over the control link.
    #[default]
    Muster,
    /// Agones: servers wait in Ready and are allocated by GameServerAllocation, or by Muster's drop-in for it.
    Agones,
}

impl PoolKind {
    /// As the label [`crate::labels::POOL`] has it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Muster => "muster",
            Self::Agones => "agones",
        }
    }
}

/// One region of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum").message("minimum must not be above maximum"))]
#[x_kube(validation = Rule::new("has(self.nodeSelector) == has(oldSelf.nodeSelector) && (!has(self.nodeSelector) || self.nodeSelector == oldSelf.nodeSelector)")
    .message("nodeSelector of a region cannot be changed, because servers that run do not move: add a region of another name, then take this one away"))]
#[x_kube(validation = Rule::new("has(self.tolerations) == has(oldSelf.tolerations) && (!has(self.tolerations) || self.tolerations == oldSelf.tolerations)")
    .message("tolerations of a region cannot be changed, because servers that run do not move: add a region of another name, then take this one away"))]
pub struct Region {
    /// Its name, as queues and tickets name it.
    #[schemars(length(min = 1, max = 30), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Labels of its nodes, such as `topology.kubernetes.io/region: eu-west-1`. None: this cluster is the region.
    /// It cannot be changed: add a region of another name, then take this one away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of its nodes that game servers may ignore. They cannot be changed, like `nodeSelector`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Instead of the fleet's `warmPool.minimum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub minimum: Option<u32>,
    /// Instead of the fleet's `warmPool.maximum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub maximum: Option<u32>,
}

/// Which server takes the next match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// `Packed` fills the fullest server and the fullest node first, so that machines fall empty; `Distributed` takes
    /// the emptiest.
    #[serde(default)]
    pub strategy: Placement,
}

/// Order in which servers are filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Placement {
    /// Fullest first.
    #[default]
    Packed,
    /// Emptiest first.
    Distributed,
}

fn one() -> u32 {
    1
}

fn default_regions() -> Vec<Region> {
    vec![Region { name: DEFAULT_REGION.into(), ..Region::default() }]
}

#[cfg(test)]
mod tests;
