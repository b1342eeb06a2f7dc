//! What runs in a game-server pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, LocalObjectReference, Toleration, VolumeMount};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Preserved;

/// A game server. Everything in it is part of the revision: an edit is rolled out, never applied to a running server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.ports.filter(p, p.protocol != 'TCP').size() >= 1")
    .message("template.ports: at least one port must take UDP, for the game itself"))]
pub struct GameServerTemplate {
    /// Image of the game server. Name a version or a digest: ":latest" changes under a revision that must not change.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('(:[-A-Za-z0-9_.]+|@sha256:[0-9a-f]{64})$') && !self.endsWith(':latest')")
        .message("template.image must name a version or a digest: what ':latest' means changes while a revision must not"))]
    pub image: String,
    /// When the node fetches the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(Always|IfNotPresent|Never)$"))]
    pub image_pull_policy: Option<String>,
    /// Secrets to fetch it with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Instead of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub command: Vec<String>,
    /// Arguments of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub args: Vec<String>,
    /// Environment of the program. Names that begin with `MUSTER_` are Muster's own settings and may be set too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvVar>,
    /// Environment from ConfigMaps and Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub env_from: Vec<EnvFromSource>,
    /// What the program may use.
    #[serde(default)]
    pub resources: Resources,
    /// Ports; Agones hands out the first to clients.
    #[serde(default = "default_ports")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub ports: Vec<GamePort>,
    /// How Agones finds a server that hangs.
    #[serde(default)]
    pub health: Health,
    /// Labels of each pod, besides Muster's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of each pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the nodes that servers run on, besides those of the region.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that servers ignore, besides those of the region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the pod, as in a PodSpec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Preserved>,
    /// Priority class of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// Runtime class of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub runtime_class_name: Option<String>,
    /// Security context of the game's container, as in a PodSpec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Preserved>,
    /// Security context of the pod, as in a PodSpec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_security_context: Option<Preserved>,
    /// Volumes of the pod, as in a PodSpec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub volumes: Vec<Preserved>,
    /// Where the game's container finds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub volume_mounts: Vec<VolumeMount>,
    /// Containers beside the game's, as in a PodSpec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub sidecars: Vec<Preserved>,
}

/// Requests and limits of the game's container: `cpu: 500m`, `memory: 256Mi`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Resources {
    /// What the scheduler sets aside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, IntOrString>,
    /// What it may not exceed. A CPU limit makes the kernel stop a server in mid-tick: leave it out if you can.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, IntOrString>,
}

/// A port of a game server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.portPolicy != 'Static' || has(self.hostPort)").message("hostPort is required with portPolicy Static"))]
#[x_kube(validation = Rule::new("self.portPolicy == 'Static' || !has(self.hostPort)").message("hostPort goes with portPolicy Static alone: Agones chooses it otherwise"))]
#[x_kube(validation = Rule::new("self.portPolicy == 'Passthrough' || has(self.containerPort)").message("containerPort is required, except with portPolicy Passthrough"))]
pub struct GamePort {
    /// Its name.
    #[schemars(length(min = 1, max = 15), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// What it takes. Native UDP and QUIC share a UDP port.
    #[serde(default)]
    pub protocol: PortProtocol,
    /// Who chooses the port of the node.
    #[serde(default)]
    pub port_policy: PortPolicy,
    /// Port inside the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub container_port: Option<u16>,
    /// Port of the node, with `Static`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub host_port: Option<u16>,
}

/// What a port takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PortProtocol {
    /// UDP: native and QUIC.
    #[default]
    UDP,
    /// TCP.
    TCP,
    /// Both, on one number.
    TCPUDP,
}

/// Who chooses the port of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PortPolicy {
    /// Agones, from its range.
    #[default]
    Dynamic,
    /// Agones; the program listens on the same number.
    Passthrough,
    /// The manifest; one server a node.
    Static,
    /// No port of the node: the pod's own address is reachable.
    None,
}

/// Agones' health check: the server must say that it is well once a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Seconds before the first.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 3_600))]
    pub initial_delay_seconds: u32,
    /// Longest time between two.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: u32,
    /// Periods missed in a row until the server is Unhealthy, which is final.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self { initial_delay_seconds: five(), period_seconds: five(), failure_threshold: three() }
    }
}

fn default_ports() -> Vec<GamePort> {
    vec![GamePort {
        name: "game".into(),
        protocol: PortProtocol::UDP,
        port_policy: PortPolicy::Dynamic,
        container_port: Some(7777),
        host_port: None,
    }]
}

fn five() -> u32 {
    5
}

fn three() -> u32 {
    3
}
