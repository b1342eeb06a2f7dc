//! What Agones' create webhooks write into Fleets and GameServers, as JSON patches.
//!
//! The webhooks read the object into a Go struct and write it back, so fields without `omitempty` appear though nobody
//! gave them: `replicas: 0` above all.

use serde_json::{Map, Value, json};

use super::object::{FINALIZER, VERSION_ANNOTATION};
use crate::standin::VERSION;

/// A JSON patch in the making: each default is written only where nothing stands.
struct Defaults {
    object: Value,
    operations: Vec<Value>,
}

impl Defaults {
    fn new(object: &Value) -> Self {
        Self { object: object.clone(), operations: Vec::new() }
    }

    /// Whether there is nothing at `pointer`, as Go sees it: null, 0 and "" are nothing.
    fn lacks(&self, pointer: &str) -> bool {
        match self.object.pointer(pointer) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Number(number)) => number.as_i64() == Some(0),
            Some(_) => false,
        }
    }

    /// Writes a default into the parent folder of `pointer`, which must be there.
    fn set(&mut self, pointer: &str, value: Value) {
        self.operations.push(json!({"op": "add", "path": pointer, "value": value}));
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
        let parent = self.object.pointer_mut(parent).and_then(Value::as_object_mut).expect("its folder was made");
        // The key of a pointer is escaped, the key of a map is not.
        parent.insert(key.replace("~1", "/").replace("~0", "~"), value);
    }

    fn default(&mut self, pointer: &str, value: Value) {
        if self.lacks(pointer) {
            self.set(pointer, value);
        }
    }

    fn folder(&mut self, pointer: &str) {
        self.default(pointer, Value::Object(Map::new()));
    }

    fn version_annotation(&mut self) {
        self.folder("/metadata/annotations");
        self.set(&format!("/metadata/annotations/{}", escaped(VERSION_ANNOTATION)), json!(VERSION));
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// What the webhook adds to a Fleet on create.
pub fn fleet(fleet: &Value) -> Vec<Value> {
    let mut defaults = Defaults::new(fleet);
    for folder in ["/spec", "/spec/strategy", "/spec/template", "/spec/template/spec"] {
        defaults.folder(folder);
    }
    if defaults.object.pointer("/spec/replicas").is_none_or(Value::is_null) {
        defaults.set("/spec/replicas", json!(0));
    }
    defaults.default("/spec/scheduling", json!("Packed"));
    defaults.default("/spec/strategy/type", json!("RollingUpdate"));
    if defaults.object.pointer("/spec/strategy/type") == Some(&json!("RollingUpdate")) {
        defaults.folder("/spec/strategy/rollingUpdate");
        defaults.default("/spec/strategy/rollingUpdate/maxSurge", json!("25%"));
        defaults.default("/spec/strategy/rollingUpdate/maxUnavailable", json!("25%"));
    }
    for folder in ["/spec/template/metadata", "/spec/template/spec/health", "/spec/template/spec/sdkServer"] {
        defaults.folder(folder);
    }
    pod_template(&mut defaults, "/spec/template/spec/template");
    defaults.version_annotation();
    defaults.operations
}

/// What the webhook adds to a FleetAutoscaler.
pub fn autoscaler(autoscaler: &Value) -> Vec<Value> {
    let mut defaults = Defaults::new(autoscaler);
    defaults.folder("/spec");
    defaults.folder("/spec/sync");
    defaults.default("/spec/sync/type", json!("FixedInterval"));
    defaults.folder("/spec/sync/fixedInterval");
    defaults.default("/spec/sync/fixedInterval/seconds", json!(30));
    defaults.operations
}

/// Empty parts of a pod's template that the round trip through the struct leaves behind.
fn pod_template(defaults: &mut Defaults, pointer: &str) {
    defaults.folder(pointer);
    for folder in ["metadata", "spec"] {
        defaults.folder(&format!("{pointer}/{folder}"));
    }
    for list in ["initContainers", "containers"] {
        let list = format!("{pointer}/spec/{list}");
        let count = defaults.object.pointer(&list).and_then(Value::as_array).map_or(0, Vec::len);
        (0..count).for_each(|index| defaults.folder(&format!("{list}/{index}/resources")));
    }
}

/// What the webhook adds to a GameServer on create: its finalizer, its first state, and every default of its spec.
pub fn game_server(server: &Value) -> Vec<Value> {
    let mut defaults = Defaults::new(server);
    defaults.version_annotation();
    let finalizers = server.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    defaults.set("/metadata/finalizers", Value::Array([finalizers, vec![json!(FINALIZER)]].concat()));
    for folder in ["/spec", "/spec/health", "/spec/sdkServer", "/spec/eviction", "/status"] {
        defaults.folder(folder);
    }
    pod_template(&mut defaults, "/spec/template");
    container(&mut defaults);
    ports(&mut defaults);
    health(&mut defaults);
    defaults.default("/spec/eviction/safe", json!("Never"));
    defaults.default("/spec/scheduling", json!("Packed"));
    defaults.default("/spec/sdkServer/logLevel", json!("Info"));
    defaults.default("/spec/sdkServer/grpcPort", json!(9357));
    defaults.default("/spec/sdkServer/httpPort", json!(9358));
    status(&mut defaults);
    defaults.operations
}

fn container(defaults: &mut Defaults) {
    let containers = defaults.object.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    if let Some([only]) = containers.map(Vec::as_slice) {
        let name = only["name"].clone();
        defaults.set("/spec/container", name);
    }
}

fn ports(defaults: &mut Defaults) {
    let count = defaults.object.pointer("/spec/ports").and_then(Value::as_array).map_or(0, Vec::len);
    let container = defaults.object.pointer("/spec/container").cloned().unwrap_or_else(|| json!(""));
    for index in 0..count {
        let port = format!("/spec/ports/{index}");
        defaults.default(&format!("{port}/portPolicy"), json!("Dynamic"));
        defaults.default(&format!("{port}/range"), json!("default"));
        defaults.default(&format!("{port}/protocol"), json!("UDP"));
        defaults.default(&format!("{port}/container"), container.clone());
    }
}

fn health(defaults: &mut Defaults) {
    if defaults.object.pointer("/spec/health/disabled") == Some(&json!(true)) {
        return;
    }
    defaults.default("/spec/health/periodSeconds", json!(5));
    defaults.default("/spec/health/failureThreshold", json!(3));
    defaults.default("/spec/health/initialDelaySeconds", json!(5));
}

fn status(defaults: &mut Defaults) {
    let ports = defaults.object.pointer("/spec/ports").and_then(Value::as_array);
    let waits_for_port =
        ports.into_iter().flatten().any(|port| port["portPolicy"] == "Dynamic" || port["portPolicy"] == "Passthrough");
    let first = if waits_for_port { "PortAllocation" } else { "Creating" };
    defaults.default("/status/state", json!(first));
    let eviction = defaults.object.pointer("/spec/eviction").cloned().unwrap_or(Value::Null);
    defaults.set("/status/eviction", eviction);
    let empty = json!({"ports": null, "players": null, "reservedUntil": null, "address": "", "nodeName": ""});
    for (field, empty) in empty.as_object().into_iter().flatten() {
        if defaults.object.pointer(&format!("/status/{field}")).is_none() {
            defaults.set(&format!("/status/{field}"), empty.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The object after the patch.
    fn patched(object: &Value, operations: Vec<Value>) -> Value {
        let mut object = object.clone();
        let operations: json_patch::Patch = serde_json::from_value(Value::Array(operations)).unwrap();
        json_patch::patch(&mut object, &operations).unwrap();
        object
    }

    #[test]
    fn a_fleet_without_replicas_gets_zero_and_the_rest_stays_as_given() {
        let given = json!({"metadata": {"name": "arena"}, "spec": {"scheduling": "Distributed", "template": {"spec": {
            "ports": [{"name": "game"}], "template": {"spec": {"containers": [{"name": "game"}]}}}}}});
        let fleet = patched(&given, super::fleet(&given));
        assert_eq!(fleet["spec"]["replicas"], 0);
        assert_eq!(fleet["spec"]["scheduling"], "Distributed");
        assert_eq!(fleet["spec"]["strategy"]["rollingUpdate"]["maxSurge"], "25%");
        assert_eq!(fleet["spec"]["template"]["spec"]["ports"], given["spec"]["template"]["spec"]["ports"]);
        let container = &fleet["spec"]["template"]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container, &json!({"name": "game", "resources": {}}), "as a Go struct comes back");
        let sized = json!({"metadata": {}, "spec": {"replicas": 3}});
        assert_eq!(patched(&sized, super::fleet(&sized))["spec"]["replicas"], 3);
    }

    #[test]
    fn a_game_server_begins_with_its_finalizer_its_state_and_every_default() {
        let given = json!({"metadata": {"name": "arena-1"}, "spec": {"ports": [{"name": "game", "containerPort": 7777}],
            "template": {"spec": {"containers": [{"name": "game"}]}}}});
        let server = patched(&given, game_server(&given));
        assert_eq!(server["metadata"]["finalizers"], json!(["agones.dev/controller"]));
        assert_eq!(server["metadata"]["annotations"]["agones.dev/sdk-version"], VERSION);
        assert_eq!(server["status"]["state"], "PortAllocation");
        assert_eq!(server["spec"]["container"], "game");
        let port = json!({"name": "game", "containerPort": 7777, "portPolicy": "Dynamic", "range": "default",
            "protocol": "UDP", "container": "game"});
        assert_eq!(server["spec"]["ports"][0], port);
        let health = json!({"periodSeconds": 5, "failureThreshold": 3, "initialDelaySeconds": 5});
        assert_eq!(server["spec"]["health"], health);
        assert_eq!(server["status"]["eviction"]["safe"], "Never");
    }

    #[test]
    fn a_server_with_static_ports_needs_no_port_and_one_without_health_gets_none() {
        let given = json!({"metadata": {}, "spec": {"health": {"disabled": true},
            "ports": [{"portPolicy": "Static", "hostPort": 7000, "containerPort": 7777}]}});
        let server = patched(&given, game_server(&given));
        assert_eq!(server["status"]["state"], "Creating");
        assert_eq!(server["spec"]["health"], json!({"disabled": true}));
    }
}
