//! Putting an agent together: a table of contents.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agones::sdk::HealthTask;
use agones::{HealthGate, Sdk};
use protocol::id::ServerId;
use protocol::jwt::SigningKey;
use protocol::pb;
use service::admin::Admin;
use service::{BindError, Listener, Shutdown};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::book::Book;
use super::config::AgentConfig;
use super::desk::Desk;
use super::{game_process, http};
use crate::control::dial;
use crate::handshake_worker::TokenKeys;
use crate::host::{Ears, Host, HostParts};
use crate::lifecycle::{self, HEALTH_PERIOD, Want};
use crate::result::Courier;
use crate::room_link::Directory;
use crate::server::{Ground, NEWS_MAX, RunError};

/// Why an agent does not start, or ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// As for every game server.
    #[error(transparent)]
    Server(#[from] RunError),
    /// A port could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No port is free for the game.
    #[error("no UDP port for the game at {bind}: {error}")]
    Port {
        /// Where it was looked for.
        bind: SocketAddr,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The game cannot be started.
    #[error("cannot start the game, {command}: {error}")]
    Game {
        /// Its command line.
        command: String,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The game was never heard.
    #[error("{0}; it must POST /health to the agent once it is loaded, or run the agent with --heard-within=off")]
    NeverHeard(String),
}

/// An agent that runs.
#[derive(Debug)]
pub struct Running {
    /// Incarnation of this process: the audience of its join tokens.
    pub server_id: ServerId,
    /// Where the game finds it.
    pub http: SocketAddr,
    /// The bound admin address.
    pub admin: SocketAddr,
    /// Where clients are told to go.
    pub address: String,
    host: JoinHandle<Result<(), AgentError>>,
    game: JoinHandle<()>,
    helpers: Shutdown,
    _health: HealthTask,
}

impl Running {
    /// Waits until the agent has drained, retired, or lost its game, and ends a game that it has started.
    ///
    /// # Errors
    /// [`AgentError::NeverHeard`].
    pub async fn wait(self) -> Result<(), AgentError> {
        let ended = self.host.await;
        self.helpers.trigger();
        if self.game.await.is_err() {
            tracing::error!("the watch over the game failed");
        }
        tracing::info!("agent ended");
        ended.unwrap_or_else(|error| {
            tracing::error!(%error, "the host failed");
            Ok(())
        })
    }
}

/// Starts an agent, and its game where that is asked for. It drains at `shutdown`, and at once at `hurry`.
///
/// # Errors
/// [`AgentError`]; nothing keeps running then.
pub async fn start(config: AgentConfig, shutdown: Shutdown, hurry: Shutdown) -> Result<Running, AgentError> {
    // The recorder first: without one the descriptions would go nowhere.
    service::admin::recorder();
    crate::metrics::describe();
    let bind = game_address(&config)?;
    let ground = Ground::prepare(&config.server, bind).await?;
    let listener = Listener::bind(config.listen, "agent HTTP").await?;
    let (http, admin_address, address) = (listener.local_addr(), ground.admin.local_addr(), ground.address.clone());
    let server_id = ServerId::from_entropy(service::random::bytes());
    let result_key = Arc::new(SigningKey::from_seed(&service::random::bytes()));
    let identity = pb::Register {
        server_id: server_id.to_string(),
        result_key: result_key.public_key().to_vec(),
        transport: pb::Transport::Foreign.into(),
        joinable_within_ms: u32::try_from(config.joinable_within.as_millis()).unwrap_or(u32::MAX),
        ..ground.identity(&config.server)
    };
    let (notices, notice_receiver) = mpsc::unbounded_channel();
    let (players, player_receiver) = mpsc::channel(NEWS_MAX);
    let keys = TokenKeys::default();
    let book = Book::new(&config.server.fleet, config.server.tick_rate_hz);
    let desk = Desk::new(book, server_id, keys.clone(), notices, players);
    let helpers = Shutdown::new();
    serve(listener, &desk, &helpers);
    // Without rooms of its own it shows none: the console then knows that it answers.
    let admin = Admin::new("agent").route(crate::watch::routes(Directory::default()));
    let ready = admin.ready_flag();
    tokio::spawn(admin.serve(ground.admin, helpers.clone()));
    let process = config.game.as_ref().map(|game| game_process::start(game, bind, http)).transpose();
    let process = process.map_err(|error| {
        helpers.trigger();
        let command = config.game.iter().flat_map(|game| game.words.clone()).collect::<Vec<_>>().join(" ");
        AgentError::Game { command, error }
    })?;
    let health = start_health(&ground.sdk, desk.clone(), &config);
    let (want, wants) = watch::channel(Want::Pool);
    let parts = HostParts {
        identity,
        capacity: config.server.capacity,
        join_deadline: config.server.join_deadline,
        drain_deadline: config.server.drain_deadline,
        leave_after: config.server.leave_after,
        stage: Box::new(desk.clone()),
        keys,
        observed: ground.sdk.observed(),
        want,
        result_key,
        courier: Courier::new(&config.server.metagame),
        spool: ground.spool,
        ready,
    };
    let game = tokio::spawn(game_process::watch(desk.clone(), process, config.heard_within, helpers.clone()));
    let (allocator, sdk, ends) = (ground.allocator, ground.sdk, helpers.clone());
    let host = tokio::spawn(async move {
        tracing::info!(%http, "waiting for the game");
        if !is_loaded(&desk, &config, &shutdown).await? {
            return Ok(());
        }
        let (link, link_receiver) = mpsc::channel(dial::MESSAGES_MAX);
        tokio::spawn(dial::dial(allocator, link, ends));
        tokio::spawn(lifecycle::follow(sdk, wants));
        let ears = Ears { link: link_receiver, notices: notice_receiver, players: player_receiver, shutdown, hurry };
        Host::new(parts).run(ears).await;
        Ok(())
    });
    tracing::info!(%server_id, address, %http, admin = %admin_address, "agent started");
    Ok(Running { server_id, http, admin: admin_address, address, host, game, helpers, _health: health })
}

/// Where the game listens for clients. One that runs already and whose address Agones or a setting tells may be anywhere.
fn game_address(config: &AgentConfig) -> Result<SocketAddr, AgentError> {
    let bind = config.server.bind;
    match &config.game {
        Some(_) => game_process::choose_port(bind).map_err(|error| AgentError::Port { bind, error }),
        None if bind.port() == 0 => Ok(SocketAddr::from(([0, 0, 0, 0], 0))),
        None => Ok(bind),
    }
}

/// Serves the game until `helpers` is triggered.
fn serve(listener: Listener, desk: &Desk, helpers: &Shutdown) {
    let served = axum::serve(listener.into_tokio(), http::router(desk.clone(), helpers.clone()));
    tokio::spawn(served.with_graceful_shutdown(helpers.wait_owned()).into_future());
}

/// Waits until the game is loaded; false if the agent is told to end before.
async fn is_loaded(desk: &Desk, config: &AgentConfig, shutdown: &Shutdown) -> Result<bool, AgentError> {
    let loaded = async {
        loop {
            let (cursor, gone, is_heard) =
                desk.read(|book, _| (book.cursor(), book.gone().map(str::to_owned), book.heard_at_ms().is_some()));
            if let Some(why) = gone {
                return Err(AgentError::NeverHeard(format!("{why}, before it was heard")));
            }
            if is_heard || config.heard_within.is_none() {
                return Ok(());
            }
            desk.changed(cursor).await;
        }
    };
    tokio::select! {
        loaded = tokio::time::timeout(config.start_within, loaded) => match loaded {
            Ok(loaded) => loaded.map(|()| true),
            Err(_) => {
                let within_s = config.start_within.as_secs();
                Err(AgentError::NeverHeard(format!("the game was not heard within {within_s} s")))
            }
        },
        () = shutdown.wait() => Ok(false),
    }
}

/// Health in Agones: while the game loads, for as long as it may; then while it is heard.
fn start_health(sdk: &Sdk, desk: Desk, config: &AgentConfig) -> HealthTask {
    let (heard_within, start_within, began) = (config.heard_within, config.start_within, Instant::now());
    let is_alive = move || {
        if desk.read(|book, _| book.gone().is_some()) {
            return false;
        }
        let Some(within) = heard_within else { return true };
        game_process::silence(&desk).map_or_else(|| began.elapsed() < start_within, |silent: Duration| silent < within)
    };
    sdk.start_health(HEALTH_PERIOD, HealthGate::new(is_alive))
}
