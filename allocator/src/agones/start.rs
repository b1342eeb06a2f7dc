//! Starts the watch, the two interfaces, and ends them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use protocol::agones_allocation::allocation_service_server::AllocationServiceServer;
use service::{Listener, Shutdown};
use tokio::task::JoinHandle;

use super::cluster::ApiCluster;
use super::engine::{Engine, Gate, Limits};
use super::grpc::Grpc;
use super::tls::{Tls, TlsError, TlsFiles};
use super::{metrics, rest, watch};

/// How often the gauges are set, and the servers are read anew where this process has begun to lead.
const CENSUS: Duration = Duration::from_millis(500);
/// How long connections may take to close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// Where Agones' interfaces are served.
#[derive(Debug, Clone)]
pub struct Interfaces {
    /// gRPC.
    pub grpc: SocketAddr,
    /// REST.
    pub rest: SocketAddr,
    /// Certificates.
    pub tls: TlsFiles,
}

/// What is needed to start.
pub struct Config {
    /// The API server.
    pub client: Client,
    /// Whether this process leads.
    pub gate: Gate,
    /// Where the game servers are.
    pub namespaces: Vec<String>,
    /// How much is done at once.
    pub limits: Limits,
    /// Agones' interfaces; without them only Muster's own Allocate comes here.
    pub interfaces: Option<Interfaces>,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be bound.
    #[error(transparent)]
    Bind(#[from] service::BindError),
    /// The certificates are wrong.
    #[error("the allocation service has no certificates: {0}")]
    Tls(#[from] TlsError),
}

/// What runs.
pub struct Running {
    /// Gives out servers.
    pub engine: Engine,
    /// Where gRPC is served.
    pub grpc: Option<SocketAddr>,
    /// Where REST is served.
    pub rest: Option<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Resolves when everything has ended after shutdown.
    pub async fn wait(self) {
        for task in self.tasks {
            task.await.ok();
        }
    }
}

/// Starts. Runs until shutdown.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, shutdown: Shutdown) -> Result<Running, StartError> {
    let cluster = Arc::new(ApiCluster(config.client.clone()));
    let engine = Engine::new(cluster, config.gate, config.namespaces.clone(), config.limits, shutdown.clone());
    let (mut grpc, mut rest, mut tasks) = (None, None, Vec::new());
    if let Some(interfaces) = config.interfaces {
        let bound = serve(&engine, interfaces, &shutdown).await?;
        (grpc, rest) = (Some(bound.grpc), Some(bound.rest));
        tasks.extend(bound.tasks);
    }
    tasks.extend(watch::follow(&engine, &config.client, &config.namespaces, &shutdown));
    tasks.push(tokio::spawn(keep(engine.clone(), shutdown)));
    Ok(Running { engine, grpc, rest, tasks })
}

struct Bound {
    grpc: SocketAddr,
    rest: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

async fn serve(engine: &Engine, interfaces: Interfaces, shutdown: &Shutdown) -> Result<Bound, StartError> {
    let grpc_listener = Listener::bind(interfaces.grpc, "Agones allocation gRPC").await?;
    let rest_listener = Listener::bind(interfaces.rest, "Agones allocation REST").await?;
    let (grpc, rest) = (grpc_listener.local_addr(), rest_listener.local_addr());
    let tls = |protocols| Tls::open(interfaces.tls.clone(), protocols, shutdown.clone());

    let connections = tls(&[b"h2"])?.accept(grpc_listener, shutdown.clone());
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(AllocationServiceServer::new(Grpc(engine.clone())))
        .serve_with_incoming_shutdown(connections.into_stream(), shutdown.wait_owned());

    let connections = tls(&[b"h2", b"http/1.1"])?.accept(rest_listener, shutdown.clone());
    let app = rest::routes(engine.clone());
    let pages = axum::serve(connections, app).with_graceful_shutdown(shutdown.wait_owned());

    tracing::info!(%grpc, %rest, "Agones' allocation interfaces are served");
    let (server, pages) = (tokio::spawn(server), tokio::spawn(pages.into_future()));
    Ok(Bound {
        grpc,
        rest,
        tasks: [tokio::spawn(ended(server, shutdown.clone())), tokio::spawn(ended(pages, shutdown.clone()))],
    })
}

/// Waits for a server's end, which comes soon after shutdown; one that ends by itself ends the program.
async fn ended<E: std::fmt::Display>(mut server: JoinHandle<Result<(), E>>, shutdown: Shutdown) {
    let end = tokio::select! {
        end = &mut server => Some(end),
        () = shutdown.wait() => tokio::time::timeout(CLOSE_PATIENCE, &mut server).await.ok(),
    };
    match end {
        Some(Ok(Err(error))) => tracing::error!(%error, "an allocation interface ended"),
        Some(Err(error)) => tracing::error!(%error, "an allocation interface ended"),
        Some(Ok(Ok(()))) => {}
        None => server.abort(),
    }
    shutdown.trigger();
}

/// Sets the gauges, and reads every server as soon as this process leads, so that its first caller need not wait for it.
async fn keep(engine: Engine, shutdown: Shutdown) {
    while tokio::time::timeout(CENSUS, shutdown.wait()).await.is_err() {
        metrics::counts(engine.book(|book| book.counts()));
        if let Ok(epoch) = engine.0.leads()
            && let Err(error) = engine.take_over(epoch).await
        {
            tracing::warn!(%error, "the game servers cannot be read");
        }
    }
}

#[cfg(test)]
#[path = "interface_tests.rs"]
mod tests;
