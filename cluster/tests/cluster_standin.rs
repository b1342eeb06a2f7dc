//! The behaviour of Agones that Muster stands on, tried on a real API server and node.
//!
//! Needs KUBECONFIG, Agones' CRDs, and the image of the stand-in on the node (`cargo xtask image --test-support`, or the one
//! that `MUSTER_STANDIN_IMAGE` names). Each
//! test plays Agones itself in a namespace of its own. With `MUSTER_AGONES=real` it takes the Agones that is there: the
//! same tests judge the stand-in and the real one. `MUSTER_AGONES_NAMESPACE` names a namespace that is there, too, for an
//! Agones that looks after that one alone; then one test at a time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cluster_standin/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::time::Duration;

use agones::pb::sdk_client::SdkClient;
use agones::pb::{self, Empty};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use serde_json::{Value, json};
use stage::{Stage, dev_fleet, pod_fleet, states};

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn the_create_webhook_writes_replicas_and_defaults() {
    let stage = Stage::new("defaults").await;
    let mut fleet = dev_fleet("a", 0);
    fleet.data["spec"].as_object_mut().unwrap().remove("replicas");
    let made = stage.fleets.create(&PostParams::default(), &fleet).await.unwrap();
    assert_eq!(made.data["spec"]["replicas"], 0);
    assert_eq!(made.data["spec"]["scheduling"], "Packed");
    assert_eq!(made.data["spec"]["strategy"]["type"], "RollingUpdate");
    let container = &made.data["spec"]["template"]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"], json!({}), "what Agones reads it writes back, empty fields included");
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_development_fleet_is_ready_at_once_scales_both_ways_and_keeps_what_is_allocated() {
    let stage = Stage::new("dev").await;
    stage.create(&dev_fleet("a", 3)).await;
    let servers = stage.until_servers(|servers| states(servers) == ["Ready"; 3]).await;
    for server in &servers {
        assert_eq!(server.data["status"]["address"], "192.0.2.1");
        assert_eq!(server.data["status"]["ports"][0]["port"], 7000);
        let labels = server.metadata.labels.as_ref().unwrap();
        assert_eq!(labels["agones.dev/fleet"], "a");
        let set = &labels["agones.dev/gameserverset"];
        assert!(set.starts_with("a-") && server.metadata.name.as_ref().unwrap().starts_with(&format!("{set}-")));
        assert_eq!(server.metadata.finalizers.as_ref().unwrap(), &["agones.dev/controller"]);
    }
    stage.until_status("a", [3, 3, 0, 0]).await;
    let kept = servers[0].metadata.name.clone().unwrap();
    stage.patch_server(&kept, json!({"status": {"state": "Allocated"}})).await;
    stage.until_status("a", [3, 2, 0, 1]).await;
    stage.scale("a", 0).await;
    let left = stage.until_servers(|servers| states(servers) == ["Allocated"]).await;
    assert_eq!(left[0].metadata.name, Some(kept.clone()));
    stage.until_status("a", [1, 0, 0, 1]).await;
    stage.scale("a", 3).await;
    stage.until_servers(|servers| states(servers) == ["Allocated", "Ready", "Ready"]).await;
    let fleet = stage.fleets.get("a").await.unwrap();
    assert_eq!(fleet.data["status"]["allocations"], 1);
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn replicas_applied_and_then_dropped_end_every_ready_server() {
    let stage = Stage::new("dropped").await;
    let mut fleet = serde_json::to_value(dev_fleet("a", 2)).unwrap();
    let apply = PatchParams::apply("tester").force();
    stage.fleets.patch("a", &apply, &Patch::Apply(&fleet)).await.unwrap();
    stage.until_servers(|servers| states(servers) == ["Ready"; 2]).await;
    fleet["spec"].as_object_mut().unwrap().remove("replicas");
    let applied = stage.fleets.patch("a", &apply, &Patch::Apply(&fleet)).await.unwrap();
    assert_eq!(applied.data["spec"].get("replicas"), None);
    stage.until_servers(|servers| servers.is_empty()).await;
    let refused = stage.fleets.get_scale("a").await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 500));
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn replicas_created_by_post_survive_an_apply_without_them() {
    let stage = Stage::new("kept").await;
    stage.create(&dev_fleet("a", 2)).await;
    stage.until_servers(|servers| states(servers) == ["Ready"; 2]).await;
    let mut fleet = serde_json::to_value(dev_fleet("a", 2)).unwrap();
    fleet["spec"].as_object_mut().unwrap().remove("replicas");
    let apply = PatchParams::apply("tester").force();
    let applied = stage.fleets.patch("a", &apply, &Patch::Apply(&fleet)).await.unwrap();
    assert_eq!(applied.data["spec"]["replicas"], 2);
    stage.scale("a", 3).await;
    stage.until_servers(|servers| states(servers) == ["Ready"; 3]).await;
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_pod_server_gets_port_address_sidecar_and_account() {
    let stage = Stage::new("pod").await;
    stage.create(&pod_fleet("a", 1, "reserve 0")).await;
    let has_pod_ip = |server: &stage::Object| {
        let addresses = server.data["status"]["addresses"].as_array();
        addresses.into_iter().flatten().any(|address| address["type"] == "PodIP")
    };
    let servers = stage.until_servers(|servers| states(servers) == ["Reserved"] && has_pod_ip(&servers[0])).await;
    let (server, name) = (&servers[0], servers[0].metadata.name.clone().unwrap());
    let port = server.data["status"]["ports"][0]["port"].as_u64().unwrap();
    assert!(port >= 7000, "{port}");
    assert_eq!(server.data["spec"]["ports"][0]["hostPort"], port);
    let node = server.data["status"]["nodeName"].as_str().unwrap();
    let pod = stage.pods.get(&name).await.unwrap();
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!(spec.node_name.as_deref(), Some(node));
    assert_eq!(spec.service_account_name.as_deref(), Some("agones-sdk"));
    assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
    let sidecar = &spec.init_containers.as_ref().unwrap()[0];
    assert_eq!(
        (sidecar.name.as_str(), sidecar.restart_policy.as_deref()),
        ("agones-gameserver-sidecar", Some("Always"))
    );
    let owner = &pod.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), &owner.name), ("GameServer", &name));
    assert_eq!(Some(&owner.uid), server.metadata.uid.as_ref());
    let labels = pod.metadata.labels.as_ref().unwrap();
    assert_eq!((labels["agones.dev/role"].as_str(), &labels["agones.dev/gameserver"]), ("gameserver", &name));
    assert_eq!(labels["agones.dev/safe-to-evict"], "false");
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_pool_of_reserved_servers_shows_none_ready_survives_scaling_and_is_not_refilled() {
    let stage = Stage::new("pool").await;
    stage.create(&pod_fleet("a", 2, "reserve 0")).await;
    let servers = stage.until_servers(|servers| states(servers) == ["Reserved"; 2]).await;
    stage.until_status("a", [2, 0, 2, 0]).await;
    stage.scale("a", 1).await;
    // The set has taken the new size before anything is told: what would go has been told to go.
    stage.until_set_size(1).await;
    let name = servers[0].metadata.name.clone().unwrap();
    stage.order(&name, "1 shutdown").await;
    let left = stage.until_servers(|servers| servers.len() == 1).await;
    assert_eq!((states(&left), left[0].metadata.name.as_ref()), (vec!["Reserved"], servers[1].metadata.name.as_ref()));
    stage.until_status("a", [1, 0, 1, 0]).await;
    stage.scale("a", 2).await;
    stage.until_servers(|servers| states(servers) == ["Reserved"; 2]).await;
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn reserve_on_an_allocated_server_frees_it() {
    let stage = Stage::new("freed").await;
    stage.create(&pod_fleet("a", 1, "allocate")).await;
    let servers = stage.until_servers(|servers| states(servers) == ["Allocated"]).await;
    assert!(servers[0].metadata.annotations.as_ref().unwrap().contains_key("agones.dev/last-allocated"));
    let name = servers[0].metadata.name.clone().unwrap();
    stage.order(&name, "1 reserve 2").await;
    let reserved = stage.until_servers(|servers| states(servers) == ["Reserved"]).await;
    assert!(reserved[0].data["status"]["reservedUntil"].is_string());
    stage.until_servers(|servers| states(servers) == ["Ready"]).await;
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_server_that_dies_or_falls_silent_becomes_unhealthy_and_is_replaced() {
    let stage = Stage::new("unhealthy").await;
    stage.create(&pod_fleet("a", 3, "allocate")).await;
    let servers = stage.until_servers(|servers| states(servers) == ["Allocated"; 3]).await;
    let names: Vec<String> = servers.iter().filter_map(|server| server.metadata.name.clone()).collect();
    let seen = stage.collect_states();
    stage.order(&names[0], "1 exit 1").await;
    stage.order(&names[1], "1 fall-silent").await;
    stage.order(&names[2], "1 exit 0").await;
    let is_replaced = |servers: &[stage::Object]| {
        let new = servers.iter().filter(|server| !names.contains(server.metadata.name.as_ref().unwrap()));
        new.filter(|server| server.data["status"]["state"] == "Allocated").count() == 3 && servers.len() == 3
    };
    stage.until_servers(is_replaced).await;
    let seen = seen.await;
    let of = |name: &str| -> BTreeSet<&str> {
        seen.iter().filter(|(seen, _)| seen == name).map(|(_, state)| state.as_str()).collect()
    };
    for name in &names[..2] {
        assert!(of(name).contains("Unhealthy"), "{name}: {:?}", of(name));
    }
    assert!(!of(&names[2]).contains("Unhealthy") && of(&names[2]).contains("Shutdown"), "{:?}", of(&names[2]));
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_pod_that_someone_deletes_takes_its_server_along() {
    let stage = Stage::new("lostpod").await;
    stage.create(&pod_fleet("a", 1, "reserve 0")).await;
    let servers = stage.until_servers(|servers| states(servers) == ["Reserved"]).await;
    let name = servers[0].metadata.name.clone().unwrap();
    stage.pods.delete(&name, &DeleteParams::default().grace_period(0)).await.unwrap();
    let is_new =
        |servers: &[stage::Object]| states(servers) == ["Reserved"] && servers[0].metadata.name.as_ref() != Some(&name);
    stage.until_servers(is_new).await;
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn deleting_a_fleet_kills_its_allocated_servers() {
    let stage = Stage::new("deleted").await;
    stage.create(&pod_fleet("a", 1, "allocate")).await;
    stage.until_servers(|servers| states(servers) == ["Allocated"]).await;
    let how = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    stage.fleets.delete("a", &how).await.unwrap();
    stage.until_servers(|servers| servers.is_empty()).await;
    stage
        .until("no pod is left", async || {
            stage.pods.list(&Default::default()).await.unwrap().items.is_empty().then_some(())
        })
        .await;
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_pod_that_is_refused_makes_an_error_that_stays_a_while() {
    let stage = Stage::new("refused").await;
    let mut fleet = pod_fleet("a", 1, "ready");
    fleet.data["spec"]["template"]["spec"]["template"]["spec"]["priorityClassName"] = json!("there-is-none");
    stage.create(&fleet).await;
    let servers = stage.until_servers(|servers| states(servers) == ["Error"]).await;
    assert!(servers[0].metadata.annotations.as_ref().unwrap().contains_key("agones.dev/errored-at"));
    stage.scale("a", 0).await;
    stage.until_servers(|servers| servers.is_empty()).await;
    stage.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn an_allocation_takes_one_ready_server_each_and_then_says_that_there_is_none() {
    let stage = Stage::with_allocation_api("allocation").await;
    stage.create(&dev_fleet("a", 3)).await;
    let servers = stage.until_servers(|servers| states(servers) == ["Ready"; 3]).await;
    let kept = servers[0].metadata.name.clone().unwrap();
    stage.patch_server(&kept, json!({"status": {"state": "Reserved"}})).await;
    stage.until_status("a", [3, 2, 1, 0]).await;
    let (one, other, none) = (stage.allocate("a").await, stage.allocate("a").await, stage.allocate("a").await);
    assert_eq!((one.0.as_str(), other.0.as_str(), none.0.as_str()), ("Allocated", "Allocated", "UnAllocated"));
    assert!(one.1 != other.1 && one.1 != kept && other.1 != kept, "{one:?} {other:?}");
    let servers = stage.until_servers(|servers| states(servers) == ["Allocated", "Allocated", "Reserved"]).await;
    for server in &servers[..2] {
        assert_eq!(server.metadata.labels.as_ref().unwrap()["match"], "one");
        let annotations = server.metadata.annotations.as_ref().unwrap();
        assert!(annotations["mode"] == "duel" && annotations.contains_key("agones.dev/last-allocated"));
    }
    stage.end().await;
}

/// The stand-in alone: the real SDK server cannot run in this process.
#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_write_that_was_acknowledged_is_lost_with_the_sidecar() {
    let stage = Stage::new("lostwrite").await;
    if stage.is_real() {
        return stage.end().await;
    }
    stage.create(&dev_fleet("a", 1)).await;
    let servers = stage.until_servers(|servers| states(servers) == ["Ready"]).await;
    let name = servers[0].metadata.name.clone().unwrap();
    let sidecar = stage.sidecar(&name).await;
    let mut sdk = SdkClient::connect(format!("http://{}", sidecar.grpc)).await.unwrap();
    let mut watched = sdk.watch_game_server(Empty {}).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status.unwrap().state, "Ready");
    sdk.allocate(Empty {}).await.unwrap();
    sidecar.kill().await;
    // A second sidecar knows nothing of the wish, and writes what it is told after that.
    let sidecar = stage.sidecar(&name).await;
    let mut sdk = SdkClient::connect(format!("http://{}", sidecar.grpc)).await.unwrap();
    let mut watched = sdk.watch_game_server(Empty {}).await.unwrap().into_inner();
    sdk.set_label(pb::KeyValue { key: "told".to_owned(), value: "yes".to_owned() }).await.unwrap();
    let told = async {
        loop {
            let server = watched.message().await.unwrap().unwrap();
            if server.object_meta.unwrap().labels.contains_key("agones.dev/sdk-told") {
                return server.status.unwrap().state;
            }
        }
    };
    let state = tokio::time::timeout(Duration::from_secs(20), told).await.expect("the label is written");
    assert_eq!(state, "Ready", "the acknowledged Allocate was lost");
    sidecar.kill().await;
    stage.end().await;
}

/// So that a change of a template does not go unnoticed: earlier servers go, busy ones stay until they end.
#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn an_edited_template_replaces_ready_servers_and_leaves_the_busy_ones() {
    let stage = Stage::new("edited").await;
    stage.create(&dev_fleet("a", 2)).await;
    let servers = stage.until_servers(|servers| states(servers) == ["Ready"; 2]).await;
    let busy = servers[0].metadata.name.clone().unwrap();
    stage.patch_server(&busy, json!({"status": {"state": "Allocated"}})).await;
    stage.until_status("a", [2, 1, 0, 1]).await;
    let edit = json!({"spec": {"template": {"metadata": {"labels": {"edited": "yes"}}}}});
    stage.fleets.patch("a", &PatchParams::default(), &Patch::Merge(&edit)).await.unwrap();
    let is_edited = |server: &stage::Object| server.metadata.labels.as_ref().unwrap().contains_key("edited");
    let replaced = |servers: &[stage::Object]| {
        servers.len() == 2
            && servers.iter().all(|server| is_edited(server) != (server.metadata.name.as_ref() == Some(&busy)))
            && states(servers) == ["Allocated", "Ready"]
    };
    stage.until_servers(replaced).await;
    let value: Value = stage.fleets.get("a").await.unwrap().data;
    assert_eq!(value["spec"]["replicas"], 2);
    stage.end().await;
}
