//! `muster demo`: the whole platform, bots that play on it, and a summary.

mod history;
mod report;
mod stage;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use matchmaker::{QueueConfig, Queues};
use service::Shutdown;

use crate::bots::{self, Crowd};
use crate::chaos::Chaos;
use crate::cli::DemoOptions;
use crate::console::Console;
use crate::demo::history::History;
use crate::demo::report::Report;
use crate::demo::stage::Stage;
use crate::exit::Failure;
use crate::folder::Folder;
use crate::observe::Observer;
use crate::output::{Output, answer, remark};
use crate::platform::{Addresses, FleetSize, PlatformConfig, Reach};
use crate::played::PlayedGame;
use crate::progress::Progress;

/// Matches that one game-server process holds.
const CAPACITY: u32 = 2;
/// How long the last matches' results and servers may take after the last bot has left.
const DRAIN: Duration = Duration::from_secs(30);
/// How long the first game servers may take until bots queue all the same.
const WARM: Duration = Duration::from_secs(10);

/// Runs the demo and prints its report; status 0 only after a success.
pub(crate) fn run(options: &DemoOptions) -> Result<ExitCode, Failure> {
    service::logs::init(&options.log, service::logs::Format::Auto);
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    let (report, more_faults) = runtime.block_on(play(options))?;
    let faults: Vec<_> = report.faults().into_iter().chain(more_faults).collect();
    match options.output {
        Output::Json => answer(&serde_json::to_string(&report).expect("a report is plain data"))?,
        Output::Text => {
            let verdict = if faults.is_empty() { "The demo succeeded." } else { "The demo failed." };
            answer(&format!("{verdict}\n{}", report.text()))?;
        }
    }
    for fault in &faults {
        remark(&format!("fault: {fault}"));
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn play(options: &DemoOptions) -> Result<(Report, Vec<String>), Failure> {
    let stop = Shutdown::new();
    stop.on_signals().map_err(Failure::setup)?;
    let seed = options.seed.unwrap_or_else(service::random::u64);
    let game = PlayedGame::of(options.game.as_deref())?.for_bots()?;
    let queues = game.queues(options.queues.as_deref(), options.queues.is_none().then_some(options.match_seconds))?;
    let queue = first_queue(&queues, options.players)?;
    let folder = Folder::new("demo")?;
    let mut progress = Progress::new(options.seconds);
    progress.step(&format!("starting the platform (seed {seed})"));
    let history = History::open(options, folder.path())?;
    let mut config = config(options, &folder, game.clone(), queues);
    config.database = options.database.location(&config.data)?;
    config.webhooks = options.webhooks.read()?;
    config.parts = options.parts.read()?;
    let servers = config.fleet.minimum as usize;
    let stage = Stage::start(options, config, history.triggers.clone()).await?;
    let reach = stage.reach().clone();
    if !reach.is_warm_within(servers, WARM).await {
        tracing::warn!("too few game servers are ready, so bots wait; their lines in this log say why");
    }
    let _console = console(options, &reach, &mut progress).await?;
    let observer = Observer::start(&reach.allocator_url, reach.tokens(), Shutdown::new(), history.recorder.clone())
        .map_err(Failure::run)?;
    progress.step(&format!("{} bots queue for {} s at {}", options.players, options.seconds, reach.metagame_url));

    let crowd = Crowd::new(&reach.metagame_url, options.players, seed, &queue.name, game.schema)
        .in_trouble(&options.trouble)
        .witnessed_by(&history.recorder);
    // Nothing stays broken: bots queue until the last act is over.
    let mended = Shutdown::new();
    let chaos = async {
        if let (Some(seed), Some(platform)) = (options.chaos, stage.apart()) {
            let (history, triggers) = (history.recorder.clone(), history.triggers.clone());
            let data = folder.path().to_owned();
            let chaos = Chaos { platform, observer: &observer, history, triggers, data, servers };
            if let Err(failure) = chaos.run(seed, options.seconds).await {
                return failure;
            }
        }
        mended.trigger();
        std::future::pending().await
    };
    let played = tokio::select! {
        played = crowd.follow(&stop, Some(options.seconds), &mended, &mut progress) => played,
        failure = stage.failed() => Err(failure),
        failure = chaos => Err(failure),
    };
    progress.finish();
    let players = played?;
    // From here on a Ctrl-C cuts short what is still waited for.
    let hurry = Shutdown::new();
    hurry.on_signals().map_err(Failure::setup)?;
    reach.settled(&observer, DRAIN, &hurry).await;
    let mut report = sum_up(options, seed, &reach, &observer, &players).await;
    report.server_processes = stage.server_processes_max().await;
    let mut faults = Vec::new();
    if let Some((tally, more)) = history.close([report.results_recorded, reach.results_spooled()], options.patience)? {
        faults = more;
        if options.chaos.is_some() {
            report.in_chaos(tally);
        }
    }
    let drained = stage.drain(DRAIN, &hurry).await;
    faults.extend(drained.err().map(|failure| failure.message().to_owned()));
    for fault in bots::faults(&players) {
        tracing::warn!(fault, "bots");
    }
    Ok((report, faults))
}

/// The console, where one is asked for. It ends when it is dropped.
async fn console(options: &DemoOptions, reach: &Reach, progress: &mut Progress) -> Result<Option<Console>, Failure> {
    let Some(address) = options.console else { return Ok(None) };
    let console = Console::start(Some(address), reach).await?;
    progress.step(&format!("watch it at {}", console.url()));
    Ok(Some(console))
}

/// The queue that is played, if there are players enough for a match of it.
fn first_queue(queues: &Queues, players: u32) -> Result<QueueConfig, Failure> {
    let queue = queues.as_slice().first().ok_or_else(|| Failure::setup("the queue file has no queue"))?;
    if players < queue.players() {
        let fault = format!("{players} players are too few for a match of \"{}\"", queue.name);
        return Err(Failure::setup(fault).help(format!("give at least --players {}", queue.players())));
    }
    Ok(queue.clone())
}

fn config(options: &DemoOptions, folder: &Folder, game: PlayedGame, queues: Queues) -> PlatformConfig {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let players_per_match = queues.as_slice().first().map_or(1, QueueConfig::players);
    let matches = options.players / players_per_match.max(1);
    let busy = matches.div_ceil(CAPACITY);
    let fleet = FleetSize { minimum: busy, maximum: busy + 2, buffer: 1, capacity: CAPACITY };
    PlatformConfig {
        data: folder.path().to_owned(),
        addresses: Addresses { metagame: any, allocator: any, matchmaker: any },
        advertise: any.ip(),
        queues,
        game,
        fleet: if options.chaos.is_some() { stage::fixed(fleet) } else { fleet },
        database: metagame::DatabaseLocation::File(folder.path().join("metagame.db")),
        webhooks: metagame::Webhooks::default(),
        identity: None,
        parts: metagame::Parts::default(),
        drain: DRAIN,
    }
}

async fn sum_up(
    options: &DemoOptions,
    seed: u64,
    reach: &Reach,
    observer: &Observer,
    players: &loadtest::Report,
) -> Report {
    let results_recorded = reach.results_recorded().await;
    let totals = observer.totals();
    let ms = |us: u64| us as f64 / 1_000.0;
    let client_seconds = totals.stats.client_ms as f64 / 1_000.0;
    Report {
        players: players.players,
        seconds: options.seconds,
        seed,
        matches_started: totals.started(),
        matches_completed: totals.completed(),
        matches_lost: totals.lost(),
        udp_clients: players.udp_clients,
        quic_clients: players.quic_clients,
        join_failures: players.join_failures_total(),
        disconnects: players.disconnects,
        reconnects: players.reconnects,
        resumes: players.resumes,
        reconnect_ms_p99: players.reconnect.quantile_ms(0.99),
        time_to_match_ms_p95: players.time_to_match.quantile_ms(0.95),
        allocation_ms_p99: ms(totals.allocation_us.value_at_quantile(0.99)),
        tick_ms_p99: ms(totals.tick_us.value_at_quantile(0.99)),
        tick_overruns: totals.stats.tick_overruns,
        snapshot_bytes_per_client_s: totals.stats.snapshot_bytes as f64 / client_seconds.max(0.001),
        rtt_ms_p50: players.rtt.quantile_ms(0.5),
        rtt_ms_p99: players.rtt.quantile_ms(0.99),
        results_recorded,
        games_in_history: players.games_in_history,
        ..Report::default()
    }
}
