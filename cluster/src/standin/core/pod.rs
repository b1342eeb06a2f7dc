//! The pod of a GameServer: the user's template, the SDK server beside it, and what Agones promises of both.

use serde_json::{Map, Value, json};

use super::object::{GAME_SERVER, Kind, Object, ROLE, VERSION_ANNOTATION, name, number, owned_by, text};
use crate::standin::VERSION;

/// Name of the SDK server's container.
pub const SIDECAR: &str = "agones-gameserver-sidecar";
/// Port of the SDK server for health checks of the node.
pub const SIDECAR_HEALTH_PORT: u16 = 8080;
/// Whether the node's maintenance may evict a pod, as a label; Agones' disruption budget selects by it.
pub const SAFE_TO_EVICT: &str = "agones.dev/safe-to-evict";

/// The pod, ready to be created.
pub fn pod(server: &Object, sidecar_image: &str) -> Value {
    let template = server.data.pointer("/spec/template").cloned().unwrap_or_else(|| json!({}));
    let mut metadata = object_or_empty(template.get("metadata"));
    let mut spec = object_or_empty(template.get("spec"));
    mark(server, &mut metadata);
    spec.entry("hostname").or_insert_with(|| json!(name(server).replace('.', "-")));
    spec.entry("restartPolicy").or_insert(json!("Never"));
    let own_account = spec.get("serviceAccountName").and_then(Value::as_str).is_some_and(|account| !account.is_empty());
    let game = text(server, "/spec/container");
    if !own_account {
        spec.insert("serviceAccountName".to_owned(), json!(crds::agones::SERVICE_ACCOUNT));
        list(&mut spec, "volumes").push(json!({"name": "empty", "emptyDir": {}}));
    }
    for container in list(&mut spec, "containers") {
        containers_own(server, container);
        if container["name"] == game {
            game_container(server, container, own_account);
        }
    }
    list(&mut spec, "initContainers").insert(0, sidecar(server, sidecar_image));
    if text(server, "/spec/scheduling") == "Packed" {
        prefer_crowded_nodes(&mut spec);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

fn object_or_empty(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The list of that name, made if absent.
fn list<'a>(spec: &'a mut Map<String, Value>, field: &str) -> &'a mut Vec<Value> {
    let list = spec.entry(field).or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    list.as_array_mut().expect("it was just made one")
}

fn mark(server: &Object, metadata: &mut Map<String, Value>) {
    metadata.insert("name".to_owned(), json!(name(server)));
    metadata.insert("namespace".to_owned(), json!(server.metadata.namespace));
    metadata.insert("ownerReferences".to_owned(), json!([owned_by(server, Kind::Server)]));
    let (evictable, movable) = eviction(text(server, "/status/eviction/safe"));
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    labels[ROLE] = json!("gameserver");
    labels[GAME_SERVER] = json!(name(server));
    if labels.get(SAFE_TO_EVICT).is_none() && !evictable {
        labels[SAFE_TO_EVICT] = json!("false");
    }
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    annotations["agones.dev/container"] = json!(text(server, "/spec/container"));
    annotations[VERSION_ANNOTATION] = json!(VERSION);
    let movable_key = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    if annotations.get(movable_key).is_none() {
        annotations[movable_key] = json!(movable.to_string());
    }
}

/// Whether an eviction is let through by the disruption budget, and whether the autoscaler may move the pod.
fn eviction(safe: &str) -> (bool, bool) {
    match safe {
        "Always" => (true, true),
        "OnUpgrade" => (true, false),
        _ => (false, false),
    }
}

fn containers_own(server: &Object, container: &mut Value) {
    let reserved = ["AGONES_SDK_GRPC_PORT", "AGONES_SDK_HTTP_PORT"];
    let given = container["env"].as_array().cloned().unwrap_or_default();
    let mut env: Vec<Value> =
        given.into_iter().filter(|one| !reserved.iter().any(|reserved| one["name"] == *reserved)).collect();
    for (variable, field) in reserved.iter().zip(["grpcPort", "httpPort"]) {
        let port = number(server, &format!("/spec/sdkServer/{field}"));
        env.push(json!({"name": variable, "value": port.to_string()}));
    }
    container["env"] = Value::Array(env);
    let no_ports = Vec::new();
    let ports = server.data.pointer("/spec/ports").and_then(Value::as_array).unwrap_or(&no_ports);
    let mut all = container["ports"].as_array().cloned().unwrap_or_default();
    for port in ports.iter().filter(|port| port["container"] == container["name"]) {
        let mut one = json!({"containerPort": port["containerPort"], "protocol": port["protocol"]});
        if port["portPolicy"] != "None" {
            one["hostPort"] = port["hostPort"].clone();
        }
        all.push(one);
    }
    container["ports"] = Value::Array(all);
}

fn game_container(server: &Object, container: &mut Value, own_account: bool) {
    if !own_account {
        // A game server gets no access to the Kubernetes API.
        let mount =
            json!({"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "empty", "readOnly": true});
        let mut mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
        mounts.push(mount);
        container["volumeMounts"] = Value::Array(mounts);
    }
    let disabled = server.data.pointer("/spec/health/disabled") == Some(&json!(true));
    if !disabled && container["livenessProbe"].is_null() {
        container["livenessProbe"] = json!({
            "httpGet": {"path": "/gshealthz", "port": SIDECAR_HEALTH_PORT},
            "initialDelaySeconds": number(server, "/spec/health/initialDelaySeconds"),
            "periodSeconds": number(server, "/spec/health/periodSeconds"),
            "failureThreshold": number(server, "/spec/health/failureThreshold"),
        });
    }
}

/// A native sidecar: it starts before the game and ends after it.
fn sidecar(server: &Object, image: &str) -> Value {
    let port = |field: &str| number(server, &format!("/spec/sdkServer/{field}")).to_string();
    json!({
        "name": SIDECAR,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["sidecar", "--grpc-port", port("grpcPort")],
        "restartPolicy": "Always",
        "env": [
            {"name": "GAMESERVER_NAME", "value": name(server)},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": SIDECAR_HEALTH_PORT},
            "initialDelaySeconds": 3,
            "periodSeconds": 3,
        },
        "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1000},
    })
}

fn prefer_crowded_nodes(spec: &mut Map<String, Value>) {
    let affinity = spec.entry("affinity").or_insert_with(|| json!({}));
    let preferred = &mut affinity["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    if !preferred.is_array() {
        *preferred = json!([]);
    }
    let term = json!({"weight": 100, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {ROLE: "gameserver"}}}});
    preferred.as_array_mut().expect("it was just made one").push(term);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Object {
        serde_json::from_value(json!({
            "apiVersion": "agones.dev/v1", "kind": "GameServer",
            "metadata": {"name": "arena-x7k2p-abcde", "namespace": "default", "uid": "u-1"},
            "spec": {
                "container": "game", "scheduling": "Packed",
                "ports": [{"name": "game", "container": "game", "containerPort": 7777, "hostPort": 7012,
                    "protocol": "UDP", "portPolicy": "Dynamic"}],
                "health": {"periodSeconds": 5, "failureThreshold": 3, "initialDelaySeconds": 5},
                "sdkServer": {"grpcPort": 9357, "httpPort": 9358},
                "template": {"metadata": {"labels": {"mine": "yes"}}, "spec": {"containers": [
                    {"name": "game", "image": "muster", "env": [{"name": "A", "value": "b"}]},
                    {"name": "agent", "image": "muster"}]}},
            },
            "status": {"state": "Creating", "eviction": {"safe": "Never"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_named_like_its_server_belongs_to_it_and_is_found_by_its_labels() {
        let pod = pod(&server(), "standin:1");
        assert_eq!(pod["metadata"]["name"], "arena-x7k2p-abcde");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "GameServer");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["controller"], true);
        let labels = json!({"mine": "yes", "agones.dev/role": "gameserver",
            "agones.dev/gameserver": "arena-x7k2p-abcde", "agones.dev/safe-to-evict": "false"});
        assert_eq!(pod["metadata"]["labels"], labels);
    }

    #[test]
    fn the_sidecar_is_native_and_every_container_learns_its_port() {
        let pod = pod(&server(), "standin:1");
        let spec = &pod["spec"];
        assert_eq!(
            (&spec["initContainers"][0]["restartPolicy"], &spec["restartPolicy"]),
            (&json!("Always"), &json!("Never"))
        );
        for container in spec["containers"].as_array().unwrap() {
            let env = container["env"].as_array().unwrap();
            assert!(env.contains(&json!({"name": "AGONES_SDK_GRPC_PORT", "value": "9357"})), "{container}");
        }
        assert_eq!(spec["containers"][0]["ports"][0]["hostPort"], 7012);
        assert_eq!(spec["containers"][1]["ports"], json!([]));
    }

    #[test]
    fn the_game_runs_as_agones_sdk_without_its_token_unless_it_brings_an_account() {
        let opinionated = pod(&server(), "standin:1");
        assert_eq!(opinionated["spec"]["serviceAccountName"], "agones-sdk");
        assert_eq!(opinionated["spec"]["containers"][0]["volumeMounts"][0]["name"], "empty");
        assert!(opinionated["spec"]["containers"][1]["volumeMounts"].is_null());
        let mut own = server();
        own.data["spec"]["template"]["spec"]["serviceAccountName"] = json!("mine");
        let own = pod(&own, "standin:1");
        assert_eq!(own["spec"]["serviceAccountName"], "mine");
        assert!(own["spec"]["containers"][0]["volumeMounts"].is_null());
    }

    #[test]
    fn only_the_game_is_probed_and_not_without_health() {
        let probed = pod(&server(), "standin:1");
        assert_eq!(probed["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"], "/gshealthz");
        assert!(probed["spec"]["containers"][1]["livenessProbe"].is_null());
        let mut disabled = server();
        disabled.data["spec"]["health"] = json!({"disabled": true});
        assert!(pod(&disabled, "standin:1")["spec"]["containers"][0]["livenessProbe"].is_null());
    }
}
