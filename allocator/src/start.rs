//! Binds the ports, runs the tasks, ends them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::pb::allocator_server::AllocatorServer;
use protocol::pb::control_link_server::ControlLinkServer;
use protocol::token::ALLOCATOR_AUDIENCE;
use service::admin::Admin;
use service::{Listener, Shutdown};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::actor::{Actor, COMMANDS_MAX};
use crate::api::{self, AllocatorService};
use crate::client::ActorClient;
use crate::config::Config;
use crate::control::{self, ControlService};
use crate::core::state::{Core, CoreSettings};
use crate::handle::Handle;
use crate::mint::Mint;
use crate::{http, metrics};

/// How long connections may take to close after the last stream has ended.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// Why the allocator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be bound.
    #[error(transparent)]
    Bind(#[from] service::BindError),
    /// The epoch is 0, which no server obeys.
    #[error("the allocator's epoch must be at least 1")]
    Epoch,
}

/// Why the allocator ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// One of its tasks failed.
    #[error("the allocator's {what} failed: {detail}")]
    Task {
        /// Which.
        what: &'static str,
        /// The reason.
        detail: String,
    },
}

/// A running allocator.
#[derive(Debug)]
pub struct Running {
    /// Where gRPC is served.
    pub address: SocketAddr,
    /// Where the admin pages are served.
    pub admin_address: SocketAddr,
    handle: Handle,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// For the provider and the operator in this process.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Resolves when the allocator has ended: after shutdown, or because a task of it failed.
    ///
    /// # Errors
    /// [`ServeError::Task`].
    pub async fn wait(self) -> Result<(), ServeError> {
        self.task.await.map_err(|error| failed("main task", &error))?
    }
}

fn failed(what: &'static str, error: &dyn std::error::Error) -> ServeError {
    ServeError::Task { what, detail: error.to_string() }
}

/// Starts and runs until shutdown.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), ServeError> {
    start(config, shutdown).await?.wait().await
}

/// Binds both ports and starts to serve. At shutdown it stops to be ready, answers the calls that wait, lets servers
/// answer what they were asked, and closes every stream.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, shutdown: Shutdown) -> Result<Running, StartError> {
    if config.epoch == 0 {
        return Err(StartError::Epoch);
    }
    let grpc = Listener::bind(config.address, "allocator gRPC").await?;
    let admin_listener = Listener::bind(config.admin_address, "allocator admin").await?;
    let (address, admin_address) = (grpc.local_addr(), admin_listener.local_addr());
    let mint = Mint::new(config.signing_key.clone(), config.timing.certificate_life);
    let admin = Admin::new("allocator").route(http::routes(mint.jwks()));
    metrics::describe();
    let ready = admin.ready_flag();

    let core = Core::new(CoreSettings {
        epoch: config.epoch,
        log_id: hex::encode(service::random::bytes::<16>()),
        expected: config.expected.as_ref().map(|names| names.borrow().clone()),
        timing: config.timing.clone(),
        limits: config.limits.clone(),
    });
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let (newest, newest_seen) = watch::channel(0);
    let (pictures, _) = watch::channel(Arc::default());
    let actor = Actor::new(core, config.epoch, config.timing.clone(), mint.clone(), newest, pictures.clone());
    let client = ActorClient::new(commands);

    // The streams outlive the shutdown signal: servers may still answer what they were asked.
    let (streams_end, servers_end) = (CancellationToken::new(), CancellationToken::new());
    let link = ControlService::new(client.clone(), config.timing.clone(), config.limits.clone(), streams_end.clone());
    let watchers_max = config.limits.watchers_max;
    let api = AllocatorService::new(
        client.clone(),
        mint,
        newest_seen,
        pictures,
        watchers_max,
        config.agones,
        streams_end.clone(),
    );
    let require = |callers| service::token::require(config.service_keys.clone(), ALLOCATOR_AUDIENCE, callers);
    let router = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_service(ControlLinkServer::with_interceptor(link, require(control::CALLERS)))
        .add_service(AllocatorServer::with_interceptor(api, require(api::CALLERS)));
    let server = router.serve_with_incoming_shutdown(grpc.into_incoming(), servers_end.clone().cancelled_owned());

    let actor = actor.run(received, config.expected, shutdown.clone());
    let admin = admin.serve(admin_listener, shutdown.clone());
    ready.set(true);
    tracing::info!(%address, %admin_address, epoch = config.epoch, "allocator is ready");
    let task = tokio::spawn(async move {
        let (actor, server, admin) = (tokio::spawn(actor), tokio::spawn(server), tokio::spawn(admin));
        let signal = shutdown.clone();
        let unready = tokio::spawn(async move {
            signal.wait().await;
            ready.set(false);
        });
        let actor_end = actor.await;
        // The actor ends at shutdown, or by a fault; either way nothing works without it.
        shutdown.trigger();
        streams_end.cancel();
        servers_end.cancel();
        unready.await.ok();
        let server_end = tokio::time::timeout(CLOSE_PATIENCE, server).await;
        let admin_end = tokio::time::timeout(CLOSE_PATIENCE, admin).await;
        actor_end.map_err(|error| failed("actor", &error))?;
        if let Ok(ended) = server_end {
            ended.map_err(|e| failed("gRPC server", &e))?.map_err(|e| failed("gRPC server", &e))?;
        }
        if let Ok(ended) = admin_end {
            ended.map_err(|e| failed("admin port", &e))?.map_err(|e| failed("admin port", &e))?;
        }
        Ok(())
    });
    Ok(Running { address, admin_address, handle: Handle::new(client), task })
}
