//! A `GameServerAllocation`: which server it gets, what is written into it, what is answered.

use std::collections::BTreeMap;

use agones::State;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::object::{LAST_ALLOCATED, Object, is_deleting, label, name, state, text};

/// The servers that the request may have, best first.
///
/// Selectors are tried in order: all servers of an earlier one come before those of a later one. Packed: the most
/// crowded node first, so that emptier ones run empty.
pub fn candidates<'a>(request: &Value, servers: &[&'a Object]) -> Vec<&'a Object> {
    let packed = request.pointer("/spec/scheduling") != Some(&json!("Distributed"));
    let mut crowd: BTreeMap<&str, usize> = BTreeMap::new();
    for server in servers.iter().filter(|server| matches!(state(server), State::Ready | State::Allocated)) {
        *crowd.entry(text(server, "/status/nodeName")).or_default() += 1;
    }
    let crowd_of = |server: &Object| crowd.get(text(server, "/status/nodeName")).copied().unwrap_or(0);
    let mut sorted: Vec<&Object> = servers.iter().copied().filter(|server| !is_deleting(server)).collect();
    sorted.sort_by_key(|server| (if packed { usize::MAX - crowd_of(server) } else { 0 }, name(server).to_owned()));
    let mut chosen: Vec<&Object> = Vec::new();
    for selector in selectors(request) {
        let matching = sorted.iter().filter(|server| matches(&selector, server));
        let new: Vec<&Object> =
            matching.filter(|server| !chosen.iter().any(|one| std::ptr::eq(*one, **server))).copied().collect();
        chosen.extend(new);
    }
    chosen
}

/// The request's selectors; the older spelling has preferred ones and a required one; none at all means any server.
fn selectors(request: &Value) -> Vec<Value> {
    let list = |field: &str| request.pointer(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let selectors = list("/spec/selectors");
    if !selectors.is_empty() {
        return selectors;
    }
    let mut older = list("/spec/preferred");
    older.push(request.pointer("/spec/required").cloned().unwrap_or_else(|| json!({})));
    older
}

fn matches(selector: &Value, server: &Object) -> bool {
    let wanted = selector["gameServerState"].as_str().map_or(State::Ready, State::parse);
    let labels = selector["matchLabels"].as_object();
    let by_labels =
        labels.into_iter().flatten().all(|(key, value)| has_label(server, key) && *value == label(server, key));
    let expressions = selector["matchExpressions"].as_array();
    state(server) == wanted && by_labels && expressions.into_iter().flatten().all(|one| holds(one, server))
}

fn has_label(server: &Object, key: &str) -> bool {
    server.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(key))
}

fn holds(expression: &Value, server: &Object) -> bool {
    let key = expression["key"].as_str().unwrap_or_default();
    let is_one_of = expression["values"].as_array().into_iter().flatten().any(|value| *value == label(server, key));
    match expression["operator"].as_str().unwrap_or_default() {
        "In" => has_label(server, key) && is_one_of,
        "NotIn" => !has_label(server, key) || !is_one_of,
        "Exists" => has_label(server, key),
        "DoesNotExist" => !has_label(server, key),
        _ => false,
    }
}

/// The merge patch that allocates a server on the version that was read.
pub fn patch(request: &Value, server: &Object, at: Timestamp) -> Value {
    let given = |field: &str| request.pointer(&format!("/spec/metadata/{field}")).cloned().filter(Value::is_object);
    let mut annotations = given("annotations").unwrap_or_else(|| json!({}));
    annotations[LAST_ALLOCATED] = json!(at.to_string());
    let mut metadata = json!({"resourceVersion": server.metadata.resource_version, "annotations": annotations});
    if let Some(labels) = given("labels") {
        metadata["labels"] = labels;
    }
    json!({"metadata": metadata, "status": {"state": "Allocated"}})
}

/// The request with its answer: an allocated server, or the word for having none.
pub fn answer(request: &Value, namespace: &str, allocated: Option<&Object>, otherwise: &str) -> Value {
    let mut answer = request.clone();
    answer["apiVersion"] = json!("allocation.agones.dev/v1");
    answer["kind"] = json!("GameServerAllocation");
    answer["metadata"]["namespace"] = json!(namespace);
    let Some(server) = allocated else {
        answer["status"] = json!({"state": otherwise, "gameServerName": ""});
        return answer;
    };
    answer["metadata"]["name"] = json!(name(server));
    answer["status"] = json!({
        "state": "Allocated",
        "gameServerName": name(server),
        "ports": server.data.pointer("/status/ports"),
        "address": text(server, "/status/address"),
        "addresses": server.data.pointer("/status/addresses"),
        "nodeName": text(server, "/status/nodeName"),
        "source": "local",
        "metadata": {"labels": server.metadata.labels, "annotations": server.metadata.annotations},
    });
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, state: &str, node: &str, fleet: &str) -> Object {
        serde_json::from_value(json!({"apiVersion": "agones.dev/v1", "kind": "GameServer",
            "metadata": {"name": name, "resourceVersion": "3", "labels": {"agones.dev/fleet": fleet}},
            "status": {"state": state, "nodeName": node, "address": "10.0.0.1"}}))
        .unwrap()
    }

    fn chosen(request: &Value, servers: &[Object]) -> Vec<String> {
        let servers: Vec<&Object> = servers.iter().collect();
        candidates(request, &servers).iter().map(|server| name(server).to_owned()).collect()
    }

    #[test]
    fn only_ready_servers_are_given_unless_another_state_is_asked_for() {
        let servers = ["Reserved", "Ready", "Allocated", "Scheduled"].map(|state| server(state, state, "n", "f"));
        assert_eq!(chosen(&json!({"spec": {}}), &servers), ["Ready"]);
        let again = json!({"spec": {"selectors": [{"gameServerState": "Allocated"}, {"gameServerState": "Ready"}]}});
        assert_eq!(chosen(&again, &servers), ["Allocated", "Ready"]);
    }

    #[test]
    fn packed_takes_the_crowded_node_and_earlier_selectors_win() {
        let servers = [
            server("a", "Ready", "empty", "f"),
            server("b", "Ready", "full", "f"),
            server("c", "Allocated", "full", "f"),
            server("d", "Ready", "full", "g"),
        ];
        assert_eq!(chosen(&json!({"spec": {}}), &servers), ["b", "d", "a"]);
        let ordered = json!({"spec": {"selectors": [{"matchLabels": {"agones.dev/fleet": "g"}}, {"matchLabels": {}}]}});
        assert_eq!(chosen(&ordered, &servers), ["d", "b", "a"]);
        let not = json!({"spec": {"required": {"matchExpressions": [
            {"key": "agones.dev/fleet", "operator": "NotIn", "values": ["f"]}]}}});
        assert_eq!(chosen(&not, &servers), ["d"]);
    }

    #[test]
    fn an_allocation_names_the_version_and_carries_the_requests_metadata() {
        let request = json!({"spec": {"metadata": {"labels": {"match": "1"}, "annotations": {"mode": "duel"}}}});
        let patch = patch(&request, &server("a", "Ready", "n", "f"), Timestamp::UNIX_EPOCH);
        let metadata = json!({"resourceVersion": "3", "labels": {"match": "1"},
            "annotations": {"mode": "duel", "agones.dev/last-allocated": "1970-01-01T00:00:00Z"}});
        assert_eq!((&patch["metadata"], &patch["status"]["state"]), (&metadata, &json!("Allocated")));
    }

    #[test]
    fn without_a_server_the_answer_says_so() {
        let answer = answer(&json!({"spec": {}}), "n", None, "UnAllocated");
        assert_eq!(
            (&answer["status"]["state"], &answer["status"]["gameServerName"]),
            (&json!("UnAllocated"), &json!(""))
        );
    }
}
