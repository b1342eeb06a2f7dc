//! Defaults on create, as Agones' webhooks write them.

use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::core::{autoscaler, defaults};
use super::endpoint::Endpoint;
use super::error::StandinError;
use super::install::MANAGER;

/// What the API server asks.
pub(super) fn routes() -> Router {
    Router::new().route("/mutate", post(mutate))
}

/// Tells the API server to ask, for creates in these namespaces.
pub(super) async fn register(client: &Client, namespaces: &[String], endpoint: &Endpoint) -> Result<(), StandinError> {
    let name = name(namespaces);
    let wanted = configuration(&name, namespaces, &endpoint.url("/mutate"), endpoint.ca_pem());
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let applied = api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&wanted)).await;
    applied.map(drop).map_err(StandinError::api("register the create webhook"))
}

/// Takes the registration back: left behind, it would refuse every create in its namespaces.
pub(super) async fn unregister(client: &Client, namespaces: &[String]) -> Result<(), StandinError> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let gone = api.delete(&name(namespaces), &DeleteParams::default()).await;
    gone.map(drop).map_err(StandinError::api("remove the create webhook"))
}

/// One registration for each set of namespaces, so that stand-ins do not replace each other's.
fn name(namespaces: &[String]) -> String {
    format!("agones-standin.{}", namespaces.join("."))
}

fn configuration(name: &str, namespaces: &[String], url: &str, ca_pem: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": "mutations.agones.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            "clientConfig": {"url": url, "caBundle": BASE64.encode(ca_pem)},
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
            ]},
            "rules": [
                {"apiGroups": ["agones.dev"], "apiVersions": ["v1"], "operations": ["CREATE"],
                    "resources": ["fleets", "gameservers"]},
                {"apiGroups": ["autoscaling.agones.dev"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["fleetautoscalers"]},
            ],
        }],
    })
}

async fn mutate(Json(review): Json<Value>) -> Json<Value> {
    Json(answer(&review))
}

/// The answer to an AdmissionReview: yes, with what is missing; no to an autoscaler that makes no sense.
fn answer(review: &Value) -> Value {
    let request = &review["request"];
    let patch = match request["kind"]["kind"].as_str() {
        Some("Fleet") => defaults::fleet(&request["object"]),
        Some("GameServer") => defaults::game_server(&request["object"]),
        Some("FleetAutoscaler") => {
            let faults = autoscaler::faults(&request["object"]);
            if !faults.is_empty() {
                let status = json!({"code": 422, "reason": "Invalid", "message": faults.join("; ")});
                return reviewed(&json!({"uid": request["uid"], "allowed": false, "status": status}));
            }
            defaults::autoscaler(&request["object"])
        }
        _ => Vec::new(),
    };
    let mut response = json!({"uid": request["uid"], "allowed": true});
    if !patch.is_empty() {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(BASE64.encode(Value::Array(patch).to_string()));
    }
    reviewed(&response)
}

fn reviewed(response: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_is_answered_by_its_uid_with_a_patch_in_base64() {
        let review =
            json!({"request": {"uid": "u-1", "kind": {"kind": "Fleet"}, "object": {"metadata": {}, "spec": {}}}});
        let answer = answer(&review);
        assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!("u-1"), &json!(true)));
        let patch = BASE64.decode(answer["response"]["patch"].as_str().unwrap()).unwrap();
        let patch: Value = serde_json::from_slice(&patch).unwrap();
        assert!(patch.as_array().unwrap().contains(&json!({"op": "add", "path": "/spec/replicas", "value": 0})));
    }

    #[test]
    fn an_autoscaler_gets_its_interval_and_one_that_makes_no_sense_is_refused() {
        let review = |buffer: Value| {
            let policy = json!({"type": "Buffer", "buffer": buffer});
            json!({"request": {"uid": "u", "kind": {"kind": "FleetAutoscaler"}, "object": {"spec": {"policy": policy}}}})
        };
        let sound = answer(&review(json!({"bufferSize": 1, "maxReplicas": 2})))["response"].clone();
        let patch = BASE64.decode(sound["patch"].as_str().unwrap()).unwrap();
        assert!(String::from_utf8(patch).unwrap().contains(r#""value":30"#));
        let refused = answer(&review(json!({"bufferSize": 3, "maxReplicas": 2})))["response"].clone();
        assert_eq!(refused["allowed"], false);
        assert!(refused["status"]["message"].as_str().unwrap().contains("maxReplicas should be bigger"));
    }

    #[test]
    fn what_is_not_agones_passes_unchanged() {
        let review = json!({"request": {"uid": "u-2", "kind": {"kind": "Pod"}, "object": {}}});
        assert!(answer(&review)["response"].get("patch").is_none());
    }
}
