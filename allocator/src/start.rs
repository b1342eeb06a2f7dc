//! Binds the ports, runs the tasks, ends them in order.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use protocol::pb::allocator_server::AllocatorServer;
use protocol::pb::control_link_server::ControlLinkServer;
use protocol::token::ALLOCATOR_AUDIENCE;
use service::admin::Admin;
use service::verify::Verifier;
use service::{Listener, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::agones::Backend;
use crate::api::{self, AllocatorService};
use crate::config::Config;
use crate::control::{self, ControlService};
use crate::handle::Handle;
use crate::kubernetes::epochs::Epochs;
use crate::kubernetes::pods::PodBook;
use crate::mint::Mint;
use crate::term::{Office, OfficeSeen, Surroundings, TermSettings};
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
    /// The cluster's keys for tokens cannot be had.
    #[error(transparent)]
    Tokens(#[from] cluster::jwks::FetchError),
    /// Agones' interfaces cannot be served.
    #[error(transparent)]
    Agones(#[from] crate::agones::StartError),
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

pub(crate) fn failed(what: &'static str, error: &dyn std::error::Error) -> ServeError {
    ServeError::Task { what, detail: error.to_string() }
}

/// Starts and runs until shutdown.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), ServeError> {
    start(config, shutdown).await?.wait().await
}

/// Binds both ports and starts to serve, as the one leader there is. At shutdown it stops to be ready, answers the calls
/// that wait, lets servers answer what they were asked, and closes every stream.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, shutdown: Shutdown) -> Result<Running, StartError> {
    if config.epoch == 0 {
        return Err(StartError::Epoch);
    }
    let settings = TermSettings {
        mint: Mint::new(config.signing_key, config.timing.certificate_life),
        timing: config.timing,
        limits: config.limits,
    };
    let ground = Ground::bind(config.address, config.admin_address, settings.clone()).await?;
    let (term, actor) = settings.begin(config.epoch, Surroundings::Machine(config.expected), shutdown.clone());
    let (office, seen) = watch::channel(Office::Leads(term));
    let leading = async move {
        let end = actor.await.map_err(|error| failed("actor", &error));
        drop(office);
        end
    };
    tracing::info!(epoch = config.epoch, "allocator leads");
    let verifier = config.service_keys.into();
    let gates = Gates { verifier, pods: None, epochs: None, agones: config.agones };
    Ok(ground.serve(gates, OfficeSeen(seen), leading, shutdown))
}

/// Who may come in, and who is sent elsewhere.
pub(crate) struct Gates {
    /// Judges service tokens.
    pub(crate) verifier: Verifier,
    /// Which pod is which server.
    pub(crate) pods: Option<PodBook>,
    /// Takes a later epoch where servers have obeyed one.
    pub(crate) epochs: Option<Epochs>,
    /// For GameFleets that the control link does not reach.
    pub(crate) agones: Option<Backend>,
}

/// Both ports, bound.
pub(crate) struct Ground {
    grpc: Listener,
    admin: Listener,
    settings: TermSettings,
}

impl Ground {
    /// Binds both ports.
    pub(crate) async fn bind(
        address: SocketAddr,
        admin_address: SocketAddr,
        settings: TermSettings,
    ) -> Result<Self, StartError> {
        let grpc = Listener::bind(address, "allocator gRPC").await?;
        let admin = Listener::bind(admin_address, "allocator admin").await?;
        Ok(Self { grpc, admin, settings })
    }

    /// Where gRPC is served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.grpc.local_addr()
    }

    /// Serves whoever is in `office` until `leading` ends, which it must at shutdown.
    pub(crate) fn serve(
        self,
        gates: Gates,
        office: OfficeSeen,
        leading: impl Future<Output = Result<(), ServeError>> + Send + 'static,
        shutdown: Shutdown,
    ) -> Running {
        let Self { grpc, admin: admin_listener, settings: TermSettings { mint, timing, limits } } = self;
        let (address, admin_address) = (grpc.local_addr(), admin_listener.local_addr());
        let admin = Admin::new("allocator").route(http::routes(mint.jwks()));
        metrics::describe();
        let ready = admin.ready_flag();
        let servers_end = CancellationToken::new();
        let api = AllocatorService::new(office.clone(), mint, limits.watchers_max, gates.agones);
        let link = ControlService::new(office.clone(), gates.pods, gates.epochs, timing, limits);
        let require = |callers| service::token::require(gates.verifier.clone(), ALLOCATOR_AUDIENCE, callers);
        let router = Server::builder()
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(5)))
            .add_service(ControlLinkServer::with_interceptor(link, require(control::CALLERS)))
            .add_service(AllocatorServer::with_interceptor(api, require(api::CALLERS)));
        let server = router.serve_with_incoming_shutdown(grpc.into_incoming(), servers_end.clone().cancelled_owned());
        let admin = admin.serve(admin_listener, shutdown.clone());
        ready.set(true);
        tracing::info!(%address, %admin_address, "allocator is ready");
        let task = tokio::spawn(async move {
            let (server, admin) = (tokio::spawn(server), tokio::spawn(admin));
            let signal = shutdown.clone();
            let unready = tokio::spawn(async move {
                signal.wait().await;
                ready.set(false);
            });
            let led = leading.await;
            // Leading ends at shutdown, or by a fault; either way nothing works without it.
            shutdown.trigger();
            servers_end.cancel();
            unready.await.ok();
            let server_end = tokio::time::timeout(CLOSE_PATIENCE, server).await;
            let admin_end = tokio::time::timeout(CLOSE_PATIENCE, admin).await;
            led?;
            if let Ok(ended) = server_end {
                ended.map_err(|e| failed("gRPC server", &e))?.map_err(|e| failed("gRPC server", &e))?;
            }
            if let Ok(ended) = admin_end {
                ended.map_err(|e| failed("admin port", &e))?.map_err(|e| failed("admin port", &e))?;
            }
            Ok(())
        });
        Running { address, admin_address, handle: Handle::new(office), task }
    }
}
