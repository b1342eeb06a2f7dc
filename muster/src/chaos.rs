//! `muster demo --chaos`: breaks things at times that a seed decides, and writes down what it broke.

mod schedule;

use std::path::PathBuf;
use std::time::Duration;

use agones::local::ServerStatus;
use agones::local::desired::desired;
use agones::state::State;
use arena::random::Random;
use loadtest::history::{Event, Recorder};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use self::schedule::{Act, schedule};
use crate::exit::Failure;
use crate::gameserver::chaos::trigger;
use crate::observe::{Observer, RunningMatch};
use crate::platform::{FleetSize, Platform};

/// How long to wait for a match that can be broken.
const VICTIM_WITHIN: Duration = Duration::from_secs(6);
/// How long to wait for the fleet to be whole again before the history says how long it took so far.
const WHOLE_WITHIN: Duration = Duration::from_secs(15);
/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Breaks one demo.
pub(crate) struct Chaos<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) observer: &'a Observer,
    pub(crate) history: Recorder,
    /// Folder whose files make rooms panic.
    pub(crate) triggers: PathBuf,
    pub(crate) fleet: FleetSize,
}

impl Chaos<'_> {
    /// Does everything that the seed has for so many seconds, and then waits for ever; resolves only when a service does
    /// not start again.
    pub(crate) async fn run(self, seed: u64, seconds: u64) -> Failure {
        let mut random = Random::new(seed);
        let begin = Instant::now();
        for (at, act) in schedule(&mut random, Duration::from_secs(seconds)) {
            tokio::time::sleep_until(begin + at).await;
            tracing::info!(?act, "chaos");
            let done = match act {
                Act::KillServer => self.kill_server(&mut random).await,
                Act::PauseServer(pause) => self.pause_server(&mut random, pause).await,
                Act::PanicRoom => self.panic_room(&mut random).await,
                Act::RestartAllocator => self.restart_allocator().await,
                Act::RestartMetagame => self.restart_metagame().await,
            };
            if let Err(failure) = done {
                return failure;
            }
        }
        std::future::pending().await
    }

    /// A match that is being played, and the process that plays it.
    async fn victim(&self, random: &mut Random) -> Option<(RunningMatch, Pid)> {
        let give_up = Instant::now() + VICTIM_WITHIN;
        while Instant::now() < give_up {
            let mut playing = self.observer.running();
            playing.retain(|running| running.is_playing);
            if !playing.is_empty() {
                let place = random.below(u32::try_from(playing.len()).unwrap_or(u32::MAX)) as usize;
                let running = playing.swap_remove(place);
                let servers = self.platform.servers();
                let server = servers.iter().find(|server| server.name == running.server);
                if let Some(pid) = server.and_then(pid_of) {
                    return Some((running, pid));
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.disturbed("nothing: no match was being played");
        None
    }

    async fn kill_server(&self, random: &mut Random) -> Result<(), Failure> {
        let Some((running, pid)) = self.victim(random).await else { return Ok(()) };
        self.history.record(Event::ServerKilled { server: running.server.clone() });
        kill_process(pid, Signal::KILL).map_err(Failure::run)?;
        let began = Instant::now();
        let is_whole = || {
            let servers = self.platform.servers();
            let is_usable = |server: &&ServerStatus| {
                server.name != running.server
                    && !server.ending
                    && matches!(server.state, State::Reserved | State::Ready | State::Allocated)
            };
            let usable: Vec<_> = servers.iter().filter(is_usable).collect();
            let busy = usable.iter().filter(|server| server.state == State::Allocated).count();
            let FleetSize { minimum, maximum, buffer, .. } = self.fleet;
            let size = agones::local::desired::Size { minimum, maximum, buffer };
            usable.len() >= desired(size, u32::try_from(busy).unwrap_or(u32::MAX)) as usize
        };
        while !is_whole() && began.elapsed() < WHOLE_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.history.record(Event::FleetWhole { after_ms });
        Ok(())
    }

    async fn pause_server(&self, random: &mut Random, pause: Duration) -> Result<(), Failure> {
        let Some((running, pid)) = self.victim(random).await else { return Ok(()) };
        self.disturbed(&format!("{} stands still for {pause:?}", running.server));
        kill_process(pid, Signal::STOP).map_err(Failure::run)?;
        tokio::time::sleep(pause).await;
        kill_process(pid, Signal::CONT).map_err(Failure::run)
    }

    async fn panic_room(&self, random: &mut Random) -> Result<(), Failure> {
        let Some((running, _)) = self.victim(random).await else { return Ok(()) };
        self.history.record(Event::RoomPanicked { match_id: running.match_id });
        std::fs::write(trigger(&self.triggers, running.match_id), []).map_err(Failure::run)
    }

    async fn restart_allocator(&self) -> Result<(), Failure> {
        self.disturbed("the allocator is stopped");
        self.platform.restart_allocator().await?;
        self.disturbed("the allocator runs again");
        Ok(())
    }

    async fn restart_metagame(&self) -> Result<(), Failure> {
        self.disturbed("metagame is stopped");
        self.platform.restart_metagame().await?;
        self.disturbed("metagame runs again");
        Ok(())
    }

    fn disturbed(&self, what: &str) {
        self.history.record(Event::Disturbed { what: what.to_owned() });
    }
}

fn pid_of(server: &ServerStatus) -> Option<Pid> {
    server.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
}
