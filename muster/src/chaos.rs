//! `muster demo --chaos`: breaks things at times that a seed decides, and writes down what it broke.
//!
//! | module | owns |
//! |---|---|
//! | this one | breaking, and waiting until it is mended |
//! | `schedule` | what is broken when |
//! | `apart` | the platform's process, as chaos starts, orders and kills it |
//! | `obey`, `orders` | that process from inside; the words between the two |
//! | `processes` | who outlived a kill |

mod apart;
pub(crate) mod obey;
mod orders;
mod processes;
mod schedule;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use arena::random::Random;
use loadtest::history::{Event, Recorder};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

pub(crate) use self::apart::PlatformApart;
pub(crate) use self::orders::Begin;
use self::orders::Order;
use self::schedule::{Act, schedule};
use crate::exit::Failure;
use crate::gameserver::chaos::trigger;
use crate::observe::{Observer, RunningMatch};
use crate::platform::Reach;

/// How long to wait for a match that can be broken: after a kill of the platform players have to queue first.
const VICTIM_WITHIN: Duration = Duration::from_secs(15);
/// How long to wait for the fleet to be whole again before the history says how long it took so far.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);
/// How long a game server may live on without its platform, which it notices at once and then has a second to spool what it
/// has; more on a busy machine.
const ORPHANS_GONE_WITHIN: Duration = Duration::from_secs(3);
/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Breaks one demo.
pub(crate) struct Chaos<'a> {
    pub(crate) platform: &'a PlatformApart,
    pub(crate) observer: &'a Observer,
    pub(crate) history: Recorder,
    /// Folder whose files make rooms panic.
    pub(crate) triggers: PathBuf,
    /// The platform's own folder.
    pub(crate) data: PathBuf,
    /// Game servers of the whole fleet.
    pub(crate) servers: usize,
}

/// Addresses for a platform that keeps them over its restarts: metagame, allocator, matchmaker.
pub(crate) fn addresses(seed: u64) -> Result<[std::net::SocketAddr; 3], Failure> {
    apart::free_addresses(&mut Random::new(seed ^ u64::from(std::process::id())))
}

impl Chaos<'_> {
    /// Does everything that the seed has for so many seconds, however long that takes.
    ///
    /// # Errors
    /// When something does not start again.
    pub(crate) async fn run(&self, seed: u64, seconds: u64) -> Result<(), Failure> {
        let mut random = Random::new(seed);
        let begin = Instant::now();
        for (at, act) in schedule(&mut random, Duration::from_secs(seconds)) {
            tokio::time::sleep_until(begin + at).await;
            tracing::info!(?act, "chaos");
            match act {
                Act::KillServer => self.kill_server(&mut random).await?,
                Act::KillServerUnheard => self.kill_server_unheard(&mut random).await?,
                Act::PauseServer(pause) => self.pause_server(&mut random, pause).await?,
                Act::PanicRoom => self.panic_room(&mut random).await?,
                Act::RestartAllocator(away) => self.restart_allocator(away).await?,
                Act::RestartMetagame => self.restart_metagame().await?,
                Act::KillPlatform(away) => self.kill_platform(&mut random, away).await?,
            }
        }
        Ok(())
    }

    fn reach(&self) -> &Reach {
        self.platform.reach()
    }

    /// A match that is being played, and the process that plays it.
    async fn victim(&self, random: &mut Random) -> Result<Option<(RunningMatch, Pid)>, Failure> {
        let give_up = Instant::now() + VICTIM_WITHIN;
        while Instant::now() < give_up {
            let mut playing = self.observer.running();
            playing.retain(|running| running.is_playing);
            if !playing.is_empty() {
                let place = random.below(u32::try_from(playing.len()).unwrap_or(u32::MAX)) as usize;
                let running = playing.swap_remove(place);
                let servers = self.platform.servers().await?;
                let server = servers.iter().find(|server| server.name == running.server);
                if let Some(pid) = server.and_then(|server| server.pid).and_then(pid_of) {
                    return Ok(Some((running, pid)));
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.disturbed("nothing: no match was being played");
        Ok(None)
    }

    async fn kill_server(&self, random: &mut Random) -> Result<(), Failure> {
        let Some((running, pid)) = self.victim(random).await? else { return Ok(()) };
        let before = self.registered().await.len().max(1);
        self.history.record(Event::ServerKilled { server: running.server.clone() });
        kill_process(pid, Signal::KILL).map_err(Failure::run)?;
        let began = Instant::now();
        // Until the allocator has noticed, the dead one is still on its list.
        let living = async || self.registered().await.into_iter().filter(|name| *name != running.server).count();
        while living().await < before && began.elapsed() < WHOLE_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.history.record(Event::FleetWhole { after_ms: millis(began.elapsed()), servers: before as u64 });
        Ok(())
    }

    /// Names of the game servers that are registered and can be given a match.
    async fn registered(&self) -> BTreeSet<String> {
        self.reach().usable_servers().await.into_iter().map(|server| server.name).collect()
    }

    /// The allocator that could have noticed the death is down, and the next one never knew the server.
    async fn kill_server_unheard(&self, random: &mut Random) -> Result<(), Failure> {
        let Some((running, pid)) = self.victim(random).await? else { return Ok(()) };
        self.stopped("allocator");
        self.platform.order(Order::StopAllocator).await?;
        self.history.record(Event::ServerKilled { server: running.server });
        kill_process(pid, Signal::KILL).map_err(Failure::run)?;
        self.platform.order(Order::StartAllocator).await?;
        self.running("allocator");
        Ok(())
    }

    async fn pause_server(&self, random: &mut Random, pause: Duration) -> Result<(), Failure> {
        let Some((running, pid)) = self.victim(random).await? else { return Ok(()) };
        self.disturbed(&format!("{} stands still for {pause:?}", running.server));
        kill_process(pid, Signal::STOP).map_err(Failure::run)?;
        tokio::time::sleep(pause).await;
        kill_process(pid, Signal::CONT).map_err(Failure::run)
    }

    async fn panic_room(&self, random: &mut Random) -> Result<(), Failure> {
        let Some((running, _)) = self.victim(random).await? else { return Ok(()) };
        self.history.record(Event::RoomPanicked { match_id: running.match_id });
        std::fs::write(trigger(&self.triggers, running.match_id), []).map_err(Failure::run)
    }

    async fn restart_allocator(&self, away: Duration) -> Result<(), Failure> {
        self.stopped("allocator");
        self.platform.order(Order::StopAllocator).await?;
        tokio::time::sleep(away).await;
        self.platform.order(Order::StartAllocator).await?;
        self.running("allocator");
        Ok(())
    }

    async fn restart_metagame(&self) -> Result<(), Failure> {
        self.stopped("metagame");
        self.platform.order(Order::RestartMetagame).await?;
        self.running("metagame");
        Ok(())
    }

    /// Everything at once dies in the middle of a match, and is started again on what it left on the disk.
    async fn kill_platform(&self, random: &mut Random, away: Duration) -> Result<(), Failure> {
        self.victim(random).await?;
        let before = self.reach().counts().await.ok_or_else(|| Failure::run("metagame does not answer"))?;
        let (accounts, results) = (before.accounts, before.results_recorded);
        let began = Instant::now();
        self.history.record(Event::PlatformKilled { accounts, results });
        self.platform.kill().await?;
        let orphans = self.orphans().await;
        self.observer.cut_off();
        tokio::time::sleep(away).await;
        self.platform.restart().await?;
        if !self.reach().is_warm_within(self.servers, WHOLE_WITHIN).await {
            return Err(Failure::run(format!(
                "no {} game servers were ready {WHOLE_WITHIN:?} after the restart",
                self.servers
            )));
        }
        let after_ms = millis(began.elapsed());
        let after = self.reach().counts().await.ok_or_else(|| Failure::run("metagame does not answer"))?;
        let (accounts, results) = (after.accounts, after.results_recorded);
        self.history.record(Event::PlatformBack { after_ms, orphans, accounts, results });
        Ok(())
    }

    /// How many processes of the platform live on although they had time to end; none is left behind.
    async fn orphans(&self) -> u64 {
        let give_up = Instant::now() + ORPHANS_GONE_WITHIN;
        let mut orphans = processes::of_folder(&self.data);
        while !orphans.is_empty() && Instant::now() < give_up {
            tokio::time::sleep(LOOK_EVERY).await;
            orphans = processes::of_folder(&self.data);
        }
        for pid in orphans.iter().copied().filter_map(pid_of) {
            // One that has ended in this moment is what is wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
        orphans.len() as u64
    }

    fn stopped(&self, service: &str) {
        self.history.record(Event::Stopped { service: service.to_owned() });
    }

    fn running(&self, service: &str) {
        self.history.record(Event::Running { service: service.to_owned() });
    }

    fn disturbed(&self, what: &str) {
        self.history.record(Event::Disturbed { what: what.to_owned() });
    }
}

fn pid_of(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
