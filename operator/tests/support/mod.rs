//! A namespace of its own on a real cluster, with scripted services and an Agones of a few lines, or the stand-in for it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod agones;
pub(crate) mod services;
pub(crate) mod transport;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use cluster::lease::Timing;
use cluster::standin::{IMAGE, controller};
use crds::agones::{Fleet, FleetAutoscaler, GameServer};
use crds::{Conditions, GameFleet, MatchQueue, labels};
use futures_util::FutureExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::services::Services;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A test's own part of the cluster.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) kube: kube::Config,
    pub(crate) namespace: String,
    pub(crate) services: Services,
}

/// Runs a test in a namespace of its own, and removes the namespace whatever came of it.
pub(crate) async fn stage(test: impl AsyncFnOnce(Stage)) {
    on_stage(false, test).await;
}

/// The same with the stand-in for Agones, whose game servers never start: their image does not exist.
pub(crate) async fn stage_with_standin(test: impl AsyncFnOnce(Stage)) {
    on_stage(true, test).await;
}

async fn on_stage(standin: bool, test: impl AsyncFnOnce(Stage)) {
    let kube = kube::Config::infer().await.expect("KUBECONFIG names a cluster");
    let client = Client::try_from(kube.clone()).expect("a client");
    let namespace = format!("operator-{}", hex::encode(service::random::bytes::<4>()));
    let spaces: Api<Namespace> = Api::all(client.clone());
    let metadata = ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() };
    let space = Namespace { metadata, ..Namespace::default() };
    spaces.create(&PostParams::default(), &space).await.expect("a namespace");
    let services = Services::start().await;
    let stage = Stage { client: client.clone(), kube, namespace: namespace.clone(), services };
    let stop = CancellationToken::new();
    let agones = match standin {
        true => play_standin(&client, &namespace, &stop).await,
        false => tokio::spawn(agones::play(client.clone(), namespace.clone(), stage.services.clone())),
    };
    let ended = AssertUnwindSafe(test(stage)).catch_unwind().await;
    match standin {
        true => end_standin(&client, &namespace, &stop, agones).await,
        false => agones.abort(),
    }
    let left: Api<GameFleet> = Api::namespaced(client, &namespace);
    for game_fleet in left.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default() {
        let free = Patch::Merge(json!({ "metadata": { "finalizers": [] } }));
        let _ = left.patch(&game_fleet.name_any(), &PatchParams::default(), &free).await;
    }
    spaces.delete(&namespace, &DeleteParams::background()).await.expect("the namespace goes");
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

async fn play_standin(client: &Client, namespace: &str, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let config = controller::Config {
        namespaces: vec![namespace.to_owned()],
        ports: 7000..=8000,
        sidecar_image: IMAGE.into(),
        webhook_port: 0,
        allocation_api: false,
        reach: None,
        dev_address: None,
    };
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let (client, stop) = (client.clone(), stop.clone());
    let standin = tokio::spawn(async move {
        let ran = controller::run(config, client, stop, || {
            // A stage that is gone waits for nobody.
            let _ = ready.send(());
        });
        ran.await.expect("the stand-in plays");
    });
    is_ready.await.expect("the stand-in starts");
    standin
}

/// Its servers have finalizers that nobody else takes away.
async fn end_standin(client: &Client, namespace: &str, stop: &CancellationToken, standin: tokio::task::JoinHandle<()>) {
    let fleets: Api<Fleet> = Api::namespaced(client.clone(), namespace);
    let servers: Api<GameServer> = Api::namespaced(client.clone(), namespace);
    let _ = fleets.delete_collection(&DeleteParams::background(), &ListParams::default()).await;
    until("the stand-in's servers are gone", async || {
        servers.list(&ListParams::default()).await.ok()?.items.is_empty().then_some(())
    })
    .await;
    stop.cancel();
    standin.await.expect("the stand-in ends");
}

impl Stage {
    /// An operator for this namespace. Its Lease runs out soon, so that a killed one is replaced soon.
    pub(crate) fn config(&self, pod: &str) -> operator::Config {
        operator::Config {
            kube: self.kube.clone(),
            namespace: self.namespace.clone(),
            game_namespaces: vec![self.namespace.clone()],
            pod: pod.into(),
            advertise: None,
            admin: "127.0.0.1:0".parse().expect("an address"),
            admin_url: None,
            allocator: self.services.url(),
            matchmaker: self.services.url(),
            allocator_for_servers: "http://muster-allocator:7110".into(),
            metagame_for_servers: "http://muster-metagame:7100".into(),
            tokens: PathBuf::from("/nonexistent"),
            timing: Timing { duration: Duration::from_secs(6), retry: Duration::from_millis(500) },
            tls_names: vec!["muster-allocator".into()],
        }
    }

    pub(crate) fn game_fleets(&self) -> Api<GameFleet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn queues(&self) -> Api<MatchQueue> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn fleets(&self) -> Api<Fleet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn autoscalers(&self) -> Api<FleetAutoscaler> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn servers(&self) -> Api<GameServer> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a GameFleet.
    pub(crate) async fn make(&self, name: &str, spec: Value) {
        let game_fleet = json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet", "metadata": { "name": name }, "spec": spec
        });
        let game_fleet = serde_json::from_value(game_fleet).expect("a fleet");
        self.game_fleets().create(&PostParams::default(), &game_fleet).await.expect("made");
    }

    /// Changes the spec of a GameFleet.
    pub(crate) async fn change(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.game_fleets().patch(name, &PatchParams::default(), &patch).await.expect("changed");
    }

    /// Puts a match on one of a Fleet's servers, or takes it away, as allocator and Agones show it.
    pub(crate) async fn play(&self, fleet: &str, plays: bool) -> String {
        let servers = self.servers_of(fleet).await;
        let wanted = if plays { "Reserved" } else { "Allocated" };
        let server = servers.iter().find(|server| server.state() == wanted).expect("such a server").name_any();
        self.services.play(&server, plays);
        let state = if plays { "Allocated" } else { "Reserved" };
        self.set_state(&server, state).await;
        server
    }

    pub(crate) async fn set_state(&self, server: &str, state: &str) {
        let patch = Patch::Merge(json!({ "status": { "state": state } }));
        self.servers().patch(server, &PatchParams::default(), &patch).await.expect("patched");
    }

    pub(crate) async fn servers_of(&self, fleet: &str) -> Vec<GameServer> {
        let of = ListParams::default().labels(&format!("agones.dev/fleet={fleet}"));
        self.servers().list(&of).await.expect("a list").items
    }

    /// The Fleets of a GameFleet, by name.
    pub(crate) async fn fleets_of(&self, game_fleet: &str) -> Vec<Fleet> {
        let of = ListParams::default().labels(&format!("{}={game_fleet}", labels::GAME_FLEET));
        self.fleets().list(&of).await.expect("a list").items
    }

    /// Looks until a GameFleet is as it should be.
    pub(crate) async fn until(&self, name: &str, what: &str, holds: impl Fn(&GameFleet) -> bool) -> GameFleet {
        let api = self.game_fleets();
        until(what, async || api.get_opt(name).await.expect("read").filter(|it| holds(it))).await
    }

    /// Looks until a GameFleet and its Fleets are gone.
    pub(crate) async fn until_gone(&self, name: &str) {
        let api = self.game_fleets();
        until("the fleet is gone", async || api.get_opt(name).await.expect("read").is_none().then_some(())).await;
        assert!(self.fleets_of(name).await.is_empty());
    }
}

/// Looks until there is something, every 100 ms.
///
/// # Panics
/// If it takes longer than [`PATIENCE`].
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether a condition of a GameFleet holds.
pub(crate) fn holds(game_fleet: &GameFleet, type_: &str) -> bool {
    let status = game_fleet.status.clone().unwrap_or_default();
    Conditions::new(status.conditions).holds(type_)
}

/// The sum of a metric's lines of this process that contain all of these words.
pub(crate) fn metric(name: &str, words: &[&str]) -> f64 {
    let page = service::admin::recorder().render();
    let lines = page.lines().filter(|line| line.starts_with(name) && words.iter().all(|word| line.contains(word)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
