//! The whole platform in one process, with a fleet of game-server processes beside it: for `up` and `demo`.
//!
//! Start: keys and folder, allocator, matchmaker, metagame, fleet. End, in the order that loses nothing: no new
//! tickets, game servers finish their matches and hand in their results, then allocator and metagame.

mod data;
mod fleet;
mod queue_file;
mod reach;
mod restart;
mod supervised;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agones::local::LocalFleet;
use matchmaker::{QueueSource, Queues};
use service::Shutdown;
use tokio::sync::{Mutex, watch};

pub(crate) use self::data::{ServiceData, next_port};
pub(crate) use self::fleet::config as fleet_config;
pub(crate) use self::queue_file::{demo_queues, queues};
pub(crate) use self::reach::{At, Reach};
use self::supervised::{Part, Supervised};
use crate::exit::Failure;
use crate::played::PlayedGame;

/// How long the matchmaker may take to finish what it is placing.
const PLACING: Duration = Duration::from_secs(15);
/// How long game servers have to end their matches and hand in the results when somebody has lost patience.
const HURRIED: Duration = Duration::from_secs(3);

/// Where the services listen; port 0 lets the system choose. Each admin port is the next one.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) metagame: SocketAddr,
    pub(crate) allocator: SocketAddr,
    pub(crate) matchmaker: SocketAddr,
}

/// Size of the fleet, in processes, and of a process, in matches.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct FleetSize {
    pub(crate) minimum: u32,
    pub(crate) maximum: u32,
    pub(crate) buffer: u32,
    pub(crate) capacity: u32,
}

/// What a platform is given.
#[derive(Debug, Clone)]
pub(crate) struct PlatformConfig {
    /// Where accounts and keys are kept.
    pub(crate) data: PathBuf,
    pub(crate) addresses: Addresses,
    /// Address of this machine that game clients reach.
    pub(crate) advertise: IpAddr,
    pub(crate) queues: Queues,
    /// What the fleet's servers run.
    pub(crate) game: PlayedGame,
    pub(crate) fleet: FleetSize,
    /// Where metagame keeps its data.
    pub(crate) database: metagame::DatabaseLocation,
    /// Who is told of events of matches.
    pub(crate) webhooks: metagame::Webhooks,
    /// How players prove who they are, where somebody has written it down.
    pub(crate) identity: Option<metagame::IdentitySettings>,
    /// What single parts of metagame are given.
    pub(crate) parts: metagame::Parts,
    /// How long running matches may take to finish at the end.
    pub(crate) drain: Duration,
}

/// A running platform.
pub(crate) struct Platform {
    data: ServiceData,
    /// Held while the platform runs: two platforms on one folder would fight over its epoch.
    _locks: [std::fs::File; 2],
    reach: Reach,
    fleet: LocalFleet,
    servers_min: usize,
    servers_max: Arc<AtomicU64>,
    /// Ends the matchmaker.
    queueing: Shutdown,
    /// Ends allocator and metagame.
    serving: Shutdown,
    services: Supervised,
    allocator: Mutex<Part>,
    metagame: Mutex<Part>,
    at: At,
    allocator_admin: SocketAddr,
    database: metagame::DatabaseLocation,
    webhooks: metagame::Webhooks,
    parts: metagame::Parts,
    /// Names of the game servers that there are.
    expected: Arc<watch::Sender<BTreeSet<String>>>,
    /// The allocator that runs now.
    handle: watch::Sender<allocator::Handle>,
}

impl Platform {
    /// Starts everything; returns when the services answer. Game servers register within the next moments.
    pub(crate) async fn start(config: PlatformConfig) -> Result<Self, Failure> {
        let data = ServiceData::open(&config.data)?.with_identity(config.identity);
        let locks = [data.lock("platform")?, data.lock("allocator")?];
        let at = config.addresses;
        let (queueing, serving) = (Shutdown::new(), Shutdown::new());
        let services = Supervised::new();

        let (expected_sender, expected) = watch::channel(BTreeSet::new());
        let allocator_stop = serving.child();
        let allocator = allocator::start(
            allocator::Config { expected: Some(expected), ..data.allocator(at.allocator, next_port(at.allocator))? },
            allocator_stop.clone(),
        );
        let allocator = allocator.await.map_err(Failure::setup)?;
        let allocator_url = format!("http://{}", allocator.address);
        let (handle, handle_now) = watch::channel(allocator.handle());
        let (allocator_at, allocator_admin) = (allocator.address, allocator.admin_address);
        let allocator = services.keep("allocator", allocator_stop, allocator.wait());

        let placing = start_matchmaker(&data, at.matchmaker, &allocator_url, config.queues, &queueing).await?;
        let matchmaker_at = placing.address;
        let matchmaker_url = format!("http://{matchmaker_at}");
        services.keep("matchmaker", queueing.clone(), placing.wait());

        let metagame_stop = serving.child();
        let (metagame_admin, database) = (next_port(at.metagame), config.database.clone());
        let settings = data.metagame(at.metagame, metagame_admin, &allocator_url, &matchmaker_url, database);
        let (webhooks, parts) = (config.webhooks.clone(), config.parts.clone());
        let settings = metagame::Config { webhooks, parts, ..settings };
        let metagame = metagame::start(settings, metagame_stop.clone()).await.map_err(Failure::setup)?;
        let at = At {
            metagame: metagame.address,
            metagame_admin: metagame.admin_address,
            allocator: allocator_at,
            matchmaker: matchmaker_at,
        };
        let metagame = services.keep("metagame", metagame_stop, metagame.wait());

        let reach = Reach::new(&data, at).map_err(Failure::setup)?;
        let urls = [reach.allocator_url.as_str(), &reach.metagame_url];
        let mut fleet_config = fleet::config(&data, &config.game, config.fleet, config.advertise, urls, config.drain);
        fleet_config.retire = Some(fleet::retire(handle_now.clone()));
        let expected = Arc::new(expected_sender);
        let fleet = LocalFleet::start(fleet_config, std::future::pending()).map_err(Failure::setup)?;
        let servers_max = Arc::new(AtomicU64::new(0));
        tokio::spawn(fleet::report(fleet.watch(), handle_now, Arc::clone(&expected), Arc::clone(&servers_max)));

        Ok(Self {
            data,
            _locks: locks,
            reach,
            fleet,
            servers_min: config.fleet.minimum as usize,
            servers_max,
            queueing,
            serving,
            services,
            allocator: Mutex::new(allocator),
            metagame: Mutex::new(metagame),
            at,
            allocator_admin,
            database: config.database,
            webhooks: config.webhooks,
            parts: config.parts,
            expected,
            handle,
        })
    }

    /// The platform as its neighbours reach it.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Waits until as many game servers as the fleet has at least can be given a match, `patience` at most; whether they
    /// can.
    pub(crate) async fn is_warm_within(&self, patience: Duration) -> bool {
        self.reach.is_warm_within(self.servers_min, patience).await
    }

    /// Most game-server processes at once so far.
    pub(crate) fn server_processes_max(&self) -> u64 {
        self.servers_max.load(Ordering::Relaxed)
    }

    /// Resolves when a service ends by itself, with the reason.
    pub(crate) async fn failed(&self) -> Failure {
        Failure::run(self.services.failed().await)
    }

    /// Ends everything in the order that loses nothing. Running matches have `patience` to finish; those that do not are
    /// ended by their servers, with a result. `hurry` does that at once.
    pub(crate) async fn drain(self, patience: Duration, hurry: &Shutdown) -> Result<(), Failure> {
        self.queueing.trigger();
        let drained = tokio::select! {
            drained = self.fleet.drain(patience + fleet::HANDING_IN) => drained,
            () = hurry.wait() => self.fleet.drain(HURRIED).await,
        };
        self.serving.trigger();
        self.services.wait().await;
        if drained.killed > 0 {
            return Err(Failure::run(format!(
                "{} of {} game servers had to be killed because their matches did not finish in time",
                drained.killed, drained.servers
            )));
        }
        Ok(())
    }
}

async fn start_matchmaker(
    data: &ServiceData,
    at: SocketAddr,
    allocator_url: &str,
    queues: Queues,
    queueing: &Shutdown,
) -> Result<matchmaker::Running, Failure> {
    let config = data.matchmaker(at, next_port(at), allocator_url, QueueSource::Given(queues), PLACING);
    matchmaker::start(config, queueing.child()).await.map_err(Failure::setup)
}
