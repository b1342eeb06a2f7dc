//! A GameServerSet: which servers to make and which to shut down.

use std::collections::BTreeMap;

use agones::State;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, TypeMeta};
use serde_json::{Value, json};

use super::object::{
    ERRORED_AT, FLEET, Kind, Object, SET, annotation, is_deleting, is_leaving, label, name, owned_by, state, text,
};

/// Servers made at most in one look, as Agones does.
const CREATED_AT_ONCE_MAX: usize = 64;
/// How long a server in state Error stays, in seconds: it counts as one, so that a broken template does not make
/// servers as fast as it can.
pub const ERROR_STAYS_S: i64 = 30;

/// What a set needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Servers to make.
    pub create: usize,
    /// Names of servers to shut down.
    pub shut_down: Vec<String>,
    /// Whether there is more to do than fits into one look, or later.
    pub again: bool,
}

/// Decides for a set of `replicas` servers; `now` in seconds since the Unix epoch.
///
/// Reserved and Allocated servers are never shut down, and count first. Unhealthy ones go, whatever the size.
pub fn plan(replicas: usize, is_ending: bool, packed: bool, servers: &[&Object], now: i64) -> Plan {
    let mut up = servers.iter().filter(|server| is_kept(server)).count();
    let (mut candidates, mut shut_down, mut surplus, mut again) = (Vec::new(), Vec::new(), 0_usize, false);
    for server in servers.iter().filter(|server| !is_kept(server) && !is_leaving(server)) {
        let gone_wrong = match state(server) {
            State::Unhealthy => true,
            State::Error => {
                let over = error_age_s(server, now).is_none_or(|age| age >= ERROR_STAYS_S);
                again |= !over;
                over
            }
            _ => false,
        };
        if gone_wrong {
            shut_down.push(name(server).to_owned());
            continue;
        }
        if up >= replicas {
            surplus += 1;
        } else {
            up += 1;
        }
        candidates.push(*server);
    }
    // A surplus is made up by the servers that just went wrong: they are gone already in Agones' count.
    let surplus = surplus.saturating_sub(shut_down.len());
    sort_for_removal(&mut candidates, packed);
    shut_down.extend(candidates.into_iter().take(surplus).map(|server| name(server).to_owned()));
    let missing = if is_ending { 0 } else { replicas.saturating_sub(up) };
    let create = missing.min(CREATED_AT_ONCE_MAX);
    Plan { create, shut_down, again: again || create < missing }
}

/// Whether scaling must leave it alone.
fn is_kept(server: &Object) -> bool {
    matches!(state(server), State::Reserved | State::Allocated) && !is_deleting(server)
}

fn error_age_s(server: &Object, now: i64) -> Option<i64> {
    let at = annotation(server, ERRORED_AT)?.parse::<k8s_openapi::jiff::Timestamp>().ok()?;
    Some(now - at.as_second())
}

/// Packed: servers without a node first, then those of the emptiest node, unready before ready. Distributed: the oldest
/// first.
fn sort_for_removal(servers: &mut [&Object], packed: bool) {
    if !packed {
        servers.sort_by_key(|server| (server.metadata.creation_timestamp.clone(), name(server).to_owned()));
        return;
    }
    let mut per_node: BTreeMap<&str, usize> = BTreeMap::new();
    for server in servers.iter() {
        *per_node.entry(text(server, "/status/nodeName")).or_default() += 1;
    }
    let key = |server: &&Object| {
        let node = text(server, "/status/nodeName");
        let crowd = if node.is_empty() { 0 } else { per_node.get(node).copied().unwrap_or(0) };
        (crowd, node.to_owned(), state(server) == State::Ready, name(server).to_owned())
    };
    servers.sort_by_cached_key(key);
}

/// A server from the set's template.
pub fn new_server(set: &Object) -> Object {
    let meta = set.data.pointer("/spec/template/metadata").cloned().unwrap_or_default();
    let given: ObjectMeta = serde_json::from_value(meta).unwrap_or_default();
    let mut spec = set.data.pointer("/spec/template/spec").cloned().unwrap_or_else(|| json!({}));
    spec["scheduling"] = set.data.pointer("/spec/scheduling").cloned().unwrap_or_default();
    let mut labels = given.labels.unwrap_or_default();
    labels.insert(SET.to_owned(), name(set).to_owned());
    labels.insert(FLEET.to_owned(), label(set, FLEET).to_owned());
    DynamicObject {
        types: Some(TypeMeta { api_version: "agones.dev/v1".to_owned(), kind: Kind::Server.name().to_owned() }),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", name(set))),
            namespace: set.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: given.annotations,
            owner_references: Some(vec![owned_by(set, Kind::Set)]),
            ..ObjectMeta::default()
        },
        data: json!({ "spec": spec }),
    }
}

/// The set's status: servers that leave are counted apart.
pub fn status(servers: &[&Object]) -> Value {
    let staying = servers.iter().filter(|server| !is_leaving(server));
    let (mut replicas, mut ready, mut reserved, mut allocated) = (0_u64, 0_u64, 0_u64, 0_u64);
    for server in staying {
        replicas += 1;
        match state(server) {
            State::Ready => ready += 1,
            State::Reserved => reserved += 1,
            State::Allocated => allocated += 1,
            _ => {}
        }
    }
    json!({
        "replicas": replicas,
        "readyReplicas": ready,
        "reservedReplicas": reserved,
        "allocatedReplicas": allocated,
        "shutdownReplicas": servers.len() as u64 - replicas,
    })
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
