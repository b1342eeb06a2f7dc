//! Fleets as they are rendered: what a pod needs, and what must never be in them.

use crds::{GameFleet, GameFleetSpec};
use serde_json::{Value, json};

use super::*;

fn spec(template: &Value) -> GameFleetSpec {
    serde_json::from_value::<GameFleet>(json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet", "metadata": { "name": "arena" },
        "spec": {
            "build": "1.4.2", "capacity": 2, "template": template,
            "regions": [{ "name": "eu", "nodeSelector": { "zone": "eu" }, "tolerations": [{ "key": "games", "operator": "Exists" }] }]
        }
    }))
    .expect("a fleet")
    .spec
}

fn rendered(template: &Value, replicas: Option<u32>) -> Result<Value, TemplateError> {
    let spec = spec(template);
    let place = Place {
        game_fleet: "arena",
        namespace: "games",
        region: &spec.regions[0],
        pool: spec.pool_kind,
        placement: spec.allocation.strategy,
        allocator: "http://muster-allocator:7001",
        metagame: "http://muster-metagame:7000",
    };
    fleet(&Revision::of(&spec), place, replicas).map(|fleet| serde_json::to_value(fleet).expect("plain data"))
}

#[test]
fn a_fleet_carries_what_the_pod_needs_and_who_it_belongs_to() {
    let fleet =
        rendered(&json!({ "image": "a:1", "resources": { "requests": { "cpu": 1 } } }), Some(3)).expect("sound");
    let name = fleet["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("arena-eu-") && name.len() == "arena-eu-".len() + 8, "{name}");
    assert_eq!(fleet["spec"]["replicas"], 3);
    assert_eq!(fleet["metadata"]["labels"]["muster.dev/pool"], "muster");
    assert_eq!(fleet["metadata"]["labels"], fleet["spec"]["template"]["metadata"]["labels"]);
    let server = &fleet["spec"]["template"]["spec"];
    assert_eq!(server["eviction"]["safe"], "Never");
    assert_eq!(server["ports"][0]["portPolicy"], "Dynamic");
    let pod = &server["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "agones-sdk");
    assert_eq!(pod["terminationGracePeriodSeconds"], 1_830, "the drain deadline and a margin");
    assert_eq!(pod["nodeSelector"], json!({ "zone": "eu" }));
    assert_eq!(pod["tolerations"][0]["key"], "games");
    assert_eq!(pod["containers"][0]["resources"]["requests"]["cpu"], "1");
    assert_eq!(pod["volumes"][1], json!({ "name": "muster-spool", "emptyDir": {} }));
    let env = pod["containers"][0]["env"].as_array().expect("a list");
    for (name, value) in
        [("MUSTER_BIND", "0.0.0.0:7777"), ("MUSTER_ADMIN", "0.0.0.0:7778"), ("MUSTER_SPOOL", "/var/lib/muster/spool")]
    {
        assert!(env.contains(&json!({ "name": name, "value": value })), "{name}");
    }
    let projected = &pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(projected["audience"], "muster-allocator");
}

#[test]
fn an_apply_after_the_first_says_nothing_of_replicas_and_no_owner_is_named() {
    let fleet = rendered(&json!({ "image": "a:1" }), None).expect("sound");
    assert!(fleet["spec"].get("replicas").is_none());
    assert!(fleet["metadata"].get("ownerReferences").is_none(), "foreground deletion would end running matches");
}

#[test]
fn the_users_own_settings_come_last() {
    let env = json!([{ "name": "MUSTER_TICK_RATE", "value": "30" }, { "name": "MUSTER_REGION", "value": "mine" }]);
    let fleet = rendered(&json!({ "image": "a:1", "env": env }), None).expect("sound");
    let env = fleet["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    let last = env.as_array().expect("a list").last().expect("the user's").clone();
    assert_eq!(last, json!({ "name": "MUSTER_REGION", "value": "mine" }));
    assert!(env.as_array().expect("a list").contains(&json!({ "name": "MUSTER_CAPACITY", "value": "2" })));
}

#[test]
fn a_part_that_is_not_what_it_should_be_is_named() {
    let said = |template: Value| rendered(&template, None).expect_err("not sound").to_string();
    let nameless = said(json!({ "image": "a:1", "volumes": [{ "name": "a" }, { "nom": "b" }] }));
    assert_eq!(nameless, "spec.template.volumes[1] is no volume: it has no name");
    let wrong = said(json!({ "image": "a:1", "securityContext": { "runAsUser": "root" } }));
    assert!(wrong.starts_with("spec.template.securityContext is no security context of a container: "), "{wrong}");
}

#[test]
fn fields_that_this_program_does_not_know_are_passed_on() {
    let sidecar = json!({ "name": "logs", "image": "logs:1", "aFieldOfKubernetes140": { "deep": [1] } });
    let fleet = rendered(&json!({ "image": "a:1", "sidecars": [sidecar] }), None).expect("sound");
    assert_eq!(fleet["spec"]["template"]["spec"]["template"]["spec"]["containers"][1], sidecar);
}

#[test]
fn a_frozen_revision_renders_the_same_whatever_became_of_the_spec() {
    let spec = spec(&json!({ "image": "a:1" }));
    let revision = Revision::of(&spec);
    let thawed = Revision::thaw(&revision.freeze()).expect("its own");
    assert_eq!(thawed, revision);
}
