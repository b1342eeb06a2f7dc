//! Putting a game server together: a table of contents.
//!
//! Threads: one for the UDP port, one for handshakes, one per room; everything else are tasks of the caller's runtime.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agones::sdk::HealthTask;
use agones::{Observed, Sdk};
use game::Game;
use netcode::Entropy;
use netcode::endpoint::{QuicConfigError, QuicServerConfig, ServerConfig, ServerEndpoint};
use protocol::id::ServerId;
use protocol::jwt::SigningKey;
use protocol::pb;
use protocol::pb::control_link_client::ControlLinkClient;
use protocol::token::ALLOCATOR_AUDIENCE;
use service::admin::Admin;
use service::token::{ServiceTokens, with_token};
use service::{BindError, Listener, Shutdown};
use tokio::sync::{mpsc, watch};

use crate::certificate::Certificate;
use crate::config::{Config, Credential};
use crate::control::dial;
use crate::handshake_worker::{Doorkeeper, HandshakeWorker, TokenKeys};
use crate::host::{Ears, Host, HostParts};
use crate::io_thread::{self, IoCommand, IoHandle, IoParts};
use crate::lifecycle::{self, Pulse, Want};
use crate::result::Courier;
use crate::room_link::Directory;
use crate::room_thread::{self, RoomOrder, RoomShell};
use crate::rooms::PLAYERS_MAX;
use crate::socket::GameSocket;
use crate::spool::Spool;
use crate::stage::Rooms;

/// How long the SDK server may take to show the GameServer for the first time.
const SDK_PATIENCE: Duration = Duration::from_secs(30);
/// Handshakes at once that have no session yet.
const HALF_OPEN_MAX: usize = 256;
/// News of players that wait for the host.
pub(crate) const NEWS_MAX: usize = 1_024;

/// Why a game server did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The service key cannot be used.
    #[error(transparent)]
    Key(#[from] service::key::KeyError),
    /// The spool folder cannot be used.
    #[error("cannot use the spool folder {folder}: {error}; choose a folder that this user may write")]
    Spool {
        /// The folder.
        folder: std::path::PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The allocator's URL is none.
    #[error("--allocator: {0}")]
    Allocator(#[from] service::grpc::AddressError),
    /// The SDK server's address is none.
    #[error("Agones SDK: {0}")]
    Sdk(#[from] agones::sdk::ConnectError),
    /// The SDK server does not answer, or names no address.
    #[error(
        "the Agones SDK server does not tell this server's address within {} s; is the sidecar running? Or set --advertise",
        SDK_PATIENCE.as_secs()
    )]
    NoAddress,
    /// The game's schema is faulty.
    #[error("the game's schema is faulty: {0}")]
    Schema(protocol::schema::SchemaError),
    /// No QUIC certificate can be made.
    #[error("cannot make the QUIC certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// QUIC cannot be set up.
    #[error(transparent)]
    Quic(#[from] QuicConfigError),
    /// The system refuses a thread or a descriptor.
    #[error("the system refuses what a game server needs: {0}")]
    System(#[from] std::io::Error),
}

/// A game server that runs.
#[derive(Debug)]
pub struct Running {
    /// Incarnation of this process: the audience of its join tokens.
    pub server_id: ServerId,
    /// The bound UDP address.
    pub udp: SocketAddr,
    /// The bound admin address.
    pub admin: SocketAddr,
    /// Where clients are told to go.
    pub address: String,
    /// Public key for the handshake.
    pub server_key: [u8; 32],
    /// Public key that signs results.
    pub result_key: [u8; 32],
    host: tokio::task::JoinHandle<()>,
    io: IoHandle,
    io_thread: JoinHandle<()>,
    helpers: Shutdown,
    _health: HealthTask,
}

impl Running {
    /// Waits until the server has drained or retired, and closes what is left.
    pub async fn wait(self) {
        if let Err(error) = self.host.await {
            tracing::error!(%error, "the host failed");
        }
        self.helpers.trigger();
        self.io.send(IoCommand::Stop);
        let joined = tokio::task::spawn_blocking(move || self.io_thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the I/O thread failed");
        }
        tracing::info!("game server ended");
    }
}

/// Starts a game server for the game `G`. It drains at `shutdown`, and at once at `hurry`.
///
/// # Errors
/// [`RunError`]; nothing keeps running then.
pub async fn start<G: Game>(config: Config, shutdown: Shutdown, hurry: Shutdown) -> Result<Running, RunError> {
    // The recorder first: without one the descriptions would go nowhere.
    service::admin::recorder();
    crate::metrics::describe();
    let schema = G::schema();
    schema.validate().map_err(RunError::Schema)?;
    let socket = GameSocket::bind(config.bind)?;
    let ground = Ground::prepare(&config, socket.local_addr()).await?;
    let (udp, admin_address) = (socket.local_addr(), ground.admin.local_addr());
    let server_id = ServerId::from_entropy(service::random::bytes());
    let result_key = Arc::new(SigningKey::from_seed(&service::random::bytes()));
    let certificate = Certificate::make(service::clock::unix_s())?;
    crate::metrics::certificate_expires(certificate.expires_unix_s);
    let endpoint = endpoint(&config, server_id, schema.hash(), &certificate)?;
    let server_key = endpoint.public_key();
    let identity = pb::Register {
        server_id: server_id.to_string(),
        server_key: server_key.to_vec(),
        quic_fingerprints: vec![certificate.fingerprint.to_vec()],
        result_key: result_key.public_key().to_vec(),
        schema_hash: schema.hash(),
        ..ground.identity(&config)
    };

    let (notices, notice_receiver) = mpsc::unbounded_channel();
    let (players, player_receiver) = mpsc::channel(NEWS_MAX);
    let (directory, keys, pulse) = (Directory::default(), TokenKeys::default(), Pulse::default());
    let doorkeeper = Doorkeeper { server: server_id, keys: keys.clone(), directory: directory.clone() };
    let io_pulse = Arc::new(AtomicU64::new(0));
    pulse.add(&io_pulse);
    let io_parts = IoParts { socket, endpoint, pulse: io_pulse, notices: notices.clone(), players };
    let (io, io_thread) = io_thread::start(io_parts, |waker| HandshakeWorker::start(doorkeeper, waker))?;
    let shell = RoomShell { io: io.clone(), directory: directory.clone(), notices, pulse: pulse.clone() };

    let admin = Admin::new("gameserver").route(crate::watch::routes(directory.clone()));
    let helpers = Shutdown::new();
    let health = lifecycle::start_health(&ground.sdk, pulse);
    let (want, wants) = watch::channel(Want::Pool);
    let start_room = Box::new(move |order: RoomOrder| room_thread::start::<G>(order, shell.clone()));
    let stage = Rooms { start_room, io: io.clone(), directory };
    let parts = HostParts {
        identity,
        capacity: config.capacity,
        join_deadline: config.join_deadline,
        drain_deadline: config.drain_deadline,
        leave_after: config.leave_after,
        stage: Box::new(stage),
        keys,
        observed: ground.sdk.observed(),
        want,
        result_key: result_key.clone(),
        courier: Courier::new(&config.metagame),
        spool: ground.spool,
        ready: admin.ready_flag(),
    };
    let (link, link_receiver) = mpsc::channel(dial::MESSAGES_MAX);
    tokio::spawn(dial::dial(ground.allocator, link, helpers.clone()));
    tokio::spawn(lifecycle::follow(ground.sdk, wants));
    tokio::spawn(admin.serve(ground.admin, helpers.clone()));
    let ears = Ears { link: link_receiver, notices: notice_receiver, players: player_receiver, shutdown, hurry };
    let host = tokio::spawn(Host::new(parts).run(ears));
    let address = ground.address;
    tracing::info!(%server_id, %udp, address, admin = %admin_address, game = schema.game, "game server started");
    let result_key = result_key.public_key();
    let (admin, _health) = (admin_address, health);
    Ok(Running { server_id, udp, admin, address, server_key, result_key, host, io, io_thread, helpers, _health })
}

/// Everything that can refuse: files, ports, addresses.
pub(crate) struct Ground {
    pub(crate) spool: Spool,
    pub(crate) allocator: dial::Client,
    pub(crate) admin: Listener,
    pub(crate) sdk: Sdk,
    /// Name of the GameServer.
    name: String,
    /// Where clients reach it.
    pub(crate) address: String,
}

impl Ground {
    /// Prepares everything for a server whose clients come to `udp`.
    pub(crate) async fn prepare(config: &Config, udp: SocketAddr) -> Result<Self, RunError> {
        let folder = config.spool.clone();
        let spool = Spool::open(&folder).map_err(|error| RunError::Spool { folder, error })?;
        let tokens = match &config.credential {
            Credential::ServiceKey(file) => ServiceTokens::new(Arc::new(service::key::load(file)?), "gameserver"),
            Credential::PodToken(file) => ServiceTokens::in_file(file),
        };
        let tokens = with_token(tokens, ALLOCATOR_AUDIENCE);
        let allocator =
            ControlLinkClient::with_interceptor(service::leader::leader_channel(&config.allocator)?, tokens);
        let admin = Listener::bind(config.admin, "game server admin").await?;
        let sdk = config.sdk.as_deref().map_or_else(|| Ok(Sdk::alone(&config.name)), Sdk::connect)?;
        let server = observed(&sdk).await?;
        let address = advertised(config, &server, udp).ok_or(RunError::NoAddress)?;
        let name = if server.name.is_empty() { config.name.clone() } else { server.name };
        Ok(Self { spool, allocator, admin, sdk, name, address })
    }

    /// What Register says of this server, but for its keys.
    pub(crate) fn identity(&self, config: &Config) -> pb::Register {
        pb::Register {
            name: self.name.clone(),
            build: config.build.clone(),
            region: config.region.clone(),
            fleet: config.fleet.clone(),
            revision: config.revision.clone(),
            capacity: u32::try_from(config.capacity).unwrap_or(u32::MAX),
            address: self.address.clone(),
            admin_address: io_thread::reachable(self.admin.local_addr()).to_string(),
            routing_token: config.routing_token.clone(),
            tick_rate_hz: config.tick_rate_hz,
            ..pb::Register::default()
        }
    }
}

fn endpoint(
    config: &Config,
    server_id: ServerId,
    schema_hash: u64,
    certificate: &Certificate,
) -> Result<ServerEndpoint, QuicConfigError> {
    let endpoint = ServerConfig {
        static_secret: service::random::bytes(),
        routing_token: config.routing_token.clone(),
        server_id,
        schema_hash,
        // Room for every player of every match, and once more while sessions are taken over.
        sessions_max: (config.capacity + 1) * PLAYERS_MAX,
        half_open_max: HALF_OPEN_MAX,
    };
    let Certificate { der, key, .. } = certificate.clone();
    let quic = QuicServerConfig { certificate: der, key, base: Instant::now() };
    ServerEndpoint::new(endpoint, Entropy::new(service::random::bytes())).with_quic(&quic)
}

/// The GameServer as the SDK server shows it first.
async fn observed(sdk: &Sdk) -> Result<Observed, RunError> {
    let mut observed = sdk.observed();
    let shown = tokio::time::timeout(SDK_PATIENCE, observed.wait_for(Option::is_some)).await;
    shown.ok().and_then(Result::ok).and_then(|server| server.clone()).ok_or(RunError::NoAddress)
}

/// Where clients reach this server: as told, as Agones says, or as bound.
fn advertised(config: &Config, server: &Observed, bound: SocketAddr) -> Option<String> {
    if let Some(address) = &config.advertise {
        return Some(address.clone());
    }
    let port = server.ports.first().filter(|_| !server.address.is_empty()).map(|port| port.port);
    match port {
        // A local provider knows the machine's address, and leaves the port to the system.
        Some(0) => Some(format!("{}:{}", server.address, bound.port())),
        Some(port) => Some(format!("{}:{port}", server.address)),
        None if config.sdk.is_none() || !bound.ip().is_unspecified() => Some(io_thread::reachable(bound).to_string()),
        None => None,
    }
}
