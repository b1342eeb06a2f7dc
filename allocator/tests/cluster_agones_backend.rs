//! GameFleets of pool `Agones` on a real API server: matches by Agones' own `GameServerAllocation`, which the stand-in plays,
//! and by Muster's writes; revisions by their weights either way.
//!
//! A cluster has one API of `GameServerAllocation`: nothing else may play it at the same time.

#[allow(dead_code, reason = "other tests use the rest of it")]
mod agones_stage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agones_stage::{Stage, client};
use allocator::agones::{self, Backend, Limits, Mode};
use allocator::core::request::MatchRequest;
use cluster::standin::{IMAGE, controller};
use crds::{GameFleet, labels};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use protocol::id::MatchId;
use serde_json::json;
use service::Shutdown;
use testkit::wait::until;
use tokio_util::sync::CancellationToken;

const REVISIONS: [&str; 2] = ["aaaaaaaa", "bbbbbbbb"];
const MATCHES: u8 = 12;

/// A GameFleet in the middle of a rollout, with Ready servers of both revisions, or of the stable one alone.
async fn set(stage: &Stage, canary_servers: usize) {
    let api: Api<GameFleet> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let fleet = json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet", "metadata": { "name": "card" },
        "spec": { "build": "2", "poolKind": "Agones", "template": { "image": "card:2" } }
    });
    let fleet: GameFleet = serde_json::from_value(fleet).expect("a fleet");
    api.create(&PostParams::default(), &fleet).await.expect("made");
    let revision = |n: usize, phase: &str| json!({ "name": REVISIONS[n], "build": (n + 1).to_string(), "phase": phase, "weight": 50, "servers": 1, "busy": 0 });
    let status = json!({ "status": { "revisions": [revision(0, "Stable"), revision(1, "Canary")] } });
    api.patch_status("card", &PatchParams::default(), &Patch::Merge(&status)).await.expect("written");
    stage.game_servers(0, usize::from(MATCHES) + canary_servers).await;
    for seen in stage.seen().await {
        let number: usize = seen.name.rsplit('-').next().and_then(|it| it.parse().ok()).expect("its number");
        let revision = usize::from(number >= usize::from(MATCHES));
        let labels = json!({ "metadata": { "labels": {
            labels::GAME_FLEET: "card", labels::REVISION: REVISIONS[revision], labels::POOL: "agones",
            labels::BUILD: (revision + 1).to_string(), "agones.dev/fleet": format!("card-default-{}", REVISIONS[revision]) } } });
        stage.api().patch(&seen.name, &PatchParams::default(), &Patch::Merge(&labels)).await.expect("labelled");
    }
}

/// Places matches, each twice; how many went to each revision.
async fn place(stage: &Stage, mode: Mode) -> BTreeMap<String, usize> {
    let shutdown = Shutdown::new();
    let config = agones::Config {
        client: client().await,
        gate: Arc::new(|| Ok(1)),
        namespaces: vec![stage.namespace.clone()],
        limits: Limits::default(),
        interfaces: None,
    };
    let running = agones::start(config, shutdown.clone()).await.expect("starts");
    running.engine.ready().await.expect("reads the game servers");
    let backend = Backend::new(running.engine.clone(), mode);
    until("the GameFleet is known", async || backend.namespace_of(&stage.namespace, "card")).await;
    let mut placed = BTreeMap::new();
    for byte in 0..MATCHES {
        let mut request = MatchRequest::restored(MatchId::from_entropy([byte; 16]), vec![]);
        request.fleet = "card".into();
        let ask = async || backend.allocate(stage.namespace.clone(), &request, Duration::from_secs(5)).await;
        let first = ask().await.expect("placed").assignment.expect("assigned");
        assert_eq!(ask().await.expect("again").assignment.as_ref(), Some(&first), "a match keeps its server");
        *placed.entry(first.build).or_insert(0) += 1;
    }
    let allocated = stage.seen().await.iter().filter(|seen| seen.state == "Allocated").count();
    assert_eq!(allocated, usize::from(MATCHES), "one server for each match");
    shutdown.trigger();
    running.wait().await;
    placed
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn agones_gives_servers_out_by_the_weights_of_revisions_and_an_empty_canary_falls_back() {
    for canary_servers in [usize::from(MATCHES), 0] {
        let stage = Stage::new().await;
        set(&stage, canary_servers).await;
        let (stop, ready) = (CancellationToken::new(), CancellationToken::new());
        let config = controller::Config {
            namespaces: vec![stage.namespace.clone()],
            ports: 7000..=8000,
            sidecar_image: IMAGE.into(),
            webhook_port: 0,
            allocation_api: true,
            reach: None,
            dev_address: None,
        };
        let is_ready = ready.clone();
        let run = controller::run(config, stage.client.clone(), stop.clone(), move || is_ready.cancel());
        let standin = tokio::spawn(run);
        ready.cancelled().await;
        let placed = place(&stage, Mode::GameServerAllocation(client().await)).await;
        stop.cancel();
        standin.await.expect("no panic").expect("the stand-in plays");
        judge(&placed, canary_servers > 0);
        stage.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn muster_gives_them_out_by_the_same_weights() {
    let stage = Stage::new().await;
    set(&stage, usize::from(MATCHES)).await;
    judge(&place(&stage, Mode::Direct).await, true);
    stage.remove().await;
}

/// The matches are the same each time, so their shares are too.
fn judge(placed: &BTreeMap<String, usize>, with_canary: bool) {
    let of = |build: &str| placed.get(build).copied().unwrap_or(0);
    if with_canary {
        assert!(of("1") > 1 && of("2") > 1, "{placed:?}");
    } else {
        assert_eq!((of("1"), of("2")), (usize::from(MATCHES), 0), "{placed:?}");
    }
}
