//! From nothing to servers that wait for matches.

use std::time::Duration;

use anyhow::ensure;

use super::state;
use crate::e2e::kubectl::{apply, get, items, wait};
use crate::e2e::manifests::{Fleet, QUEUE, queue};
use crate::e2e::stage::{GAMES, PATIENCE, RELEASE, SYSTEM, Stage};

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    stage.helm(&[])?;
    for program in ["operator", "allocator"] {
        let seconds = seconds_to_ready(program)?;
        stage.figure(if program == "operator" { "operator_ready_s" } else { "allocator_ready_s" }, seconds);
    }
    let fleet = Fleet::default();
    apply(&fleet.yaml())?;
    let wanted = u64::from(fleet.minimum);
    let took = state::until("servers in the pool", |status| state::number(status, "freeRooms") >= wanted * 2)?;
    stage.figure("pool_ready_s", took.as_secs_f64());
    apply(&queue(8))?;
    let ready = || {
        let status = get(&["-n", GAMES, "matchqueue", QUEUE])?["status"].take();
        Ok(if state::condition(&status, "Ready") == "True" { Ok(()) } else { Err(status.to_string()) })
    };
    wait("a queue that is Ready", PATIENCE, ready)?;
    // What a server writes through the SDK is in the API half a second later.
    let reserved = || {
        let count = state::servers("Reserved")?.len() as u64;
        Ok(if count >= wanted { Ok(()) } else { Err(format!("{count} servers are Reserved, {wanted} were asked for")) })
    };
    wait("servers that are Reserved", PATIENCE, reserved).map(drop)
}

/// From the start of the container to its readiness, by the kubelet's clock (whole seconds).
fn seconds_to_ready(program: &str) -> anyhow::Result<f64> {
    let selector = format!("app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={program}");
    let pods = items(&["-n", SYSTEM, "pods", "-l", &selector])?;
    ensure!(!pods.is_empty(), "no pod of {program} ({selector})");
    let second = |text: &serde_json::Value| -> Option<f64> {
        let text = text.as_str()?;
        let clock: Vec<f64> = text.get(11..19)?.split(':').filter_map(|part| part.parse().ok()).collect();
        (clock.len() == 3).then(|| clock[0] * 3_600.0 + clock[1] * 60.0 + clock[2])
    };
    let mut longest = 0.0_f64;
    for pod in &pods {
        let started = second(&pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]);
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let ready = ready.and_then(|condition| second(&condition["lastTransitionTime"]));
        ensure!(started.is_some() && ready.is_some(), "{program} is not ready: {}", pod["status"]);
        // Past midnight the difference is negative once.
        let took = (ready.unwrap_or_default() - started.unwrap_or_default())
            .rem_euclid(Duration::from_secs(86_400).as_secs_f64());
        longest = longest.max(took);
    }
    Ok(longest)
}
