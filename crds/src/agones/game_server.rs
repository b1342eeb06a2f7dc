//! `GameServer`.

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A game server's wish.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "agones.dev",
    version = "v1",
    kind = "GameServer",
    namespaced,
    status = "GameServerStatus",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct GameServerSpec {
    /// Name of the container that is the game, where the pod has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its ports; clients get the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<GameServerPort>,
    /// Agones' health check.
    #[serde(default)]
    pub health: GameServerHealth,
    /// Whether the cluster may evict it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction: Option<Eviction>,
    /// The pod, a PodTemplateSpec. JSON, so that no field is lost that this program does not know.
    #[serde(default)]
    pub template: Value,
}

/// A port, as Agones has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GameServerPort {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Dynamic, Static, Passthrough, None.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_policy: Option<String>,
    /// Container that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Port inside the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    /// Port of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// UDP, TCP, TCPUDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// Agones' health check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GameServerHealth {
    /// Off altogether.
    #[serde(default)]
    pub disabled: bool,
    /// Longest time between two health calls.
    #[serde(default)]
    pub period_seconds: u32,
    /// Periods missed in a row until Unhealthy.
    #[serde(default)]
    pub failure_threshold: u32,
    /// Seconds before the first.
    #[serde(default)]
    pub initial_delay_seconds: u32,
}

/// Whether the cluster may evict a game server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eviction {
    /// Always, OnUpgrade, Never.
    pub safe: String,
}

/// What Agones says of a game server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GameServerStatus {
    /// PortAllocation, Creating, Starting, Scheduled, RequestReady, Ready, Reserved, Allocated, Shutdown, Error, Unhealthy.
    #[serde(default)]
    pub state: String,
    /// Address of its node.
    #[serde(default)]
    pub address: String,
    /// Name of its node.
    #[serde(default)]
    pub node_name: String,
    /// Ports of the node.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub ports: Vec<StatusPort>,
}

/// A port that clients reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusPort {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its number.
    pub port: u16,
}

impl GameServer {
    /// Its state; empty before Agones has seen it.
    pub fn state(&self) -> &str {
        self.status.as_ref().map_or("", |status| status.state.as_str())
    }

    /// Whether a match may be on it: nothing may end it then but the drain deadline.
    pub fn is_allocated(&self) -> bool {
        self.state() == "Allocated"
    }
}

/// Agones writes `null` for an empty list.
fn null_is_empty<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}
