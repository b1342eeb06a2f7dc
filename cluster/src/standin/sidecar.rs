//! The SDK server beside a game server: the SDK's gRPC in front, the GameServer on the API server behind.

mod backend;

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agones::pb::sdk_server::SdkServer;
use agones::sdk_server::service::SdkService;
use axum::Router;
use axum::extract::State as Shares;
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::TryStreamExt as _;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

use super::core::message::health;
use super::core::object::{Kind, Object, text};
use super::core::pod::SIDECAR_HEALTH_PORT;
use super::core::sdk::{Operation, Queue};
use super::error::StandinError;

/// Between two tries to reach the API server at the start.
const CONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// Whose sidecar it is, and where it listens.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the GameServer.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Address of the SDK's gRPC: loopback in a pod, whose containers share it.
    pub grpc: SocketAddr,
    /// Address of the health checks that the node asks.
    pub health: SocketAddr,
}

impl Config {
    /// A sidecar in a pod.
    pub fn in_pod(name: String, namespace: String, grpc_port: u16) -> Self {
        Self {
            name,
            namespace,
            grpc: SocketAddr::from(([127, 0, 0, 1], grpc_port)),
            health: SocketAddr::from(([0, 0, 0, 0], SIDECAR_HEALTH_PORT)),
        }
    }
}

/// What the servers and the writer share.
struct Shared {
    api: Api<Object>,
    queue: Mutex<Queue>,
    started: Instant,
    /// The GameServer as the API server last had it.
    object: watch::Sender<Arc<Object>>,
    /// Wakes the writer when the next deadline may have moved.
    moved: Notify,
    stop: CancellationToken,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole after every method.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one event through the queue.
    fn with<T>(&self, event: impl FnOnce(&mut Queue, Duration) -> T) -> T {
        let result = event(&mut self.queue(), self.started.elapsed());
        self.moved.notify_one();
        result
    }
}

/// Serves one game server until `stop`.
///
/// # Errors
/// If a port is taken or a server fails.
pub async fn run(config: Config, client: Client, stop: CancellationToken) -> Result<(), StandinError> {
    let api = Api::namespaced_with(client, &config.namespace, &Kind::Server.resource());
    let Some(first) = stop.run_until_cancelled(first_sight(&api, &config.name)).await else { return Ok(()) };
    let reserved_for = text(&first, "/status/reservedUntil").parse::<Timestamp>().ok().map(|until| {
        Duration::try_from(SignedDuration::from_secs(until.as_second() - Timestamp::now().as_second()))
            .unwrap_or_default()
    });
    let ended = CancellationToken::new();
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue::new(health(&first), reserved_for)),
        api,
        started: Instant::now(),
        object: watch::Sender::new(Arc::new(first)),
        moved: Notify::new(),
        stop: ended.clone(),
    });
    let _end = ended.clone().drop_guard();
    tokio::spawn(ended.clone().run_until_cancelled_owned(follow(shared.clone(), config.name.clone())));
    tokio::spawn(ended.clone().run_until_cancelled_owned(write(shared.clone(), config.name.clone())));
    let serving = serve(&config, &shared).await?;
    tokio::select! {
        failed = serving => failed,
        // With whatever it has not written: a native sidecar of Agones does not wait, either.
        () = stop.cancelled() => Ok(()),
    }
}

/// Waits until the API server answers and has the GameServer. By list: the account may not get.
async fn first_sight(api: &Api<Object>, name: &str) -> Object {
    loop {
        match api.list(&ListParams::default().fields(&format!("metadata.name={name}"))).await {
            Ok(list) => match list.items.into_iter().next() {
                Some(server) => return server,
                None => tracing::warn!(name, "the API server has no such GameServer yet"),
            },
            Err(error) => tracing::warn!(%error, "the API server does not answer yet"),
        }
        tokio::time::sleep(CONNECT_INTERVAL).await;
    }
}

/// Keeps the object as the API server has it.
async fn follow(shared: Arc<Shared>, name: String) {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(watcher(shared.api.clone(), config).default_backoff());
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Apply(server) | watcher::Event::InitApply(server))) => saw(&shared, server),
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "the watch of the GameServer failed and begins again"),
        }
    }
}

/// Takes a newer version, from the watch or from the answer to an own write.
fn saw(shared: &Shared, server: Object) {
    let version = |server: &Object| server.metadata.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok());
    shared.object.send_if_modified(|known| {
        let is_newer = version(&server) > version(known);
        if is_newer {
            *known = Arc::new(server);
        }
        is_newer
    });
}

/// Writes what falls due, one write at a time.
async fn write(shared: Arc<Shared>, name: String) {
    loop {
        let due = shared.queue().advance(shared.started.elapsed());
        for operation in due {
            write_one(&shared, &name, operation).await;
        }
        let deadline = shared.queue().next_deadline();
        match deadline {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(shared.started + at) => {}
                () = shared.moved.notified() => {}
            },
            None => shared.moved.notified().await,
        }
    }
}

async fn write_one(shared: &Shared, name: &str, operation: Operation) {
    let server = shared.object.borrow().clone();
    let Some(patch) = shared.queue().patch(operation, &server, Timestamp::now()) else { return };
    let patch: Result<json_patch::Patch, _> = serde_json::from_value(serde_json::Value::Array(patch));
    let patch = patch.expect("the queue makes valid patches");
    match shared.api.patch(name, &PatchParams::default(), &Patch::<()>::Json(patch)).await {
        Ok(written) => {
            saw(shared, written);
            shared.with(|queue, now| queue.written(now, operation));
        }
        Err(error) => {
            tracing::info!(?operation, %error, "a write failed and is tried again");
            shared.with(|queue, now| queue.failed(now, operation));
        }
    }
}

/// Listens on both ports; the answer ends only if a server fails.
async fn serve(
    config: &Config,
    shared: &Arc<Shared>,
) -> Result<impl Future<Output = Result<(), StandinError>> + use<>, StandinError> {
    let bind = |address| async move {
        TcpListener::bind(address).await.map_err(|source| StandinError::Listen { address, source })
    };
    let (grpc, health) = (bind(config.grpc).await?, bind(config.health).await?);
    let service = SdkServer::new(SdkService::new(shared.clone()));
    let sdk =
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(grpc));
    let routes = Router::new().route("/healthz", get("ok")).route("/gshealthz", get(game_health));
    let health = axum::serve(health, routes.with_state(shared.clone())).into_future();
    Ok(async move {
        tokio::select! {
            ended = sdk => ended.map_err(|source| StandinError::Serve { what: "the SDK", source: source.into() }),
            ended = health => ended.map_err(|source| StandinError::Serve { what: "health checks", source: source.into() }),
        }
    })
}

async fn game_health(Shares(shared): Shares<Arc<Shared>>) -> (StatusCode, &'static str) {
    if shared.queue().is_healthy() { (StatusCode::OK, "ok") } else { (StatusCode::INTERNAL_SERVER_ERROR, "no pings") }
}
