//! Allocator, operator and game servers are killed at random, and a checker reads what everybody saw.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::state;
use crate::command::root;
use crate::e2e::kubectl::{items, kubectl, wait};
use crate::e2e::manifests::PLAYERS;
use crate::e2e::stage::{GAMES, RELEASE, SYSTEM, Stage};

/// Between two kills: most hit a program that works again.
const REST: Duration = Duration::from_secs(4);
/// How long an Allocated server may be without a match.
const ORPHANS_GONE: Duration = Duration::from_secs(30);
/// Times of the checker are for a machine that does nothing else; a cluster's pods start on the same two cores.
const PATIENCE: &str = "5";

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    let seconds = u64::from(stage.kills) * (REST.as_secs() + 1) + 10;
    let crowd = super::super::bots::Crowd { history: true, ..stage.crowd("kills", PLAYERS * 2, seconds) };
    let began_ms = now_ms();
    crowd.start()?;
    state::until("matches", |status| state::number(status, "matches") > 0)?;
    let mut own = Vec::new();
    let mut random = stage.seed;
    for number in 0..stage.kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let what = ["allocator", "operator", "server"][(random >> 33) as usize % 3];
        eprintln!("   kill {}: {what}", number + 1);
        if what == "server" {
            own.extend(kill_server(random >> 40)?);
        } else {
            own.push(entry(json!({ "event": "stopped", "service": what })));
            kill(what, random >> 40)?;
        }
        std::thread::sleep(REST);
        if what != "server" {
            own.push(entry(json!({ "event": "running", "service": what })));
        }
    }
    let mut played = crowd.finish()?;
    played.may_lose = true;
    stage.played.push(played);
    // The allocator tells its whole log; what came before belongs to other scenarios.
    let seen = crowd.history()?.into_iter().filter(|entry| entry["at_ms"].as_u64() >= Some(began_ms));
    check(stage, seen.chain(own).collect())?;
    no_orphans(stage)
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
fn check(stage: &mut Stage, mut entries: Vec<Value>) -> anyhow::Result<()> {
    let accounts = entries.iter().filter(|entry| entry["event"] == "account");
    let results: BTreeSet<String> = accounts
        .flat_map(|account| account["listed"].as_array().cloned().unwrap_or_default())
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
    entries.push(entry(json!({ "event": "finished", "results": results.len() })));
    let lines: Vec<String> = entries.iter().map(Value::to_string).collect();
    let file = root().join("target/e2e/kills.jsonl");
    std::fs::write(&file, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    stage.figure("kills", f64::from(stage.kills));
    stage.figure("history_entries", entries.len() as f64);
    stage.figure("results", results.len() as f64);
    let program = crate::image::muster(&root(), stage.release);
    let checked = Command::new(&program).args(["check-history", "--patience", PATIENCE]).arg(&file).output();
    let checked = checked.with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(checked.status.success(), "the history has faults:\n{}", String::from_utf8_lossy(&checked.stdout));
    Ok(())
}

/// No server is Allocated for nothing.
fn no_orphans(stage: &mut Stage) -> anyhow::Result<()> {
    let none = || {
        let allocated = state::servers("Allocated")?;
        Ok(if allocated.is_empty() { Ok(()) } else { Err(format!("still Allocated: {allocated:?}")) })
    };
    let ((), took) = wait("no orphans", ORPHANS_GONE, none)?;
    stage.figure("orphans_gone_s", took.as_secs_f64());
    state::until_at_rest()?;
    Ok(())
}
