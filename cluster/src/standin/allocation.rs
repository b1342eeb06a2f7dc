//! `GameServerAllocation`: the API that Agones adds to the cluster's, create only, one server for each create.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State as Shares};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::controller::Context;
use super::core::allocation;
use super::core::object::{Kind, Object, name};
use super::error::StandinError;
use super::install::MANAGER;

/// Name of the registration: the cluster has one.
const REGISTRATION: &str = "v1.allocation.agones.dev";
/// Name of the Service that leads here.
pub(super) const SERVICE: &str = "agones-standin";
/// Agones collects requests for so long before it looks for servers.
const BATCH_WAIT: Duration = Duration::from_millis(500);
/// Servers tried at most for one request, if others are faster.
const TRIES_MAX: usize = 5;

/// The API's routes.
pub(super) fn routes(context: Arc<Context>) -> Router {
    let one_at_a_time = Arc::new(Mutex::new(()));
    Router::new()
        .route("/apis/allocation.agones.dev/v1", get(resources))
        .route("/apis/allocation.agones.dev/v1/namespaces/{namespace}/gameserverallocations", post(allocate))
        .with_state((context, one_at_a_time))
}

async fn resources() -> Json<Value> {
    Json(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "allocation.agones.dev/v1", "resources": [
            {"name": "gameserverallocations", "singularName": "gameserverallocation", "namespaced": true,
                "kind": "GameServerAllocation", "shortNames": ["gsa"], "verbs": ["create"]},
        ]}),
    )
}

async fn allocate(
    Shares((context, one_at_a_time)): Shares<(Arc<Context>, Arc<Mutex<()>>)>,
    Path(namespace): Path<String>,
    Json(request): Json<Value>,
) -> (StatusCode, Json<Value>) {
    tokio::time::sleep(BATCH_WAIT).await;
    // One writer: two requests never try the same server.
    let _turn = one_at_a_time.lock().await;
    let servers = context.cache.all(Kind::Server, &namespace);
    let servers: Vec<&Object> = servers.iter().map(AsRef::as_ref).collect();
    let (api, mut otherwise) = (context.api(Kind::Server, &namespace), "UnAllocated");
    for server in allocation::candidates(&request, &servers).into_iter().take(TRIES_MAX) {
        let patch = allocation::patch(&request, server, Timestamp::now());
        match api.patch(name(server), &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(allocated) => {
                let answer = allocation::answer(&request, &namespace, Some(&allocated), otherwise);
                context.took(Kind::Server, allocated);
                return (StatusCode::CREATED, Json(answer));
            }
            Err(error) => {
                tracing::info!(server = name(server), %error, "the next one is tried");
                otherwise = "Contention";
            }
        }
    }
    (StatusCode::CREATED, Json(allocation::answer(&request, &namespace, None, otherwise)))
}

/// Tells the API server that this process serves the API, by a Service without a selector.
pub(super) async fn register(
    client: &Client,
    namespace: &str,
    address: SocketAddr,
    ca_pem: &str,
) -> Result<(), StandinError> {
    let failed = || StandinError::api("register the allocation API");
    let apply = PatchParams::apply(MANAGER).force();
    let ports = json!([{"name": "https", "port": 443, "targetPort": address.port(), "protocol": "TCP"}]);
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE}, "spec": {"ports": ports}});
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    api.patch(SERVICE, &apply, &Patch::Apply(&service)).await.map_err(failed())?;
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": SERVICE, "labels": {"kubernetes.io/service-name": SERVICE}},
        "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}]});
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    api.patch(SERVICE, &apply, &Patch::Apply(&slice)).await.map_err(failed())?;
    let registration = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": REGISTRATION}, "spec": {"group": "allocation.agones.dev", "version": "v1",
            "groupPriorityMinimum": 1000, "versionPriority": 15, "caBundle": BASE64.encode(ca_pem),
            "service": {"name": SERVICE, "namespace": namespace, "port": 443}}});
    let api: Api<APIService> = Api::all(client.clone());
    api.patch(REGISTRATION, &apply, &Patch::Apply(&registration)).await.map_err(failed())?;
    Ok(())
}

/// Takes the registration back: left behind, it would make the whole API discovery slow.
pub(super) async fn unregister(client: &Client, namespace: &str) -> Result<(), StandinError> {
    let failed = || StandinError::api("remove the allocation API");
    let how = DeleteParams::default();
    Api::<APIService>::all(client.clone()).delete(REGISTRATION, &how).await.map_err(failed())?;
    Api::<EndpointSlice>::namespaced(client.clone(), namespace).delete(SERVICE, &how).await.map_err(failed())?;
    Api::<Service>::namespaced(client.clone(), namespace).delete(SERVICE, &how).await.map_err(failed())?;
    Ok(())
}
