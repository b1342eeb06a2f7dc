//! The services as Kubernetes runs them: tokens of service accounts instead of one key, keys from a Secret, several
//! replicas.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use allocator::agones::{Interfaces, Mode, TlsFiles};
use cluster::jwks::{Callers, ClusterTokens};
use matchmaker::QueueSource;
use service::Shutdown;
use tokio_util::sync::CancellationToken;

use crate::cli::{AgonesBackend, AllocatorOptions, MatchmakerOptions, MetagameOptions};
use crate::cluster_options::{client, pod_name};
use crate::exit::Failure;

/// Runs the allocator.
pub(crate) async fn allocator(options: &AllocatorOptions, shutdown: Shutdown) -> Result<(), Failure> {
    let client = client().await?;
    let agones_backend = match options.agones_backend {
        AgonesBackend::Direct => Mode::Direct,
        AgonesBackend::Gameserverallocation => Mode::GameServerAllocation(client.clone()),
    };
    let key = service::key::load_mounted(&options.access.keys.join("allocator.key")).map_err(Failure::setup)?;
    let config = allocator::kubernetes::Config {
        address: options.listen,
        admin_address: options.admin,
        signing_key: Arc::new(key),
        namespace: options.access.namespace(&client),
        client,
        game_namespaces: options.cluster.games.names(),
        pod: pod_name(),
        advertise: options.access.advertise(options.listen),
        callers: options.access.callers.clone(),
        interfaces: interfaces(options),
        agones_backend,
        lease: cluster::lease::Timing::default(),
        timing: allocator::Timing::default(),
        limits: allocator::Limits::default(),
    };
    let (running, _leadership) = allocator::kubernetes::start(config, shutdown).await.map_err(Failure::setup)?;
    running.wait().await.map_err(Failure::run)
}

/// Agones' allocation interfaces, where there are certificates for them.
fn interfaces(options: &AllocatorOptions) -> Option<Interfaces> {
    let folder = options.drop_in_tls.as_ref().filter(|folder| folder.is_dir())?;
    let at = |port| SocketAddr::new(options.listen.ip(), port);
    let (grpc, rest) = (at(options.drop_in_grpc_port), at(options.drop_in_rest_port));
    Some(Interfaces { grpc, rest, tls: TlsFiles::in_folder(folder) })
}

/// Runs the matchmaker.
pub(crate) async fn matchmaker(options: &MatchmakerOptions, shutdown: Shutdown) -> Result<(), Failure> {
    let client = client().await?;
    let end = CancellationToken::new();
    let callers = options.access.callers.clone();
    let callers = ClusterTokens::start(client.clone(), callers, end.clone()).await.map_err(Failure::setup)?;
    let config = matchmaker::Config {
        listen: options.listen,
        admin: options.admin,
        allocator: options.allocator.clone(),
        queues: QueueSource::Kubernetes { client, namespaces: options.cluster.games.names() },
        tokens: options.access.tokens(),
        callers: callers.verifier(),
        drain: Duration::from_secs(options.drain_seconds),
    };
    let running = matchmaker::start(config, shutdown).await.map_err(Failure::setup)?;
    let ended = running.wait().await.map_err(Failure::run);
    end.cancel();
    ended
}

/// Runs metagame: its accounts lie in the data folder, its key in a Secret. Where accounts of servers or operators are named,
/// their tokens are judged by the cluster's keys; otherwise it has nothing to ask of the cluster and does not need it.
pub(crate) async fn metagame(options: &MetagameOptions, shutdown: Shutdown) -> Result<(), Failure> {
    let end = CancellationToken::new();
    let callers = options.access.callers.clone();
    let servers = if callers == Callers::nobody() {
        None
    } else {
        let tokens = ClusterTokens::start(client().await?, callers, end.clone()).await.map_err(Failure::setup)?;
        Some(tokens.verifier())
    };
    let config = metagame::Config {
        api_address: options.listen,
        admin_address: options.admin,
        database: options.database.location(&options.data)?,
        access_key_file: options.access.keys.join("metagame.key"),
        access_key_mounted: true,
        vault_key_file: options.access.keys.join("vault.key"),
        identity: options.identity.read()?.unwrap_or_default(),
        tokens: options.access.tokens(),
        matchmaker_url: options.matchmaker.clone(),
        allocator_url: options.allocator.clone(),
        limits: metagame::Limits::default(),
        webhooks: options.webhooks.read()?,
        servers,
        parts: options.parts.read()?,
    };
    let running = metagame::start(config, shutdown).await.map_err(Failure::setup)?;
    let ended = running.wait().await.map_err(Failure::run);
    end.cancel();
    ended
}
