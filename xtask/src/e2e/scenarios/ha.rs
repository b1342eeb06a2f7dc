//! The profile `ha`: of each of the two programs that lead, one stands by. Leaders die while bots play.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::state;
use crate::e2e::kubectl::{get, items, kubectl, wait};
use crate::e2e::manifests::PLAYERS;
use crate::e2e::stage::{PATIENCE, RELEASE, SYSTEM, Stage};

/// Programs of which one leads.
const PROGRAMS: [&str; 2] = ["allocator", "operator"];
/// Between two kills: the next one hits a program that works again.
const REST: Duration = Duration::from_secs(6);

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    // One node is enough for the test, nobody scrapes, and volumes are not what this is about.
    let profile = crate::command::root().join("helm/muster/values-ha.yaml");
    let profile = profile.to_str().context("the repository's path is no text")?;
    let here = "spread.nodes=preferred,monitoring.serviceMonitor.enabled=false,monitoring.rules.enabled=false";
    stage.helm(&["-f", profile, "--set", here])?;
    let played = take_over(stage);
    // Whatever came of it, the next scenario expects one of each.
    stage.helm(&[])?;
    played?;
    state::until_at_rest()?;
    Ok(())
}

fn take_over(stage: &mut Stage) -> anyhow::Result<()> {
    for program in PROGRAMS {
        let pods = pods(program)?;
        ensure!(pods.len() == 2, "two pods of {program}: {pods:?}");
    }
    let crowd = stage.crowd("ha", PLAYERS * 2, 45);
    crowd.start()?;
    for program in PROGRAMS.into_iter().cycle().take(2 * PROGRAMS.len()) {
        state::until("matches", |status| state::number(status, "matches") > 0)?;
        let took = kill_leader(program)?;
        let figure = if program == "allocator" { "allocator_takeover_s" } else { "operator_takeover_s" };
        let slowest = stage.figures.get(figure).copied().unwrap_or_default();
        stage.figure(figure, took.as_secs_f64().max(slowest));
        std::thread::sleep(REST);
    }
    stage.played.push(crowd.finish()?);
    Ok(())
}

/// Kills the pod that leads, and waits until another does.
fn kill_leader(program: &str) -> anyhow::Result<Duration> {
    let led = || Ok(leader(program)?.ok_or_else(|| "no pod that is there holds the Lease".to_owned()));
    let (leader_before, _) = wait(&format!("a leader of {program}"), PATIENCE, led)?;
    let killed = Instant::now();
    kubectl(&["-n", SYSTEM, "delete", "pod", &leader_before, "--grace-period=0", "--force"])?;
    let other = || Ok(leader(program)?.filter(|now| *now != leader_before).ok_or_else(|| "nobody leads".to_owned()));
    wait(&format!("another leader of {program}"), PATIENCE, other)?;
    Ok(killed.elapsed())
}

/// Name of the pod that holds the Lease, if it is there.
fn leader(program: &str) -> anyhow::Result<Option<String>> {
    let lease = get(&["-n", SYSTEM, "lease", &format!("muster-{program}")])?;
    // The pod's name, and what tells its incarnations apart.
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    Ok(pods(program)?.into_iter().find(|pod| holder.starts_with(pod.as_str())))
}

/// Names of a program's pods that are there to stay.
fn pods(program: &str) -> anyhow::Result<Vec<String>> {
    let selector = format!("app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={program}");
    let pods = items(&["-n", SYSTEM, "pods", "-l", &selector])?;
    let alive = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(alive.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect())
}
