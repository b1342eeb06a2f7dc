//! `FleetAutoscaler`, for the crash floor.

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An autoscaler's wish.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Fleet that it scales.
    pub fleet_name: String,
    /// How: Agones' policy object.
    pub policy: Value,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<Value>,
}
