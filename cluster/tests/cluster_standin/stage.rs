//! A namespace with Agones in it, for one test.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cluster::standin::core::object::Kind;
pub(crate) use cluster::standin::core::object::Object;
use cluster::standin::{IMAGE, StandinError, controller, game, install, sidecar};
use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Whatever has not happened by then does not happen. Pods of a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) struct Stage {
    client: Client,
    namespace: String,
    pub(crate) fleets: Api<Object>,
    sets: Api<Object>,
    servers: Api<Object>,
    pub(crate) pods: Api<Pod>,
    is_given: bool,
    stop: CancellationToken,
    standin: Option<JoinHandle<Result<(), StandinError>>>,
}

impl Stage {
    pub(crate) async fn new(name: &str) -> Self {
        Self::open(name, false).await
    }

    /// With the API of `GameServerAllocation`, of which a cluster has only one.
    pub(crate) async fn with_allocation_api(name: &str) -> Self {
        Self::open(name, true).await
    }

    async fn open(name: &str, allocation_api: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let client = Client::try_default().await.expect("KUBECONFIG names a cluster");
        let unique = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let given = std::env::var("MUSTER_AGONES_NAMESPACE").ok();
        let namespace = given.clone().unwrap_or_else(|| format!("standin-{name}-{unique}"));
        if given.is_none() {
            let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
            Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
        }
        let api = |kind: Kind| Api::namespaced_with(client.clone(), &namespace, &kind.resource());
        let mut stage = Self {
            fleets: api(Kind::Fleet),
            sets: api(Kind::Set),
            servers: api(Kind::Server),
            pods: Api::namespaced(client.clone(), &namespace),
            client,
            namespace,
            is_given: given.is_some(),
            stop: CancellationToken::new(),
            standin: None,
        };
        if stage.is_real() {
            install::account(&stage.client, &stage.namespace).await.unwrap();
        } else {
            stage.play(allocation_api).await;
        }
        stage
    }

    /// Whether the Agones that is there is tested, not the stand-in.
    pub(crate) fn is_real(&self) -> bool {
        std::env::var("MUSTER_AGONES").is_ok_and(|agones| agones == "real")
    }

    async fn play(&mut self, allocation_api: bool) {
        let config = controller::Config {
            namespaces: vec![self.namespace.clone()],
            ports: 7000..=8000,
            sidecar_image: image(),
            webhook_port: 0,
            allocation_api,
            dev_address: None,
            reach: None,
        };
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let run = controller::run(config, self.client.clone(), self.stop.clone(), || {
            // A stage that is gone waits for nobody.
            let _ = ready.send(());
        });
        self.standin = Some(tokio::spawn(run));
        is_ready.await.expect("the stand-in starts");
    }

    /// Removes everything; a failed test leaves its namespace to be looked at.
    pub(crate) async fn end(self) {
        let all = (DeleteParams::background(), ListParams::default());
        self.fleets.delete_collection(&all.0, &all.1).await.unwrap();
        self.until_servers(|servers| servers.is_empty()).await;
        self.stop.cancel();
        if let Some(standin) = self.standin {
            standin.await.unwrap().unwrap();
        }
        if !self.is_given {
            Api::<Namespace>::all(self.client).delete(&self.namespace, &DeleteParams::background()).await.unwrap();
        }
    }

    pub(crate) async fn create(&self, fleet: &Object) {
        // The webhook may need a moment until the API server knows it: only then is a Fleet what Agones makes of it.
        self.fleets.create(&PostParams::default(), fleet).await.unwrap();
    }

    pub(crate) async fn scale(&self, fleet: &str, replicas: u32) {
        let scale = json!({"spec": {"replicas": replicas}});
        self.fleets.patch_scale(fleet, &PatchParams::default(), &Patch::Merge(&scale)).await.unwrap();
    }

    pub(crate) async fn patch_server(&self, name: &str, patch: Value) {
        self.servers.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Asks for a Ready server of a Fleet, once the API server knows whom to ask; its state and its server's name.
    pub(crate) async fn allocate(&self, fleet: &str) -> (String, String) {
        let resource = ApiResource {
            group: "allocation.agones.dev".to_owned(),
            version: "v1".to_owned(),
            api_version: "allocation.agones.dev/v1".to_owned(),
            kind: "GameServerAllocation".to_owned(),
            plural: "gameserverallocations".to_owned(),
        };
        let request: Object = serde_json::from_value(json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {},
            "spec": {"selectors": [{"matchLabels": {"agones.dev/fleet": fleet}}],
                "metadata": {"labels": {"match": "one"}, "annotations": {"mode": "duel"}}},
        }))
        .unwrap();
        let api: Api<Object> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let answer = self
            .until("an answer of the allocation API", async || api.create(&PostParams::default(), &request).await.ok());
        let status = answer.await.data["status"].clone();
        let word = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        (word("state"), word("gameServerName"))
    }

    /// Tells a game server what to do.
    pub(crate) async fn order(&self, name: &str, order: &str) {
        self.patch_server(name, json!({"metadata": {"annotations": {game::ORDER: order}}})).await;
    }

    /// Looks until there is an answer.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("{}: {what}: has not happened", self.namespace))
    }

    /// The GameServers, sorted by state and name, once they are as expected.
    pub(crate) async fn until_servers(&self, expected: impl Fn(&[Object]) -> bool) -> Vec<Object> {
        self.until("servers", async || {
            let mut servers = self.servers.list(&ListParams::default()).await.unwrap().items;
            servers.sort_by_key(|server| (state(server).to_owned(), server.metadata.name.clone()));
            expected(&servers).then_some(servers)
        })
        .await
    }

    /// Waits for a Fleet's replicas, ready, reserved and allocated replicas.
    pub(crate) async fn until_status(&self, fleet: &str, expected: [u64; 4]) {
        let fields = ["replicas", "readyReplicas", "reservedReplicas", "allocatedReplicas"];
        self.until(&format!("status {expected:?}"), async || {
            let status = self.fleets.get(fleet).await.unwrap().data["status"].clone();
            (fields.map(|field| status[field].as_u64()) == expected.map(Some)).then_some(())
        })
        .await;
    }

    /// Waits until the one GameServerSet has this size, and its controller has seen it.
    pub(crate) async fn until_set_size(&self, replicas: u64) {
        self.until("the size of the set", async || {
            let sets = self.sets.list(&ListParams::default()).await.unwrap().items;
            sets.iter().all(|set| set.data["spec"]["replicas"] == replicas).then_some(())
        })
        .await;
    }

    /// Collects every state that every server shows from now on; the answer is what was seen until it is asked for.
    pub(crate) fn collect_states(&self) -> impl Future<Output = Vec<(String, String)>> + use<> {
        let (servers, stop) = (self.servers.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let collecting = tokio::spawn(async move {
            let (mut seen, mut events) =
                (Vec::new(), std::pin::pin!(watcher(servers, watcher::Config::default()).default_backoff()));
            while let Some(Ok(event)) = stopped.run_until_cancelled(events.try_next()).await {
                if let Some(watcher::Event::Apply(server) | watcher::Event::InitApply(server)) = event {
                    seen.push((server.metadata.name.clone().unwrap_or_default(), state(&server).to_owned()));
                }
            }
            seen
        });
        async move {
            stop.cancel();
            collecting.await.unwrap()
        }
    }

    /// A sidecar in this process for a server that has no pod.
    pub(crate) async fn sidecar(&self, name: &str) -> Sidecar {
        let [grpc, health] = free_ports().await;
        let config = sidecar::Config { name: name.to_owned(), namespace: self.namespace.clone(), grpc, health };
        let stop = CancellationToken::new();
        let running = tokio::spawn(sidecar::run(config, self.client.clone(), stop.clone()));
        self.until("the sidecar listens", async || tokio::net::TcpStream::connect(grpc).await.ok().map(drop)).await;
        Sidecar { grpc, stop, running }
    }
}

pub(crate) struct Sidecar {
    pub(crate) grpc: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<Result<(), StandinError>>,
}

impl Sidecar {
    /// It dies with whatever it has not written.
    pub(crate) async fn kill(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

async fn free_ports() -> [SocketAddr; 2] {
    let bind = || tokio::net::TcpListener::bind("127.0.0.1:0");
    let (one, other) = (bind().await.unwrap(), bind().await.unwrap());
    [one, other].map(|listener| listener.local_addr().unwrap())
}

fn state(server: &Object) -> &str {
    server.data["status"]["state"].as_str().unwrap_or_default()
}

pub(crate) fn states(servers: &[Object]) -> Vec<&str> {
    servers.iter().map(state).collect()
}

fn fleet(name: &str, replicas: u32, template: &Value) -> Object {
    let spec = json!({"replicas": replicas, "template": template});
    let fleet = json!({"apiVersion": "agones.dev/v1", "kind": "Fleet", "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(fleet).unwrap()
}

/// The stand-in's image: sidecar and game.
fn image() -> String {
    std::env::var("MUSTER_STANDIN_IMAGE").unwrap_or_else(|_| IMAGE.to_owned())
}

/// Servers without pods.
pub(crate) fn dev_fleet(name: &str, replicas: u32) -> Object {
    let port = json!({"name": "game", "portPolicy": "Static", "hostPort": 7000, "containerPort": 7000});
    let containers = json!([{"name": "game", "image": image()}]);
    let template = json!({"metadata": {"annotations": {"agones.dev/dev-address": "192.0.2.1"}},
        "spec": {"ports": [port], "template": {"spec": {"containers": containers}}}});
    fleet(name, replicas, &template)
}

/// Servers with pods, whose game begins with an order.
pub(crate) fn pod_fleet(name: &str, replicas: u32, first: &str) -> Object {
    let container = json!({"name": "game", "image": image(), "imagePullPolicy": "IfNotPresent",
        "args": ["game", "--first", first]});
    let template = json!({"spec": {
        "ports": [{"name": "game", "containerPort": 7777}],
        "health": {"initialDelaySeconds": 3, "periodSeconds": 3, "failureThreshold": 3},
        "template": {"spec": {"containers": [container], "terminationGracePeriodSeconds": 5}},
    }});
    fleet(name, replicas, &template)
}
