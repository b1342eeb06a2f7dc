//! Starting and stopping: everything is wired here, in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::token::{ALLOCATOR_AUDIENCE, MATCHMAKER_AUDIENCE};
use serde::Serialize;
use service::admin::Admin;
use service::token::with_token;
use service::{BindError, Listener, Shutdown};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tonic::service::interceptor::InterceptedService;

use crate::admin as operators;
use crate::admission::{self, Gate};
use crate::api;
use crate::app::{App, Shared};
use crate::auth::AccessTokens;
use crate::config::Config;
use crate::connections::{BoundedListener, Peer};
use crate::core::session::RefreshSecret;
use crate::db::OpenError;
use crate::economy;
use crate::events::{self, EventsError};
use crate::gamemesh::{self, GameMesh};
use crate::gateway::fanout::Fanout;
use crate::gateway::hub::Hub;
use crate::gateway::register::Register;
use crate::gateway::tls::Certificate;
use crate::gateway::ws_ticket::WsTickets;
use crate::gateway::{CertificateError, relay, sweep, tcp};
use crate::idempotency::InFlight;
use crate::identity::keyring::Keyring;
use crate::identity::{self, Identity, IdentityError};
use crate::keys::AllocatorKeys;
use crate::kv::Kv;
use crate::limits::Buckets;
use crate::live::{self, Live};
use crate::matches::Matches;
use crate::metrics;
use crate::outgoing::Outgoing;
use crate::privacy::{self, Privacy};
use crate::problem::Problem;
use crate::progression::{self, ProgressionError};
use crate::ranks::{self, Ranks};
use crate::redis::{Redis, RedisUrlError};
use crate::results::Results;
use crate::rules::{self, HookAddress, Hooks};
use crate::social::Social;
use crate::store::telemetry::TelemetryLog;
use crate::store::{Stats, Store, StoreError};
use crate::stripe::{self, Stripe};
use crate::telemetry::Intake;
use crate::tickets::Tickets;
use crate::upstream::Upstream;
use crate::vault::Vault;
use crate::webhooks::{self, Desks, EndpointStatus};

/// How long requests that are under way at shutdown may take.
const DRAIN: Duration = Duration::from_secs(8);
/// How often expired sessions are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(15 * 60);

/// Why metagame does not start. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The database was opened and cannot be read.
    #[error("cannot read the database: {0}")]
    Read(#[from] StoreError),
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] service::key::KeyError),
    /// The database's personal data is sealed under another key file.
    #[error(
        "the personal data in the database is sealed under the key file {bound}, and {path} is {found}: restore the key \
         file that belongs to this database"
    )]
    Vault {
        /// The file.
        path: PathBuf,
        /// Name of its key.
        found: String,
        /// Name of the key to which the database is bound.
        bound: String,
    },
    /// What logins need cannot start.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The address of matchmaker or allocator is not one.
    #[error("the address of the {peer}: {error}")]
    Address {
        /// Which of them.
        peer: &'static str,
        /// What is wrong with it.
        error: service::grpc::AddressError,
    },
    /// Webhooks cannot start.
    #[error(transparent)]
    Webhooks(#[from] webhooks::StartFault),
    /// The address of Redis is not one.
    #[error(transparent)]
    Redis(#[from] RedisUrlError),
    /// The catalog cannot be used.
    #[error(transparent)]
    Catalog(#[from] economy::CatalogError),
    /// The gateway's certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The rules of progression cannot be used.
    #[error(transparent)]
    Progression(#[from] ProgressionError),
    /// A hook cannot be called.
    #[error(transparent)]
    Hook(#[from] HookAddress),
    /// Events cannot be relayed.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// Events and settings cannot be published.
    #[error(transparent)]
    Live(#[from] live::LiveError),
}

/// Why metagame ended other than by shutdown.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A listener failed.
    #[error("the {0} port failed: {1}")]
    Listener(&'static str, std::io::Error),
    /// A task panicked; the log has the cause.
    #[error("a task of metagame failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A metagame that runs.
#[derive(Debug)]
pub struct Running {
    /// Where the API is.
    pub address: SocketAddr,
    /// Where the admin port is.
    pub admin_address: SocketAddr,
    /// Where the gateway's own port is, if it has one.
    pub gateway_address: Option<SocketAddr>,
    store: Store,
    shutdown: Shutdown,
    servers: Vec<(&'static str, JoinHandle<std::io::Result<()>>)>,
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Waits for shutdown, then for the requests under way, then closes the database.
    ///
    /// # Errors
    /// If a part ended by itself.
    pub async fn wait(self) -> Result<(), ServeError> {
        let mut outcome = Ok(());
        for (what, server) in self.servers {
            let aborter = server.abort_handle();
            let drained = async {
                self.shutdown.wait().await;
                tokio::time::sleep(DRAIN).await;
            };
            let ended = tokio::select! {
                ended = server => ended,
                () = drained => {
                    tracing::warn!(what, "requests were still under way 8 s after shutdown; they are cut");
                    aborter.abort();
                    continue;
                }
            };
            // One port that fails takes the others with it.
            self.shutdown.trigger();
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => outcome = Err(ServeError::Listener(what, error)),
                Err(error) => outcome = Err(error.into()),
            }
        }
        for worker in self.workers {
            if let Err(error) = worker.await {
                outcome = Err(error.into());
            }
        }
        self.store.close().await;
        outcome
    }
}

/// Runs metagame until shutdown.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), ServeError> {
    start(config, shutdown).await?.wait().await
}

/// Starts metagame: it answers once this returns.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, shutdown: Shutdown) -> Result<Running, StartError> {
    let api = Listener::bind(config.api_address, "metagame API").await?;
    let admin_listener = Listener::bind(config.admin_address, "metagame admin").await?;
    let (address, admin_address) = (api.local_addr(), admin_listener.local_addr());
    let (gateway, certificate) = bind_gateway(&config).await?;
    let gateway_address = gateway.as_ref().map(Listener::local_addr);
    let store = Store::open(&config.database, config.limits.database).await?;
    let store = store.with_catalog(Arc::clone(&config.parts.economy.catalog));
    economy::keep_catalog(&store, &config.parts.economy.catalog).await?;
    progression::keep(&store, &config.parts.progression).await?;
    // Installs the recorder, so it comes before the first metric.
    let admin = Admin::new("metagame");
    metrics::describe();
    let redis = redis(&config, &store).await?;
    let (desks, tellers) = Desks::start(&config.webhooks, store.clone(), &shutdown).await?;
    let relays =
        events::start(config.parts.events.as_ref(), &config.webhooks, &store, redis.as_ref(), &shutdown).await?;
    let (boards, patience) = (Arc::clone(&config.parts.boards), config.limits.database.patience);
    let (ranks, ranking) = Ranks::start(&store, boards, redis.clone(), patience, &shutdown);
    let hub = Arc::new(Hub::new(config.parts.gateway.clone()));
    let (fanout, relaying) = relay::open(&hub, redis.as_ref());
    let collections = Arc::clone(&config.parts.collections);
    let (kv, kv_writer) = Kv::start(store.clone(), collections, patience, &shutdown);
    let app = assemble(&config, &store, (redis, ranks, kv), (hub, fanout), desks, &shutdown).await?;

    let mut workers = vec![
        tokio::spawn(Arc::clone(&app.tickets).follow(shutdown.clone())),
        tokio::spawn(Arc::clone(&app.tickets).cancel_outgrown(Arc::clone(&app.social.party_changed), shutdown.clone())),
        tokio::spawn(sweep::look_after(app.clone(), shutdown.clone())),
        tokio::spawn(Arc::clone(&app.matches).follow(shutdown.clone())),
        tokio::spawn(Arc::clone(&app.gate).follow(shutdown.clone())),
        tokio::spawn(prune(app.store.clone(), shutdown.clone())),
        tokio::spawn(Arc::clone(&app.live).follow(shutdown.clone())),
        tokio::spawn(economy::seal(app.store.clone(), shutdown.clone())),
        tokio::spawn(progression::archive(app.store.clone(), Arc::clone(&app.progression), shutdown.clone())),
    ];
    workers.extend(tellers);
    workers.extend(relays);
    workers.push(tokio::spawn(app.access.keyring().clone().run(shutdown.clone())));
    workers.push(tokio::spawn(Arc::clone(&app.identity.revoked).run(store.clone(), shutdown.clone())));
    workers.extend(app.identity.postman_task().map(|postman| tokio::spawn(postman.run(shutdown.clone()))));
    workers.extend(ranking);
    let asking = app.stripe.clone().map(|stripe| stripe::reconcile::run(stripe, store.clone(), shutdown.clone()));
    workers.extend(asking.map(tokio::spawn));
    let catching = app.stripe.clone().map(|stripe| stripe::catch_up::run(stripe, store.clone(), shutdown.clone()));
    workers.extend(catching.map(tokio::spawn));
    let counting = app.stripe.is_some().then(|| stripe::health::run(store.clone(), shutdown.clone()));
    workers.extend(counting.map(tokio::spawn));
    workers.extend(relaying.map(|relay| tokio::spawn(relay.run(shutdown.clone()))));
    workers.extend(certificate.clone().map(|certificate| tokio::spawn(certificate.follow(shutdown.clone()))));
    let tls = certificate.map(|certificate| TlsAcceptor::from(certificate.server_config()));
    workers.extend(gateway.map(|listener| tokio::spawn(tcp::serve(app.clone(), listener, tls))));
    workers.push(kv_writer);
    workers.extend(app.telemetry.start(&shutdown));
    workers.extend(gamemesh::start(&app, &shutdown));
    workers.push(tokio::spawn(privacy::go_on_erasing(app.clone(), shutdown.clone())));
    let listener = BoundedListener::new(api.into_tokio(), config.limits.connections_max);
    let service = api::router(app.clone(), config.parts.roles).into_make_service_with_connect_info::<Peer>();
    let stop = shutdown.wait_owned();
    let api = tokio::spawn(async move { axum::serve(listener, service).with_graceful_shutdown(stop).await });
    let ready = admin.ready_flag();
    let admin = tokio::spawn(admin.route(admin_routes(app)).serve(admin_listener, shutdown.clone()));
    ready.set(true);
    tracing::info!(api = %address, admin = %admin_address, database = %config.database, "metagame is ready");
    let servers = vec![("metagame API", api), ("metagame admin", admin)];
    Ok(Running { address, admin_address, gateway_address, store, shutdown, servers, workers })
}

/// The gateway's own port, and what it shows.
async fn bind_gateway(config: &Config) -> Result<(Option<Listener>, Option<Arc<Certificate>>), StartError> {
    let settings = config.parts.gateway.tcp.as_ref().filter(|_| config.parts.roles.gateway);
    let Some(settings) = settings else { return Ok((None, None)) };
    let certificate = settings.certificate.as_ref().map(Certificate::open).transpose()?;
    let listener = Listener::bind(settings.address, "metagame gateway").await?;
    tracing::info!(gateway = %listener.local_addr(), tls = certificate.is_some(), "the gateway has a port of its own");
    Ok((Some(listener), certificate))
}

/// The way to Redis, which need not be there now.
async fn redis(config: &Config, store: &Store) -> Result<Option<Redis>, StartError> {
    let Some(url) = &config.parts.redis else { return Ok(None) };
    let namespace = store.installation(hex::encode(service::random::bytes::<8>())).await?;
    tracing::info!(redis = %url, namespace, "redis keeps what can be rebuilt");
    Ok(Some(Redis::new(url, &namespace)?))
}

async fn assemble(
    config: &Config,
    store: &Store,
    (redis, ranks, kv): (Option<Redis>, Ranks, Kv),
    (hub, fanout): (Arc<Hub>, Arc<dyn Fanout>),
    webhooks: Desks,
    shutdown: &Shutdown,
) -> Result<App, StartError> {
    let store = store.clone();
    // The first key of access tokens, and the secret of refresh tokens: the same for all instances.
    let access_seed = seed(config, &config.access_key_file)?;
    let vault = open_vault(config, &store).await?;
    let outgoing = Outgoing::new(config.parts.outgoing.clone());
    let log = TelemetryLog::of(&config.database, store.database());
    let telemetry = Intake::new(&config.parts.telemetry, log, store.clone(), Arc::clone(&vault));
    let identity = Identity::start(&config.identity, Arc::clone(&vault), &store, &outgoing)?;
    identity.revoked.look(&store).await?;
    let (schedule, look) = (config.identity.rotation, config.identity.rotation_look);
    let keyring = Keyring::open(store.clone(), vault, schedule, look, &access_seed).await?;
    let upstream = |peer, address: &str, audience| -> Result<Upstream, StartError> {
        let channel = service::leader::leader_channel(address).map_err(|error| StartError::Address { peer, error })?;
        Ok(InterceptedService::new(channel, with_token(config.tokens.clone(), audience)))
    };
    let matchmaker = upstream("matchmaker", &config.matchmaker_url, MATCHMAKER_AUDIENCE)?;
    let allocator = upstream("allocator", &config.allocator_url, ALLOCATOR_AUDIENCE)?;
    let gate = Arc::new(Gate::load(store.clone()).await?);
    let keys = Arc::new(AllocatorKeys::load(allocator.clone(), store.clone()).await?);
    let hooks = Hooks::new(&config.parts.live.integrations.hooks, &outgoing)?;
    let live = Arc::new(Live::start(store.clone(), &config.parts.live).await?);
    Ok(App::new(Shared {
        access: AccessTokens::new(keyring),
        identity,
        refresh: RefreshSecret::new(&access_seed),
        progression: Arc::clone(&config.parts.progression),
        limits: config.limits,
        tickets: Arc::new(Tickets::new(
            matchmaker,
            store.clone(),
            Arc::clone(&gate),
            config.limits.subscribers_max,
            Arc::clone(&hub),
        )),
        gate,
        matches: Arc::new(Matches::new(allocator, store.clone(), Arc::clone(&keys))),
        results: Results::new(store.clone(), keys, Arc::clone(&config.parts.progression)),
        webhooks,
        stripe: config.parts.economy.stripe.clone().map(|settings| Stripe::new(settings, &outgoing)),
        in_flight: InFlight::default(),
        ranks,
        kv,
        privacy: Privacy::default(),
        servers: config.servers.clone(),
        social: Social::new(fanout),
        register: Register::new(redis.clone(), config.parts.gateway.pulse.grace_ms),
        ws_tickets: WsTickets::new(redis.clone()),
        telemetry,
        hooks,
        live,
        gamemesh: config.parts.gamemesh.clone().map(GameMesh::new),
        hub,
        requests: Semaphore::new(config.limits.requests_max.clamp(1, Semaphore::MAX_PERMITS)),
        shutdown: shutdown.clone(),
        by_address: Mutex::new(Buckets::new(config.limits.per_address)),
        by_account: Mutex::new(Buckets::new(config.limits.per_account)),
        store,
    }))
}

/// The vault, if it is the one to which the database is bound.
async fn open_vault(config: &Config, store: &Store) -> Result<Arc<Vault>, StartError> {
    let vault = Vault::new(&seed(config, &config.vault_key_file)?);
    let bound = store.bind_vault(&vault).await?;
    if bound != vault.name() {
        return Err(StartError::Vault { path: config.vault_key_file.clone(), found: vault.name().to_owned(), bound });
    }
    Ok(Arc::new(vault))
}

/// The secret bytes in a key file.
fn seed(config: &Config, path: &Path) -> Result<[u8; 32], StartError> {
    let seed = if config.access_key_mounted { service::key::seed_mounted(path)? } else { service::key::seed(path)? };
    Ok(seed)
}

fn admin_routes(app: App) -> Router {
    #[derive(Serialize)]
    struct Answer {
        #[serde(flatten)]
        stats: Stats,
        webhooks: Vec<EndpointStatus>,
    }
    async fn stats(State(app): State<App>) -> Result<Json<Answer>, Problem> {
        let webhooks = app.webhooks.status(service::clock::unix_ms()).await?;
        Ok(Json(Answer { stats: app.store.stats().await?, webhooks }))
    }
    Router::new()
        .route("/stats", get(stats))
        .merge(admission::routes())
        .merge(webhooks::routes())
        .merge(events::routes())
        .merge(ranks::admin::routes())
        .merge(identity::admin::routes())
        .merge(live::admin::routes())
        .merge(rules::admin::routes())
        .merge(operators::routes())
        .route("/matches/{id}", get(api::matches::get_any))
        .route("/grants", post(api::wallet::operator_grant))
        .layer(axum::middleware::from_fn(operators::with_request_id))
        .with_state(app)
}

async fn prune(store: Store, shutdown: Shutdown) {
    loop {
        match store.prune(service::clock::unix_ms()).await {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(sessions, "expired sessions removed"),
            Err(error) => tracing::warn!(%error, "cannot remove expired sessions; trying again later"),
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
    }
}
