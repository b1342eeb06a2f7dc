//! A Fleet: one GameServerSet per template, and how many servers each may have.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, TypeMeta};
use serde_json::{Value, json};

use super::object::{FLEET, Kind, Object, name, number, owned_by};

/// The set for the Fleet's template, and those of earlier templates.
pub fn active_and_rest<'a>(fleet: &Object, sets: &[&'a Object]) -> (Option<&'a Object>, Vec<&'a Object>) {
    let template = fleet.data.pointer("/spec/template");
    let (mut matching, mut rest): (Vec<&Object>, Vec<&Object>) =
        sets.iter().copied().partition(|set| set.data.pointer("/spec/template") == template);
    matching.sort_by_key(|set| (set.metadata.creation_timestamp.clone(), name(set).to_owned()));
    let mut matching = matching.into_iter();
    let active = matching.next();
    rest.extend(matching);
    (active, rest)
}

/// The set that the Fleet's template asks for.
pub fn new_set(fleet: &Object, replicas: u64) -> Object {
    let meta = fleet.data.pointer("/spec/template/metadata").cloned().unwrap_or_default();
    let given: ObjectMeta = serde_json::from_value(meta).unwrap_or_default();
    let mut labels = given.labels.unwrap_or_default();
    labels.insert(FLEET.to_owned(), name(fleet).to_owned());
    let spec = json!({
        "replicas": replicas,
        "scheduling": fleet.data.pointer("/spec/scheduling"),
        "template": fleet.data.pointer("/spec/template"),
    });
    DynamicObject {
        types: Some(TypeMeta { api_version: "agones.dev/v1".to_owned(), kind: Kind::Set.name().to_owned() }),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", name(fleet))),
            namespace: fleet.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: given.annotations,
            owner_references: Some(vec![owned_by(fleet, Kind::Fleet)]),
            ..ObjectMeta::default()
        },
        data: json!({ "spec": spec }),
    }
}

/// How many servers the active set and each earlier one may have.
///
/// After an edit of the template the earlier sets shrink to their busy servers at once: Muster never edits a live
/// template, so Agones' surge and unavailability percentages are not played. What is busy counts against the Fleet.
pub fn sizes(fleet: &Object, rest: &[&Object]) -> (u64, u64) {
    let busy = |set: &&Object| number(set, "/status/reservedReplicas") + number(set, "/status/allocatedReplicas");
    let kept: u64 = rest.iter().map(busy).sum();
    (number(fleet, "/spec/replicas").saturating_sub(kept), 0)
}

/// Whether an earlier set has ended.
pub fn is_empty(set: &Object) -> bool {
    number(set, "/status/replicas") == 0 && number(set, "/status/shutdownReplicas") == 0
}

/// The Fleet's status: the sum of its sets', with the allocations that were seen since the last one.
pub fn status(fleet: &Object, sets: &[&Object], allocations: u64) -> Value {
    let sum = |field: &str| -> u64 { sets.iter().map(|set| number(set, &format!("/status/{field}"))).sum() };
    json!({
        "replicas": sum("replicas"),
        "readyReplicas": sum("readyReplicas"),
        "reservedReplicas": sum("reservedReplicas"),
        "allocatedReplicas": sum("allocatedReplicas"),
        "allocations": number(fleet, "/status/allocations") + allocations,
    })
}
