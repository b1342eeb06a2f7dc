//! `kubectl muster` and `muster doctor --kubernetes` against a real API server.
//! `KUBECONFIG=… cargo test -p muster --test cluster_kubectl -- --ignored`; the CRDs of Muster and Agones have to be there.

mod common;

use std::process::Output;
use std::time::Duration;

use common::{muster, run};
use crds::agones::GameServer;
use crds::{GameFleet, MatchQueue, labels};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

struct Place {
    client: Client,
    namespace: String,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    fn make() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let namespace = format!("kubectl-{:08x}", service::random::u64() as u32);
        let client = runtime.block_on(async {
            let client = Client::try_default().await.expect("a cluster");
            let made: Namespace = from(json!({ "metadata": { "name": namespace } }));
            Api::all(client.clone()).create(&PostParams::default(), &made).await.expect("a namespace");
            client
        });
        Self { client, namespace, runtime }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A fleet with a canary, a queue, and two servers, as operator and Agones would leave them.
    fn fill(&self) {
        self.runtime.block_on(async {
            let fleet: GameFleet = from(json!({
                "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet", "metadata": { "name": "arena" },
                "spec": { "build": "2", "template": { "image": "arena:2" }, "drain": { "deadlineSeconds": 600 } }
            }));
            self.api::<GameFleet>().create(&PostParams::default(), &fleet).await.expect("a fleet");
            self.status(json!({ "stable": "aaaaaaaa", "canary": "bbbbbbbb", "rollout": "10%", "servers": 2 })).await;
            let queue: MatchQueue = from(json!({
                "apiVersion": "muster.dev/v1alpha1", "kind": "MatchQueue", "metadata": { "name": "duel" },
                "spec": { "teams": 2, "playersPerTeam": 1, "fleet": "arena" }
            }));
            self.api::<MatchQueue>().create(&PostParams::default(), &queue).await.expect("a queue");
            for (name, state) in [("arena-1", "Reserved"), ("arena-2", "Allocated")] {
                let server: GameServer = from(json!({
                    "apiVersion": "agones.dev/v1", "kind": "GameServer",
                    "metadata": { "name": name, "labels": {
                        labels::GAME_FLEET: "arena", labels::POOL: "muster", labels::REVISION: "aaaaaaaa"
                    } },
                    "spec": { "health": { "periodSeconds": 5, "failureThreshold": 3 }, "template": { "spec": { "containers": [{ "name": "game", "image": "none" }] } } },
                    "status": { "state": state, "nodeName": "n1", "address": "10.9.9.9" }
                }));
                self.api::<GameServer>().create(&PostParams::default(), &server).await.expect("a server");
            }
        });
    }

    async fn status(&self, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        self.api::<GameFleet>().patch_status("arena", &PatchParams::default(), &patch).await.expect("a status");
    }

    fn fleet(&self) -> GameFleet {
        self.runtime.block_on(self.api::<GameFleet>().get("arena")).expect("the fleet")
    }

    fn deadline(&self, server: &str) -> Option<String> {
        let server = self.runtime.block_on(self.api::<GameServer>().get(server)).expect("a server");
        server.metadata.annotations?.get(labels::DRAIN_DEADLINE).cloned()
    }

    fn kubectl(&self, args: &[&str]) -> Output {
        run(muster().arg("kubectl").args(["-n", &self.namespace]).args(args), Duration::from_secs(60))
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.kubectl(&[args, &["-o", "json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one JSON object on stdout")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let all: Api<Namespace> = Api::all(self.client.clone());
        let _ = self.runtime.block_on(all.delete(&self.namespace, &DeleteParams::default()));
    }
}

fn from<T: DeserializeOwned>(manifest: Value) -> T {
    serde_json::from_value(manifest).expect("a manifest by its types")
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn the_plugin_shows_what_is_there() {
    let place = Place::make();
    place.fill();
    let fleets = place.json(&["fleets"]);
    assert_eq!((&fleets["items"][0]["name"], &fleets["items"][0]["servers"]), (&json!("arena"), &json!(2)));
    assert_eq!(place.json(&["queues"])["items"][0]["queue"], "duel");
    let servers = place.json(&["servers", "arena"]);
    assert_eq!((&servers["items"][1]["name"], &servers["items"][1]["state"]), (&json!("arena-2"), &json!("Allocated")));
    assert_eq!(place.json(&["servers", "other"])["items"], json!([]));
    assert_eq!(place.json(&["status"])["fleets"][0]["rollout"], "10%");
    let table = place.kubectl(&["status"]);
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(text.starts_with("NAMESPACE") && text.contains("0 matches run, 0 players wait."), "{text}");
    // Its pod is not there, so it cannot tell its matches; that is said and is no failure.
    let matches = place.kubectl(&["matches"]);
    assert!(matches.status.success() && String::from_utf8_lossy(&matches.stderr).contains("arena-2"), "{matches:?}");
    let missing = place.kubectl(&["rollout", "status", "nothing"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn a_drain_is_written_once_and_keeps_its_first_deadline() {
    let place = Place::make();
    place.fill();
    let first = place.json(&["drain", "server", "arena-1", "--deadline-seconds", "60"]);
    let deadline = place.deadline("arena-1").expect("drained");
    assert_eq!((&first["servers"][0]["deadline"], &first["servers"][0]["drained"]), (&json!(deadline), &json!(true)));
    let all = place.json(&["drain", "fleet", "arena"]);
    let drained: Vec<&Value> = all["servers"].as_array().expect("servers").iter().map(|one| &one["drained"]).collect();
    assert_eq!(drained, [&json!(false), &json!(true)]);
    assert_eq!(place.deadline("arena-1"), Some(deadline.clone()), "players were told of the first");
    assert!(place.deadline("arena-2").expect("drained") > deadline, "the fleet's own 600 s are longer");
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn a_rollout_is_paused_promoted_and_aborted() {
    let place = Place::make();
    place.fill();
    place.json(&["rollout", "pause", "arena"]);
    assert!(place.fleet().spec.rollout.paused);
    place.json(&["rollout", "resume", "arena"]);
    assert!(!place.fleet().spec.rollout.paused);

    place.json(&["rollout", "abort", "arena"]);
    let status = place.fleet().status.expect("a status");
    assert_eq!((status.failed_revision.as_deref(), status.canary), (Some("bbbbbbbb"), None));
    assert!(!place.kubectl(&["rollout", "promote", "arena"]).status.success(), "no canary is left");

    place.runtime.block_on(place.status(json!({ "canary": "cccccccc", "failedRevision": null })));
    assert_eq!(place.json(&["rollout", "promote", "arena"])["revision"], "cccccccc");
    let status = place.fleet().status.expect("a status");
    assert_eq!((status.stable.as_deref(), status.canary, status.failed_revision), (Some("cccccccc"), None, None));
    assert_eq!(
        place.json(&["rollout", "status", "arena"])["rollout"],
        "10%",
        "the operator's word stays the operator's"
    );
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn the_doctor_finds_what_is_missing_and_says_what_to_do() {
    let place = Place::make();
    place.fill();
    let mut doctor = muster();
    doctor.args(["doctor", "--kubernetes", "-o", "json", "--namespace", &place.namespace]);
    let output = run(doctor.args(["--game-namespaces", &place.namespace]), Duration::from_secs(120));
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    let checks = report["checks"].as_array().expect("checks");
    let status = |check: &str| {
        let check = check.replace("NS", &place.namespace);
        checks.iter().find(|found| found["check"] == check).map(|found| found["status"].as_str().expect("a word"))
    };
    for (check, expected) in [
        ("API server", "ok"),
        ("clock", "ok"),
        ("Agones resources", "ok"),
        ("namespace NS", "ok"),
        ("agones-sdk in NS", "fail"),
        ("rights of operator", "fail"),
        ("rights of matchmaker", "fail"),
        ("Lease muster-allocator", "fail"),
        ("allocator", "fail"),
        ("policy queues-overlap", "warn"),
        ("GameFleet NS/arena", "warn"),
        ("MatchQueue NS/duel", "warn"),
        ("game servers in NS", "ok"),
        ("ghosts in NS", "warn"),
    ] {
        assert_eq!(status(check), Some(expected), "{check} in {report:#}");
    }
    // Which version of Muster applied them last is not this test's affair; they are there.
    for name in ["gamefleets", "matchqueues"] {
        assert!(matches!(status(&format!("CRD {name}.muster.dev")), Some("ok" | "warn")), "{report:#}");
    }
    for found in checks.iter().filter(|found| found["status"] != "ok") {
        assert!(found["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{found}");
    }
}
