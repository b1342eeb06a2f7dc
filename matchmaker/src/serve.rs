//! Starts the matchmaker, runs it until the shutdown signal, and lets it drain.

use std::net::SocketAddr;
use std::time::Duration;

use protocol::pb::matchmaker_server::MatchmakerServer;
use protocol::token::MATCHMAKER_AUDIENCE;
use service::admin::Admin;
use service::token::require;
use service::{BindError, Listener, Shutdown};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

use crate::actor::{Actor, Clock};
use crate::api::{Api, CALLERS};
use crate::core::events::EventLog;
use crate::core::matchmaker::Matchmaker;
use crate::kubernetes::follow;
use crate::metrics;
use crate::placement::Placer;
use crate::queue_watch::QueueWatch;
use crate::watch::SharedLog;
use crate::{Config, QueueSource, Queues};

/// Ticket events that are kept for watchers that resume.
const EVENTS_MAX: usize = 65_536;
/// Largest request in bytes; a full ticket has about 12 KiB.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How long open streams may take to end after everything is drained.
const STREAMS_END: Duration = Duration::from_secs(3);
/// A dead watcher is noticed after this much silence twice.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The matchmaker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The allocator's address is none.
    #[error("the allocator's address: {0}")]
    Allocator(#[from] service::grpc::AddressError),
}

/// The matchmaker could not start, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// gRPC broke off.
    #[error("the matchmaker's gRPC server ended: {0}")]
    Grpc(String),
    /// The task that owns the queues broke off.
    #[error("the matchmaker's queues broke off: {0}")]
    Queues(String),
}

/// A matchmaker that runs.
#[derive(Debug)]
pub struct Running {
    /// Where gRPC is served.
    pub address: SocketAddr,
    /// Where the admin port is.
    pub admin_address: SocketAddr,
    shutdown: Shutdown,
    drained: Shutdown,
    actor: JoinHandle<()>,
    /// Watches MatchQueues, where there are any.
    follower: Option<JoinHandle<()>>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    admin_task: JoinHandle<std::io::Result<()>>,
}

/// Binds both ports and starts to work.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(config: Config, shutdown: Shutdown) -> Result<Running, StartError> {
    let allocator = service::leader::leader_channel(&config.allocator)?;
    let grpc = Listener::bind(config.listen, "matchmaker gRPC").await?;
    let admin_port = Listener::bind(config.admin, "matchmaker admin").await?;
    let (address, admin_address) = (grpc.local_addr(), admin_port.local_addr());
    let admin = Admin::new("matchmaker");
    metrics::describe();
    let ready = admin.ready_flag();

    let clock = Clock::start();
    // A thousand events per millisecond would have to pass for two logs' cursors to overlap.
    let first_cursor = clock.now_ms() * 1_000;
    let log_id = uuid::Uuid::from_bytes(service::random::bytes()).simple().to_string();
    let log = SharedLog::new(EventLog::new(log_id, first_cursor, EVENTS_MAX));
    let (queues, watched) = match config.queues {
        QueueSource::Given(queues) => (queues, None),
        QueueSource::Kubernetes { client, namespaces } => (Queues::of(Vec::new()), Some((client, namespaces))),
    };
    let (changes, changed) = watch::channel(());
    let actor = Actor {
        core: Matchmaker::new(&queues, first_cursor, clock.now_ms()),
        faults: Vec::new(),
        clock,
        log: log.clone(),
        changes,
        placer: Placer::new(allocator, config.tokens, shutdown.clone()),
        ready: ready.clone(),
        drain: config.drain,
    };
    let (handle, actor) = actor.spawn(shutdown.clone());

    let pictures = QueueWatch::new(handle.clone(), changed);
    let api = MatchmakerServer::new(Api { actor: handle.clone(), log, pictures })
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let drained = Shutdown::new();
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(InterceptedService::new(api, require(config.callers, MATCHMAKER_AUDIENCE, CALLERS)))
        .serve_with_incoming_shutdown(grpc.into_incoming(), drained.wait_owned());
    let server = tokio::spawn(server);
    let admin_task = tokio::spawn(admin.serve(admin_port, drained.clone()));
    let follower = if let Some((client, namespaces)) = watched {
        tracing::info!(address = %address, admin = %admin_address, ?namespaces, "matchmaker reads its MatchQueues");
        Some(tokio::spawn(follow(client, namespaces, handle, ready, shutdown.clone())))
    } else {
        ready.set(true);
        tracing::info!(address = %address, admin = %admin_address, allocator = config.allocator, "matchmaker is ready");
        None
    };
    Ok(Running { address, admin_address, shutdown, drained, actor, follower, server, admin_task })
}

impl Running {
    /// Runs until the shutdown signal and drains: no more tickets, matches that are being placed finish.
    ///
    /// # Errors
    /// [`ServeError`] if a part broke off; the others are stopped.
    pub async fn wait(self) -> Result<(), ServeError> {
        let Self { shutdown, drained, mut actor, mut follower, mut server, admin_task, .. } = self;
        let result = tokio::select! {
            ended = &mut actor => ended.map_err(|error| ServeError::Queues(error.to_string())),
            // It ends well only after the shutdown signal.
            Err(error) = ended(&mut follower) => Err(ServeError::Queues(error.to_string())),
            ended = &mut server => {
                let why = match ended {
                    Ok(Ok(())) => "without a reason".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                Err(ServeError::Grpc(why))
            }
        };
        shutdown.trigger();
        drained.trigger();
        if result.is_ok() && tokio::time::timeout(STREAMS_END, &mut server).await.is_err() {
            tracing::warn!("streams were still open at the end");
        }
        actor.abort();
        follower.iter().for_each(JoinHandle::abort);
        server.abort();
        admin_task.abort();
        tracing::info!("matchmaker has ended");
        result
    }
}

async fn ended(task: &mut Option<JoinHandle<()>>) -> Result<(), JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// [`start`]s the matchmaker and [`wait`](Running::wait)s for its end.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), ServeError> {
    start(config, shutdown).await?.wait().await
}
