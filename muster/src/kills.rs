//! `muster kills`: kills allocator and game servers, thousands of times, while bots play, and has the history checked.
//!
//! | module | owns |
//! |---|---|
//! | this one | killing, and what the history says in the end |
//! | `stage` | the platform that is killed: real processes of the local provider |
//! | `report` | what came of it, in numbers |

mod report;
mod stage;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use arena::random::Random;
use clap::Args;
use loadtest::history::{self, Event, ORPHANS_GONE_WITHIN_MS, Recorder};
use rustix::process::{Pid, Signal, kill_process};
use service::Shutdown;
use tokio::time::Instant;

use self::report::Report;
use self::stage::Stage;
use crate::bots::Crowd;
use crate::exit::Failure;
use crate::folder::Folder;
use crate::observe::Observer;
use crate::output::{Output, answer, remark};
use crate::progress::Progress;

/// Name of the queue.
const QUEUE: &str = "kills";
/// How long the first game servers may take.
const WARM: Duration = Duration::from_secs(60);
/// How long the last matches and their results may take.
const SETTLE: Duration = Duration::from_secs(20);
/// One kill out of so many hits the allocator.
const ALLOCATOR_OUT_OF: u32 = 4;
/// After so many kills nothing is killed for a while: an allocator has to live a few seconds to say what was lost.
const ROUND: u64 = 50;
/// How long that is.
const REST: Duration = Duration::from_secs(4);
/// How long an allocator is away at most before the next one is started.
const AWAY_MS_MAX: u32 = 400;
/// A remark after so many kills.
const REMARK_EVERY: u32 = 500;
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(50);

/// How much to kill.
#[derive(Debug, Clone, Args)]
pub(crate) struct KillsOptions {
    /// How many kills.
    #[arg(long, default_value_t = 100)]
    pub(crate) kills: u32,
    /// Pause between two kills on average, in milliseconds.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) pause_ms: u32,
    /// Bots that play.
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub(crate) players: u32,
    /// Game-server processes.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) servers: u32,
    /// Seed of what is killed when, and of the bots; random where it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Allow so many times the time in which players must be told, on a slow machine.
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) patience: u32,
    /// Write everything that was seen into this file, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// What to print on stdout at the end.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// What to log.
    #[arg(long, default_value = "error", value_name = "FILTER")]
    pub(crate) log: String,
}

/// Kills, and prints what came of it; status 0 only for a history without faults.
pub(crate) fn run(options: &KillsOptions) -> Result<ExitCode, Failure> {
    service::logs::init(&options.log, service::logs::Format::Auto);
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    let (report, faults) = runtime.block_on(play(options))?;
    match options.output {
        Output::Json => answer(&serde_json::to_string(&report).expect("a report is plain data"))?,
        Output::Text => answer(&report.text())?,
    }
    for fault in &faults {
        remark(&format!("fault: {fault}"));
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn play(options: &KillsOptions) -> Result<(Report, Vec<String>), Failure> {
    let stop = Shutdown::new();
    stop.on_signals().map_err(Failure::setup)?;
    let seed = options.seed.unwrap_or_else(service::random::u64);
    let folder = Folder::new("kills")?;
    let file = options.history.clone().unwrap_or_else(|| folder.path().join("history.jsonl"));
    let history = Recorder::create(&file)
        .map_err(|error| Failure::setup(format!("cannot write the history {}: {error}", file.display())))?;
    remark(&format!("{} kills, seed {seed}", options.kills));
    let mut stage = Stage::set(options, folder.path(), seed).await?;
    if !stage.reach.is_warm_within(options.servers as usize, WARM).await {
        return Err(Failure::run(format!("{} game servers are not ready within {WARM:?}", options.servers)));
    }
    let reach = stage.reach.clone();
    let watching = Shutdown::new();
    let observer = Observer::start(&reach.allocator_url, reach.tokens(), watching.clone(), history.clone());
    let observer = observer.map_err(Failure::run)?;
    let crowd = Crowd::new(&reach.metagame_url, options.players, seed, QUEUE, None).witnessed_by(&history);
    let mut progress = Progress::new(0);
    let mended = Shutdown::new();
    let began = Instant::now();
    let mut killer = Killer { stage: &mut stage, observer: &observer, history: &history, dead: BTreeSet::new() };
    let killing = async {
        let killed = killer.run(options, &mut Random::new(seed), &stop).await;
        mended.trigger();
        killed.map(|counts| (counts, began.elapsed()))
    };
    let playing = crowd.follow(&stop, Some(0), &mended, &mut progress);
    let (killed, played) = tokio::join!(killing, playing);
    let ((allocators, servers), took) = killed?;
    let (played, left_at) = (played?, Instant::now());
    progress.finish();
    history.record(orphans(&stage, left_at).await);
    reach.settled(&observer, SETTLE, &Shutdown::new()).await;
    let (results, spooled) = (reach.results_recorded().await, reach.results_spooled());
    let rooms = stage.rooms.clone();
    stage.end().await;
    watching.trigger();
    // Rooms say until now that they are closed; the end comes after them.
    let rooms = tell_rooms(&rooms, &history)?;
    history.record(Event::Finished { results, spooled });
    history.flush().map_err(Failure::run)?;
    let entries = history::read(&file).map_err(Failure::run)?;
    let tally = history::tally(&entries, options.patience);
    let faults = history::check(&entries, options.patience);
    let report = Report {
        seed,
        kills: allocators + servers,
        killed_allocators: allocators,
        killed_servers: servers,
        seconds: took.as_secs_f64(),
        rooms,
        results_recorded: results,
        games_ended: played.games_ended,
        history_entries: entries.len() as u64,
        orphans_gone_ms: entries.iter().find_map(|entry| match entry.event {
            Event::OrphansGone { after_ms, .. } => Some(after_ms),
            _ => None,
        }),
        faults: faults.len() as u64,
        ..Report::of(tally)
    };
    Ok((report, faults))
}

struct Killer<'a> {
    stage: &'a mut Stage,
    observer: &'a Observer,
    history: &'a Recorder,
    /// Names of those that were killed.
    dead: BTreeSet<String>,
}

impl Killer<'_> {
    /// Kills as often as it should, or until it is stopped: how many allocators, and how many game servers.
    async fn run(
        &mut self,
        options: &KillsOptions,
        random: &mut Random,
        stop: &Shutdown,
    ) -> Result<(u64, u64), Failure> {
        let (mut allocators, mut servers, mut next_rest) = (0, 0, ROUND);
        while allocators + servers < u64::from(options.kills) && !stop.is_triggered() {
            if allocators + servers >= next_rest {
                next_rest += ROUND;
                tokio::time::sleep(REST).await;
            }
            tokio::time::sleep(ms(random.below(options.pause_ms * 2))).await;
            if random.below(ALLOCATOR_OUT_OF) > 0 {
                servers += u64::from(self.kill_server(random)?);
                continue;
            }
            self.history.record(Event::Stopped { service: "allocator".to_owned() });
            self.stage.kill_allocator().await?;
            allocators += 1;
            tokio::time::sleep(ms(random.below(AWAY_MS_MAX))).await;
            // Half the time a server dies that no allocator will ever hear of.
            if random.below(2) == 0 && allocators + servers < u64::from(options.kills) {
                servers += u64::from(self.kill_server(random)?);
            }
            self.stage.start_allocator().await?;
            self.history.record(Event::Running { service: "allocator".to_owned() });
            if (allocators + servers) % u64::from(REMARK_EVERY) < 2 {
                remark(&format!("{} kills", allocators + servers));
            }
        }
        Ok((allocators, servers))
    }

    /// kill -9 of a server: mostly of one with a match, sometimes of one that has only just been started.
    fn kill_server(&mut self, random: &mut Random) -> Result<bool, Failure> {
        let mut servers = self.stage.servers();
        servers.retain(|server| server.pid.is_some() && !server.ending && !self.dead.contains(&server.name));
        let busy: BTreeSet<String> = self.observer.running().into_iter().map(|running| running.server).collect();
        let mut chosen: Vec<_> = servers.iter().filter(|server| busy.contains(&server.name)).collect();
        if chosen.is_empty() || random.below(4) == 0 {
            chosen = servers.iter().collect();
        }
        let place = random.below(u32::try_from(chosen.len().max(1)).unwrap_or(1)) as usize;
        let Some(server) = chosen.get(place) else { return Ok(false) };
        let pid = server.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(false) };
        self.dead.insert(server.name.clone());
        self.history.record(Event::ServerKilled { server: server.name.clone() });
        kill_process(pid, Signal::KILL).map(|()| true).map_err(Failure::run)
    }
}

/// How long servers are held after the last player has left.
async fn orphans(stage: &Stage, left_at: Instant) -> Event {
    loop {
        let servers = stage.reach.usable_servers().await;
        let left = servers.iter().filter(|server| server.state == "Allocated" || server.matches > 0).count() as u64;
        let after_ms = u64::try_from(left_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        if (left == 0 && !servers.is_empty()) || after_ms > ORPHANS_GONE_WITHIN_MS {
            return Event::OrphansGone { after_ms, left };
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Adds what the game servers wrote down of their rooms to the history: how many rooms were opened.
fn tell_rooms(folder: &std::path::Path, history: &Recorder) -> Result<u64, Failure> {
    let mut opened = 0;
    for file in std::fs::read_dir(folder).map_err(Failure::run)?.flatten() {
        for entry in history::read(&file.path()).map_err(Failure::run)? {
            opened += u64::from(matches!(entry.event, Event::RoomOpened { .. }));
            history.record_at(entry.at_ms, entry.event);
        }
    }
    Ok(opened)
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}
