//! Every rule of the CRD, run as the API server runs it.

use serde_json::{Value, json};

use super::*;

fn fleet(change: impl FnOnce(&mut Value)) -> GameFleet {
    let mut manifest = json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet",
        "metadata": { "name": "arena", "namespace": "games" },
        "spec": { "build": "1.4.2", "template": { "image": "registry.example/arena:1.4.2" } }
    });
    change(&mut manifest);
    serde_json::from_value(manifest).expect("a fleet by its types")
}

/// What the API server says to it.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    match fleet(change).validate_cel() {
        Ok(()) => String::new(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn the_smallest_manifest_is_a_whole_fleet() {
    let fleet = fleet(|_| {});
    fleet.validate_cel().expect("sound");
    assert_eq!(fleet.spec.regions, default_regions());
    assert_eq!((fleet.spec.warm_pool.minimum, fleet.spec.warm_pool.maximum, fleet.spec.warm_pool.buffer), (1, 10, 1));
    assert_eq!(fleet.spec.rollout.steps.iter().map(|step| step.weight).collect::<Vec<_>>(), [10, 50]);
    assert_eq!(fleet.spec.template.ports[0].container_port, Some(7777));
    assert_eq!(fleet.spec.pool_kind, PoolKind::Muster);
}

#[test]
fn each_bad_manifest_is_refused_with_a_sentence() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 13] = [
        ("may have 41 characters", |m| m["metadata"]["name"] = "a-name-far-too-long-for-a-game-server".into()),
        ("lower-case letters", |m| m["metadata"]["name"] = "4rena".into()),
        ("warmPool.minimum must not be above", |m| m["spec"]["warmPool"] = json!({ "minimum": 20, "maximum": 10 })),
        ("warmPool.buffer must not be above", |m| m["spec"]["warmPool"] = json!({ "buffer": 20, "maximum": 10 })),
        ("minimum must not be above maximum", |m| {
            m["spec"]["regions"] = json!([{ "name": "eu", "minimum": 3, "maximum": 2 }]);
        }),
        ("rollout.steps", |m| m["spec"]["rollout"] = json!({ "steps": [{ "weight": 50 }, { "weight": 10 }] })),
        ("rollout.steps", |m| m["spec"]["rollout"] = json!({ "steps": [{ "weight": 50 }, { "weight": 50 }] })),
        ("name a version or a digest", |m| m["spec"]["template"]["image"] = "arena:latest".into()),
        ("name a version or a digest", |m| m["spec"]["template"]["image"] = "registry.example:5000/arena".into()),
        ("at least one port must take UDP", |m| {
            m["spec"]["template"]["ports"] = json!([{ "name": "http", "protocol": "TCP", "containerPort": 80 }]);
        }),
        ("hostPort is required", |m| {
            m["spec"]["template"]["ports"] = json!([{ "name": "game", "portPolicy": "Static", "containerPort": 80 }]);
        }),
        ("scaling.crashFloor must not be above", |m| m["spec"]["scaling"] = json!({ "crashFloor": 11 })),
        ("start and end must differ", |m| {
            m["spec"]["scaling"] =
                json!({ "schedule": [{ "name": "evening", "start": "18:00", "end": "18:00", "minimum": 4 }] });
        }),
    ];
    for (expected, change) in cases {
        let said = refusal(change);
        assert!(said.contains(expected), "expected {expected:?}, got {said:?}");
    }
}

#[test]
fn the_pool_kind_stays_what_it_was() {
    let muster = fleet(|_| {});
    let agones = fleet(|m| m["spec"]["poolKind"] = "Agones".into());
    let said = agones.validate_cel_update(&muster).expect_err("immutable").to_string();
    assert!(said.contains("make a new GameFleet"), "{said}");
    muster.validate_cel_update(&muster).expect("nothing changed");
}

#[test]
fn what_is_kept_as_it_is_reads_as_kubernetes_types() {
    let fleet = fleet(|m| {
        m["spec"]["template"]["sidecars"] = json!([{ "name": "logs", "image": "logs:1" }]);
        m["spec"]["template"]["resources"] = json!({ "requests": { "cpu": 1, "memory": "256Mi" } });
    });
    let sidecar: k8s_openapi::api::core::v1::Container = fleet.spec.template.sidecars[0].read().expect("a container");
    assert_eq!(sidecar.name, "logs");
    let written = serde_json::to_value(&fleet.spec.template).expect("plain data");
    assert_eq!(written["resources"]["requests"], json!({ "cpu": 1, "memory": "256Mi" }));
    assert_eq!(written["sidecars"][0], json!({ "name": "logs", "image": "logs:1" }));
}
