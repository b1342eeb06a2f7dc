//! Muster's resources: whether the cluster knows them as this program does, and what the operator says of each.

use crds::{GameFleet, MatchQueue};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, CustomResourceExt as _};
use serde_json::Value;

use super::super::finding::Finding;
use super::{Installation, unseen};
use crate::kubectl::{FleetRow, QueueRow};

const CRDS: &str = "crds";
const WISHES: &str = "fleets-and-queues";

/// The definitions in the cluster against those of this program.
pub(super) async fn crds(installation: &Installation) -> Vec<Finding> {
    let all = Api::<CustomResourceDefinition>::all(installation.client.clone());
    let mut findings = Vec::new();
    for ours in [GameFleet::crd(), MatchQueue::crd()] {
        let name = ours.metadata.name.clone().unwrap_or_default();
        let check = format!("CRD {name}");
        findings.push(match all.get_opt(&name).await {
            Ok(theirs) => judge_crd(check, &ours, theirs.as_ref()),
            Err(error) => unseen(check, &error, CRDS),
        });
    }
    findings
}

fn judge_crd(check: String, ours: &CustomResourceDefinition, theirs: Option<&CustomResourceDefinition>) -> Finding {
    let advice =
        "helm upgrade the chart of this version, whose CRDs go with the program; kubectl apply --server-side works too";
    let Some(theirs) = theirs else {
        return Finding::fail(check, "is not there", advice).more(CRDS);
    };
    let schema = |crd: &CustomResourceDefinition| {
        let version = crd.spec.versions.iter().find(|version| version.name == "v1alpha1" && version.served)?;
        serde_json::to_value(version.schema.as_ref()?).ok()
    };
    match (schema(ours), schema(theirs)) {
        (Some(ours), Some(theirs)) => match first_lack(&ours, &theirs, "") {
            None => Finding::ok(check, "as this program knows it"),
            Some(path) => {
                let found = format!("differs from this program's at {path}");
                Finding::warn(check, found, advice).more(CRDS)
            }
        },
        _ => Finding::fail(check, "v1alpha1 is not served", advice).more(CRDS),
    }
}

/// Where `theirs` lacks something that `ours` has. What the API server adds by itself is no difference.
fn first_lack(ours: &Value, theirs: &Value, path: &str) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => ours.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match theirs.get(key) {
                Some(theirs) => first_lack(value, theirs, &path),
                None => Some(path),
            }
        }),
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            let pairs = ours.iter().zip(theirs).enumerate();
            pairs.into_iter().find_map(|(n, (ours, theirs))| first_lack(ours, theirs, &format!("{path}[{n}]")))
        }
        // Numbers come back without their fraction.
        (Value::Number(ours), Value::Number(theirs)) if ours.as_f64() == theirs.as_f64() => None,
        (ours, theirs) if ours == theirs => None,
        _ => Some(path.to_owned()),
    }
}

/// Every GameFleet and MatchQueue, by its own conditions.
pub(super) async fn wishes(installation: &Installation) -> Vec<Finding> {
    let mut findings = Vec::new();
    for namespace in &installation.game_namespaces {
        let client = || installation.client.clone();
        match Api::<GameFleet>::namespaced(client(), namespace).list(&ListParams::default()).await {
            Ok(list) => findings.extend(list.items.iter().map(judge_fleet)),
            Err(error) => findings.push(unseen(format!("GameFleets in {namespace}"), &error, WISHES)),
        }
        match Api::<MatchQueue>::namespaced(client(), namespace).list(&ListParams::default()).await {
            Ok(list) => findings.extend(list.items.iter().map(judge_queue)),
            Err(error) => findings.push(unseen(format!("MatchQueues in {namespace}"), &error, WISHES)),
        }
    }
    findings
}

fn judge_fleet(fleet: &GameFleet) -> Finding {
    let row = FleetRow::from(fleet);
    let check = format!("GameFleet {}/{}", row.namespace, row.name);
    let found = format!("{} servers, {} matches, {} free rooms", row.servers, row.matches, row.free_rooms);
    let observed = fleet.status.as_ref().map(|status| status.observed_generation);
    judge(check, found, &row.ready, &row.concerns, observed, fleet.metadata.generation)
}

fn judge_queue(queue: &MatchQueue) -> Finding {
    let row = QueueRow::from(queue);
    let check = format!("MatchQueue {}/{}", row.namespace, row.queue);
    let found = format!("{} players wait, {} s at the 95th percentile", row.waiting_players, row.wait_seconds_p95);
    let observed = queue.status.as_ref().map(|status| status.observed_generation);
    judge(check, found, &row.ready, &row.concerns, observed, queue.metadata.generation)
}

fn judge(
    check: String,
    found: String,
    ready: &str,
    concerns: &[String],
    observed: Option<i64>,
    generation: Option<i64>,
) -> Finding {
    if observed.is_none() || observed < generation {
        let advice = "see whether the operator runs (below), and its log";
        return Finding::warn(check, "the operator has not looked at it as it is now", advice).more(WISHES);
    }
    let said = concerns.join("; ");
    match (ready, concerns.is_empty()) {
        ("True", true) => Finding::ok(check, found),
        ("True", false) => Finding::warn(check, said, "see the message").more(WISHES),
        _ => Finding::fail(check, if said.is_empty() { "not ready".into() } else { said }, "see the message")
            .more(WISHES),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_definition_may_say_more_but_not_less_than_this_programs() {
        let ours = json!({ "type": "object", "maximum": 5.0, "required": ["a"] });
        let same = json!({ "type": "object", "maximum": 5, "required": ["a"], "default": {} });
        assert_eq!(first_lack(&ours, &same, ""), None);
        assert_eq!(first_lack(&ours, &json!({ "type": "object", "maximum": 5 }), ""), Some(".required".into()));
        assert_eq!(
            first_lack(&ours, &json!({ "type": "object", "maximum": 4, "required": ["a"] }), ""),
            Some(".maximum".into())
        );
        let crd = GameFleet::crd();
        assert_eq!(judge_crd("x".into(), &crd, Some(&crd)).status, Status::Ok);
        assert_eq!(judge_crd("x".into(), &crd, None).status, Status::Fail);
        assert_eq!(judge_crd("x".into(), &crd, Some(&MatchQueue::crd())).status, Status::Warn);
    }

    #[test]
    fn a_resource_is_judged_by_what_the_operator_says_of_its_present_generation() {
        let of = |ready: &str, concerns: &[String], observed| {
            judge("x".into(), "fine".into(), ready, concerns, observed, Some(2)).status
        };
        assert_eq!(of("True", &[], Some(2)), Status::Ok);
        assert_eq!(of("True", &["Degraded: b".into()], Some(2)), Status::Warn);
        assert_eq!(of("False", &["NoServers: a".into()], Some(2)), Status::Fail);
        assert_eq!((of("True", &[], Some(1)), of("True", &[], None)), (Status::Warn, Status::Warn));
    }
}
