//! A game in C++ that knows nothing of Muster but the HTTP of the agent beside it, from the ticket to the result.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::state;
use crate::e2e::images::{CPP_PLAYER_IMAGE, CPP_SERVER_IMAGE, IMAGE};
use crate::e2e::kubectl::{feed, get, kubectl, wait};
use crate::e2e::stage::{GAMES, PATIENCE, RELEASE, SYSTEM, Stage};

/// The example's GameFleet and MatchQueue, as they are in the repository.
const MANIFEST: &str = include_str!("../../../../examples/cpp-server/gamefleet.yaml");
const FLEET: &str = "clicks";
const QUEUE: &str = "clicks-1v1";
/// Name of the players' Job.
const JOB: &str = "clicks-players";

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    let played = play(stage);
    // Whatever came of it, the next scenario expects one fleet.
    kubectl(&["-n", GAMES, "delete", "gamefleet", FLEET, "--ignore-not-found", "--timeout=120s"])?;
    kubectl(&["-n", GAMES, "delete", "matchqueue", QUEUE, "--ignore-not-found"])?;
    played
}

fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let manifest = MANIFEST.replace("localhost/clicks-server:1", CPP_SERVER_IMAGE);
    let manifest = manifest.replace("localhost/muster:dev", IMAGE).replace("seconds: 10", "seconds: 5");
    feed(&["-n", GAMES, "apply", "--server-side", "--validate=strict", "-f", "-"], &manifest)?;
    let rooms = || {
        let status = get(&["-n", GAMES, "gamefleet", FLEET])?["status"].take();
        Ok(if state::number(&status, "freeRooms") > 0 { Ok(()) } else { Err(status.to_string()) })
    };
    let ((), took) = wait("the C++ server in the pool", PATIENCE, rooms)?;
    stage.figure("pool_ready_s", took.as_secs_f64());
    let said = players()?;
    let of = |event: &str| said.iter().filter(|said| said["event"] == event).cloned().collect::<Vec<_>>();
    let (placed, over, recorded) = (of("placed"), of("over"), of("recorded"));
    let matches: BTreeSet<&str> = placed.iter().filter_map(|said| said["match_id"].as_str()).collect();
    ensure!(placed.len() == 2 && matches.len() == 1, "two players come into one match: {said:?}");
    ensure!(placed.iter().all(|said| said["transport"] == "foreign"), "Muster's own clients are warned: {placed:?}");
    ensure!(over.len() == 2 && over[0]["places"] == over[1]["places"], "both hear the same places: {over:?}");
    ensure!(recorded.len() == 2 && recorded.iter().all(|said| said["times"] == 1), "recorded once: {recorded:?}");
    booked(matches.first().context("a match")?)
}

/// Two players as a Job, and what they say.
fn players() -> anyhow::Result<Vec<Value>> {
    // The player resolves no names.
    let service = format!("service/{RELEASE}-metagame");
    let ip = kubectl(&["-n", SYSTEM, "get", &service, "-o", "jsonpath={.spec.clusterIP}"])?;
    let job = format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: {JOB}, namespace: {GAMES}}}
spec:
  completions: 2
  parallelism: 2
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      containers:
      - name: player
        image: {CPP_PLAYER_IMAGE}
        imagePullPolicy: IfNotPresent
        args: ["{ip}:7100", {QUEUE}]
"#
    );
    crate::e2e::kubectl::apply(&job)?;
    let selector = format!("job-name={JOB}");
    let logs = || kubectl(&["-n", GAMES, "logs", "-l", &selector, "--tail=-1"]);
    let ended = || {
        let status = get(&["-n", GAMES, "job", JOB])?["status"].take();
        let is_over = status["failed"].as_u64() > Some(0) || status["succeeded"] == 2;
        Ok(if is_over { Ok(status["succeeded"] == 2) } else { Err(logs()?) })
    };
    let (is_good, _) = wait("the players", PATIENCE, ended)?;
    let said = logs()?;
    ensure!(is_good, "a player failed: {said}");
    kubectl(&["-n", GAMES, "delete", "job", JOB])?;
    said.lines().map(|line| serde_json::from_str(line).context("what a player says")).collect()
}

/// Metagame has the match with its result, and both players in it.
fn booked(match_id: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{SYSTEM}/services/{RELEASE}-metagame-admin:7101/proxy/matches/{match_id}");
    let about: Value = serde_json::from_str(&kubectl(&["get", "--raw", &path])?)?;
    let players = about["result"]["players"].as_array().cloned().unwrap_or_default();
    let have_played =
        players.iter().all(|player| player["participation"] == "played" && player["score"].as_i64() > Some(0));
    ensure!(players.len() == 2 && have_played && about["state"] == "ended", "the result names who played: {about}");
    Ok(())
}
