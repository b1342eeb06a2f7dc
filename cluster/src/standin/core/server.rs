//! A GameServer: what its controller does next.

use agones::State;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::object::{Object, dev_address, is_deleting, is_leaving, state, text};

/// What to do about a GameServer now.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing, until something changes.
    Wait,
    /// Its pod must go before it.
    DeletePod,
    /// Nothing of it is left: the finalizer goes.
    Release,
    /// Host ports, then Creating.
    AllocatePorts,
    /// A pod, then Starting.
    CreatePod,
    /// A new state, with whatever else of the status changes with it.
    Become(State, Value),
    /// Delete it.
    Delete,
}

/// Decides by the server, its pod and the pod's node.
pub fn next(server: &Object, pod: Option<&Pod>, node: Option<&Node>) -> Step {
    if is_deleting(server) {
        return match pod {
            Some(pod) if dev_address(server).is_none() => {
                if pod.metadata.deletion_timestamp.is_some() {
                    Step::Wait
                } else {
                    Step::DeletePod
                }
            }
            _ => Step::Release,
        };
    }
    let state = state(server);
    if let Some(address) = dev_address(server) {
        return development(server, state, address);
    }
    if let Some(ended) = by_its_pod(server, state, pod) {
        return ended;
    }
    match state {
        State::PortAllocation => Step::AllocatePorts,
        State::Creating if pod.is_some() => Step::Become(State::Starting, json!({})),
        State::Creating => Step::CreatePod,
        State::Starting => {
            address(server, pod, node).map_or(Step::Wait, |status| Step::Become(State::Scheduled, status))
        }
        State::RequestReady if text(server, "/status/nodeName").is_empty() => {
            address(server, pod, node).map_or(Step::Wait, |status| Step::Become(State::Ready, status))
        }
        State::RequestReady => Step::Become(State::Ready, json!({})),
        State::Shutdown => Step::Delete,
        State::Scheduled | State::Ready | State::Reserved | State::Allocated => with_pod_ips(server, pod)
            .map_or(Step::Wait, |addresses| Step::Become(state, json!({ "addresses": addresses }))),
        _ => Step::Wait,
    }
}

/// Its addresses with those of its pod, if these came after it was scheduled.
fn with_pod_ips(server: &Object, pod: Option<&Pod>) -> Option<Vec<Value>> {
    let mut addresses = server.data.pointer("/status/addresses").and_then(Value::as_array)?.clone();
    let known = addresses.len();
    for ip in pod_ips(pod?) {
        if !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    (addresses.len() > known).then_some(addresses)
}

fn pod_ips(pod: &Pod) -> impl Iterator<Item = Value> {
    let ips = pod.status.iter().filter_map(|status| status.pod_ips.as_ref()).flatten();
    ips.map(|ip| json!({"address": ip.ip, "type": "PodIP"}))
}

/// A server that runs elsewhere: Ready as soon as it is seen.
fn development(server: &Object, state: State, address: &str) -> Step {
    match state {
        State::PortAllocation => Step::AllocatePorts,
        State::Creating => Step::Become(
            State::Ready,
            json!({
                "ports": ports(server),
                "address": address,
                "addresses": [{"address": address, "type": "InternalIP"}],
                "nodeName": address,
            }),
        ),
        State::RequestReady => Step::Become(State::Ready, json!({})),
        State::Shutdown => Step::Delete,
        _ => Step::Wait,
    }
}

/// What the end of its pod means for a server.
fn by_its_pod(server: &Object, state: State, pod: Option<&Pod>) -> Option<Step> {
    if is_leaving(server) || matches!(state, State::Unhealthy | State::Error) {
        return None;
    }
    let unhealthy = Some(Step::Become(State::Unhealthy, json!({})));
    let Some(pod) = pod else {
        // In Starting the pod may exist and not have been seen.
        let has_one = !matches!(state, State::PortAllocation | State::Creating | State::Starting);
        return unhealthy.filter(|_| has_one);
    };
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
    if phase == "Failed" || status.is_some_and(|status| status.reason.as_deref() == Some("Evicted")) {
        return unhealthy;
    }
    let succeeded = phase == "Succeeded" && pod.metadata.deletion_timestamp.is_none();
    succeeded.then(|| Step::Become(State::Shutdown, json!({})))
}

/// Where clients reach it, once its pod has a node.
fn address(server: &Object, pod: Option<&Pod>, node: Option<&Node>) -> Option<Value> {
    let pod = pod?;
    let node_name = pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())?;
    let addresses = node?.status.as_ref()?.addresses.clone()?;
    let of = |kind: &str| addresses.iter().find(|address| address.type_ == kind);
    let primary = ["ExternalDNS", "ExternalIP", "InternalDNS", "InternalIP"].into_iter().find_map(of)?;
    let all: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"address": address.address, "type": address.type_}))
        .chain(pod_ips(pod))
        .collect();
    Some(json!({"address": primary.address, "addresses": all, "nodeName": node_name, "ports": ports(server)}))
}

fn ports(server: &Object) -> Vec<Value> {
    let ports = server.data.pointer("/spec/ports").and_then(Value::as_array);
    let shown = |port: &Value| {
        let number = if port["portPolicy"] == "None" { &port["containerPort"] } else { &port["hostPort"] };
        json!({"name": port["name"], "port": number})
    };
    ports.into_iter().flatten().map(shown).collect()
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
