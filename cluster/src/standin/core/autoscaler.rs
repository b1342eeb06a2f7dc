//! What a FleetAutoscaler decides: the size of a buffer, which manifests are refused, the status.
//!
//! Played are the policies `Webhook`, `Buffer`, and `Chain` of these two.

use std::time::Duration;

use serde_json::{Value, json};

use super::object::{Object, number};

/// How often an autoscaler works where its manifest does not say.
const EVERY_SECONDS: u64 = 30;

/// A size, and whether the policy's bounds cut it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sized {
    /// Servers.
    pub replicas: u64,
    /// A bound was met.
    pub limited: bool,
}

/// The entries to try in this order: those of a chain, or the policy itself.
pub fn entries(autoscaler: &Object) -> Vec<Value> {
    let policy = autoscaler.data.pointer("/spec/policy").cloned().unwrap_or_default();
    match policy["type"].as_str() {
        Some("Chain") => policy["chain"].as_array().cloned().unwrap_or_default(),
        _ => vec![policy],
    }
}

/// The size that a buffer asks for: by `status.allocatedReplicas` alone, so a Reserved server is as good as a Ready one.
pub fn buffer(policy: &Value, fleet: &Object) -> Option<Sized> {
    let allocated = number(fleet, "/status/allocatedReplicas");
    let wanted = match &policy["bufferSize"] {
        Value::Number(size) => allocated + size.as_u64()?,
        Value::String(percent) => {
            let percent: u64 = percent.strip_suffix('%')?.parse().ok().filter(|percent| (1..100).contains(percent))?;
            (allocated * 100).div_ceil(100 - percent)
        }
        _ => return None,
    };
    let replicas = wanted.max(policy["minReplicas"].as_u64().unwrap_or(0)).min(policy["maxReplicas"].as_u64()?);
    Some(Sized { replicas, limited: replicas != wanted })
}

/// The size in a webhook's answer. Without `scale` it is the count of servers that there are, not the Fleet's wish.
pub fn answered(review: &Value, fleet: &Object) -> Option<Sized> {
    let response = review.get("response").filter(|response| response.is_object())?;
    let replicas = match response["scale"].as_bool() {
        Some(true) => response["replicas"].as_u64()?,
        _ => number(fleet, "/status/replicas"),
    };
    Some(Sized { replicas, limited: false })
}

/// What Agones' webhook says to a manifest; empty: nothing.
pub fn faults(manifest: &Value) -> Vec<String> {
    let policy = &manifest["spec"]["policy"];
    let Some(chain) = policy["chain"].as_array().filter(|_| policy["type"] == "Chain") else {
        return entry_faults(policy);
    };
    let twice = chain.iter().enumerate().any(|(n, entry)| chain[..n].iter().any(|other| other["id"] == entry["id"]));
    let twice = twice.then(|| "id of chain entry must be unique".to_owned());
    twice.into_iter().chain(chain.iter().flat_map(entry_faults)).collect()
}

fn entry_faults(policy: &Value) -> Vec<String> {
    let (webhook, buffer) = (&policy["webhook"], &policy["buffer"]);
    let known = |of: &Value| !of.is_null();
    match policy["type"].as_str() {
        Some("Webhook") if known(&webhook["url"]) == known(&webhook["service"]) => {
            vec!["either service or url must be provided".to_owned()]
        }
        Some("Buffer") => {
            let number = |name: &str| buffer[name].as_u64().unwrap_or(0);
            let (size, fewest, most) = (number("bufferSize"), number("minReplicas"), number("maxReplicas"));
            let absolute = buffer["bufferSize"].is_number();
            [
                (fewest > most, "minReplicas should be smaller than maxReplicas"),
                (absolute && size == 0, "bufferSize must be greater than 0"),
                (absolute && most < size, "maxReplicas should be bigger than or equal to bufferSize"),
                (absolute && fewest != 0 && fewest < size, "minReplicas should be bigger than or equal to bufferSize"),
            ]
            .into_iter()
            .filter(|(is_so, _)| *is_so)
            .map(|(_, fault)| fault.to_owned())
            .collect()
        }
        _ => Vec::new(),
    }
}

/// How often it works.
pub fn interval(autoscaler: &Object) -> Duration {
    let seconds = number(autoscaler, "/spec/sync/fixedInterval/seconds");
    Duration::from_secs(if seconds == 0 { EVERY_SECONDS } else { seconds })
}

/// The status after a size was found by a policy; `scaled` is when the Fleet was changed, if it was.
pub fn status(autoscaler: &Object, fleet: &Object, sized: Sized, policy: &str, scaled: Option<String>) -> Value {
    let status = json!({
        "currentReplicas": number(fleet, "/status/replicas"), "desiredReplicas": sized.replicas,
        "ableToScale": true, "scalingLimited": sized.limited, "lastAppliedPolicy": policy,
    });
    with_time(status, autoscaler, scaled)
}

/// The status when no policy answered, or the Fleet is not there.
pub fn unable(autoscaler: &Object) -> Value {
    let status = json!({
        "currentReplicas": 0, "desiredReplicas": 0, "ableToScale": false, "scalingLimited": false, "lastAppliedPolicy": "",
    });
    with_time(status, autoscaler, None)
}

/// When the Fleet was last scaled: now, or as it stands.
fn with_time(mut status: Value, autoscaler: &Object, scaled: Option<String>) -> Value {
    let stands = autoscaler.data.pointer("/status/lastScaleTime").filter(|stands| !stands.is_null()).cloned();
    if let Some(at) = scaled.map(Value::String).or(stands) {
        status["lastScaleTime"] = at;
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(replicas: u64, allocated: u64) -> Object {
        let fleet = json!({"apiVersion": "agones.dev/v1", "kind": "Fleet", "metadata": {"name": "arena"},
            "spec": {"replicas": 1}, "status": {"replicas": replicas, "allocatedReplicas": allocated}});
        serde_json::from_value(fleet).unwrap()
    }

    #[test]
    fn a_buffer_counts_what_is_beyond_the_allocated_within_its_bounds() {
        let size =
            |policy: Value, allocated| buffer(&policy, &fleet(20, allocated)).map(|it| (it.replicas, it.limited));
        let floor = json!({"bufferSize": 4, "minReplicas": 6, "maxReplicas": 10});
        assert_eq!(size(floor.clone(), 0), Some((6, true)));
        assert_eq!(size(floor.clone(), 3), Some((7, false)));
        assert_eq!(size(floor, 8), Some((10, true)));
        assert_eq!(size(json!({"bufferSize": "20%", "minReplicas": 1, "maxReplicas": 50}), 8), Some((10, false)));
        assert_eq!(size(json!({"bufferSize": "much", "maxReplicas": 50}), 8), None);
    }

    #[test]
    fn an_answer_that_does_not_scale_means_the_servers_that_there_are() {
        let says = |response: Value| answered(&json!({"response": response}), &fleet(4, 0)).map(|it| it.replicas);
        assert_eq!(says(json!({"scale": true, "replicas": 9})), Some(9));
        assert_eq!(says(json!({"scale": false, "replicas": 9})), Some(4), "the Fleet's wish is 1");
        assert_eq!(says(Value::Null), None);
    }

    #[test]
    fn manifests_that_agones_refuses_are_refused() {
        let chain = |buffer: Value, second: &str| {
            json!({"spec": {"policy": {"type": "Chain", "chain": [
                {"id": "a", "type": "Webhook", "webhook": {"url": "http://operator"}},
                {"id": second, "type": "Buffer", "buffer": buffer}]}}})
        };
        assert_eq!(faults(&chain(json!({"bufferSize": 4, "minReplicas": 4, "maxReplicas": 4}), "b")), [""; 0]);
        let said = faults(&chain(json!({"bufferSize": 4, "minReplicas": 2, "maxReplicas": 3}), "a"));
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(faults(&json!({"spec": {"policy": {"type": "Webhook", "webhook": {}}}})).len(), 1);
    }
}
