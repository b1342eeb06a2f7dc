//! `FleetAutoscaler`, as far as Muster makes one: a chain of a webhook and a buffer.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// An autoscaler's wish.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "autoscaling.agones.dev",
    version = "v1",
    kind = "FleetAutoscaler",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct FleetAutoscalerSpec {
    /// The Fleet that it sizes.
    pub fleet_name: String,
    /// How.
    pub policy: AutoscalerPolicy,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<AutoscalerSync>,
}

/// How an autoscaler finds a size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AutoscalerPolicy {
    /// `Chain`; others are never written by Muster.
    #[serde(rename = "type")]
    pub type_: String,
    /// Tried in this order: the first entry that answers without an error decides.
    #[serde(default)]
    pub chain: Vec<ChainEntry>,
}

/// One entry of a chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChainEntry {
    /// Its name, unlike every other of the chain.
    #[serde(default)]
    pub id: String,
    /// `Webhook` or `Buffer`.
    #[serde(rename = "type")]
    pub type_: String,
    /// With `Webhook`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookPolicy>,
    /// With `Buffer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<BufferPolicy>,
}

/// Asks for the size by HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WebhookPolicy {
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// So many servers beyond the Allocated ones. Agones refuses a minimum below the buffer, and a maximum below either.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BufferPolicy {
    /// Servers that are not Allocated.
    pub buffer_size: IntOrString,
    /// Fewest servers.
    #[serde(default)]
    pub min_replicas: i64,
    /// Most servers; at least 1.
    pub max_replicas: i64,
}

/// How often an autoscaler works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalerSync {
    /// `FixedInterval`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_interval: Option<FixedInterval>,
}

/// An interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedInterval {
    /// In seconds.
    pub seconds: i64,
}

/// What Agones' controller asks a webhook, and the answer: one object with either part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetAutoscaleReview {
    /// The question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<FleetAutoscaleRequest>,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<FleetAutoscaleResponse>,
}

/// The question of a [`FleetAutoscaleReview`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetAutoscaleRequest {
    /// Of this question; the answer repeats it.
    pub uid: String,
    /// The Fleet.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// The answer of a [`FleetAutoscaleReview`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetAutoscaleResponse {
    /// Of the question.
    pub uid: String,
    /// Without it Agones writes the count of servers that there are (`status.replicas`) into the Fleet's spec, which is
    /// not "as it is": servers that a smaller Fleet keeps until their match has ended would be wanted again.
    pub scale: bool,
    /// The size.
    pub replicas: u32,
}
