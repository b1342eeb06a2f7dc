//! A GameServer of the API as the SDK shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use agones::{HealthSpec, pb};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::object::{Object, number, text};

/// How the server's health is judged.
pub fn health(server: &Object) -> HealthSpec {
    let seconds = |field: &str| Duration::from_secs(number(server, &format!("/spec/health/{field}")));
    HealthSpec {
        disabled: server.data.pointer("/spec/health/disabled") == Some(&Value::Bool(true)),
        initial_delay: seconds("initialDelaySeconds"),
        period: seconds("periodSeconds"),
        failure_threshold: u32::try_from(number(server, "/spec/health/failureThreshold")).unwrap_or(u32::MAX),
    }
}

/// The SDK's message for a GameServer.
pub fn message(server: &Object) -> pb::GameServer {
    use pb::game_server::{ObjectMeta, Spec, Status, spec, status};
    let meta = &server.metadata;
    let unix = |time: &Option<Time>| time.as_ref().map_or(0, |time| time.0.as_second());
    let map = |map: &Option<BTreeMap<String, String>>| map.clone().unwrap_or_default();
    let whole = |field: &str| i32::try_from(number(server, &format!("/spec/health/{field}"))).unwrap_or(i32::MAX);
    let list = |field: &str| server.data.pointer(&format!("/status/{field}")).and_then(Value::as_array);
    let port = |port: &Value| status::Port {
        name: word(port, "name"),
        port: port["port"].as_i64().and_then(|port| i32::try_from(port).ok()).unwrap_or(0),
    };
    let address = |one: &Value| status::Address { r#type: word(one, "type"), address: word(one, "address") };
    pb::GameServer {
        object_meta: Some(ObjectMeta {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or(0),
            creation_timestamp: unix(&meta.creation_timestamp),
            deletion_timestamp: unix(&meta.deletion_timestamp),
            annotations: map(&meta.annotations),
            labels: map(&meta.labels),
        }),
        spec: Some(Spec {
            health: Some(spec::Health {
                disabled: health(server).disabled,
                period_seconds: whole("periodSeconds"),
                failure_threshold: whole("failureThreshold"),
                initial_delay_seconds: whole("initialDelaySeconds"),
            }),
        }),
        status: Some(Status {
            state: text(server, "/status/state").to_owned(),
            address: text(server, "/status/address").to_owned(),
            ports: list("ports").into_iter().flatten().map(port).collect(),
            addresses: list("addresses").into_iter().flatten().map(address).collect(),
            ..Status::default()
        }),
    }
}

fn word(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
