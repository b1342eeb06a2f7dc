//! A namespace of its own on a real cluster, with game servers that are objects alone (Agones' dev-address: no pods), and
//! certificates for callers and service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use allocator::agones::{self, Interfaces, Limits, Running, TlsFiles};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt as _};
use protocol::agones_allocation as pb;
use protocol::agones_allocation::allocation_service_client::AllocationServiceClient;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use service::Shutdown;
use tokio::task::JoinSet;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// Name of the Fleet that every game server of the stage says it is of.
pub(crate) const FLEET: &str = "stage";
/// Writes under way while the stage is set.
const WRITERS: usize = 16;

/// A namespace on the cluster.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// A game server as the API has it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) state: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) status: Value,
}

impl Stage {
    /// Makes the namespace.
    pub(crate) async fn new() -> Self {
        let client = client().await;
        let namespace = format!("drop-in-{}", hex::encode(service::random::bytes::<4>()));
        let meta = ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() };
        let object = Namespace { metadata: meta, ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &object).await.expect("a namespace can be made");
        Self { client, namespace }
    }

    /// Removes the namespace, and with it what is in it, in the cluster's own time.
    pub(crate) async fn remove(self) {
        let namespaces: Api<Namespace> = Api::all(self.client);
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.expect("deleted");
    }

    pub(crate) fn api(&self) -> Api<DynamicObject> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("agones.dev", "v1", "GameServer"));
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    /// Makes Ready game servers `<from>` to `<from + count - 1>`.
    pub(crate) async fn game_servers(&self, from: usize, count: usize) {
        self.each((from..from + count).collect(), |api, number| async move {
            api.create(&PostParams::default(), &game_server(number)).await.expect("a game server can be made");
        })
        .await;
    }

    /// Makes every game server Ready again.
    pub(crate) async fn free_all(&self) {
        let taken = self.seen().await.into_iter().filter(|seen| seen.state != "Ready").map(|seen| seen.name);
        self.each(taken.collect(), |api, name: String| async move {
            let patch =
                json!({ "status": { "state": "Ready" }, "metadata": { "annotations": { "muster.dev/match": null } } });
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("freed");
        })
        .await;
    }

    async fn each<T, F>(&self, items: Vec<T>, act: impl Fn(Api<DynamicObject>, T) -> F + Clone + Send + 'static)
    where
        T: Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let items = Arc::new(std::sync::Mutex::new(items));
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            let (items, api, act) = (items.clone(), self.api(), act.clone());
            writers.spawn(async move {
                loop {
                    let item = items.lock().expect("no panic").pop();
                    let Some(item) = item else { return };
                    act(api.clone(), item).await;
                }
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.expect("a writer");
        }
    }

    /// Every game server as the API has it.
    pub(crate) async fn seen(&self) -> Vec<Seen> {
        let list = self.api().list(&ListParams::default()).await.expect("a list");
        let seen = |object: DynamicObject| Seen {
            name: object.name_any(),
            version: object.resource_version().unwrap_or_default(),
            state: object.data["status"]["state"].as_str().unwrap_or("").to_owned(),
            annotations: object.annotations().clone(),
            labels: object.labels().clone(),
            status: object.data["status"].clone(),
        };
        list.items.into_iter().map(seen).collect()
    }
}

/// A client with connections of its own.
pub(crate) async fn client() -> Client {
    Client::try_default().await.expect("a cluster: set KUBECONFIG")
}

fn game_server(number: usize) -> DynamicObject {
    let object = json!({
        "apiVersion": "agones.dev/v1",
        "kind": "GameServer",
        "metadata": {
            "name": format!("{FLEET}-{number:05}"),
            "labels": { "agones.dev/fleet": FLEET, "agones.dev/gameserverset": FLEET, "region": "eu" },
            "annotations": { "agones.dev/dev-address": "10.0.0.1" },
        },
        "spec": {
            "container": "game",
            "ports": [{ "name": "default", "portPolicy": "Static", "hostPort": 7000, "containerPort": 7777, "protocol": "UDP" }],
            "health": { "disabled": true },
            "template": { "spec": { "containers": [{ "name": "game", "image": "example.invalid/game:1",
                "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } } }] } },
        },
        "status": {
            "state": "Ready",
            "address": "10.0.0.1",
            "addresses": null,
            "nodeName": format!("node-{}", number % 20),
            "reservedUntil": null,
            "eviction": { "safe": "Never" },
            "players": null,
            "ports": [{ "name": "default", "port": 7000 }],
            "counters": { "rooms": { "count": 0, "capacity": 4 } },
        },
    });
    serde_json::from_value(object).expect("an object")
}

/// Who trusts whom.
pub(crate) struct Certificates {
    server_root: String,
    client: String,
    client_key: String,
    pub(crate) folder: tempfile::TempDir,
}

impl Certificates {
    /// Makes them, the service's in a folder.
    pub(crate) fn new() -> Self {
        let (server_root, clients) = (root("server root"), root("client root"));
        let (server, server_key) = issued(&server_root);
        let (client, client_key) = issued(&clients);
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("tls.crt", server), ("tls.key", server_key), ("ca.crt", clients.0)] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        Self { server_root: server_root.0, client, client_key, folder }
    }

    /// A connection to the service, or why there is none.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
    ) -> Result<AllocationServiceClient<Channel>, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(&self.server_root))
            .identity(Identity::from_pem(&self.client, &self.client_key));
        let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address").tcp_nodelay(true);
        Ok(AllocationServiceClient::new(endpoint.tls_config(tls)?.connect().await?))
    }
}

type Root = (String, CertificateParams, KeyPair);

fn root(name: &str) -> Root {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("signed").pem(), params, key)
}

fn issued((_, params, key): &Root) -> (String, String) {
    let own = KeyPair::generate().expect("a key");
    let named = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let signed = named.signed_by(&own, &Issuer::from_params(params, key)).expect("signed");
    (signed.pem(), own.serialize_pem())
}

/// Starts the service in this process as the only leader, with a client of its own, and waits until it has read the
/// game servers.
pub(crate) async fn start(namespace: &str, certificates: &Path, shutdown: &Shutdown) -> Running {
    let any = "127.0.0.1:0".parse().expect("an address");
    let config = agones::Config {
        client: client().await,
        gate: Arc::new(|| Ok(1)),
        namespaces: vec![namespace.to_owned()],
        limits: Limits::default(),
        interfaces: Some(Interfaces { grpc: any, rest: any, tls: TlsFiles::in_folder(certificates) }),
    };
    let running = agones::start(config, shutdown.clone()).await.expect("starts");
    let ready = tokio::time::timeout(Duration::from_secs(60), running.engine.ready());
    ready.await.expect("in time").expect("reads the game servers");
    running
}

/// A request for any Ready server of the stage, with an annotation for it.
pub(crate) fn request(namespace: &str, annotation: (&str, String)) -> pb::AllocationRequest {
    let labels = [("agones.dev/fleet".to_owned(), FLEET.to_owned())].into();
    let selector = pb::GameServerSelector { match_labels: labels, ..pb::GameServerSelector::default() };
    let annotations = [(annotation.0.to_owned(), annotation.1)].into();
    pb::AllocationRequest {
        namespace: namespace.to_owned(),
        game_server_selectors: vec![selector],
        metadata: Some(pb::MetaPatch { annotations, ..pb::MetaPatch::default() }),
        ..pb::AllocationRequest::default()
    }
}
