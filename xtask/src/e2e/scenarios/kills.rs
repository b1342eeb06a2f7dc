//! Allocator, operator and game servers are killed at random, allocator and operator are cut off from the API server, and a
//! checker reads what everybody saw.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::state;
use crate::command::root;
use crate::e2e::api_proxy::{Cut, Way};
use crate::e2e::bots::Crowd;
use crate::e2e::cut_off::{CutOff, PROGRAMS};
use crate::e2e::kubectl::{items, kubectl, wait};
use crate::e2e::manifests::PLAYERS;
use crate::e2e::stage::{GAMES, RELEASE, SYSTEM, Stage};

/// Between two kills: most hit a program that works again.
const REST: Duration = Duration::from_secs(4);
/// Kills of one crowd: a player is told of the last 200 matches, and the checker wants to see all.
const ROUND: usize = 100;
/// Shortest and longest cut: a leader that cannot renew its Lease stops after 10 s.
const CUT_SECONDS_MIN: u64 = 3;
const CUT_SECONDS_MAX: u64 = 16;
/// How long an Allocated server may be without a match.
const ORPHANS_GONE: Duration = Duration::from_secs(30);
/// Times of the checker are for a machine that does nothing else; a cluster's pods start on the same two cores.
const PATIENCE: &str = "5";

/// One thing to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// A pod of Muster's is killed.
    Kill(&'static str),
    /// A pod of a game server is killed.
    KillServer,
    /// A program is cut off from the API server: some cuts are shorter than its Lease, some longer.
    CutOff(&'static str, Way, Duration),
}

/// What is broken, by seed: as often one kind as the other, and what hits whom.
fn plan(seed: u64, kills: u32) -> Vec<(Act, u64)> {
    let mut random = seed;
    let acts = (0..kills).map(|_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (kind, whom) = ((random >> 33) as usize % 4, random >> 40);
        let act = match kind {
            0 => Act::Kill("allocator"),
            1 => Act::Kill("operator"),
            2 => Act::KillServer,
            _ => {
                let way = if whom & 1 == 0 { Way::Stalled } else { Way::Severed };
                let seconds = CUT_SECONDS_MIN + (whom >> 8) % (CUT_SECONDS_MAX - CUT_SECONDS_MIN + 1);
                Act::CutOff(PROGRAMS[(whom >> 1) as usize % PROGRAMS.len()], way, Duration::from_secs(seconds))
            }
        };
        (act, whom)
    });
    acts.collect()
}

/// How long all of it takes, as far as that can be known: whoever is cut off has to come back as well.
fn time(acts: &[(Act, u64)]) -> Duration {
    let each = |(act, _): &(Act, u64)| {
        let cut = if let Act::CutOff(_, _, time) = act { *time + REST } else { Duration::ZERO };
        REST + Duration::from_secs(1) + cut
    };
    acts.iter().map(each).sum()
}

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    let acts = plan(stage.seed, stage.kills);
    let cut_off = CutOff::set(stage)?;
    state::until_at_rest()?;
    let mut sum = Sum::default();
    for (number, acts) in acts.chunks(ROUND).enumerate() {
        round(stage, &cut_off, &format!("kills-{}", number + 1), acts, &mut sum)?;
    }
    sum.tell(stage);
    cut_off.undo(stage)?;
    state::until_at_rest().map(drop)
}

/// Breaks these things while a crowd plays, and has the history of it checked.
fn round(stage: &mut Stage, cut_off: &CutOff, name: &str, acts: &[(Act, u64)], sum: &mut Sum) -> anyhow::Result<()> {
    let seconds = time(acts).as_secs() + 10;
    let crowd = Crowd { history: true, ..stage.crowd(name, PLAYERS * 2, seconds) };
    let began_ms = now_ms();
    crowd.start()?;
    state::until("matches", |status| state::number(status, "matches") > 0)?;
    let mut own = Vec::new();
    for (number, (act, whom)) in acts.iter().enumerate() {
        eprintln!("   {name}, {}: {act:?}", number + 1);
        own.extend(break_one(cut_off, *act, *whom, sum)?);
    }
    let mut played = crowd.finish()?;
    played.may_lose = true;
    stage.played.push(played);
    // The allocator tells its whole log; what came before belongs to other scenarios.
    let seen = crowd.history()?.into_iter().filter(|entry| entry["at_ms"].as_u64() >= Some(began_ms));
    let history = seen.chain(own).collect();
    check(stage, name, history, sum)?;
    sum.orphans_gone_s = sum.orphans_gone_s.max(no_orphans()?.as_secs_f64());
    sum.kills += acts.len() as u32;
    Ok(())
}

/// Breaks one thing, and gives the others time to come back; what the history says of it.
fn break_one(cut_off: &CutOff, act: Act, whom: u64, sum: &mut Sum) -> anyhow::Result<Vec<Value>> {
    let service = match act {
        Act::KillServer => {
            let killed = kill_server(whom)?;
            std::thread::sleep(REST);
            return Ok(killed.into_iter().collect());
        }
        Act::Kill(program) => program.to_owned(),
        Act::CutOff(program, ..) => format!("the API of {program}"),
    };
    let stopped = entry(json!({ "event": "stopped", "service": service }));
    match act {
        Act::Kill(program) => kill(program, whom)?,
        Act::CutOff(program, way, time) => {
            let cut = cut_off.cut(program, way, time)?;
            sum.add(cut, time, CutOff::until_back(program)?);
        }
        Act::KillServer => {}
    }
    std::thread::sleep(REST);
    Ok(vec![stopped, entry(json!({ "event": "running", "service": service }))])
}

/// What all rounds came to.
#[derive(Debug, Default)]
struct Sum {
    kills: u32,
    cuts: u32,
    cut_s: f64,
    connections_cut: u64,
    back_s_max: f64,
    entries: usize,
    results: usize,
    orphans_gone_s: f64,
}

impl Sum {
    fn add(&mut self, cut: Cut, time: Duration, back: Duration) {
        eprintln!("      cut off for {time:?}: {cut:?}; back after {back:?}");
        self.cuts += 1;
        self.cut_s += time.as_secs_f64();
        self.connections_cut += cut.stood + cut.tried;
        self.back_s_max = self.back_s_max.max(back.as_secs_f64());
    }

    fn tell(&self, stage: &mut Stage) {
        stage.figure("kills", f64::from(self.kills));
        stage.figure("api_cuts", f64::from(self.cuts));
        stage.figure("api_cut_s", self.cut_s);
        stage.figure("api_connections_cut", self.connections_cut as f64);
        stage.figure("api_back_s_max", self.back_s_max);
        stage.figure("history_entries", self.entries as f64);
        stage.figure("results", self.results as f64);
        stage.figure("orphans_gone_s", self.orphans_gone_s);
    }
}

/// No signal, no goodbye: the kubelet is told to end it at once.
pub(super) fn kill(program: &str, random: u64) -> anyhow::Result<()> {
    let selector = format!("app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={program}");
    let pods = items(&["-n", SYSTEM, "pods", "-l", &selector])?;
    let alive: Vec<&str> = pods
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .filter_map(|pod| pod["metadata"]["name"].as_str())
        .collect();
    let pod =
        alive.get((random % alive.len().max(1) as u64) as usize).with_context(|| format!("a pod of {program}"))?;
    kubectl(&["-n", SYSTEM, "delete", "pod", pod, "--grace-period=0", "--force"]).map(drop)
}

/// A game server with matches, if there is one.
fn kill_server(random: u64) -> anyhow::Result<Option<Value>> {
    let busy = state::servers("Allocated")?;
    let Some(server) = busy.get((random % busy.len().max(1) as u64) as usize) else { return Ok(None) };
    let killed = entry(json!({ "event": "server_killed", "server": server }));
    kubectl(&["-n", GAMES, "delete", "pod", server, "--grace-period=0", "--force"])?;
    Ok(Some(killed))
}

fn entry(mut event: Value) -> Value {
    event["at_ms"] = json!(now_ms());
    event
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// The whole history, read by `muster check-history`.
fn check(stage: &Stage, name: &str, mut entries: Vec<Value>, sum: &mut Sum) -> anyhow::Result<()> {
    let accounts = entries.iter().filter(|entry| entry["event"] == "account");
    let results: BTreeSet<String> = accounts
        .flat_map(|account| account["listed"].as_array().cloned().unwrap_or_default())
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
    entries.push(entry(json!({ "event": "finished", "results": results.len() })));
    let lines: Vec<String> = entries.iter().map(Value::to_string).collect();
    let file = root().join(format!("target/e2e/{name}.jsonl"));
    std::fs::write(&file, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    sum.entries += entries.len();
    sum.results += results.len();
    let program = crate::image::muster(stage.release);
    let checked = Command::new(&program).args(["check-history", "--patience", PATIENCE]).arg(&file).output();
    let checked = checked.with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(checked.status.success(), "the history has faults:\n{}", String::from_utf8_lossy(&checked.stdout));
    Ok(())
}

/// No server is Allocated for nothing; how long that took.
fn no_orphans() -> anyhow::Result<Duration> {
    let none = || {
        let allocated = state::servers("Allocated")?;
        Ok(if allocated.is_empty() { Ok(()) } else { Err(format!("still Allocated: {allocated:?}")) })
    };
    wait("no orphans", ORPHANS_GONE, none).map(|((), took)| took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_what_is_broken_and_every_kind_has_its_turn() {
        assert_eq!(plan(7, 20), plan(7, 20));
        assert_ne!(plan(7, 20), plan(8, 20));
        let acts = plan(1, 500);
        let count = |is: fn(&Act) -> bool| acts.iter().filter(|(act, _)| is(act)).count();
        let kinds = [
            count(|act| *act == Act::Kill("allocator")),
            count(|act| *act == Act::Kill("operator")),
            count(|act| *act == Act::KillServer),
            count(|act| matches!(act, Act::CutOff("allocator", Way::Stalled, _))),
            count(|act| matches!(act, Act::CutOff("operator", Way::Severed, _))),
        ];
        assert!(kinds.iter().all(|count| *count >= 20), "{kinds:?}");
        assert!(time(&acts) > time(&acts[..250]));
    }
}
