//! What the fleet says of itself.

use std::time::Duration;

use serde_json::Value;

use crate::e2e::kubectl::{get, items, wait};
use crate::e2e::manifests::FLEET;
use crate::e2e::stage::{GAMES, PATIENCE};

/// The status of the GameFleet.
pub(crate) fn fleet() -> anyhow::Result<Value> {
    Ok(get(&["-n", GAMES, "gamefleet", FLEET])?["status"].take())
}

/// A number of a status; 0 where it is not there.
pub(crate) fn number(status: &Value, field: &str) -> u64 {
    status[field].as_u64().unwrap_or(0)
}

/// The status of a condition: `True`, `False`, `Unknown`, or nothing.
pub(crate) fn condition(status: &Value, kind: &str) -> String {
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
}

/// Game servers in a state.
pub(crate) fn servers(state: &str) -> anyhow::Result<Vec<String>> {
    let all = items(&["-n", GAMES, "gameservers.agones.dev"])?;
    let those = all
        .iter()
        .filter(|server| server["status"]["state"] == state && server["metadata"]["deletionTimestamp"].is_null());
    Ok(those.filter_map(|server| server["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

/// Waits until the status is as it should be.
pub(crate) fn until(what: &str, good: impl Fn(&Value) -> bool) -> anyhow::Result<Duration> {
    until_within(what, PATIENCE, good)
}

/// The same with its own patience.
pub(crate) fn until_within(what: &str, limit: Duration, good: impl Fn(&Value) -> bool) -> anyhow::Result<Duration> {
    let look = || {
        let status = fleet()?;
        Ok(if good(&status) { Ok(()) } else { Err(status.to_string()) })
    };
    wait(what, limit, look).map(|((), took)| took)
}

/// Ready, settled on one revision, no rollout, no match.
pub(crate) fn until_at_rest() -> anyhow::Result<Duration> {
    until("a fleet at rest", |status| {
        condition(status, "Ready") == "True"
            && status["canary"].is_null()
            && status["revisions"].as_array().is_some_and(|revisions| revisions.len() == 1)
            && number(status, "matches") == 0
    })
}
