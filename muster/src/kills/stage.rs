//! What is killed, and what is not: the allocator and every game server are processes of their own; matchmaker and metagame
//! live on in this one, and so does the local provider.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agones::local::process::{Launch, Process};
use agones::local::{Lifeline, LocalFleet, ServerStatus, output};
use matchmaker::{QueueSource, Queues};
use service::Shutdown;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::KillsOptions;
use crate::chaos;
use crate::exit::Failure;
use crate::gameserver::chaos::{SERVER, VARIABLE};
use crate::platform::{At, FleetSize, Reach, ServiceData, fleet_config, next_port};
use crate::played::PlayedGame;
use crate::servers_file;

/// How long running matches have when the fleet ends.
const DRAIN: Duration = Duration::from_secs(10);
/// How long an allocator may take from its start to its first connection.
const ALLOCATOR_WITHIN: Duration = Duration::from_secs(20);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(5);
/// Matches that one process holds.
const CAPACITY: u32 = 2;

/// A platform whose allocator and game servers can be killed.
pub(super) struct Stage {
    pub(super) reach: Reach,
    /// Where game servers write down their rooms.
    pub(super) rooms: PathBuf,
    fleet: LocalFleet,
    /// How an allocator is started.
    launch: Launch,
    at: At,
    allocator: Option<Process>,
    serving: Shutdown,
}

impl Stage {
    /// Starts everything in this folder.
    pub(super) async fn set(options: &KillsOptions, folder: &Path, seed: u64) -> Result<Self, Failure> {
        let data = ServiceData::open(folder)?;
        let (rooms, servers) = (data.path("rooms"), data.path("servers"));
        std::fs::create_dir_all(&rooms).map_err(Failure::setup)?;
        servers_file::write(&servers, &BTreeSet::new()).map_err(Failure::setup)?;
        let [metagame, allocator, matchmaker] = chaos::addresses(seed)?;
        let at = At { metagame, metagame_admin: next_port(metagame), allocator, matchmaker };
        let reach = Reach::new(&data, at).map_err(Failure::setup)?;
        let serving = Shutdown::new();
        let game = PlayedGame::of(None)?;
        serve(&data, at, &reach, &serving).await?;
        let fleet = start_fleet(&data, &game, options, &reach, [&rooms, &servers])?;
        let launch = launch(&data, &at, &servers, &options.log)?;
        let mut stage = Self { reach, rooms, fleet, launch, at, allocator: None, serving };
        stage.start_allocator().await?;
        Ok(stage)
    }

    /// The game servers' processes now.
    pub(super) fn servers(&self) -> Vec<ServerStatus> {
        self.fleet.servers()
    }

    /// kill -9 of the allocator. Its group is its own: nothing else is hit.
    pub(super) async fn kill_allocator(&mut self) -> Result<(), Failure> {
        let Some(mut allocator) = self.allocator.take() else { return Ok(()) };
        allocator.kill_group();
        allocator.wait().await.map(drop).map_err(Failure::run)
    }

    /// Starts an allocator with nothing in memory and the next epoch; returns when it takes connections.
    pub(super) async fn start_allocator(&mut self) -> Result<(), Failure> {
        let (process, stdout, stderr) = Process::start(&self.launch).map_err(Failure::setup)?;
        tokio::spawn(output::forward("allocator".to_owned(), stdout));
        tokio::spawn(output::forward("allocator".to_owned(), stderr));
        self.allocator = Some(process);
        let began = Instant::now();
        while TcpStream::connect(self.at.allocator).await.is_err() {
            if began.elapsed() > ALLOCATOR_WITHIN {
                return Err(Failure::run(format!("the allocator takes no connection within {ALLOCATOR_WITHIN:?}")));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Ends everything.
    pub(super) async fn end(self) {
        self.fleet.drain(DRAIN).await;
        self.serving.trigger();
    }
}

/// Matchmaker and metagame, in this process.
async fn serve(data: &ServiceData, at: At, reach: &Reach, serving: &Shutdown) -> Result<(), Failure> {
    let queues = Queues::parse("the queue of the kills", include_str!("queue.toml")).map_err(Failure::setup)?;
    let admin = next_port(at.matchmaker);
    let config =
        data.matchmaker(at.matchmaker, admin, &reach.allocator_url, QueueSource::Given(queues), Duration::ZERO);
    let matchmaker = matchmaker::start(config, serving.child()).await.map_err(Failure::setup)?;
    tokio::spawn(matchmaker.wait());
    let (allocator, queueing) = (&reach.allocator_url, &reach.matchmaker_url);
    let database = metagame::DatabaseLocation::File(data.path("metagame.db"));
    let config = data.metagame(at.metagame, at.metagame_admin, allocator, queueing, database);
    let metagame = metagame::start(config, serving.child()).await.map_err(Failure::setup)?;
    tokio::spawn(metagame.wait());
    Ok(())
}

fn start_fleet(
    data: &ServiceData,
    game: &PlayedGame,
    options: &KillsOptions,
    reach: &Reach,
    [rooms, servers]: [&Path; 2],
) -> Result<LocalFleet, Failure> {
    // Of one size: what is killed is replaced at once.
    let size = FleetSize { minimum: options.servers, maximum: options.servers * 2, buffer: 0, capacity: CAPACITY };
    let urls = [reach.allocator_url.as_str(), &reach.metagame_url];
    let mut config = fleet_config(data, game, size, [127, 0, 0, 1].into(), urls, DRAIN);
    config.env = BTreeMap::from([
        (VARIABLE.to_owned(), rooms.display().to_string()),
        (SERVER.to_owned(), "{name}".to_owned()),
        ("MUSTER_LOG_FILTER".to_owned(), options.log.clone()),
    ]);
    // A server that was killed did not crash by itself, however young it was.
    config.stable_after = Duration::ZERO;
    let file = servers.to_owned();
    // Not by following the fleet: an allocator that reads the list before a server is on it gives that server's match to
    // another one.
    config.list = Some(Arc::new(move |names| {
        if let Err(error) = servers_file::write(&file, names) {
            tracing::error!(%error, "the list of servers cannot be written");
        }
    }));
    LocalFleet::start(config, std::future::pending()).map_err(Failure::setup)
}

fn launch(data: &ServiceData, at: &At, servers: &Path, log: &str) -> Result<Launch, Failure> {
    let program = std::env::current_exe().map_err(Failure::setup)?;
    let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
    let admin: SocketAddr = next_port(at.allocator);
    let command = vec![
        program.display().to_string(),
        "allocator".to_owned(),
        flag("data", &data.path(".").display()),
        flag("listen", &at.allocator),
        flag("admin", &admin),
        flag("servers", &servers.display()),
        flag("log", &log),
    ];
    // It must not outlive this process.
    let lifeline = Lifeline::Supervised;
    let env_hidden = crate::cli::platform_variables();
    Ok(Launch { command, env: BTreeMap::new(), env_hidden, folder: None, lifeline })
}
